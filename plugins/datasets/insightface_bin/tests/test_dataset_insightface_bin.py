"""InsightFace's verification sets, written here byte for byte as Python 2 and 3 write them; what is refused."""

from __future__ import annotations

import functools
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from faceexp_dataset_insightface_bin import MAX_FILE_BYTES, InsightfaceBin
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceexp.data import images
from faceexp.data.face_data import mistakes_of
from faceexp.data.splits import splits
from faceexp.errors import InputError
from faceexp.experiment.protocol import Protocol
from faceexp.testing import DatasetContract


@functools.cache
def picture(seed=0, side=6, kind="JPEG"):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def pairs_of(count):
    """Return the images of so many pairs, every other one of which is of one person, and the truth of each."""
    return [picture(number) for number in range(2 * count)], [number % 2 == 0 for number in range(count)]


def as_python_2(pictures, same):
    """Return what ``cPickle.dumps((pictures, same), 2)`` of Python 2 writes, where a str is a row of bytes."""
    parts, values = [b"\x80\x02"], 0

    def numbered():
        nonlocal values
        parts.append(b"q" + bytes([values]) if values < 256 else b"r" + struct.pack("<I", values))
        values += 1

    def listed(items):
        parts.append(b"]")
        numbered()
        for start in range(0, len(items), 1000):
            parts.append(b"(")
            for item in items[start : start + 1000]:
                if isinstance(item, bool):
                    parts.append(b"\x88" if item else b"\x89")
                    continue
                small = len(item) < 256
                parts.append((b"U" + bytes([len(item)]) if small else b"T" + struct.pack("<i", len(item))) + item)
                numbered()
            parts.append(b"e")

    listed(pictures)
    listed(same)
    parts.append(b"\x86")
    numbered()
    return b"".join([*parts, b"."])


def write(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "lfw.bin").write_bytes(content)
    return folder / "lfw.bin"


def build(path, **options):
    return InsightfaceBin(path=str(path), **options).build(seed=0)


def problem(path, content, **options):
    """Return the one line that is said of a file with that content, without its folder."""
    with pytest.raises(InputError) as caught:
        build(write(path, content), **options)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{path}/", "")


class TestInsightfaceBinContract(DatasetContract):
    @pytest.fixture(params=["Python 2", "Python 3"])
    def plugin(self, tmp_path, request):
        content = pairs_of(12)
        made = as_python_2(*content) if request.param == "Python 2" else pickle.dumps(content, protocol=4)
        return InsightfaceBin(path=str(write(tmp_path, made)), folds=3)


# --- What is read ---


@pytest.mark.parametrize("written", [as_python_2, lambda *content: pickle.dumps(content, protocol=4)])
def test_six_thousand_pairs_in_ten_folds(tmp_path, written):
    pictures, same = pairs_of(6000)
    faces = build(write(tmp_path, written(pictures, same)))
    assert mistakes_of(faces) == []
    assert len(faces.images) == 12_000
    assert faces.pairs.same.tolist() == same
    assert faces.pairs.rows.ravel().tolist() == list(range(12_000))
    assert np.bincount(faces.pairs.fold).tolist() == [600] * 10
    assert (np.diff(faces.pairs.fold) >= 0).all()  # in their order
    for number in (0, 1, 4321, 11_999):
        image = faces.images[number]
        assert image.name == f"pair {number // 2 + 1}, {('first', 'second')[number % 2]}"
        assert image.read() == pictures[number]
        pixels = images.opened(image, np.asarray)
        np.testing.assert_array_equal(pixels, Image.open(io.BytesIO(pictures[number])))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["bytes", "arrays", "columns"])
