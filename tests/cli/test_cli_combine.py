"""A weighted sum of losses from the command line: validated, trained, measured, searched, exported, and told."""

from __future__ import annotations

import json
import re

import pytest

from faceexp.results.folder import RunFolder

SUM = """\
[[losses]]
combine = [{ plugin = "arcface", margin = 20.0 },
           { plugin = "center", weight = 0.01 }]
distance = "cosine"
"""
LABEL = "arcface(margin=20) + 0.01 center"


@pytest.fixture
def places(tmp_path, small_spec, face_folder):
    spec = tmp_path / "summed.toml"
    spec.write_text(small_spec("summed", face_folder, "npairs") + SUM, encoding="utf-8")
    return spec, ("--out", tmp_path / "runs", "--store", tmp_path / "store")


def test_a_run_with_a_sum_from_validation_to_the_model_card(command, places, tmp_path):
    spec, where = places
    assert command("validate", spec)[0] == 0
    out = " ".join(command("run", spec, "--dry-run", *where[2:])[1].split())
    assert "trials 8" in out

    code, out, err = command("run", spec, *where)
    assert code == 0, err
    assert LABEL in out
    (folder,) = (tmp_path / "runs").iterdir()
    results = RunFolder(folder).read_results()
    trials = [trial for trial in results.trials if trial.kind == "loss"]
    assert {(trial.label, trial.loss) for trial in trials} == {("npairs", "npairs"), (LABEL, "arcface + center")}
    assert all(trial.status == "ok" for trial in trials)
    # Proxies of arcface, and the classifier of center with its biases; its centres are moved, not trained.
    counts, people = {trial.label: trial.budget.trainable_parameters for trial in trials}, results.parts[0].train.people
    assert counts[LABEL] - counts["npairs"] == people * 8 + people * (8 + 1)
    assert LABEL in (folder / "report.html").read_text(encoding="utf-8")
    code, out, _ = command("report", folder, "--format", "json")
    assert code == 0
    assert LABEL in out

    # The file of the run means the same: all of it is in the store, whatever order it is trained in.
    code, _, _ = command("run", folder / "spec.toml", "--only", LABEL, *where)
    assert code == 0
    again = " ".join(command("run", folder / "spec.toml", "--dry-run", *where[2:])[1].split())
    assert "trials 8, of which 8 are finished" in again

    model = next(path for path in (folder / "models").iterdir() if "center" in path.name)
    assert command("export", model, tmp_path / "exported", "--to", "keras")[0] == 0
    card = (tmp_path / "exported" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert (
        "- Loss: a weighted sum\n"
        "  - 1 times `arcface` (faceexp-loss-arcface 0.1.0), with `margin = 20.0`\n"
        "  - 0.01 times `center` (faceexp-loss-center 0.1.0)\n"
    ) in card
    origin = json.loads((tmp_path / "exported" / "calibration.json").read_text(encoding="utf-8"))["origin"]
    assert [(part["name"], part["weight"]) for part in origin["summed"]] == [("arcface", 1.0), ("center", 0.01)]
    assert (origin["loss"]["name"], origin["loss"]["options"]) == ("arcface + center", {})


def test_mistakes_end_with_code_2_and_a_line_each(command, places):
    spec, where = places
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("arcface", "arcfac").replace("weight = 0.01", "weight = 0"), encoding="utf-8")
    first = text[: text.index('{ plugin = "arcface"')].count("\n") + 1
    for arguments in (("validate", spec), ("run", spec, *where)):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert [line.removeprefix(f"error: {spec}:") for line in err.splitlines()] == [
            f"{first}: losses[1].combine[0].plugin: no loss plugin 'arcfac' is installed; did you mean 'arcface'?",
            f"{first + 1}: losses[1].combine[1].weight: must be greater than 0, not 0",
        ]


def test_a_search_over_a_weight(command, places, tmp_path):
    pytest.importorskip("optuna")
    spec, where = places
    text = spec.read_text(encoding="utf-8").replace("weight = 0.01", "weight = { low = 0.001, high = 0.5, log = true }")
    text += '[search]\ntrials = 2\nsampler = "random"\nseeds = [100]\nsuggested = false\n'
    spec.write_text(text, encoding="utf-8")
    label = "arcface(margin=20) + center"
    code, _, err = command("run", spec, "--only", label, *where)
    assert code == 0, err
    (folder,) = (tmp_path / "runs").iterdir()
    (searched,) = RunFolder(folder).read_results().search.losses
    assert searched.defaults == {"combine[1].weight": 1.0}
    assert "combine[1].weight" in command("report", folder, "--search")[1]
    tuned = " ".join(command("run", folder / "tuned.toml", "--dry-run", *where[2:])[1].split())
    assert "trials 6, of which 6 are finished" in tuned

    # Each card names the weight that the model was trained with.
    told = {}
    for trial in RunFolder(folder).read_results().trials:
        if (folder / "models" / trial.id).is_dir():
            made = tmp_path / trial.id
            assert command("export", folder / "models" / trial.id, made, "--to", "keras")[0] == 0
            told[trial.label] = re.search(r"- (\S+) times `center`", (made / "MODEL_CARD.md").read_text("utf-8"))[1]
    assert told == {label: f"{searched.best['combine[1].weight']:.6g}", f"{label} (defaults)": "1"}
