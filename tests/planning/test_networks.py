"""Networks that exist say whether they take the images when an experiment is read, before anything is decoded."""

from __future__ import annotations

from typing import ClassVar

import pytest

from faceexp.contract import FixedModelPlugin
from faceexp.errors import InputError, Problem
from faceexp.experiment.schema import Experiment
from faceexp.planning.networks import image_issues


class Fixed(FixedModelPlugin):
    """A network for images of 112 x 112."""

    reference: ClassVar[str] = "here"

    @property
    def trained(self) -> str:
        return "mine.onnx"

    def check(self, input_shape):
        if input_shape[:2] != (112, 112):
            raise InputError(Problem("takes 112 x 112 RGB", where="mine.onnx"))

    def open(self, input_shape):
        raise NotImplementedError


class AtFault(Fixed):
    """A network whose plugin has a mistake."""

    def check(self, input_shape):
        raise ZeroDivisionError


@pytest.fixture
def experiment():
    """``experiment(side)``: an experiment with square images."""

    def made(side):
        pretrained = [{"plugin": "fixed", "label": "mine"}]
        tables = {
            "name": "x",
            "seeds": [0],
            "dataset": {"plugin": "some"},
            "protocol": {"kind": "open_set"},
            "preprocess": {"size": [side, side]},
        }
        return Experiment.model_validate(tables | {"pretrained": pretrained})

    return made


@pytest.mark.parametrize(("side", "places"), [(112, []), (64, [("model",), ("pretrained", 1)])])
def test_a_network_for_other_images_is_told_at_its_place(experiment, chosen, side, places):
    network = chosen("model", Fixed())
    issues = image_issues(experiment(side), network, [(1, network)])
    assert [issue.path for issue in issues] == places
    assert all(issue.message == "mine.onnx: takes 112 x 112 RGB" for issue in issues)


def test_a_plugin_at_fault_is_left_to_the_engine_which_leaves_out_its_row_alone(experiment, chosen):
    assert image_issues(experiment(64), None, [(0, chosen("model", AtFault()))]) == []
