"""Lists of pairs are read as LFW writes them, and every wrong line is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.data.pairs_file import MAX_FILE_BYTES, read
from faceexp.errors import InputError

GOOD = """\
2\t1
Ann Lee\t1\t4
Ann Lee\t2\tBob\t1
Cid\t2\t1
Cid\t1\tDan\t3
"""


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
    assert [[(pair.first, pair.second, pair.line) for pair in fold] for fold in found.folds] == [
        [(("Ann Lee", 1), ("Ann Lee", 4), 2), (("Ann Lee", 2), ("Bob", 1), 3)],
        [(("Cid", 2), ("Cid", 1), 4), (("Cid", 1), ("Dan", 3), 5)],
    ]
    assert str(found.problem(found.folds[1][0], "why")) == f"{tmp_path / 'pairs.txt'}:4: why"


def test_spaces_and_empty_lines_do_as_well(tmp_path):
    (tmp_path / "pairs.txt").write_text("\n2 1\nA 1 2\nA 1 B 1\n\nC 1 2\nC 1 D 1\n\n", encoding="utf-8")
    assert [fold[1].second for fold in read(str(tmp_path / "pairs.txt")).folds] == [("B", 1), ("D", 1)]


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
        file.truncate(MAX_FILE_BYTES + 1)
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
    folds = read(str(tmp_path / "pairs.txt")).folds
    assert [pair.first for fold in folds for pair in fold] == [("Ann Lee", 1), ("Ann Lee", 2), ("Cid", 2), ("Cid", 1)]


def test_numbers_of_thousands_of_digits_are_none(problems):
    assert problems(GOOD.replace("1\t4", f"{'9' * 5000}\t4")) == [
        f"pairs.txt:2: '{'9' * 40}' is no image number; they count from 1"
    ]
    assert problems(f"{'9' * 5000}\t1\n")[0].startswith("pairs.txt:1: the first line has to hold")


def test_separators_of_unicode_are_no_ends_of_lines(tmp_path):
    """They may be in a name, and no editor counts them."""
    (tmp_path / "pairs.txt").write_text(GOOD.replace("Dan", "D\x85\u2028n"), encoding="utf-8")
    assert read(str(tmp_path / "pairs.txt")).folds[1][1].second == ("D\x85\u2028n", 3)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=200))
def test_whatever_the_text_it_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("pairs") / "pairs.txt"
    file.write_text(text, encoding="utf-8", errors="replace")
    try:
        found = read(str(file))
    except InputError as error:
        assert error.problems
    else:
        assert len(found.folds) >= 2
