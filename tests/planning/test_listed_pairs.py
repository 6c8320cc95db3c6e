"""Lists name images by identity and number; the number is in the file's name, whatever scripts have put around it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from faceexp.contract import FaceData, FacePairs, StoredImage
from faceexp.data.pairs_file import NO_NUMBER, ImageName, PairsFile
from faceexp.errors import MAX_LISTED, InputError
from faceexp.experiment.protocol import Protocol
from faceexp.planning.issues import UnplannableError
from faceexp.planning.listed_pairs import listed_images, pairs_to_judge


def data_of(files: dict[str, list[str]]) -> FaceData:
    images = tuple(Path(name, file) for name, listed in files.items() for file in listed)
    labels = np.repeat(np.arange(len(files)), [len(listed) for listed in files.values()])
    return FaceData(images, labels, tuple(files), "x", "x", "x")


def pairs_of(*pairs: tuple[ImageName, ImageName], same: list[bool] | None = None, name: str = "pairs.txt") -> PairsFile:
    """Return a list of these pairs, from line 2 on; without ``same``, it says what the names of their people say."""
    images = tuple(dict.fromkeys(image for pair in pairs for image in pair))
    rows = np.array([[images.index(image) for image in pair] for pair in pairs])
    said = same or [first[0] == second[0] for first, second in pairs]
    return PairsFile(name, images, rows, np.array(said), np.zeros(len(pairs), int), np.arange(len(pairs)) + 2)


def found(files: dict[str, list[str]], name: str, number: int) -> str:
    """Return the file that a list gets for an image, or why it gets none."""
    data = data_of(files)
    try:
        ((index, _),) = listed_images(data, pairs_of(((name, number), (name, number))))[0]
    except InputError as error:
        return str(error)
    assert isinstance(data.images[index], Path)
    return Path(data.images[index]).name


def test_images_inside_larger_files_are_known_by_their_names():
    images = [StoredImage(f"faces.tar#Ann/Ann_{number:04}.jpg", bytes) for number in (4, 2)]
    data = FaceData(images, np.zeros(2, np.int32), ("Ann",), "x", "x", "x")
    assert listed_images(data, pairs_of((("Ann", 2), ("Ann", 4))))[0].tolist() == [[1, 0]]


@pytest.mark.parametrize(
    "pattern",
    [
        "{name}_{number:04}.jpg",
        "{name}_{number:04}_0.png",
        "{name}_{number:04}_0_160.png",
        "{name}_{number:04}_face1.png",
        "{name}-{number:04}-aligned.png",
        "{name} {number}.png",
        "aligned2_{name}_{number:04}.png",
        "{number:04}_{name}.png",
        "{number:04}.png",
        "{number}.png",
        "image{number}.png",
        "{number:04}_0.png",
        "session2_{number:04}.png",
        "{number}face.png",
    ],
)
@pytest.mark.parametrize("name", ["Ann", "Ann_Lee", "Ann Lee", "p07", "7", "J\u00f6rg"])
def test_the_number_in_a_name_is_found_and_never_guessed(pattern, name):
    """Of Ann there are images 1, 3 and 12. Image 2 is none of them, although it would be the second."""
    files = {
        person: [pattern.format(name=person, number=number) for number in (1, 3, 12)] for person in (name, "Eve", "Bob")
    }
    for number in (1, 3, 12):
        assert found(files, name, number) == pattern.format(name=name, number=number)
    assert found(files, name, 2) == f"pairs.txt:2: the data set has no image 2 of {name!r}"


def test_names_without_numbers_are_counted():
    files = {"Ann": ["left.png", "right.png"], "p07": ["p07_a.png", "p07_b.png"]}
    # The digits of p07 are those of the person, but in both names: neither is image 7.
    assert found(files, "Ann", 2) == "right.png"
    assert "no image 1" in found(files, "p07", 1)


def test_a_name_without_a_number_beside_others_that_have_one_is_not_counted():
    files = {"Ann": ["1.png", "2.png", "again.png"], "Eve": ["1.png"]}
    assert found(files, "Ann", 2) == "2.png"
    assert found(files, "Ann", 3) == "pairs.txt:2: the data set has no image 3 of 'Ann'"


def test_two_files_of_one_number_are_refused():
    files = {"Ann": ["Ann_0001_0.png", "Ann_0001_1.png", "Ann_0002_0.png"], "Eve": ["Eve_0001_0.png"]}
    assert found(files, "Ann", 2) == "Ann_0002_0.png"
    assert found(files, "Ann", 1) == (
        "pairs.txt:2: the data set has 2 images 1 of 'Ann' ('Ann_0001_0.png', 'Ann_0001_1.png'); keep one of them"
    )


def test_several_numbers_any_of_which_may_be_meant_are_refused():
    files = {"Ann": ["0001_0.png", "0001_1.png"], "Eve": ["0002_0.png"]}
    assert found(files, "Ann", 1) == (
        "pairs.txt:2: which number image '0001_0.png' of 'Ann' has is not clear; call it Ann_0001 or the like"
    )


def test_images_without_files_are_counted():
    data = FaceData(np.zeros((4, 2, 2), np.uint8), np.array([1, 0, 1, 0]), ("Ann", "Eve"), "x", "x", "x")
    (pairs,) = listed_images(data, pairs_of((("Ann", 1), ("Eve", 2))))
    assert pairs.tolist() == [[1, 2]]


COMPOSED, APART = "J\u00f6rg", "Jo\u0308rg"


@pytest.mark.parametrize(("listed", "stored"), [(COMPOSED, APART), (APART, COMPOSED), (APART, APART)])
def test_forms_of_unicode_are_the_same_name(listed, stored):
    """File systems of macOS take letters apart, lists of other systems do not."""
    files = {stored: [f"{stored}_0001.png", f"{stored}_0002.png"], "Eve": ["Eve_0001.png"]}
    assert found(files, listed, 2) == f"{stored}_0002.png"


def test_people_whose_names_differ_in_form_alone_are_told_apart_by_it():
    files = {COMPOSED: ["a_1.png"], APART: ["b_1.png"], "Eve": ["1.png"]}
    assert (found(files, COMPOSED, 1), found(files, APART, 1)) == ("a_1.png", "b_1.png")


def test_a_third_form_of_two_names_is_refused():
    first, second, third = "\u1e69", "s\u0323\u0307", "s\u0307\u0323"
    files = {first: ["1.png"], second: ["1.png"]}
    assert "2 people are called" in found(files, third, 1)


def test_of_many_wrong_pairs_some_are_named_and_all_counted():
    wrong = [(("Nobody", 1), ("Ann", 1))] * 1000
    with pytest.raises(InputError) as caught:
        listed_images(data_of({"Ann": ["1.png"], "Eve": ["1.png"]}), pairs_of(*wrong))
    assert len(caught.value.problems) == MAX_LISTED + 1
    assert str(caught.value.problems[-1]) == f"pairs.txt: and {1000 - MAX_LISTED} more pairs"


# By paths, and what contradicts the data ---------------------------------------------------------------------------------


def by_path(data: FaceData, *names: str, name: str = "/lists/pairs.csv") -> list[int] | str:
    """Return which images of the data a list names, each in a pair with itself, or what it is told of the first."""
    pairs = [((path, NO_NUMBER), (path, NO_NUMBER)) for path in names]
    try:
        (rows,) = listed_images(data, pairs_of(*pairs, name=name))
    except InputError as error:
        return str(error.problems[0])
    first: list[int] = rows[:, 0].tolist()
    return first


FILES = [Path("/faces", name) for name in ("Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg", "lists/Bob/1.jpg")]
FACES = FaceData(FILES, np.array([0, 0, 1, 1]), ("Ann", "Bob"), "x", "x", "x")


def test_images_are_known_by_the_ends_of_their_paths_or_as_seen_from_the_list():
    assert by_path(FACES, "2.jpg", "Ann/1.jpg", "/faces/Ann/2.jpg", "faces/Bob/1.jpg") == [1, 0, 1, 2]
    assert by_path(FACES, "Bob/1.jpg", "../Ann/2.jpg", name="/faces/lists/pairs.csv") == [3, 1]


def test_a_path_that_means_no_image_or_several_is_named():
    assert by_path(FACES, "Ann/3.jpg").startswith(
        "/lists/pairs.csv:2: the data set has no image called 'Ann/3.jpg'; write the end of its path"
    )
    assert by_path(FACES, "Bob/1.jpg") == (
        "/lists/pairs.csv:2: 2 images are called 'Bob/1.jpg' ('Bob/1.jpg', 'Bob/1.jpg'); write more of the path in front"
    )
    pixels = FaceData(np.zeros((4, 2, 2), np.uint8), FACES.labels, FACES.identities, "x", "x", "x")
    assert "have no file names; name them by identity and number" in by_path(pixels, "1.jpg")


@pytest.mark.parametrize(
    ("pair", "same", "said"),
    [
        (("Ann/1.jpg", "Ann/2.jpg"), False, "two people, but 1.jpg and 2.jpg both show 'Ann'"),
        (("Ann/1.jpg", "faces/Bob/1.jpg"), True, "one person, but the images are Ann/1.jpg and Bob/1.jpg"),
    ],
)
def test_a_list_that_contradicts_the_identities_is_refused(pair, same, said):
    first, second = ((path, NO_NUMBER) for path in pair)
    with pytest.raises(InputError) as caught:
        listed_images(FACES, pairs_of((first, second), same=[same]))
    assert str(caught.value) == f"pairs.txt:2: is said to show {said}"


# The pairs of the data set itself ----------------------------------------------------------------------------------------


PAIRS = FacePairs(np.array([[0, 1], [0, 2], [2, 3]]), np.array([True, False, True]), np.array([0, 1, 0]))
LISTED = Protocol(kind="pairs_file")


def test_a_data_set_may_bring_its_pairs():
    folds = pairs_to_judge(dataclasses.replace(FACES, pairs=PAIRS), LISTED, None)
    assert [fold.tolist() for fold in folds] == [[[0, 1], [2, 3]], [[0, 2]]]
    other = pairs_of((("Ann", 1), ("Ann", 2)))
    assert [fold.tolist() for fold in pairs_to_judge(dataclasses.replace(FACES, pairs=PAIRS), LISTED, other)] == [
        [[0, 1]]
    ]
    assert pairs_to_judge(dataclasses.replace(FACES, pairs=PAIRS), Protocol(kind="open_set"), None) == []


def test_without_pairs_a_list_is_needed():
    with pytest.raises(UnplannableError) as caught:
        pairs_to_judge(FACES, LISTED, None)
    assert [(issue.path, issue.message) for issue in caught.value.issues] == [
        (("protocol",), "the data set has no pairs of its own, so pairs_file needs path, the list of pairs")
    ]


@pytest.mark.parametrize(
    ("protocol", "pairs", "key"),
    [
        (Protocol(kind="open_set"), None, "kind"),
        (Protocol(kind="pairs_file", path="x"), pairs_of((("Ann", 1), ("Ann", 2))), "path"),
    ],
)
def test_where_only_pairs_are_known_nothing_else_is_judged(protocol, pairs, key):
    data = dataclasses.replace(FACES, pairs=PAIRS, people_known=False)
    with pytest.raises(UnplannableError) as caught:
        pairs_to_judge(data, protocol, pairs)
    assert caught.value.issues[0].path == ("protocol", key)
