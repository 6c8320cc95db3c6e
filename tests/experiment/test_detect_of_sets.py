"""How the faces of a test set are found: as in training, in its own way, or not at all."""

from __future__ import annotations

import pytest

from faceexp.experiment import toml
from faceexp.experiment.detect import Detect, inheriting
from faceexp.experiment.parse import parse
from faceexp.experiment.schema import Preprocess

SPEC = """\
name = "mine"
dataset = {{ plugin = "orl" }}
protocol = {{ kind = "open_set" }}
[preprocess.detect]
plugin = "scrfd"
path = "det.onnx"
align = "five_points"
margin = 0.25
{shared}
[[test_sets]]
name = "others"
dataset = {{ plugin = "orl" }}
{own}
[[pretrained]]
plugin = "onnx_file"
path = "network.onnx"
"""
TEMPLATE = [[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]]


def read(own="", shared=""):
    return parse(toml.parse_text(SPEC.format(own=own, shared=shared), "mine.toml"))


def entry_of(own="", shared=""):
    experiment, problems, _ = read(own, shared)
    assert problems == []
    return experiment, experiment.test_sets[0]


def test_without_a_word_faces_are_found_as_in_training_and_files_of_before_mean_the_same():
    experiment, entry = entry_of()
    assert entry.detect is None
    assert "detect" not in entry.model_dump(mode="json")
    assert experiment.preprocess.of_set(entry) == experiment.preprocess


def test_false_says_that_images_are_crops():
    experiment, entry = entry_of("detect = false")
    assert entry.detect is False
    assert experiment.preprocess.of_set(entry) == experiment.preprocess.model_copy(update={"detect": None})


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("detect = { margin = 0.5 }", "", {"options": {"path": "det.onnx"}, "align": "five_points", "margin": 0.5}),
        ('detect = { plugin = "mtcnn" }', "", {"plugin": "mtcnn", "align": "five_points", "margin": 0.25}),
        (
            'detect = { plugin = "scrfd", path = "other.onnx" }',
            "",
            {"options": {"path": "other.onnx"}, "align": "five_points", "margin": 0.25},
        ),
        (
            "detect = { margin = 0.0 }",
            f"template = {TEMPLATE}",
            {"options": {"path": "det.onnx"}, "align": "five_points", "margin": 0.0, "template": TEMPLATE},
        ),
        # No other way to align has a template.
        (
            'detect = { align = "eyes" }',
            f"template = {TEMPLATE}",
            {"options": {"path": "det.onnx"}, "align": "eyes", "margin": 0.25},
        ),
    ],
)
def test_a_table_inherits_what_it_does_not_say(own, shared, expected):
    experiment, entry = entry_of(own, shared)
    assert entry.detect == Detect.model_validate({"plugin": "scrfd", **expected})
    assert experiment.preprocess.of_set(entry).detect == entry.detect


def test_a_template_of_its_own_comes_without_the_size_of_another():
    shared = {"align": "five_points", "template": [], "template_size": [1, 1]}
    assert inheriting({"template": TEMPLATE}, shared) == {
        "plugin": "haar",
        "align": "five_points",
        "template": TEMPLATE,
    }
    assert inheriting({"margin": 0.1}, None) == {"plugin": "haar", "margin": 0.1}


@pytest.mark.parametrize(
    "own",
    [
        "detect = false",
        "detect = { margin = 0.5 }",
        'detect = { plugin = "haar", align = "none" }',
        'detect = { align = "eyes" }',
    ],
)
def test_what_is_written_of_an_experiment_means_the_same_when_it_is_read_again(own):
    experiment, _ = entry_of(own)
    again, problems, _ = parse(toml.parse_text(toml.dump(experiment), "again.toml"))
    assert problems == []
    assert again == experiment


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("detect = 3", "mine.toml:13: test_sets[0].detect: must be a table, not 3"),
        ("detect = true", "mine.toml:13: test_sets[0].detect: must be a table, not True"),
        (
            "detect = { margin = 9 }",
            "mine.toml:13: test_sets[0].detect.margin: must be less than or equal to 2, not 9",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_line(own, message):
    _, problems, _ = read(own)
    assert [str(problem) for problem in problems] == [message]


def test_the_detector_of_a_set_is_a_plugin_as_any_other():
    _, _, references = read("detect = { margin = 0.5, certainty = 0.7 }")
    (reference,) = (each for each in references if each.path == ("test_sets", 0, "detect"))
    assert (reference.kind, reference.name) == ("detector", "scrfd")
    assert reference.options == {"path": "det.onnx", "certainty": 0.7}


def test_false_is_the_same_as_no_table_for_the_data_set():
    assert Preprocess.model_validate({"detect": False}) == Preprocess()
