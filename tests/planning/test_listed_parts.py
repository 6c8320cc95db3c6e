"""Lists of parts name people or images, and whatever else they name is told with its line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from faceexp.contract import FaceData
from faceexp.data.part_files import PartFile
from faceexp.errors import MAX_LISTED, InputError
from faceexp.planning.listed_parts import listed_parts

PEOPLE = ("Ann", "Bob", "Cid", "Dan", "Eve", "J\u00f6rg")
# Of each person the images 1.png and 2.png, below a folder for each.
DATA = FaceData(
    tuple(Path("/faces", name, f"{number}.png") for name in PEOPLE for number in (1, 2)),
    np.repeat(np.arange(6), 2),
    PEOPLE,
    "x",
    "x",
    "x",
)


def parts(train, validation, test, data=DATA):
    """Return the images that lists of such lines, separated by spaces, get."""
    files = [
        PartFile(f"{name}.txt", tuple(enumerate(lines.split(), 1)))
        for name, lines in (("train", train), ("validation", validation), ("test", test))
    ]
    return [part.tolist() for part in listed_parts(data, (files[0], files[1], files[2]))]


def mistakes(train, validation, test, data=DATA):
    with pytest.raises(InputError) as caught:
        parts(train, validation, test, data)
    return [str(problem) for problem in caught.value.problems]


def test_a_line_is_a_person_or_an_image():
    whole = parts("Ann Bob", "Cid Dan", "Eve J\u00f6rg")
    assert whole == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    images = parts(
        "Bob/2.png ./Bob/1.png /faces/Ann/1.png Ann", "Cid Dan/1.png", f"Eve {unicodedata.normalize('NFD', PEOPLE[5])}"
    )
    assert images == [[0, 1, 2, 3], [4, 5, 6], [8, 9, 10, 11]]


def test_a_file_name_alone_is_enough_where_one_image_has_it():
    files = tuple(Path("/faces", f"{name}-{number}.png") for name in PEOPLE for number in (1, 2))
    data = FaceData(files, DATA.labels, PEOPLE, "x", "x", "x")
    assert parts("Ann-1.png Bob-2.png", "Cid Dan", "Eve J\u00f6rg", data=data)[0] == [0, 3]


def test_a_name_of_a_person_is_never_taken_for_an_image():
    people = ("1.png", *PEOPLE[1:])
    data = FaceData(DATA.images, DATA.labels, people, "x", "x", "x")
    assert parts("1.png Bob", "Cid Dan", "Eve J\u00f6rg", data=data)[0] == [0, 1, 2, 3]


def test_what_no_line_may_name_is_told_at_each():
    assert mistakes("Ann Bobb x/1.png 1.png", "Cid Dan Ann/2.png", "Eve Dan") == [
        "train.txt:2: the data set has no identity and no image called 'Bobb'; did you mean 'Bob'?",
        "train.txt:3: the data set has no identity and no image called 'x/1.png'",
        "train.txt:4: 6 images are called '1.png' ('Ann/1.png', 'Bob/1.png', 'Cid/1.png' and 3 more); write more of the "
        "path in front",
        "validation.txt:3: image 'Ann/2.png' is in train.txt:1 as well; an image belongs to one part",
        "test.txt:2: image 'Dan/1.png' is in validation.txt:2 as well; an image belongs to one part",
    ]


def test_images_without_files_have_no_names():
    data = FaceData(np.zeros((12, 4, 4), np.uint8), DATA.labels, PEOPLE, "x", "x", "x")
    assert parts("Ann Bob", "Cid Dan", "Eve J\u00f6rg", data=data)[2] == [8, 9, 10, 11]
    (mistake,) = mistakes("Ann Bob/1.png Bob", "Cid Dan", "Eve J\u00f6rg", data=data)
    assert mistake == (
        "train.txt:2: the data set has no identity and no image called 'Bob/1.png'; its images have no file names, so a "
        "line can name identities only"
    )


def test_two_people_whose_names_only_unicode_tells_apart():
    people = (*PEOPLE[:4], unicodedata.normalize("NFD", PEOPLE[5]), PEOPLE[5])
    data = FaceData(DATA.images, DATA.labels, people, "x", "x", "x")
    assert parts("Ann Bob", "Cid Dan", f"{people[4]} {people[5]}", data=data)[2] == [8, 9, 10, 11]


def test_a_part_needs_two_people_and_what_is_judged_a_similar_pair():
    assert mistakes("Ann", "Cid/1.png Dan/2.png", "Eve J\u00f6rg") == [
        "train.txt: names images of one person only; a part needs two people at least",
        "validation.txt: names one image of each person, so there is no similar pair to judge",
    ]


def test_everybody_who_is_tested_may_be_known_or_nobody_but_not_some():
    data = FaceData(
        tuple(Path(name, f"{number}.png") for name in PEOPLE for number in range(4)),
        np.repeat(np.arange(6), 4),
        PEOPLE,
        "x",
        "x",
        "x",
    )
    train = "Ann/0.png Ann/1.png Bob/0.png Bob/1.png"
    closed = parts(train, "Cid Dan", "Ann/2.png Ann/3.png Bob/2.png Bob/3.png", data=data)
    assert closed[2] == [2, 3, 6, 7]
    assert mistakes(train, "Cid Dan", "Eve Ann/2.png Bob/2.png Bob/3.png", data=data) == [
        f"test.txt:{line}: {name!r} is in the list of training or validation as well, and other people of test are not; "
        "either nobody who is tested may be known (open set), or everybody (closed set)"
        for line, name in ((2, "Ann"), (3, "Bob"))
    ]


def test_a_long_list_of_mistakes_is_cut():
    told = mistakes("nobody " * 30, "Cid Dan", "Eve Ann")
    assert len(told) == MAX_LISTED + 1
    assert told[-1] == "train.txt: and 10 more lines of the lists"
