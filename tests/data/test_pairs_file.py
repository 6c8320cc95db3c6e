"""Lists of pairs are read as LFW, VoxCeleb and tables write them, and every wrong line is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.data.pair_table import MAX_LIST_BYTES
from faceexp.data.pairs_file import read
from faceexp.errors import InputError

GOOD = """\
2\t1
Ann Lee\t1\t4
Ann Lee\t2\tBob\t1
Cid\t2\t1
Cid\t1\tDan\t3
"""


def listed(pairs):
    """Return the images of each pair as the list names them, whether it shows one person, its fold and its line."""
    rows = zip(pairs.rows.tolist(), pairs.same.tolist(), pairs.fold.tolist(), pairs.lines.tolist(), strict=True)
    return [(pairs.images[a], pairs.images[b], same, fold, line) for (a, b), same, fold, line in rows]


@pytest.fixture
def problems(tmp_path):
    """``problems(text)``: what reading it says, the file called ``pairs.txt``."""

    def say(text):
        file = tmp_path / "pairs.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InputError) as caught:
            read(str(file))
        return str(caught.value).replace(str(file), "pairs.txt").split("\n")

    return say


def test_folds_hold_similar_pairs_and_then_different_ones(tmp_path):
    (tmp_path / "pairs.txt").write_text(GOOD, encoding="utf-8")
    found = read(str(tmp_path / "pairs.txt"))
    assert listed(found) == [
        (("Ann Lee", 1), ("Ann Lee", 4), True, 0, 2),
        (("Ann Lee", 2), ("Bob", 1), False, 0, 3),
        (("Cid", 2), ("Cid", 1), True, 1, 4),
        (("Cid", 1), ("Dan", 3), False, 1, 5),
    ]
    assert str(found.problem(2, "why")) == f"{tmp_path / 'pairs.txt'}:4: why"


def test_spaces_and_empty_lines_do_as_well(tmp_path):
    (tmp_path / "pairs.txt").write_text("\n2 1\nA 1 2\nA 1 B 1\n\nC 1 2\nC 1 D 1\n\n", encoding="utf-8")
    assert [pair[1] for pair in listed(read(str(tmp_path / "pairs.txt"))) if not pair[2]] == [("B", 1), ("D", 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "pairs.txt: is empty; it has to be a list of pairs"),
        ("300\n", "pairs.txt:1: the first line has to hold the number of folds"),
        ("1\t1\nA\t1\t2\nA\t1\tB\t1\n", "pairs.txt:1: 1 folds of 1 similar pairs; two folds at least"),
        (GOOD + GOOD, "pairs.txt: lists 9 pairs; its first line promises 2 folds of 2 x 1, 4 in all"),
        (GOOD.replace("1\t4", "1\tx"), "pairs.txt:2: 'x' is no image number; they count from 1"),
        (GOOD.replace("1\t4", "0\t4"), "pairs.txt:2: '0' is no image number; they count from 1"),
        (GOOD.replace("1\t4", "4\t4"), "pairs.txt:2: compares image 4 of 'Ann Lee' with itself"),
        (GOOD.replace("1\t4", "1\tBob\t4"), "pairs.txt:2: this line has to be a similar pair"),
        (GOOD.replace("Dan", "Cid"), "pairs.txt:5: is listed among the different pairs, but both images show 'Cid'"),
        (b"2\t1\n\xff\xfe", "pairs.txt: is not UTF-8 text"),
    ],
)
def test_a_mistake_is_named_with_its_line(problems, text, expected):
    assert problems(text)[0].startswith(expected)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_images_by_their_paths_and_folds_of_any_size(tmp_path, separator):
    rows = ["a,b,same,fold", "Ann/1.jpg,Ann/2.jpg,1,x", "", "Ann/1.jpg,Bob/1.jpg,0,y", "Bob/1.jpg,Bob/2.jpg,1,x"]
    (tmp_path / "pairs.csv").write_text("\r\n".join(rows).replace(",", separator), encoding="utf-8-sig")
    ann, bob = (("Ann/1.jpg", 0), ("Ann/2.jpg", 0)), (("Bob/1.jpg", 0), ("Bob/2.jpg", 0))
    assert listed(read(str(tmp_path / "pairs.csv"))) == [
        (*ann, True, 0, 2),
        (ann[0], bob[0], False, 1, 4),
        (*bob, True, 0, 5),
    ]


def test_people_in_a_table_say_who_is_the_same_and_without_folds_there_is_one(tmp_path):
    (tmp_path / "pairs.csv").write_text("a,b,identity_a,identity_b\n1.jpg,2.jpg,Ann,Ann\n1.jpg,3.jpg,Ann,Bob\n")
    pairs = read(str(tmp_path / "pairs.csv"))
    assert (pairs.same.tolist(), pairs.folds) == ([True, False], 1)


@pytest.mark.parametrize(
    "text", ["1 A/1.wav A/2.wav\n\n0 A/1.wav B/1.wav\n", "1\tA/1.wav\tA/2.wav\r\n\n0\tA/1.wav\tB/1.wav"]
)
def test_lists_as_those_of_voxceleb(tmp_path, text):
    (tmp_path / "veri.txt").write_text(text, encoding="utf-8")
    assert listed(read(str(tmp_path / "veri.txt"))) == [
        (("A/1.wav", 0), ("A/2.wav", 0), True, 0, 1),
        (("A/1.wav", 0), ("B/1.wav", 0), False, 0, 3),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", "pairs.txt:1: says of no pair whether it shows one person; add a column same"),
        ("a,b,same\n", "pairs.txt: lists no pair; add lines with two photos each"),
        ("a,b,same\n1,2,maybe\n", "pairs.txt:2: 'maybe' is neither 1 nor 0"),
        ("a,b,same\n1,,1\n", "pairs.txt:2: names no photo in a or b"),
        ("a,b,same,fold\n1,2,1,\n", "pairs.txt:2: names no fold; give each pair one"),
        ("a,b,kind\n1,2,1\n", "pairs.txt:1: the first line has to name the columns: a,b or a,b,same"),
        ("1 a b\n1 a\n", "pairs.txt:2: is not 1 or 0 and two images"),
        ("0 a b\n2 a c\n", "pairs.txt:2: is not 1 or 0 and two images"),
        ("x y z\n", "pairs.txt:1: the first line has to hold the number of folds and the number of similar pairs"),
    ],
)
def test_a_mistake_in_other_lists_is_named_with_its_line(problems, text, expected):
    (said,) = problems(text)
    assert said.startswith(expected)


def test_every_mistake_is_named_up_to_a_limit(problems):
    assert len(problems(GOOD.replace("\t1", "\tone").replace("2\tone", "2\t1", 1))) == 4
    lines = "".join(f"P{n}\tx\t2\n" if n % 2 else f"P{n}\tx\tQ\t1\n" for n in range(1, 61))
    found = problems(f"30\t1\n{lines}")
    assert len(found) == 21
    assert found[-1] == "pairs.txt: and 40 more lines"


def test_a_missing_and_a_huge_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: no such file; name a list of pairs"):
        read(str(tmp_path / "none.txt"))
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(MAX_LIST_BYTES + 1)
    with pytest.raises(InputError, match="bytes; .* are the most that are read"):
        read(str(tmp_path / "huge.txt"))


def test_a_list_is_an_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        with pytest.raises(InputError, match=f"{path}: is {kind}, not an ordinary file; name a list of pairs"):
            read(str(path))


@pytest.mark.parametrize("encode", [str.encode, lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()])
def test_lists_that_windows_has_saved(tmp_path, encode):
    (tmp_path / "pairs.txt").write_bytes(encode(GOOD))
    pairs = listed(read(str(tmp_path / "pairs.txt")))
    assert [pair[0] for pair in pairs] == [("Ann Lee", 1), ("Ann Lee", 2), ("Cid", 2), ("Cid", 1)]


def test_numbers_of_thousands_of_digits_are_none(problems):
    assert problems(GOOD.replace("1\t4", f"{'9' * 5000}\t4")) == [
        f"pairs.txt:2: '{'9' * 40}' is no image number; they count from 1"
    ]
    assert problems(f"{'9' * 5000}\t1\n")[0].startswith("pairs.txt:1: the first line has to hold")


def test_separators_of_unicode_are_no_ends_of_lines(tmp_path):
    """They may be in a name, and no editor counts them."""
    (tmp_path / "pairs.txt").write_text(GOOD.replace("Dan", "D\x85\u2028n"), encoding="utf-8")
    assert listed(read(str(tmp_path / "pairs.txt")))[3][1] == ("D\x85\u2028n", 3)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=200) | st.text('01 ab,;\t\n"').map(lambda text: f"a,b,same,fold\n{text}"))
def test_whatever_the_text_it_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("pairs") / "pairs.txt"
    file.write_text(text, encoding="utf-8", errors="replace")
    try:
        found = read(str(file))
    except InputError as error:
        assert error.problems
    else:
        assert len(found.rows) == len(found.same) == len(found.fold) == len(found.lines) > 0
        assert set(found.fold.tolist()) == set(range(found.folds))
