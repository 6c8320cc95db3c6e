"""A run and the store that it uses: nothing of it is lost, whatever others remove there."""

from __future__ import annotations

import faceexp
from faceexp.results.events import TrialEnded
from faceexp.store import Store


def test_pruning_under_a_run_loses_nothing(small_spec, face_folder, tmp_path):
    file = tmp_path / "pruned.toml"
    file.write_text(small_spec("pruned", face_folder, "npairs", "contrastive"), encoding="utf-8")
    study, store = faceexp.load(file), Store(tmp_path / "store")
    store.get("thing", {}, lambda folder: (folder / "x").write_bytes(b"of another experiment"))
    removed = []

    def prune(event):
        if isinstance(event, TrialEnded):
            removed.append(store.prune(0)[0])

    run = study.run(tmp_path / "runs", store=store.root, on_event=prune)
    # What another experiment has left goes at the first time, and nothing of this one ever.
    assert removed == [1] + [0] * (len(run.trials) - 1)
    again = study.run(tmp_path / "again", store=store.root)
    assert all("finetune" in trial.reused for trial in again.trials if trial.kind == "loss")
    assert [trial.metrics for trial in again.trials] == [trial.metrics for trial in run.trials]

    (held,) = (number for name, (number, _) in store.by_experiment().items() if name == run.folder.name)
    assert held == sum(number for number, _ in store.contents().values())
    store.set_limit(0)
    study.run(tmp_path / "third", store=store.root)
    assert store.contents() == {}, "the limit holds once a run has ended"
