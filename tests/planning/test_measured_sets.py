"""Test sets become part of a plan, and whatever they share with the data that are trained on is found before a run."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

import faceexp
from faceexp.contract import DatasetPlugin, FaceData, FacePairs
from faceexp.data import pairs_file
from faceexp.data.test_set import Shared
from faceexp.errors import InputError
from faceexp.experiment.evaluation import Evaluation
from faceexp.experiment.schema import Preprocess
from faceexp.experiment.sets import SetEntry
from faceexp.planning.issues import UnplannableError
from faceexp.planning.prepare import prepare
from faceexp.store import Store
from faceexp.values import Noted, ResolvedSet


class Others(DatasetPlugin):
    """People of whom nobody else knows, but for some whose images or names are taken from elsewhere."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"
    people: int = 4
    images: int = 3
    copied: int = 0
    named: int = 0
    lighter: int = 0

    def build(self, seed):
        random = np.random.default_rng(99)
        pixels = random.integers(0, 256, (self.people * self.images, 16, 16)).astype(np.uint8)
        labels = np.repeat(np.arange(self.people, dtype=np.int32), self.images)
        made, _ = MADE(12, 6)
        pixels[: self.copied] = np.clip(made[: self.copied].astype(int) + self.lighter, 0, 255)
        names = tuple(f"Person-{n}" if n < self.named else f"stranger {n}" for n in range(self.people))
        fingerprint = f"others {self.model_dump()}"
        return FaceData(pixels, labels, names, fingerprint, self.licence, self.source)


class Nowhere(DatasetPlugin):
    """Is not there."""

    licence: ClassVar[str] = "none"
    source: ClassVar[str] = "nowhere"

    def build(self, seed):
        raise InputError("download it first")


def MADE(people, images):  # noqa: N802 - set by the fixture below
    """Return the faces that the run is trained on."""
    raise NotImplementedError


@pytest.fixture
def plan(resolved, chosen, faces, tmp_path, monkeypatch):
    """``plan(Others(...), overlap="warn")``: the plan of a run with one test set, and what was said before it."""
    monkeypatch.setitem(globals(), "MADE", faces)

    def build(*plugins, pairs=None, size=(16, 16), groups=(), **entry):
        sets = []
        for number, plugin in enumerate(plugins):
            given = {"name": f"set{number}", "dataset": {"plugin": "others"}} | entry
            listed = pairs_file.read(str(pairs)) if pairs else None
            sets.append(ResolvedSet(SetEntry.model_validate(given), chosen("others", plugin), listed))
        given = resolved(
            {"contrastive": faceexp.plugin("loss", "contrastive")},
            preprocess=Preprocess(size=size),
            evaluation=Evaluation(groups=groups),
        )
        events: list[object] = []
        made = prepare(dataclasses.replace(given, sets=tuple(sets)), Store(tmp_path / "store"), events.append)
        return made, [event.note.text for event in events if isinstance(event, Noted) and event.note.kind == "overlap"]

    return build


