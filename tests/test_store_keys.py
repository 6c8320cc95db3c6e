"""What store keys are made of: which files are hashed, so that a file that is moved cannot drop out of a key."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import faceexp
from faceexp.store import digest, source_digest, source_files

PACKAGE = Path(faceexp.__file__).parent

# By the module that names them in SOURCES: every file that a key follows. A new file has to be added here by hand: that
# is the point. Whoever does it thinks about which numbers it decides.
HASHED = {
    "faceexp.data.decode": ["data/images.py", "data/detection.py", "data/decode.py"],
    "faceexp.engine.backend": [
        "engine/__init__.py",
        "engine/augment.py",
        "engine/backend.py",
        "engine/baselines.py",
        "engine/borders.py",
        "engine/called.py",
        "engine/descent.py",
        "engine/determinism.py",
        "engine/elsewhere.py",
        "engine/existing.py",
        "engine/failures.py",
        "engine/features.py",
        "engine/finetune.py",
        "engine/finished.py",
        "engine/inputs.py",
        "engine/loss_scale.py",
        "engine/losses.py",
        "engine/network.py",
        "engine/network_file.py",
        "engine/networks.py",
        "engine/opened.py",
        "engine/optimizer.py",
        "engine/place.py",
        "engine/pretrain.py",
        "engine/rehearsal.py",
        "engine/replicas.py",
        "engine/sampled.py",
        "engine/schedule.py",
        "engine/shared.py",
        "engine/steps.py",
        "engine/training.py",
        "engine/trials.py",
        "engine/worker.py",
        "engine/workers.py",
        "tensors/__init__.py",
        "tensors/logits.py",
        "tensors/pairs.py",
        "tensors/rows.py",
        "layers.py",
    ],
    "faceexp.evaluation.checkpoints": [
        "evaluation/checkpoints.py",
        "evaluation/embeddings.py",
        "evaluation/measured_pairs.py",
        "evaluation/pairs.py",
        "evaluation/people.py",
        "evaluation/roc.py",
    ],
    "faceexp.results.measure": [
        "data/templates.py",
        "evaluation/__init__.py",
        "evaluation/acquisition.py",
        "evaluation/calibration.py",
        "evaluation/catalogue.py",
        "evaluation/checkpoints.py",
        "evaluation/declared.py",
        "evaluation/diagnostics.py",
        "evaluation/embeddings.py",
        "evaluation/fars.py",
        "evaluation/folds.py",
        "evaluation/groups.py",
        "evaluation/identification.py",
        "evaluation/jackknife.py",
        "evaluation/left_out.py",
        "evaluation/likely.py",
        "evaluation/listed.py",
        "evaluation/measured_pairs.py",
        "evaluation/metrics.py",
        "evaluation/named.py",
        "evaluation/pairs.py",
        "evaluation/people.py",
        "evaluation/retrieval.py",
        "evaluation/roc.py",
        "evaluation/templates.py",
        "evaluation/verification.py",
        "results/asked_rates.py",
        "results/evidence.py",
        "results/group_records.py",
        "results/groups.py",
        "results/identification.py",
        "results/measure.py",
        "results/posed.py",
        "results/record.py",
        "results/schema.py",
        "results/set_record.py",
    ],
}


@pytest.mark.parametrize("module", HASHED)
def test_the_files_of_each_key_are_known(module: str) -> None:
    names = importlib.import_module(module).SOURCES
    assert [path.relative_to(PACKAGE).as_posix() for path in source_files(*names)] == HASHED[module]


def test_every_module_that_names_sources_is_pinned() -> None:
    naming = {
        "faceexp." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if "\nSOURCES = " in path.read_text(encoding="utf-8")
    }
    assert naming == set(HASHED)


@pytest.mark.parametrize("name", ["nowhere", "engine.nowhere", "evaluation.pairs.py"])
def test_a_name_without_a_file_is_an_error(name: str) -> None:
    with pytest.raises(LookupError, match=f"faceexp.{name} has no source file"):
        source_digest("store", name)


def test_a_digest_follows_text_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceexp.store.keys.PACKAGE", tmp_path)
    (tmp_path / "part" / "inner").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "part" / f"{name}.py").write_text(f"{name} = 1\n", encoding="utf-8")
    (tmp_path / "part" / "inner" / "c.py").write_text("c = 1\n", encoding="utf-8")
    digests = {source_digest("part")}
    assert digests == {digest([[f"part/{name}.py", f"{name[-1]} = 1\n"] for name in ("a", "b", "inner/c")])}
    (tmp_path / "part" / "inner" / "c.py").write_text("c = 2\n", encoding="utf-8")
    digests.add(source_digest("part"))
    (tmp_path / "part" / "a.py").rename(tmp_path / "part" / "d.py")
    digests.add(source_digest("part"))
    assert len(digests) == 3
