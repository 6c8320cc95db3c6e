"""Columns of the data become groups of people or of images; columns that make none are refused in words."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.contract import DatasetPlugin, FaceData
from faceexp.experiment.evaluation import Evaluation
from faceexp.experiment.groups import Grouping
from faceexp.experiment.schema import Experiment
from faceexp.planning.groups import MOST_GROUPS, check_groups, group_notes, groups_of
from faceexp.planning.issues import UnplannableError
from faceexp.store import digest


def data_with(**columns):
    count = len(next(iter(columns.values()))) if columns else 4
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    images = np.zeros((count, 8, 8), np.uint8)
    return FaceData(images, np.arange(count, dtype=np.int32), tuple(map(str, range(count))), "f", "l", "s", (), arrays)


def groups(values, labels, asked="column"):
    name = Grouping.of(asked).column
    (made,) = groups_of({name: np.asarray(values)}, np.array(labels), [asked])
    return made


@pytest.mark.parametrize(
    ("text", "column", "edges"),
    [
        ("sex", "sex", ()),
        ("age:0-30-50-120", "age", (0, 30, 50, 120)),
        ("quality:0-0.5-1", "quality", (0, 0.5, 1)),
        ("dc:title", "dc:title", ()),
        ("dc:year:1990-2000-2010", "dc:year", (1990, 2000, 2010)),
        ("age:30", "age:30", ()),
    ],
)
def test_a_text_names_a_column_and_perhaps_bands(text, column, edges):
    assert Grouping.of(text) == Grouping(column, edges)


@pytest.mark.parametrize(
    ("text", "said"),
    [("age:30-20", "have to ascend"), ("age:1-1", "have to ascend"), ("age:1..2-3", "no edges of bands")],
)
def test_edges_that_make_no_bands_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        Evaluation(groups=(text,))


def test_a_person_is_in_the_group_of_their_images():
    made = groups(["f", "f", "m", "", "m"], [0, 0, 1, 1, 2])
    assert made.names == ("f", "m")
    # The image without a value shows somebody whose value is known.
    assert made.group.tolist() == [0, 0, 1, 1, 1]
    assert made.of_people


def test_where_images_of_a_person_differ_images_are_grouped():
    made = groups(["left", "right", "right", "", "left"], [0, 0, 1, 1, 2])
    assert made.group.tolist() == [0, 1, 1, -1, 0]
    assert not made.of_people
    (note,) = group_notes([made], np.array([0, 0, 1, 1, 2]))
    assert note.kind == "groups"
    assert note.text == (
        "groups by column: left (2 people, 2 images), right (2 people, 2 images), 1 images in none; it differs between "
        "images of one person, so images are grouped, not people"
    )


def test_bands_hold_their_lower_edge_and_the_last_one_its_upper_edge_too():
    made = groups([0, 29.5, 30, 49, 50, 120, 121, -1, np.nan], range(9), "age:0-30-50-120")
    assert made.names == ("0 to 30", "30 to 50", "50 to 120")
    assert made.group.tolist() == [0, 0, 1, 1, 2, 2, -1, -1, -1]
    assert made.of_people
    # Who is once in a band and once in none is not the same in both images.
    assert groups([20, 121], [0, 0], "age:0-30-120").group.tolist() == [0, -1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "a", "b", "c"])), min_size=1, max_size=20))
def test_groups_are_those_of_a_plain_loop(rows):
    _, labels = np.unique([person for person, _ in rows], return_inverse=True)
    values = [value for _, value in rows]
    made = groups(values, labels)
    of_person = [{v for v, p in zip(values, labels, strict=True) if p == person and v} for person in labels]
    assert made.of_people == all(len(known) < 2 for known in of_person)
    expected = [next(iter(known), "") for known in of_person] if made.of_people else values
    assert [made.names[place] if place >= 0 else "" for place in made.group] == expected


@pytest.mark.parametrize(
    ("columns", "asked", "said"),
    [
        ({"sex": ["f", "m"]}, "sx", "has no column 'sx'; did you mean 'sex'? its columns: sex"),
        ({"sex": ["f", "m"], "age": [1, 2]}, "camera", "has no column 'camera'; its columns: age, sex"),
        ({}, "sex", "the data set has no columns, so there is no 'sex'; a CSV or Parquet list of images has some"),
        ({"sex": ["f", "f"]}, "sex", "column 'sex' has only the value 'f', so there are no groups to compare"),
        ({"sex": ["", ""]}, "sex", "column 'sex' has no value, so there are no groups to compare"),
        ({"sex": ["f", "m"]}, "sex:0-1-2", "column 'sex' holds no numbers, so bands do not fit; write 'sex' alone"),
        (
            {"age": np.arange(20.0, 62.0, 2)},
            "age",
            "column 'age' has 21 different values, more than the 20 groups that are compared; write the edges of bands, "
            'such as "age:20-40-60"',
        ),
        (
            {"name": [f"n{number}" for number in range(MOST_GROUPS + 1)]},
            "name",
            "column 'name' has 21 different values, more than the 20 groups that are compared; name a column of fewer",
        ),
    ],
)
def test_a_column_that_makes_no_groups_is_refused(columns, asked, said):
    with pytest.raises(UnplannableError) as caught:
        check_groups(data_with(**columns), ["", asked][1:])
    (issue,) = caught.value.issues
    assert issue.path == ("evaluation", "groups", 0)
    assert issue.message.endswith(said)


def test_landmarks_are_no_groups():
    data = data_with(sex=["f", "m"], landmarks=np.zeros((2, 5, 2)))
    with pytest.raises(UnplannableError, match="no column 'landmarks'; its columns: sex"):
        check_groups(data, ["sex", "landmarks"])
    check_groups(data, ["sex"])


class Columned(DatasetPlugin):
    """Twelve people of four images, every other one with glasses; the first image of the first cannot be told."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"

    def build(self, seed):
        labels = np.repeat(np.arange(12, dtype=np.int32), 4)
        pixels = np.random.default_rng(0).integers(0, 255, (48, 16, 16), np.uint8)
        glasses = np.where(labels % 2 == 0, "yes", "no")
        glasses[0] = ""
        columns = {"glasses": glasses, "camera": np.arange(48) % 3}
        return FaceData(pixels, labels, tuple(map(str, range(12))), "columned", "l", "s", columns=columns)


def test_a_plan_carries_the_columns_of_the_images_that_are_used(resolved, planned, tmp_path):
    plan = planned(tmp_path, {}, dataset=Columned(), evaluation=Evaluation(groups=("glasses", "camera")))
    assert plan.columns["camera"].tolist() == (np.arange(48) % 3).tolist()
    glasses, camera = plan.groups
    assert glasses.of_people
    assert glasses.group.tolist() == [1 if label % 2 == 0 else 0 for label in plan.labels]
    assert (camera.names, camera.of_people) == (("0", "1", "2"), False)
    assert [note.text[:17] for note in plan.notes if note.kind == "groups"] == [
        "groups by glasses",
        "groups by camera:",
    ]
    assert planned(tmp_path, {}, dataset=Columned()).groups == ()


def test_a_file_that_asks_nothing_means_the_run_it_meant_before(tiny):
    experiment: Experiment = tiny()
    assert "evaluation" not in experiment.model_dump(mode="json")
    asked = tiny(evaluation=Evaluation(groups=("sex",)))
    assert asked.model_dump(mode="json")["evaluation"] == {"groups": ["sex"]}
    assert digest(asked.model_dump(mode="json")) != digest(experiment.model_dump(mode="json"))
