"""A loss in the place of softmax: named in a file, with its options checked like those of every loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceexp import pipeline
from faceexp.errors import InputError
from faceexp.experiment import toml

SPEC = """\
name = "example"
dataset = { plugin = "orl" }
protocol = { kind = "open_set" }
model = { plugin = "thin_vgg" }
losses = [{ plugin = "npairs" }]
finetune = { sampler = { plugin = "balanced" } }
[pretrain]
"""


def mistakes(line: str, spec: str = SPEC) -> list[str]:
    """Return every mistake of a file with one more line in [pretrain], which is its eighth."""
    with pytest.raises(InputError) as caught:
        pipeline.loads(f"{spec}{line}\n", "x.toml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "options"),
    [('loss = "arcface"', {}), ('loss = { plugin = "arcface", margin = 10 }', {"margin": 10})],
)
def test_it_is_named_alone_or_with_options(line: str, options: dict[str, object], tmp_path: Path) -> None:
    study = pipeline.loads(f"{SPEC}{line}\n", "x.toml")
    pretrain = study.experiment.pretrain
    assert pretrain.loss is not None
    assert (pretrain.loss.plugin, pretrain.loss.options) == ("arcface", options)
    assert study.experiment.losses[0].pretrain == pretrain
    (classifier,) = study.resolved.classifiers.values()
    assert classifier in study.resolved.plugins  # so that results name its code
    assert classifier.plugin.model_dump()["margin"] == options.get("margin", 28.6)
    (tmp_path / "spec.toml").write_text(toml.dump(study.experiment))
    assert pipeline.load(tmp_path / "spec.toml").spec_hash == study.spec_hash


def test_a_row_has_one_of_its_own(tmp_path: Path) -> None:
    own = '{ plugin = "npairs", label = "own", pretrain = { loss = { plugin = "cosface", scale = 8 } } }'
    study = pipeline.loads(SPEC.replace('{ plugin = "npairs" }', f'{{ plugin = "npairs" }}, {own}'), "x.toml")
    shared, other = (entry.pretrain.loss for entry in study.experiment.losses)
    assert shared is None
    assert other is not None
    assert (other.plugin, other.options) == ("cosface", {"scale": 8})
    assert study.resolved.classifiers.keys() == {other.key}
    (tmp_path / "spec.toml").write_text(toml.dump(study.experiment))
    assert pipeline.load(tmp_path / "spec.toml").experiment.losses == study.experiment.losses


def test_set_gives_its_name_and_its_options() -> None:
    overrides = ["pretrain.loss.plugin=arcface", "pretrain.loss.margin=12.5"]
    loss = pipeline.loads(SPEC, "x.toml", overrides=overrides).experiment.pretrain.loss
    assert loss is not None
    assert (loss.plugin, loss.options) == ("arcface", {"margin": 12.5})
    loss = pipeline.loads(SPEC, "x.toml", overrides=["pretrain.loss=cosface"]).experiment.pretrain.loss
    assert loss is not None
    assert loss.plugin == "cosface"


REFUSED = {
    'loss = "arcfac"': "pretrain.loss.plugin: no loss plugin 'arcfac' is installed; did you mean 'arcface'?",
    'loss = { plugin = "arcface", margn = 1 }': "pretrain.loss.margn: unknown option of loss 'arcface' ",
    'loss = { plugin = "arcface", margin = 181 }': "pretrain.loss.margin: must be less than or equal to 180, not 181; ",
    "loss = { margin = 1 }": 'pretrain.loss: names no plugin; add plugin = "..." (loss); ',
    "loss = 3": "pretrain.loss: must be a table, not 3",
    'loss = "contrastive"': (
        "pretrain.loss: loss 'contrastive' needs 2 identities in every batch and 2 images of an identity in every "
        "batch, and phase 1 draws images in random order; choose a loss that compares each image with weights of its own"
    ),
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_is_one_line(line: str) -> None:
    (mistake,) = mistakes(line)
    assert mistake.startswith(f"x.toml:8: {REFUSED[line]}")


def test_a_mistake_of_a_rows_own_is_told_there() -> None:
    own = '{ plugin = "npairs", pretrain = { loss = "supcon" } }'
    (mistake,) = mistakes("", SPEC.replace('{ plugin = "npairs" }', own))
    assert mistake.startswith("x.toml:5: losses[0].pretrain.loss: loss 'supcon' needs ")