def test_images_of_test_sets_come_behind_those_of_the_data_set(plan, faces):
    found, said = plan(Others(), Others(people=3))
    alone, _ = plan()
    first, second = found.sets
    np.testing.assert_array_equal(found.images[:72], alone.images)
    np.testing.assert_array_equal(found.labels, alone.labels)
    assert (found.images_key, alone.sets_key) == (alone.images_key, "")
    assert found.sets_key
    assert [*first.rows, *second.rows] == list(range(72, 72 + 12 + 9))
    np.testing.assert_array_equal(found.images[second.rows, :, :, 0], Others(people=3).build(0).images)
    assert first.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert first.identities == ("stranger 0", "stranger 1", "stranger 2", "stranger 3")
    split = found.splits[0]
    np.testing.assert_array_equal(found.rows(split, "set1"), second.rows)
    np.testing.assert_array_equal(found.rows(split, "test"), split.test)
    notes = [note.text for note in found.notes if note.kind == "test_set"]
    assert notes[0] == "test set set0: 4 people, 12 images, all pairs; this file"
    assert notes[1] == "test set set0 shares no name of a person and no image with the data that are trained on"
    assert said == []


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (Others(named=2), "2 people are named alike in the data that are trained on: Person-0 = person 0, "),
        (Others(copied=1), "1 image is equal in the data that are trained on: stranger 0/image 0 = person 0/image 0; "),
        (
            Others(copied=2, lighter=6),
            "2 images are nearly equal in the data that are trained on: stranger 0/image 0 = person 0/image 0, ",
        ),
        (Others(copied=4), "4 images are equal in the data that are trained on: "),
    ],
)
def test_what_is_shared_is_an_error_at_the_table_of_the_set(plan, plugin, words):
    with pytest.raises(UnplannableError) as caught:
        plan(Others(), plugin)
    (issue,) = caught.value.issues
    assert issue.path == ("test_sets", 1)
    assert issue.message.startswith(words)
    assert 'set overlap = "drop" to leave these people out of the test set, or overlap = "warn"' in issue.message


def test_with_warn_it_is_measured_and_said(plan):
    found, said = plan(Others(copied=4, named=1), overlap="warn")
    (faces,) = found.sets
    assert len(faces.rows) == 12
    assert said == [note.text for note in found.notes if note.kind == "overlap"]
    assert said[0].startswith("test set set0 is not independent, if these are the same people: 1 person is named alike")
    assert faces.shared == (
        Shared("named alike", "Person-0", "person 0"),
        *(
            Shared("equal", f"{'Person-0' if image < 3 else 'stranger 1'}/image {image}", f"person 0/image {image}")
            for image in range(4)
        ),
    )


def test_with_drop_people_go_with_all_of_their_images_and_training_stays(plan):
    found, said = plan(Others(copied=4), overlap="drop")
    (faces,) = found.sets
    assert faces.identities == ("stranger 2", "stranger 3")
    assert (faces.dropped_people, faces.dropped_images) == (2, 6)
    assert faces.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(found.images[faces.rows, :, :, 0], Others().build(0).images[6:])
    assert len(found.labels) == 72
    assert said[0].startswith("2 people (6 images) were left out of test set set0, since they are trained on: 4 images")


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Others(people=1), "shows 1 person; two are the fewest that can be told apart"),
        (Others(images=1), "has one image of each person, so there is no similar pair to judge"),
        (Others(people=2, named=1), "once shared people are left out, it shows 1 person; two are the fewest"),
    ],
)
def test_a_set_that_is_too_small_is_an_error(plan, plugin, message):
    with pytest.raises(UnplannableError, match=message) as caught:
        plan(plugin, overlap="drop")
    assert [issue.path for issue in caught.value.issues] == [("test_sets", 0)]


def test_a_set_that_is_not_there_is_told_at_its_place(plan):
    with pytest.raises(UnplannableError, match="download it first") as caught:
        plan(Others(), Nowhere())
    assert [issue.path for issue in caught.value.issues] == [("test_sets", 1, "dataset")]


def test_a_list_names_the_pairs_that_are_judged(plan, tmp_path):
    file = tmp_path / "pairs.txt"
    lines = ["2\t1", "stranger 1\t1\t3", "stranger 1\t1\tstranger 2\t2"]
    lines += ["stranger 3\t1\t2", "stranger 0\t1\tstranger 3\t3"]
    file.write_text("\n".join(lines), encoding="utf-8")
    protocol = {"kind": "pairs_file", "path": str(file)}
    found, _ = plan(Others(), pairs=file, protocol=protocol)
    (faces,) = found.sets
    # Images that the list does not name are not measured, and what they share does not matter.
    assert (faces.rows - 72).tolist() == list(range(7))
    named = [0, 3, 5, 7, 9, 10, 11]
    np.testing.assert_array_equal(found.images[faces.rows, :, :, 0], Others().build(0).images[named])
    assert [[named[row] for row in pair] for pair in faces.pairs] == [[3, 5], [3, 7], [9, 10], [0, 11]]
    # A pair of somebody who is left out is no pair any more.
    found, _ = plan(Others(copied=1), pairs=file, protocol=protocol, overlap="drop")
    (faces,) = found.sets
    assert [[named[1:][row] for row in pair] for pair in faces.pairs] == [[3, 5], [3, 7], [9, 10]]
    assert (faces.dropped_people, faces.dropped_images) == (1, 1)
    with pytest.raises(UnplannableError, match="has 1 pairs to judge, 1 of them similar"):
        plan(Others(copied=9), pairs=file, protocol=protocol, overlap="drop")


