"""A column of the data becomes templates; one that makes none is refused in words."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import DatasetPlugin, FaceData
from faceexp.data.splits import Split
from faceexp.data.test_set import PlannedSet
from faceexp.experiment.evaluation import Evaluation
from faceexp.planning.issues import UnplannableError
from faceexp.planning.templates import check_pairs, check_templates, template_notes, templates_of

NAN = float("nan")


def data_with(labels, **columns):
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    images = np.zeros((len(labels), 8, 8), np.uint8)
    names = ("Ann", "Bob", "Cy")
    return FaceData(images, np.array(labels, np.int32), names, "f", "l", "s", (), arrays)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"templat": ["a"] * 3}, "the data set has no column 'template'; did you mean 'templat'? its columns: templat"),
        (
            {},
            "the data set has no columns, so there is no 'template'; a CSV or Parquet list of images has some",
        ),
        (
            {"template": ["x", "", "x"]},
            "template 'x' shows several people, 'Ann' and 'Bob'; give each person templates of their own in column "
            "'template'",
        ),
        (
            {"template": [7.0, NAN, 7.0]},
            "template '7' shows several people, 'Ann' and 'Bob'; give each person templates of their own in column "
            "'template'",
        ),
        (
            {"template": [1, 1, 2], "quality": [NAN, 0.0, -0.5]},
            "quality -0.5 of Bob/image 2 is no weight; it has to be 0 or more, or be empty where it is not known",
        ),
        (
            {"template": [1, 1, 2], "quality": [np.inf, 0.0, 1.0]},
            "quality inf of Ann/image 0 is no weight; it has to be 0 or more, or be empty where it is not known",
        ),
        (
            {"template": [1, 1, 2], "quality": ["good", "bad", "good"]},
            "column 'quality' holds no numbers, so it cannot weigh the images of a template",
        ),
    ],
)
def test_a_column_that_makes_no_templates_is_refused(columns, said):
    data = data_with([0, 0, 1], **columns)
    with pytest.raises(UnplannableError) as caught:
        check_templates(data, [], "template")
    (issue,) = caught.value.issues
    assert issue.path == ("evaluation", "templates")
    assert issue.message == said
    check_templates(data, [], None)


def test_the_column_may_be_that_of_a_test_set_alone():
    own, faces = data_with([0, 0, 1]), data_with([0, 1], template=["x", "x"])
    with pytest.raises(UnplannableError, match="template 'x' of test set IJB shows several people"):
        check_templates(own, [("IJB", faces)], "template")
    check_templates(own, [("IJB", data_with([0, 0], template=["x", "x"]))], "template")


def test_many_mistakes_are_counted():
    data = data_with([0, 1] * 60, template=np.repeat(np.arange(60), 2))
    with pytest.raises(UnplannableError) as caught:
        check_templates(data, [], "template")
    assert caught.value.issues[-1].message.endswith("more mistakes in templates")


def planned_set(columns, labels, first, pairs=None):
    rows = first + np.arange(len(labels))
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    return PlannedSet("IJB", "s", "k", rows, np.array(labels), ("Ann", "Bob"), pairs, columns=arrays)


def test_images_without_a_value_and_those_of_other_data_are_templates_of_their_own():
    columns = {"template": np.array(["b", "", "a", "b", ""])}
    faces = planned_set({"template": ["b", "b", "c"], "quality": [1, 2, 3]}, [0, 0, 1], 5)
    bare = planned_set({}, [0, 1], 8)
    made = templates_of(columns, 5, [faces, bare], "template")
    of_each = made.template.tolist()
    # The template b of the test set is not that of the data set.
    assert [of_each.index(number) for number in of_each] == [0, 1, 2, 0, 4, 5, 5, 7, 8, 9]
    np.testing.assert_array_equal(made.quality, [NAN] * 5 + [1, 2, 3] + [NAN] * 2)
    assert templates_of(columns, 5, [], "template").quality is None
    assert templates_of(columns, 5, [faces], None) is None
    split = Split(0, 0, np.arange(0), np.arange(0), np.arange(5))
    notes = [note.text for note in template_notes(made, [split], [faces, bare])]
    assert notes == [
        "templates by template: 5 images of the test part are 4, 3 images of test set IJB are 2, 2 images of test set "
        "IJB are 2 templates, each judged by the mean of the embeddings of its images, weighted by quality; "
        "checkpoints, and the thresholds that go along with models, are for single photos",
        "test set IJB has no column template: each image is a template",
    ]


def test_templates_have_to_leave_pairs():
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    split = Split(3, 0, np.arange(0), np.arange(4), np.arange(4, 8))
    of_people = templates_of({"template": np.array([1, 2, 3, 3, 4, 4, 5, 5])}, 8, [], "template")
    with pytest.raises(UnplannableError) as caught:
        check_pairs(of_people, labels, [split], [])
    assert [issue.message for issue in caught.value.issues] == [
        "templates leave the test part of seed 3, fold 1 no similar pair to judge; somebody there needs two templates"
    ]
    faces = planned_set({"template": ["a", "a", "b"]}, [0, 0, 1], 8, np.array([[0, 1], [1, 2]]))
    apart = templates_of({"template": np.arange(8)}, 8, [faces], "template")
    with pytest.raises(UnplannableError, match="templates leave test set IJB no similar pair"):
        check_pairs(apart, labels, [split], [faces])
    check_pairs(apart, labels, [split], [])
    check_pairs(None, labels, [split], [])


class Framed(DatasetPlugin):
    """Twelve people of six images, three of which are frames of one video."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"

    def build(self, seed):
        labels = np.repeat(np.arange(12, dtype=np.int32), 6)
        pixels = np.random.default_rng(0).integers(0, 255, (72, 16, 16), np.uint8)
        columns = {"video": np.arange(72) // 3, "quality": np.linspace(0, 1, 72)}
        return FaceData(pixels, labels, tuple(map(str, range(12))), "framed", "l", "s", columns=columns)


def test_a_plan_has_the_templates_of_the_images_that_are_used(planned, tmp_path):
    plan = planned(tmp_path, {}, dataset=Framed(), evaluation=Evaluation(templates="video"))
    assert plan.templates.quality.tolist() == np.linspace(0, 1, 72).tolist()
    posed = plan.templates.posed(plan.splits[0])
    assert posed.test.tolist() == plan.splits[0].test[::3].tolist()
    (note,) = [note.text for note in plan.notes if note.kind == "templates"]
    tested = len(plan.splits[0].test)
    assert f"{tested} images of the test part" in note
    assert f" are {tested // 3} templates" in note
    assert planned(tmp_path, {}, dataset=Framed()).templates is None
    with pytest.raises(UnplannableError, match="no column 'vidoe'; did you mean 'video'"):
        planned(tmp_path, {}, dataset=Framed(), evaluation=Evaluation(templates="vidoe"))


def test_a_file_that_asks_no_templates_means_the_run_it_meant_before():
    assert Evaluation().model_dump(mode="json") == {}
    assert Evaluation(templates="video").model_dump(mode="json") == {"templates": "video"}
