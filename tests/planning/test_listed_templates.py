"""Templates that a list names become rows of the data: one for each image in each template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceexp.contract import FaceData
from faceexp.data import template_list, template_pairs
from faceexp.errors import InputError
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.sets import SetProtocol
from faceexp.planning.issues import UnplannableError
from faceexp.planning.listed_pairs import listed_images, pairs_to_judge
from faceexp.planning.listed_templates import with_template_list, without_repetition
from faceexp.planning.templates import Members

PEOPLE = ("17", "18", "Cy")
# Two people have a photo of the same name, since it shows both.
NAMES = ("17/img/1.jpg", "17/img/2.jpg", "18/img/1.jpg", "18/img/4.jpg", "Cy/img/5.jpg")
LABELS = (0, 0, 1, 1, 2)


def data_of(names=NAMES, labels=LABELS, people=PEOPLE, **more):
    images = [Path("/faces") / name for name in names]
    return FaceData(images, np.array(labels, np.int32), people, "print", "l", "s", **more)


@pytest.fixture
def lists(tmp_path):
    """``lists(b"templates", b"pairs")``: both lists, read."""

    def read(templates, pairs=None):
        (tmp_path / "templates.txt").write_bytes(templates)
        listed = template_list.read([str(tmp_path / "templates.txt")])
        if pairs is None:
            return listed, None
        (tmp_path / "pairs.txt").write_bytes(pairs)
        return listed, template_pairs.read(str(tmp_path / "pairs.txt"))

    return read


def rows_of(data, *columns):
    named = [str(image.relative_to("/faces")) for image in data.images]
    people = [data.identities[label] for label in data.labels]
    return list(zip(named, people, *(data.columns[column].tolist() for column in columns), strict=True))


def test_an_image_has_a_row_for_each_of_its_templates(lists):
    listed, _ = lists(b"17/img/1.jpg 3 69544\n17/img/2.jpg 3 69544\n18/img/4.jpg 5 8\n17/img/2.jpg 4 69544\n")
    data = data_of(columns={"quality": np.arange(5) / 4, "media": np.array(list("vwxyz"))})
    made = with_template_list(data, listed, None, "template")
    rows = rows_of(made, "quality", "template", "media")
    assert rows[:4] == [
        ("17/img/1.jpg", "17", 0.0, 3.0, 69544.0),
        ("17/img/2.jpg", "17", 0.25, 3.0, 69544.0),
        ("18/img/4.jpg", "18", 0.75, 5.0, 8.0),
        ("17/img/2.jpg", "17", 0.25, 4.0, 69544.0),
    ]
    # Images that are in no template are there as well: they may be trained on.
    assert [row[:3] for row in rows[4:]] == [("18/img/1.jpg", "18", 0.5), ("Cy/img/5.jpg", "Cy", 1.0)]
    assert np.isnan(made.columns["template"][4:]).all()
    assert made.fingerprint != data.fingerprint
    assert made.notes == (
        "1 image is in several templates, decoded and embedded for each of them",
        "2 images are not in the list of templates, each a template of its own",
    )
    # That an image is there twice is what the list says, and no mistake in the data.
    assert without_repetition(made, np.arange(6)).tolist() == [0, 1, 2, 4, 5]
    assert without_repetition(data, np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert with_template_list(data, None, None, "template") is data
    assert made.images[1:3][1] == Path("/faces/18/img/4.jpg")


def test_other_ids_than_numbers_are_texts(lists):
    listed, _ = lists(b"17/img/1.jpg gallery_3 clip.mp4\n")
    made = with_template_list(data_of(), listed, None, "template")
    assert made.columns["template"].tolist() == ["gallery_3", "", "", "", ""]
    assert made.columns["media"].tolist() == ["clip.mp4", "", "", "", ""]


def test_the_person_tells_photos_of_one_name_apart(lists):
    table = b"TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID\n3,17,img/1.jpg,1\n4,18,img/1.jpg,1\n4,18,img/4.jpg,2\n"
    listed, _ = lists(table)
    made = with_template_list(data_of(), listed, None, "template")
    assert [row[:2] for row in rows_of(made)[:3]] == [
        ("17/img/1.jpg", "17"),
        ("18/img/1.jpg", "18"),
        ("18/img/4.jpg", "18"),
    ]


def test_a_list_of_nist_says_whom_images_show_of_which_nobody_knows(lists):
    table = b"TEMPLATE_ID,SUBJECT_ID,FILENAME\n3,17,1.jpg\n4,18,2.jpg\n4,18,3.jpg\n"
    listed, _ = lists(table)
    names = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    data = data_of(names, range(4), names, people_known=False)
    made = with_template_list(data, listed, None, "template")
    assert rows_of(made, "template") == [("1.jpg", "17", 3), ("2.jpg", "18", 4), ("3.jpg", "18", 4)]
    assert made.people_known
    assert "media" not in made.columns
    assert made.notes == ("1 image is not in the list of templates and left out, since nobody knows whom it shows",)


def test_pairs_of_one_person_join_templates_of_which_nobody_knows(lists):
    listed, pairs = lists(b"1.jpg 1 1\n2.jpg 1 1\n3.jpg 2 2\n4.jpg 3 3\n", b"1 2 1\n1 3 0\n")
    names = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    data = data_of(names, range(4), names, people_known=False)
    made = with_template_list(data, listed, pairs, "template")
    assert made.labels.tolist() == [0, 0, 0, 1]
    assert made.identities == ("unknown 1", "unknown 2")
    assert not made.people_known
    protocol = SetProtocol(kind="pairs_file", path="pairs.txt", template_list="templates.txt")
    (judged,) = pairs_to_judge(made, protocol, pairs, "template")
    assert judged.tolist() == [[0, 2], [0, 3]]
    with pytest.raises(UnplannableError, match="the data set knows neither people nor pairs"):
        pairs_to_judge(data, Protocol(kind="open_set"), None)
    listed, pairs = lists(b"1.jpg 1 1\n3.jpg 2 2\n", b"1,2\n")
    with pytest.raises(InputError, match=r"does not say whom the templates show.* SUBJECT_ID, or pairs with 1 or 0"):
        with_template_list(data, listed, pairs, "template")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"17/img/1.jpg 3 1\n17/img/9.jpg 3 1\n",
            ":2: the data set has no image called '17/img/9.jpg'; write the end of its path, such as Ann_Lee/0004.jpg",
        ),
        (
            b"img/1.jpg 3 1\n",
            ":1: 2 images are called 'img/1.jpg' ('17/1.jpg', '18/1.jpg'); write more of the path in front",
        ),
        (
            b"17/img/1.jpg 3 1\n18/img/4.jpg 3 2\n",
            ":2: template '3' shows '18' here and '17' in line 1; a template shows one person",
        ),
        (
            b"TEMPLATE_ID,SUBJECT_ID,FILENAME\n3,19,img/1.jpg\n",
            ":2: 2 images are called 'img/1.jpg' ('17/1.jpg', '18/1.jpg'); write more of the path in front",
        ),
    ],
)
def test_what_the_data_do_not_have_is_said_of_each_line(lists, content, said):
    listed, _ = lists(content)
    with pytest.raises(InputError) as caught:
        with_template_list(data_of(), listed, None, "template")
    assert str(caught.value) == f"{listed.files[0]}{said}"


def test_data_without_names_cannot_be_listed(lists):
    listed, _ = lists(b"1.jpg 3 1\n")
    pixels = FaceData(np.zeros((2, 8, 8), np.uint8), np.arange(2, dtype=np.int32), ("A", "B"), "f", "l", "s")
    with pytest.raises(InputError, match=":1: the images of the data set have no file names, by which lists name them"):
        with_template_list(pixels, listed, None, "template")


COLUMN = np.array(["b", "", "a", "b", "a"])


def test_pairs_may_name_the_values_of_a_column(lists):
    _, pairs = lists(b"x 1 1\n", b"a,b,same\nb,a,0\n")
    data = data_of(columns={"video": COLUMN})
    (judged,) = listed_images(data, pairs, "video")
    assert judged.tolist() == [[0, 2]]
    numbers = data_of(columns={"video": np.array([7.0, np.nan, 8.0, 8.0, 7.0])})
    _, pairs = lists(b"x 1 1\n", b"007 8 1\n7 9 0\n")
    with pytest.raises(InputError, match=r":2: the data set has no template '9' in column 'video'"):
        listed_images(numbers, pairs, "video")
    with pytest.raises(UnplannableError, match="the list names templates, but the data set has no columns"):
        listed_images(data_of(), pairs, "video")


def test_pairs_that_contradict_the_people_are_refused(lists):
    _, pairs = lists(b"x 1 1\n", b"1 2 1\n1 3 0\n")
    data = data_of(columns={"template": np.array([1, 3, 2, 2, 4])})
    with pytest.raises(InputError) as caught:
        listed_images(data, pairs, "template")
    assert [str(problem).removeprefix(pairs.name) for problem in caught.value.problems] == [
        ":1: is said to show one person, but template '1' shows '17', and template '2' '18'",
        ":2: is said to show two people, but templates '1' and '3' both show '17'",
    ]


def test_of_a_template_another_image_stands_for_one_that_cannot_be_used(lists):
    _, pairs = lists(b"x 1 1\n", b"a,b,same\nb,a,0\n")
    data = data_of(columns={"video": COLUMN})
    members = Members.of(data, pairs, "video")
    judged = listed_images(data, pairs, "video")
    assert members.images(judged).tolist() == [0, 2, 3, 4]
    assert [each.tolist() for each in members.usable(judged, np.array([1, 3, 4]))] == [[[3, 4]]]
    # Of template a no image is left: its first one stays, which says what is lost.
    assert [each.tolist() for each in members.usable(judged, np.array([0, 1, 3]))] == [[[0, 2]]]
    assert (
        members.lost(judged, np.array([0, 1, 3])) == ", so that 1 of 2 templates (FTE 50 %) and 1 of 1 pairs are lost"
    )
    of_images = Members.of(data, None, "video")
    assert of_images.images(judged).tolist() == [0, 2]
    assert of_images.usable(judged, np.array([3, 4]))[0] is judged[0]
