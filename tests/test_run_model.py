"""Which model of a finished run a report names: the one that ``faceexp verify`` takes."""

from __future__ import annotations

import json

from faceexp.run import open_run
from faceexp.serving.find import find


def test_a_report_names_the_model_that_verify_takes(tmp_path):
    scores = {"x": ("worse", 0.8), "y": ("better", 0.9)}
    trials = [
        {"id": name, "label": label, "kind": "loss", "seed": 0, "fold": 0, "status": "ok"}
        for name, (label, _) in scores.items()
    ]
    results = {"schema": 1, "name": "r", "trials": trials, "summary": [], "comparisons": []}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert open_run(tmp_path).model_to_use() is None, "it may have been removed"
    for name, (label, score) in scores.items():
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        model = {"label": label, "validation_auc": score, "distance": "cosine", "threshold": 0.5, "preprocess": {}}
        (folder / "calibration.json").write_text(json.dumps(model))
    assert find(str(tmp_path)).root.name == "y"
    assert open_run(tmp_path).model_to_use() == "better"