class Grouped(Others):
    """The same people, of whom the sex is known; the last image of each has no value of its own."""

    def build(self, seed):
        faces = super().build(seed)
        sex = np.array(["f", "f", "", "m", "m", "", "f", "f", "", "m", "m", ""])
        return dataclasses.replace(faces, columns={"sex": sex})


def test_groups_are_those_of_the_columns_of_each_set(plan):
    made, _ = plan(Grouped(), Others(), groups=("sex",))
    first, second = made.sets
    assert made.groups == second.groups == ()
    (groups,) = first.groups
    assert (groups.column, groups.names, groups.of_people) == ("sex", ("f", "m"), True)
    assert groups.group.tolist() == [0, 0, 0, 1, 1, 1] * 2
    notes = [note.text for note in made.notes if note.kind == "test_set"]
    assert "test set set0: groups by sex: f (2 people, 6 images), m (2 people, 6 images)" in notes
    assert any(note.startswith("test set set1: the data set has no columns, so there is no 'sex'") for note in notes)


def test_a_column_that_neither_the_data_set_nor_any_test_set_has_is_an_error(plan):
    with pytest.raises(UnplannableError, match="the data set has no columns, so there is no 'age'") as caught:
        plan(Grouped(), groups=("sex", "age"))
    assert [issue.path for issue in caught.value.issues] == [("evaluation", "groups", 1)]


class OnlyPairs(Others):
    """Nothing is known but pairs; two folds of them."""

    def build(self, seed):
        rows = np.array([[0, 1], [0, 4], [3, 4], [6, 11], [7, 8], [2, 9]])
        same = np.array([True, False, True, False, True, False])
        faces = super().build(seed)
        pairs = FacePairs(rows, same, np.array([0, 0, 0, 1, 1, 1]))
        names = tuple(f"Person-{number}" for number in range(self.people))
        return dataclasses.replace(faces, identities=names, pairs=pairs, people_known=False)


def test_a_data_set_brings_its_own_pairs_in_folds(plan):
    made, _ = plan(OnlyPairs(), protocol={"kind": "pairs_file"})
    (faces,) = made.sets
    # Made-up names are nobody's; one image is in no pair.
    assert faces.shared == ()
    named = [0, 1, 2, 3, 4, 6, 7, 8, 9, 11]
    assert [[named[row] for row in pair] for pair in faces.pairs] == OnlyPairs().build(0).pairs.rows.tolist()
    assert faces.folds.tolist() == [0, 0, 0, 1, 1, 1]
    notes = [note.text for note in made.notes if note.kind == "test_set"]
    assert notes == [
        "test set set0: 10 images, 6 listed pairs in 2 folds; this file",
        "test set set0 shares no image with the data that are trained on",
    ]


@pytest.mark.parametrize(
    ("plugin", "protocol", "place", "message"),
    [
        (OnlyPairs(), {}, ("protocol", "kind"), "knows no people, only its own pairs"),
        (Others(), {"kind": "pairs_file"}, ("protocol",), "has no pairs of its own, so pairs_file needs path"),
    ],
)
def test_pairs_that_are_not_there_are_told_at_the_table_of_the_set(plan, plugin, protocol, place, message):
    with pytest.raises(UnplannableError, match=message) as caught:
        plan(plugin, protocol=protocol)
    assert [issue.path for issue in caught.value.issues] == [("test_sets", 0, *place)]
