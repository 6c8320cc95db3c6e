"""Lists of parts are read line by line, and a list that cannot be one is named."""

from __future__ import annotations

import os

import pytest

from faceexp.data.part_files import MAX_FILE_BYTES, read
from faceexp.errors import InputError
from faceexp.experiment.protocol import PARTS, Protocol


@pytest.fixture
def lists(tmp_path):
    """``lists(train=b"...")``: the protocol of three lists, of which some have other content than a name."""

    def write(**contents):
        paths = {part: tmp_path / f"{part}.txt" for part in PARTS}
        for part, path in paths.items():
            if contents.get(part, b"") is not None:
                path.write_bytes(contents.get(part, b"Ann\n"))
        return Protocol(kind="listed", **{part: str(path) for part, path in paths.items()})

    return write


def test_comments_and_empty_lines_count_for_the_numbers_alone(lists, tmp_path):
    content = b"\xef\xbb\xbf# the official list\r\n\r\n  Ann Lee \r\nbob/1.png\r\n#bob/2.png\r\n"
    train, validation, test = read(lists(test=content))
    assert test.lines == ((3, "Ann Lee"), (4, "bob/1.png"))
    assert train.lines == validation.lines == ((1, "Ann"),)
    assert test.place(4) == f"{tmp_path / 'test.txt'}:4"


def test_separators_of_unicode_are_no_ends_of_lines(lists):
    assert read(lists(test="D\x85\u2028n\n".encode()))[2].lines == ((1, "D\x85\u2028n"),)


def test_every_list_that_cannot_be_one_is_named(lists, tmp_path):
    with pytest.raises(InputError) as caught:
        read(lists(train=None, validation=b"\xff\xfe", test=b"# nobody\n\n"))
    hint = "name a list of people or images, one a line"
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path / 'train.txt'}: no such file; {hint}",
        f"{tmp_path / 'validation.txt'}: is not UTF-8 text; {hint}",
        f"{tmp_path / 'test.txt'}: names nobody; {hint}",
    ]


def test_a_list_is_an_ordinary_file_of_bounded_size(lists, tmp_path):
    protocol = lists(validation=None)
    os.mkfifo(tmp_path / "validation.txt")
    with (tmp_path / "test.txt").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InputError) as caught:
        read(protocol)
    assert [problem.message.split(";")[0] for problem in caught.value.problems] == [
        "is a pipe, not an ordinary file",
        f"has {MAX_FILE_BYTES + 1:,} bytes",
    ]
