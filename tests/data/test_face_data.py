"""Whatever a data set plugin builds is either as promised, or every mistake is a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from faceexp.contract import FaceData, FacePairs, StoredImage, people_of_pairs
from faceexp.data.face_data import mistakes_of, names_alike, some

PAIRS = FacePairs(np.array([[0, 1], [0, 2]]), np.array([True, False]), np.array([0, 1]))
PIXELS = np.zeros((4, 8, 8), np.uint8)
GOOD = FaceData(PIXELS, np.array([0, 0, 1, 1], np.int32), ("Ann", "Bob"), "0a1b", "free", "made")


def changed(**values: object) -> FaceData:
    return dataclasses.replace(GOOD, **values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"images": np.zeros((4, 8, 8, 3), np.uint8)},
        {"images": [Path("a.png")] * 4},
        {"images": (Path("a.png"),) * 4},
        {"labels": np.array([0, 2, 2, 0], np.uint64), "identities": ("Ann", "nobody", "Bob")},
        {"notes": ("something is left out",)},
        {"identities": ("Ann", "ann ")},
        {"columns": {"sex": np.array(["f", "f", "m", ""]), "age": np.array([20.5, 21, np.nan, 40])}},
        {"pairs": PAIRS},
        {"pairs": PAIRS, "people_known": False},
        # Images of which nothing is known, until a list of templates says more.
        {"labels": np.arange(4), "identities": tuple("abcd"), "people_known": False},
        {"columns": {"landmarks": np.zeros((4, 5, 2), np.float32), "camera": np.arange(4), "smiles": np.ones(4, bool)}},
    ],
)
def test_what_is_as_promised(values):
    assert mistakes_of(changed(**values)) == []


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"images": PIXELS / 255}, "images are float64, not uint8"),
        ({"images": PIXELS[..., None]}, "images have the shape (4, 8, 8, 1), not (N, H, W) or (N, H, W, 3)"),
        ({"images": PIXELS[:0]}, "images have the shape (0, 8, 8), not"),
        ({"images": ()}, "there are no images"),
        ({"images": None}, "images are None, not a list of paths"),
        ({"images": "a.png"}, "images are of the type str, not a list of paths"),
        ({"images": [Path("a.png"), "b.png"]}, "image 1 is of the type str, not a pathlib.Path"),
        ({"identities": ["Ann", "Bob"]}, "identities are of the type list, not a tuple of texts"),
        ({"identities": ("Ann", None)}, "an identity is None, not a text"),
        ({"identities": ("Ann", 1)}, "an identity is of the type int, not a text"),
        ({"identities": ("Ann", "")}, "an identity is called '', which is no name"),
        ({"identities": ("Ann", "J\udcf6rg")}, r"an identity is called 'J\udcf6rg', which is no name"),
        ({"identities": ("Ann", "Ann")}, "several identities are called 'Ann'; each needs a name of its own"),
        ({"columns": ["f", "f", "m", "m"]}, "columns are of the type list, not arrays by name"),
        ({"columns": {1: np.zeros(4)}}, "a column is called 1, which is no name"),
        ({"columns": {"sex": ["f", "f", "m", "m"]}}, "column 'sex' is of the type list, not an array of numbers"),
        ({"columns": {"sex": np.array([None] * 4)}}, "column 'sex' is an array of object, not an array of numbers"),
        ({"columns": {"age": np.zeros(3)}}, "column 'age' has the shape (3,), not (4,)"),
        ({"columns": {"landmarks": np.zeros((4, 10))}}, "column 'landmarks' has the shape (4, 10), not (4, 5, 2)"),
        ({"labels": [0, 0, 1, 1]}, "labels are of the type list, not an array of whole numbers"),
        ({"labels": np.zeros(4)}, "labels are an array of float64, not an array of whole numbers"),
        ({"labels": np.zeros(4, bool)}, "labels are an array of bool, not"),
        ({"labels": np.array(["Ann"] * 4)}, "labels are an array of <U3, not"),
        ({"labels": np.zeros(3, int)}, "labels have the shape (3,) for 4 images"),
        ({"labels": np.zeros(5, int)}, "labels have the shape (5,) for 4 images"),
        ({"labels": np.zeros((4, 1), int)}, "labels have the shape (4, 1) for 4 images"),
        ({"labels": np.array([0, 0, 0, -1])}, "there is a label -1 for 2 identities"),
        ({"labels": np.array([0, 0, 0, 2])}, "there is a label 2 for 2 identities"),
        ({"fingerprint": b"0a"}, "fingerprint is of the type bytes, not a text"),
        ({"licence": None}, "licence is None, not a text"),
        ({"source": " "}, "source is ' ', which is no text that says something"),
        ({"notes": "left out"}, "notes are not a tuple of texts"),
    ],
)
def test_each_mistake_is_a_sentence(values, mistake):
    (found,) = mistakes_of(changed(**values))
    assert found.startswith(mistake)


@pytest.mark.parametrize(("value", "kind"), [(None, "None"), ([1], "of the type list"), (GOOD.images, "ndarray")])
def test_something_else_altogether(value, kind):
    (mistake,) = mistakes_of(value)
    assert mistake.startswith("build returned ")
    assert kind in mistake


def test_several_mistakes_are_all_named():
    assert len(mistakes_of(changed(images=None, identities=None, licence=None))) == 3


def test_names_that_look_alike_are_found():
    names = ["Ann", "ann", "J\u00f6rg", "Jo\u0308rg", "Bob", "Bob.", "Cid", "Dan"]
    assert names_alike(names) == [["Ann", "ann"], ["J\u00f6rg", "Jo\u0308rg"], ["Bob", "Bob."]]


def test_a_long_list_is_cut():
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


class Made(Sequence):
    """A million images, each made when it is asked for."""

    def __init__(self, item: object) -> None:
        self.item, self.made = item, 0

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, place):
        self.made += 1
        return self.item


def test_of_a_sequence_that_makes_its_images_a_few_are_looked_at():
    images = Made(StoredImage("Ann/1.png", bytes))
    assert mistakes_of(changed(images=images, labels=np.arange(10**6) % 2)) == []
    assert images.made <= 1001
    wrong = Made("a.png")
    assert mistakes_of(changed(images=wrong, labels=np.arange(10**6) % 2))[0].startswith("image 0 is of the type str")


def paired(**values: object) -> FaceData:
    return changed(pairs=dataclasses.replace(PAIRS, **values))


@pytest.mark.parametrize(
    ("faces", "mistake"),
    [
        (changed(people_known=False), "neither people nor pairs are known, so there is nothing to judge"),
        (changed(pairs=[(0, 1)]), "pairs are of the type list, not FacePairs"),
        (paired(rows=PAIRS.rows / 1), "rows of the pairs is no array (P, 2) of integer"),
        (paired(same=[True, False]), "same of the pairs is no array (P,) of bool"),
        (paired(rows=PAIRS.rows[:1]), "rows, same and fold of the pairs have the shapes (1, 2), (2,) and (2,)"),
        (paired(rows=PAIRS.rows + 2), "pairs name images 2 to 4, but there are 4"),
        (paired(fold=np.array([1, 2])), "the folds of the pairs do not count from 0 without gaps"),
        (
            paired(same=~PAIRS.same),
            "pair 1 is said to show two people, but image 0 and image 1 both show 'Ann'; 1 more pairs are like it",
        ),
        (
            paired(same=np.array([True, True])),
            "pair 2 is said to show one person, but the images are Ann/image 0 and Bob/image 2",
        ),
    ],
)
def test_a_mistake_in_the_pairs_is_a_sentence(faces, mistake):
    (said,) = mistakes_of(faces)
    assert said.startswith(mistake)


def test_where_only_pairs_are_known_images_that_they_join_show_one_person():
    rows = np.array([[0, 1], [1, 3], [4, 2], [0, 2], [5, 5]])
    labels = people_of_pairs(rows, np.array([True, True, True, False, True]), 7)
    assert labels.dtype == np.int32
    assert labels.tolist() == [0, 0, 1, 0, 1, 2, 3]
