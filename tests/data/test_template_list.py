"""Lists of templates, byte for byte as InsightFace and NIST write them."""

from __future__ import annotations

import pytest

from faceexp.data import template_list
from faceexp.errors import MAX_LISTED, InputError

# The first lines of ijbc_face_tid_mid.txt have this form.
INSIGHTFACE = b"1.jpg 1 69544\n2.jpg 1 3720\n3.jpg 1 3720\n4.jpg 00011065 111105\n"
# The columns of ijbc_1N_probe_mixed.csv.
IJBC = (
    b"TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,FRAME_NUM,FACIAL_HAIR,AGE\r\n"
    b"3,17,img/1.jpg,69544,10,20,30,40,,0,3\r\n"
    b"3,17,frames/2_5.png,3720,10,20,30,40,5,0,3\r\n"
    b"\r\n"
    b"4,17,img/1.jpg,69544,10,20,30,40,,0,3\r\n"
)
# Those of IJB-A, and of enroll_templates.csv, which knows no media.
IJBA = b"TEMPLATE_ID,SUBJECT_ID,FILE,MEDIA_ID,SIGHTING_ID,FRAME\n3,17,img/1.jpg,8,69544,\n"
ENROL = b"TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n9,20,img/7.jpg,1,2,3,4\n"


@pytest.fixture
def written(tmp_path):
    """``written(b"...", b"...")``: the paths of files."""

    def write(*contents):
        paths = []
        for number, content in enumerate(contents):
            file = tmp_path / f"list{number}.txt"
            file.write_bytes(content)
            paths.append(str(file))
        return paths

    return write


def lines_of(listed):
    parts = (listed.images, listed.templates, listed.media, *([listed.subjects] if listed.subjects else []))
    return list(zip(*([part.names[number] for number in part.number] for part in parts), strict=True))


def test_insightface_s_list_has_image_template_and_medium(written):
    listed = template_list.read(written(INSIGHTFACE))
    assert lines_of(listed) == [
        ("1.jpg", "1", "69544"),
        ("2.jpg", "1", "3720"),
        ("3.jpg", "1", "3720"),
        # A number has no leading zeros, so that lists may differ in them.
        ("4.jpg", "11065", "111105"),
    ]
    assert listed.subjects is None
    assert listed.place(3) == f"{listed.files[0]}:4"


def test_names_that_hold_spaces_stand_between_tabs(written):
    listed = template_list.read(written(b"\xef\xbb\xbfAnn Lee/1.jpg\t7\tvideo 3\n"))
    assert lines_of(listed) == [("Ann Lee/1.jpg", "7", "video 3")]


def test_nist_s_list_names_its_columns(written):
    listed = template_list.read(written(IJBC))
    assert lines_of(listed) == [
        ("img/1.jpg", "3", "69544", "17"),
        ("frames/2_5.png", "3", "3720", "17"),
        # One image may be in several templates.
        ("img/1.jpg", "4", "69544", "17"),
    ]
    assert listed.line.tolist() == [2, 3, 5]


def test_several_files_are_one_list(written):
    listed = template_list.read(written(IJBA, ENROL))
    # Of IJB-A, whose sightings are people in media, the media count; the other file knows none.
    assert lines_of(listed) == [("img/1.jpg", "3", "8", "17"), ("img/7.jpg", "9", "", "20")]
    assert [listed.place(row) for row in (0, 1)] == [f"{listed.files[0]}:2", f"{listed.files[1]}:2"]


HINT = (
    "a line has an image, its template and its medium, such as '1.jpg 1 69544' (tabs between them where names hold "
    "spaces), or the first line of the list names the columns TEMPLATE_ID, FILENAME and SIGHTING_ID"
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", [": is empty; it has to be a list of templates"]),
        (b"1.jpg 1 2\n\n2.jpg 1\n3.jpg\t1\t\n", [f":3: has 2 fields; {HINT}", f":4: has 2 fields; {HINT}"]),
        (b"1.jpg 1 2 0.99\n", [f":1: has 4 fields; {HINT}"]),
        (b"\xff1.jpg 1 2\n", [": is not UTF-8 text; it has to be a list of templates"]),
        (
            b"TEMPLATE_ID,SUBJECT_ID\n3,4\n",
            [":1: names no column FILENAME or FILE, which has to hold the images"],
        ),
        (
            b"TEMPLATE_ID,FILENAME\n3,a.jpg,1\n,b.jpg\n4,\n",
            [":2: has 3 fields, the first line 2", ":3: names no template", ":4: names no image"],
        ),
        (
            b"TEMPLATE_ID,SUBJECT_ID,FILENAME\n3,7,a.jpg\n4,,b.jpg\n",
            [":3: does not say whom the template shows, and other lines do; fill in SUBJECT_ID"],
        ),
        (
            b"TEMPLATE_ID,SUBJECT_ID,FILENAME\n3,7,a.jpg\n3,7,b.jpg\n3,8,c.jpg\n",
            [":4: template '3' shows '8' here and '7' in line 2; a template shows one person"],
        ),
    ],
)
def test_what_is_wrong_is_said_of_each_line(written, content, said):
    paths = written(content)
    with pytest.raises(InputError) as caught:
        template_list.read(paths)
    assert [str(problem).removeprefix(paths[0]) for problem in caught.value.problems] == said


def test_a_template_of_two_people_in_two_files_names_both(written):
    paths = written(ENROL, ENROL.replace(b",20,", b",21,"))
    with pytest.raises(InputError) as caught:
        template_list.read(paths)
    assert str(caught.value) == (
        f"{paths[1]}:2: template '9' shows '21' here and '20' in {paths[0]}:2; a template shows one person"
    )


def test_of_many_wrong_lines_the_first_are_named(written):
    with pytest.raises(InputError) as caught:
        template_list.read(written(b"alone\n" * 100))
    assert len(caught.value.problems) == MAX_LISTED + 1
    assert caught.value.problems[-1].message == f"and {100 - MAX_LISTED} more lines"
    with pytest.raises(InputError, match="no such file"):
        template_list.read(["/nowhere/list.txt"])
