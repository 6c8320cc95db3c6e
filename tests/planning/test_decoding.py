"""Faces of test sets are found as each set says, and a set that seems to be crops already is warned of by name."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest

import faceexp
from faceexp.contract import DatasetPlugin, FaceData
from faceexp.data.decode import Sought
from faceexp.data.detection import TEMPLATE
from faceexp.data.lost import LostOfList
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.experiment.sets import SetEntry
from faceexp.planning.prepare import prepare
from faceexp.registry.installed import discover
from faceexp.store import Store
from faceexp.values import Noted, ResolvedSet

LANDMARKS = {"plugin": "landmarks", "align": "none"}


class Photos(DatasetPlugin):
    """Noise with landmarks; of the last images no landmarks are known, so that no face is found in them."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"
    people: int = 12
    side: int = 40
    without: int = 0
    seen: int = 7

    def build(self, seed):
        count = 6 * self.people
        pixels = np.random.default_rng(self.seen).integers(0, 256, (count, self.side, self.side)).astype(np.uint8)
        landmarks = np.tile(np.array(TEMPLATE) * self.side / 112, (count, 1, 1))
        landmarks[count - self.without :] = np.nan
        names = tuple(f"{self.seen} number {number}" for number in range(self.people))
        labels = np.repeat(np.arange(self.people, dtype=np.int32), 6)
        fingerprint = f"photos {self.model_dump()}"
        columns = {"landmarks": landmarks}
        return FaceData(pixels, labels, names, fingerprint, self.licence, self.source, columns=columns)


@pytest.fixture
def plan(resolved, chosen, tmp_path):
    """``plan(Photos(), detect=False)``: the plan of a run with this test set, and the warnings that came before it."""

    def build(faces, *, detect: Any = None, training=None, on_unreadable="skip", size=(16, 16), overlap="error"):
        detector = discover().configure("detector", "landmarks", {})
        given = {"name": "crops", "dataset": {"plugin": "photos"}, "detect": detect, "overlap": overlap}
        entry = SetEntry.model_validate(given)
        others = ResolvedSet(entry, chosen("photos", faces), detector=None if detect is False else detector)
        preprocess = Preprocess(size=size, on_unreadable=on_unreadable, detect=Detect.model_validate(LANDMARKS))
        losses = {"contrastive": faceexp.plugin("loss", "contrastive")}
        alone = resolved(losses, dataset=training or Photos(seen=1), preprocess=preprocess)
        events: list[object] = []
        made = prepare(dataclasses.replace(alone, sets=(others,)), Store(tmp_path / "store"), events.append)
        return made, [event.note.text for event in events if isinstance(event, Noted) and event.note.kind == "crops"]

    return build


def test_images_of_a_set_of_crops_are_taken_whole(plan):
    """At the size of the network's images, that is pixel for pixel."""
    faces = Photos(people=4, side=16)
    made, said = plan(faces, detect=False)
    np.testing.assert_array_equal(made.images[made.sets[0].rows, :, :, 0], faces.build(0).images)
    assert said == []


def test_a_set_may_have_its_faces_found_in_its_own_way(plan):
    """A margin makes the crop larger than the photo, so that its border is black."""
    inherited, _ = plan(Photos(people=4))
    made, _ = plan(Photos(people=4), detect=LANDMARKS | {"margin": 0.5})
    assert inherited.images[inherited.sets[0].rows, 0, 0].any()
    assert not made.images[made.sets[0].rows, 0, 0].any()
    np.testing.assert_array_equal(made.images[:72], inherited.images[:72])


def test_a_set_whose_images_have_the_size_of_the_input_is_warned_of(plan):
    made, said = plan(Photos(people=4, side=16))
    assert said == [
        "test set crops: all 24 images have the size of the network's images already; if its images are crops already, "
        "set detect = false in its table [[test_sets]]"
    ]
    assert said == [note.text for note in made.notes if note.kind == "crops"]


@pytest.mark.parametrize(("without", "warned"), [(12, False), (13, True)])
def test_a_set_of_which_most_images_show_no_face_is_warned_of(plan, without, warned):
    _, said = plan(Photos(people=4, without=without))
    expected = (
        f"test set crops: no face is found in {without} of 24 images; if its images are crops already, set detect"
    )
    assert [text.startswith(expected) for text in said] == [True] * warned


def test_the_data_set_of_the_experiment_is_warned_of_too(plan):
    _, said = plan(Photos(people=4), training=Photos(seen=1, side=16))
    assert said == [
        "the data set: all 72 images have the size of the network's images already; if its images are crops already, "
        "set detect = false in [preprocess]"
    ]


def test_an_image_that_cannot_be_used_is_told_with_the_name_of_its_set(plan):
    with pytest.raises(InputError) as caught:
        plan(Photos(people=4, without=1), on_unreadable="error")
    (problem,) = caught.value.problems
    assert str(problem).startswith("test set crops: image 23: has no landmarks in its data set; replace or remove it")
    with pytest.raises(InputError) as caught:
        plan(Photos(people=4, without=14), on_unreadable="error")
    *_, last = caught.value.problems
    assert str(last) == (
        "test set crops: no face is found in 14 of 24 images; if its images are crops already, set detect = false in its "
        "table [[test_sets]]"
    )


def test_what_is_not_searched_raises_no_suspicion():
    assert Sought().suspicion == ""
    assert Sought(photos=10, missed=5, ready=9).suspicion == ""


def test_what_a_set_loses_is_counted_for_the_set(plan):
    """The last person has no image left, and the one before lacks two of six."""
    made, _ = plan(Photos(people=4, without=8))
    (faces,) = made.sets
    assert made.lost is None
    assert (faces.wanted_images, faces.wanted_pairs, len(faces.rows)) == (24, 0, 16)
    assert faces.lost is not None
    assert faces.lost.labels.tolist() == [2, 2, *[-1] * 6]
    assert faces.lost.tested == (LostOfList(images=24, lost_images=8, people=4, lost_people=1),)
    (note,) = (note.text for note in made.notes if note.kind == "failures")
    assert note.startswith("8 of 24 images of test set crops could not be used, so that 1 of 4 people are left out")
    whole, _ = plan(Photos(people=4))
    assert whole.sets[0].lost is None


def test_people_who_are_left_out_since_they_are_trained_on_are_not_lost(plan):
    training = Photos(seen=7, people=12)
    made, _ = plan(Photos(people=15, without=8), training=training, overlap="drop")
    (faces,) = made.sets
    # All but three people are trained on; of these three, the last has no image left, and the one before lacks two.
    assert (faces.dropped_people, faces.wanted_images) == (12, 90)
    assert faces.lost is not None
    assert faces.lost.tested == (LostOfList(images=18, lost_images=8, people=3, lost_people=1),)
