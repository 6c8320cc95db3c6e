"""Trunks with trained weights: what follows from them, and what cannot be asked of a network that is only run."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from faceexp.contract import Distance, FixedModelPlugin, LossPlugin, ModelPlugin
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.planning.trunk import precision_notes, trunk_issues, with_trunk


class Fixed(FixedModelPlugin):
    """A network that is only run."""

    reference: ClassVar[str] = "here"

    @property
    def trained(self) -> str:
        return "mine.onnx"

    def open(self, input_shape):
        raise NotImplementedError


class Trunk(ModelPlugin):
    """A trunk, trained or not."""

    reference: ClassVar[str] = "here"
    weights: str = ""

    @property
    def trained(self) -> str:
        return self.weights

    def build(self, input_shape):
        raise NotImplementedError


class Loss(LossPlugin):
    """A loss that nobody computes."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"

    def build(self, ctx):
        raise NotImplementedError


@pytest.fixture
def fitted(resolved, chosen):
    """``fitted(model, ...)``: the experiment with what follows from its trunk, and what cannot be done."""

    def call(model, /, **tables):
        base = resolved({"loss": Loss()}, **tables)
        experiment = with_trunk(base.experiment, chosen("model", model))
        return experiment, [(issue.path, issue.message) for issue in trunk_issues(experiment, chosen("model", model))]

    return call


@pytest.mark.parametrize(
    ("model", "written", "enabled", "trainable"),
    [
        (Trunk(), {}, True, None),
        (Trunk(weights="a.keras"), {}, True, "head"),
        (Trunk(weights="a.keras"), {"trainable": "all"}, True, "all"),
        (Fixed(), {}, False, "head"),
        (Fixed(), {"enabled": True}, True, "head"),
    ],
)
def test_phase_1_follows_from_the_trunk(fitted, model, written, enabled, trainable):
    experiment, issues = fitted(model, pretrain=Pretrain(**written))
    assert not issues
    for pretrain in (experiment.pretrain, experiment.losses[0].pretrain):
        assert (pretrain.enabled, pretrain.trainable) == (enabled, trainable)


def test_a_network_that_is_only_run_cannot_be_trained(fitted, tiny):
    finetune = tiny().finetune.model_copy(update={"trainable": "all"})
    pretrain = Pretrain(enabled=True, trainable="all")
    _, issues = fitted(Fixed(), pretrain=pretrain, finetune=finetune, augment=Augment(crop=0.1))
    cannot = "needs a trunk that can be trained, and model 'model' (faceexp-tests 0) is only run"
    assert issues == [
        (("pretrain", "trainable"), f'"all" {cannot}'),
        (("finetune", "trainable"), f'"all" {cannot}'),
        (
            ("augment",),
            "changes no image: the features of model 'model' (faceexp-tests 0) are computed once; use flip",
        ),
    ]


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_network_that_is_only_run_keeps_its_precision(fitted, tiny, precision):
    model = tiny().model.model_copy(update={"precision": precision})
    message = f"{precision!r} changes nothing of model 'model' (faceexp-tests 0), which is only run, as it is"
    assert fitted(Fixed(), model=model)[1] == [(("model", "precision"), f"{message}; leave it out")]
    assert fitted(Trunk(weights="a.keras"), model=model)[1] == []


def test_a_precision_that_is_not_the_usual_one_is_noted(tiny):
    assert list(precision_notes(tiny())) == []
    model = tiny().model.model_copy(update={"precision": "mixed_bfloat16"})
    (note,) = precision_notes(tiny(model=model))
    assert note.kind == "precision"
    assert note.text.startswith("the network computes in mixed_bfloat16, in training and where it is measured; ")


def test_changes_of_images_want_a_trunk_that_sees_them(fitted):
    _, issues = fitted(Trunk(weights="a.keras"), augment=Augment(blur=1.0))
    assert [path for path, _ in issues] == [("augment",)]
    for tables in (
        {"augment": Augment(blur=1.0, phase2=True)},
        {"augment": Augment(blur=1.0), "pretrain": Pretrain(trainable="all")},
        {"augment": Augment(flip=True)},
    ):
        assert not fitted(Trunk(weights="a.keras"), **tables)[1]


def test_a_trained_trunk_is_called_by_its_name(resolved, chosen):
    base = resolved({"loss": Loss()}, baselines=("untrained", "phase1"))

    def labels(model, **pretrain):
        experiment = base.experiment.model_copy(update={"pretrain": Pretrain(**pretrain)})
        whole = dataclasses.replace(base, model=chosen("m", model), experiment=experiment)
        return [baseline.label for baseline in whole.baselines], whole.reference

    assert labels(Trunk()) == (["untrained trunk", "phase-1 embedding"], "phase-1 embedding")
    assert labels(Trunk(weights="a.keras")) == (["trunk a.keras", "phase-1 embedding"], "phase-1 embedding")
    # Without phase 1, losses are compared with the trunk that all of them start from.
    assert labels(Fixed(), enabled=False) == (["trunk mine.onnx"], "trunk mine.onnx")