def test_every_protocol_of_pickle_and_arrays_of_bytes(tmp_path, protocol, kind):
    pictures, same = pairs_of(12)
    content = {
        "bytes": (pictures, same),
        "arrays": ([np.frombuffer(each, np.uint8).copy() for each in pictures], [np.bool_(truth) for truth in same]),
        "columns": [[np.frombuffer(each, np.uint8)[:, None] for each in pictures], np.array(same)],
    }[kind]
    faces = build(write(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert [image.read() for image in faces.images] == pictures
    assert faces.pairs.same.tolist() == same


def test_an_image_that_occurs_again_is_one_image_and_joins_pairs(tmp_path):
    """Pairs of one person: 1 and 2, 2 and 3, 4 and 5; of two people: 1 and 4, 6 and 7."""
    shown = [1, 2, 2, 3, 1, 4, 4, 5, 6, 7, 7, 7]
    same = [True, True, False, True, False, True]
    faces = build(write(tmp_path, as_python_2([picture(number) for number in shown], same)), folds=2)
    assert mistakes_of(faces) == []
    assert [image.read() for image in faces.images] == [picture(number) for number in range(1, 8)]
    assert faces.pairs.rows.tolist() == [[0, 1], [1, 2], [0, 3], [3, 4], [5, 6], [6, 6]]
    assert faces.labels.tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert faces.identities == ("unknown 1", "unknown 2", "unknown 3", "unknown 4")
    assert not faces.people_known
    assert faces.notes[1:] == (
        "the data set holds 12 images, 7 of which are different",
        "the data set compares an image with itself in 1 pairs",
    )


def test_folds_are_cut_as_those_of_scikit_learn(tmp_path):
    from sklearn.model_selection import KFold

    faces = build(write(tmp_path, pickle.dumps(pairs_of(23))), folds=5)
    for number, (_, tested) in enumerate(KFold(5, shuffle=False).split(np.zeros(23))):
        np.testing.assert_array_equal(np.flatnonzero(faces.pairs.fold == number), tested)


def test_each_fold_takes_its_threshold_from_all_others(tmp_path):
    faces = build(write(tmp_path, pickle.dumps(pairs_of(20))), folds=4)
    folds = tuple(faces.pairs.rows[faces.pairs.fold == fold] for fold in range(4))
    found = splits(faces.labels, Protocol(kind="pairs_file"), 0, folds, trains=False)
    assert [(len(split.test_pairs), len(split.validation_pairs)) for split in found] == [(5, 15)] * 4


def test_the_fingerprint_follows_images_pairs_and_folds(tmp_path):
    pictures, same = pairs_of(12)
    written = pickle.dumps((pictures, same))
    others = [
        build(write(tmp_path, pickle.dumps(content)), **options).fingerprint
        for content, options in [
            ((pictures, same), {}),
            (([picture(99), *pictures[1:]], same), {}),
            ((pictures, [not truth for truth in same]), {}),
            ((pictures[::-1], same), {}),
            ((pictures, same), {"folds": 3}),
        ]
    ]
    assert len(set(others)) == 5
    assert build(write(tmp_path, as_python_2(pictures, same))).fingerprint == others[0]
    assert written != as_python_2(pictures, same)


# --- What is refused ---

GOOD = pairs_of(12)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harm",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(GOOD, 4)[:-100], "is cut off, damaged or no pickle"),
        (as_python_2(*GOOD)[:5000], "is cut off, damaged or no pickle"),
        (b"", "is cut off, damaged or no pickle"),
        (picture(), "is cut off, damaged or no pickle"),
        (pickle.dumps((GOOD[0][:-1], GOOD[1])), "holds 23 images and 12 truth values; each pair needs two images"),
        (pickle.dumps((GOOD[0][:-2], GOOD[1])), "holds 22 images and 12 truth values"),
        (pickle.dumps(([], [])), "holds 0 images and 0 truth values"),
        (pickle.dumps((*GOOD, 1)), "holds a tuple of 3; it has to hold a list of images"),
        (pickle.dumps((1, 2)), "holds a value of the type int in place of the images"),
        (pickle.dumps((GOOD[0], 2)), "holds a value of the type int in place of truth values"),
        (pickle.dumps((GOOD[0], [*GOOD[1][:-1], 2])), "truth value 12 is a value of the type int"),
        (pickle.dumps((["text", *GOOD[0][1:]], GOOD[1])), "image 1 of pair 1 is a value of the type str"),
        (pickle.dumps(([*GOOD[0][:-1], b""], GOOD[1])), "image 2 of pair 12 is nothing"),
        (pickle.dumps(([np.zeros((4, 4, 3), np.uint8)] * 24, GOOD[1])), "is an array of 4 x 4 x 3 bytes"),
        (
            pickle.dumps((GOOD[0], np.zeros((12, 2), bool))),
            "holds an array of 12 x 2 truth values in place of truth values",
        ),
        (pickle.dumps((GOOD[0], [*GOOD[1][:-1], np.int64(1)])), "holds a number in place of a truth value"),
        (pickle.dumps(([np.array([{}])] * 24, GOOD[1])), "holds a step 'EMPTY_DICT', so it was not opened"),
        (pickle.dumps(([np.array(["a", None])] * 24, GOOD[1])), "holds an array of objects, so it was not opened"),
        (pickle.dumps((GOOD[0], [Harmful()] * 12)), "system, so it was not opened"),
        (pickle.dumps((GOOD[0], [Path("x")] * 12), 2), "pathlib"),
        (pickle.dumps({"images": 1}), "holds a step 'EMPTY_DICT'"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"ab.", "is cut off, damaged or no pickle"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"].", "2**40 bytes are promised"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "holds 4,294,967,295 as the number of a value, of which there are 3 at most"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    assert said.replace("2**40", f"{2**40:,}") in problem(tmp_path / "set", content)
    assert not (tmp_path / "harm").exists()


def test_texts_that_are_copied_until_the_memory_is_full(tmp_path):
    """Every one of 100,000 images is to be a copy of one text."""
    text = "\x7f" * 100_000
    one = pickle.dumps(text.encode("latin1"), 2)[2:-1]  # _codecs.encode of a text, both of which are remembered
    again = b"h\x00h\x01h\x02\x86R"
    assert b"_codecs" in one
    named = b"c_codecs\nencode\nq\x00X" + struct.pack("<I", len(text)) + text.encode() + b"q\x01X\x06\0\0\0latin1q\x02"
    content = b"\x80\x02" + named + b"](" + again * 100_000 + b"e."
    assert "holds copies that are larger than the file, so it was not opened" in problem(tmp_path, content)


def test_a_function_that_stands_for_another_cannot_be_changed(tmp_path):
    for change in (b"}b", b"N}X\x01\0\0\0aNs\x86b", b"Nb", b"]b"):
        said = problem(tmp_path, b"\x80\x02c_codecs\nencode\n" + change + b".")
        assert "so it was not opened" in said


def test_a_pair_that_contradicts_others_is_named(tmp_path):
    shown = [picture(number) for number in (1, 2, 2, 3, 1, 3, 4, 5)]
    said = problem(tmp_path, pickle.dumps((shown, [True, True, False, False])), folds=2)
    assert said == (
        "lfw.bin: pair 3 is said to show two people, but other pairs say that its images show one; 1 of 4 pairs "
        "contradict others"
    )


def test_too_few_pairs_for_the_folds(tmp_path):
    assert problem(tmp_path, pickle.dumps(pairs_of(3))) == (
        "lfw.bin: has 3 pairs, too few for 10 folds; ask for fewer folds"
    )


def test_a_missing_and_a_huge_file(tmp_path):
    write(tmp_path, b"")
    with pytest.raises(InputError, match=r"lwf\.bin: no such file; did you mean 'lfw\.bin'\?"):
        build(tmp_path / "lwf.bin")
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match="bytes; .* are the most that are read"):
        build(tmp_path / "huge.bin")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=6), st.sampled_from([0, 2, 4, 5]))
def test_whatever_the_damage_it_is_read_or_refused(tmp_path_factory, at, harm, protocol):
    content = bytearray(pickle.dumps(([np.frombuffer(GOOD[0][0], np.uint8), *GOOD[0][1:]], GOOD[1]), protocol))
    at %= len(content)
    content[at : at + len(harm)] = harm
    path = write(tmp_path_factory.mktemp("bin"), bytes(content))
    try:
        assert mistakes_of(build(path)) == []
    except InputError as error:
        assert len(error.problems) == 1
