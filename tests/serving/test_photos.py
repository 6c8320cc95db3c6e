"""What people give to a model: galleries with links, lists of pairs from other programs, outputs that are not theirs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from faceexp.errors import MAX_LISTED, InputError
from faceexp.serving.pair_lists import read_pairs
from faceexp.serving.photos import gallery_of, photos_in, writer_of


@pytest.fixture
def listed(tmp_path):
    """Write a list of pairs, and read it."""

    def read(content):
        file = tmp_path / "pairs.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [
            (os.path.relpath(a, tmp_path), os.path.relpath(b, tmp_path), same) for a, b, same in read_pairs(file).pairs
        ]

    return read


# Galleries --------------------------------------------------------------------------------------------------------------


def test_people_may_be_links_to_folders(tmp_path):
    for person in ("ann", "bob"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        (tmp_path / "faces" / person / "1.png").touch()
        (tmp_path / "gallery").mkdir(exist_ok=True)
        (tmp_path / "gallery" / person).symlink_to(tmp_path / "faces" / person)
    people = gallery_of(tmp_path / "gallery")
    assert {name: [file.name for file in files] for name, files in people.items()} == {
        "ann": ["1.png"],
        "bob": ["1.png"],
    }


def test_links_that_lead_in_circles_end(tmp_path):
    for here, there in (("a", "b"), ("b", "a")):
        (tmp_path / here).mkdir(exist_ok=True)
        (tmp_path / here / "x.png").touch()
        (tmp_path / here / "up").symlink_to(tmp_path)
        (tmp_path / here / "across").symlink_to(tmp_path / there)
    (tmp_path / "a" / "itself").symlink_to(tmp_path / "a" / "itself")
    assert photos_in(tmp_path) == [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]


# Lists of pairs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a,b,same\nx.png,y.png,1\n",
        "a;b;same\r\nx.png;y.png;1\r\n",
        "a\tb\tsame\nx.png\ty.png\t1\n",
        "\ufeffa,b,same\nx.png,y.png,1\n",
        '"A", "B", "Same"\n"x.png", "y.png", "true"\n\n , ,\n',
    ],
)
def test_lists_as_other_programs_write_them(listed, text):
    assert listed(text) == [("x.png", "y.png", True)]


def test_a_name_may_hold_what_separates_in_other_lists(listed):
    assert listed('a;b\nx,1.png;"y;2.png"\n') == [("x,1.png", "y;2.png", None)]


def test_the_home_folder_may_be_written_as_a_tilde(listed, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert listed("a,b\n~/x.png,~nobody-has-this-name/y.png\n") == [
        (str(Path("home", "x.png")), str(Path("~nobody-has-this-name", "y.png")), None)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,same\n", "lists no pair"),
        ("a,b\n\n,\n", "lists no pair"),
        ("", "has to name the columns"),
        ("a|b\n", "has to name the columns"),
        ("a,b\nä,ö\n".encode("latin-1"), "is no list of pairs in UTF-8; in Excel, save it as"),
        ("a,b\nx,y\n".encode("utf-16"), "is no list of pairs in UTF-8; in Excel, save it as"),
        ('a,b\n"' + "x" * 200_000 + '",y\n', "cannot be read as a list of pairs"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(listed, content, message):
    with pytest.raises(InputError, match=message) as caught:
        listed(content)
    assert len(caught.value.problems) == 1


def test_of_many_wrong_lines_the_first_are_named_and_the_others_counted(listed):
    with pytest.raises(InputError) as caught:
        listed("a,b\n" + "x\n" * 10_000)
    *lines, rest = [str(problem) for problem in caught.value.problems]
    assert len(lines) == MAX_LISTED
    assert rest.endswith(f"{10_000 - MAX_LISTED:,} more lines are wrong")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_pipe_and_a_device_are_no_list(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    for name, kind in (("pipe.csv", "a pipe"), ("device.csv", "a device")):
        with pytest.raises(InputError, match=f"is {kind}, not an ordinary file"):
            read_pairs(tmp_path / name)


# Outputs ----------------------------------------------------------------------------------------------------------------

EMBEDDINGS = np.eye(2, dtype=np.float32)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_embeddings_may_be_written_again_but_not_over_another_file(tmp_path, suffix):
    file = tmp_path / f"e{suffix}"
    for _ in range(2):
        writer_of(file)(["a", "b"], EMBEDDINGS)
    assert list(tmp_path.iterdir()) == [file]
    file.write_text("a diary")
    with pytest.raises(InputError, match="is there already and holds no embeddings"):
        writer_of(file)
    assert file.read_text() == "a diary"


def test_what_was_written_before_stays_if_writing_fails(tmp_path):
    file = tmp_path / "e.csv"
    writer_of(file)(["a", "b"], EMBEDDINGS)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="zip"):
        writer_of(file)(["a"], EMBEDDINGS)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_the_folder_of_the_output_has_to_be_there(tmp_path):
    with pytest.raises(InputError, match="is no folder in which you can write"):
        writer_of(tmp_path / "no" / "e.csv")
