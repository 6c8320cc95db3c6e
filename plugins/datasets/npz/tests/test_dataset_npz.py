"""Images and labels in a NumPy archive: how they are read, and that every mistake is one clear line."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
from faceexp_dataset_npz import Npz

from faceexp.errors import InputError, printable
from faceexp.testing import DatasetContract

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (5, 8, 6), dtype=np.uint8)
COLOR = RANDOM.integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
NAMES = np.array(["berta", "anna", "berta", "clara", "anna"])


@pytest.fixture
def save(tmp_path):
    """Save arrays, and return the plugin for the file."""

    def save(how=np.savez, **arrays):
        how(tmp_path / "faces.npz", **arrays)
        return Npz(path=str(tmp_path / "faces.npz"))

    return save


def problem(plugin):
    """Return the one line that building says of a file that is refused, without the file's name."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{printable(plugin.path)}: ")
    return text.removeprefix(f"{printable(plugin.path)}: ")


class TestNpzContract(DatasetContract):
    @pytest.fixture(params=["gray", "color", "identities"])
    def plugin(self, save, request):
        if request.param == "identities":
            return save(images=GRAY, labels=[1, 0, 1, 2, 0], identities=["anna", "berta", "clara"])
        return save(images=GRAY if request.param == "gray" else COLOR, labels=NAMES)


# --- What is found ---


@pytest.mark.parametrize("how", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("images", [GRAY, COLOR, np.asfortranarray(GRAY), GRAY[:, ::-1]])
def test_images_are_the_array(save, images, how):
    faces = save(how, images=images, labels=NAMES).build(seed=0)
    np.testing.assert_array_equal(faces.images, images)
    assert faces.images.flags.c_contiguous


def test_labels_as_text(save):
    faces = save(images=GRAY, labels=NAMES).build(seed=0)
    assert faces.identities == ("anna", "berta", "clara")
    assert faces.labels.dtype == np.int32
    assert faces.labels.tolist() == [1, 0, 1, 2, 0]


@pytest.mark.parametrize("kind", ["uint8", "int64", ">i4"])
def test_labels_as_numbers_are_names_too(save, kind):
    faces = save(images=GRAY, labels=np.array([7, 100, 7, 9, 100], dtype=kind)).build(seed=0)
    assert faces.identities == ("7", "9", "100")
    assert faces.labels.tolist() == [0, 2, 0, 1, 2]


def test_labels_as_indices_and_people_without_an_image(save):
    faces = save(images=GRAY, labels=[3, 0, 3, 1, 0], identities=["anna", "berta", "nobody", "clara"]).build(seed=0)
    assert faces.identities == ("anna", "berta", "clara")
    assert faces.labels.tolist() == [2, 0, 2, 1, 0]


def test_other_arrays_are_ignored_whatever_they_are(save):
    faces = save(images=GRAY, labels=NAMES, ages=np.zeros(5), notes=np.array([{}], dtype=object)).build(seed=0)
    assert len(faces.images) == 5


def test_fingerprint_is_that_of_the_content(save):
    changed = GRAY.copy()
    changed[0, 0, 0] += 1
    prints = [
        save(how, images=images, labels=labels).build(seed=0).fingerprint
        for how, images, labels in [
            (np.savez, GRAY, NAMES),
            (np.savez_compressed, GRAY, NAMES),
            (np.savez, changed, NAMES),
            (np.savez, GRAY.reshape(5, 6, 8), NAMES),
            (np.savez, GRAY, NAMES[::-1]),
            (np.savez, GRAY, np.char.upper(NAMES)),
        ]
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 5


def test_path_may_be_relative_or_begin_with_the_home_directory(save, tmp_path, monkeypatch):
    before = save(images=GRAY, labels=NAMES).build(seed=0).fingerprint
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Npz(path="faces.npz").build(seed=0).fingerprint == before
    assert Npz(path="~/faces.npz").build(seed=0).fingerprint == before


# --- What is refused, and in which words ---

OBJECTS = np.array(["anna", "berta", None, "anna", "berta"], dtype=object)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GRAY}, "has no array 'labels'; known: images"),
        ({"image": GRAY, "labels": NAMES}, "has no array 'images'; did you mean 'image'?"),
        ({}, "has no array 'images'; it is empty"),
        (
            {"images": GRAY / 255, "labels": NAMES},
            "images is float64; save it as uint8, grey values or colours from 0 to 255",
        ),
        (
            {"images": GRAY.astype(np.uint16), "labels": NAMES},
            "images is uint16; save it as uint8, grey values or colours from 0 to 255",
        ),
        (
            {"images": GRAY[0], "labels": NAMES},
            "images has shape (8, 6); it has to be (N, H, W) or (N, H, W, 3), none of these zero",
        ),
        (
            {"images": COLOR[..., :1], "labels": NAMES},
            "images has shape (5, 8, 6, 1); it has to be (N, H, W) or (N, H, W, 3), none of these zero",
        ),
        (
            {"images": GRAY[:0], "labels": NAMES[:0]},
            "images has shape (0, 8, 6); it has to be (N, H, W) or (N, H, W, 3), none of these zero",
        ),
        ({"images": GRAY, "labels": NAMES[:4]}, "has 4 labels for 5 images; it needs one each"),
        (
            {"images": GRAY, "labels": NAMES[:, None]},
            "labels has shape (5, 1); it has to be (N,), none of these zero",
        ),
        (
            {"images": GRAY, "labels": np.linspace(0, 1, 5)},
            "labels is float64; save it as an array of whole numbers or of text, as np.array(labels, dtype=str) makes it",
        ),
        (
            {"images": GRAY, "labels": OBJECTS},
            "labels holds Python objects, which are pickled and not read; "
            "save it as an array of whole numbers or of text, as np.array(labels, dtype=str) makes it",
        ),
        (
            {"images": GRAY, "labels": NAMES, "identities": ["anna", "berta", "clara"]},
            "labels are text although there are identities; give their indices, or no identities",
        ),
        (
            {"images": GRAY, "labels": [0, 1, 2, 3, 0], "identities": ["anna", "berta", "clara"]},
            "has a label 3 for 3 identities; labels count them from 0",
        ),
        (
            {"images": GRAY, "labels": [0, 1, -1, 2, 0], "identities": ["anna", "berta", "clara"]},
            "has a label -1 for 3 identities; labels count them from 0",
        ),
        (
            {"images": GRAY, "labels": [0, 1, 0, 1, 0], "identities": ["anna", "anna"]},
            "two identities are called 'anna'; give each person one name",
        ),
        (
            {"images": GRAY, "labels": [0, 1, 0, 1, 0], "identities": [1, 2]},
            "identities is int64; save it as an array of text, as np.array(identities, dtype=str) makes it",
        ),
        ({"images": GRAY, "labels": ["", "a", "a", "a", "a"]}, "an identity has an empty name; give each person one"),
        (
            {"images": GRAY, "labels": np.zeros(5, dtype=int)},
            "shows one identity, but a comparison of faces needs two or more",
        ),
    ],
)
def test_every_mistake_is_one_clear_line(save, arrays, message):
    assert problem(save(**arrays)) == message


def test_a_missing_file(tmp_path):
    assert problem(Npz(path=str(tmp_path / "none.npz"))) == "no such file; give one that numpy.savez wrote"


def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        assert problem(Npz(path=str(path))) == "is not an ordinary file; give one that numpy.savez wrote"


@pytest.mark.parametrize("path", ["a\0b.npz", "~nobody-of-that-name/faces.npz"])
def test_what_is_no_path(path):
    assert problem(Npz(path=path)) == "no such file; give one that numpy.savez wrote"


def test_of_thousands_of_arrays_none_is_compared_with_the_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("faceexp_dataset_npz.did_you_mean", lambda *_: pytest.fail("compared"))
    np.savez(tmp_path / "faces.npz", **{f"array{number}": GRAY[0, 0] for number in range(101)})
    assert problem(Npz(path=str(tmp_path / "faces.npz"))) == "has no array 'images'; it has 101 others"


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800, 0xDFFF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_characters_that_unicode_does_not_have(tmp_path, code, order):
    """Python cannot make a text of them; NumPy stores them as numbers."""
    codes = np.full(len(GRAY), ord("a"), f"{order}u4")
    codes[0] = code
    np.savez(tmp_path / "faces.npz", images=GRAY, labels=codes.view(f"{order}U1"))
    message = problem(Npz(path=str(tmp_path / "faces.npz")))
    assert message == "labels holds characters that are none; the file is damaged, so write it again"


def test_a_file_that_is_no_archive(tmp_path):
    np.save(tmp_path / "faces.npy", GRAY)
    message = problem(Npz(path=str(tmp_path / "faces.npy")))
    assert message == "is damaged or no .npz file (File is not a zip file); write it with numpy.savez"


@pytest.mark.parametrize("at", [100, 200, 300, 600])
def test_a_damaged_file(save, tmp_path, at):
    plugin = save(np.savez_compressed, images=GRAY, labels=NAMES)
    content = bytearray((tmp_path / "faces.npz").read_bytes())
    content[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "faces.npz").write_bytes(content)
    assert "is damaged" in problem(plugin)


def test_a_member_that_is_no_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.npz", "w") as archive:
        archive.writestr("images.npy", b"no array at all")
        archive.writestr("labels.npy", b"")
    assert problem(Npz(path=str(tmp_path / "faces.npz"))).startswith("is damaged or no .npz file (")


def test_a_bomb_is_not_unpacked(save, tmp_path, monkeypatch):
    plugin = save(np.savez_compressed, images=np.zeros((11, 1000, 1000), np.uint8), labels=np.arange(11))
    assert (tmp_path / "faces.npz").stat().st_size < 20_000
    monkeypatch.setattr(np.lib.format, "read_array", None)
    assert problem(plugin.model_copy(update={"max_megabytes": 10})) == (
        "its arrays take 12 megabytes of memory, more than the 10 that are allowed; "
        "raise max_megabytes if that is right"
    )


def test_a_header_that_promises_more_than_there_is_reserves_nothing(tmp_path, monkeypatch):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**4, 10**3, 10**2)}
    )
    with zipfile.ZipFile(tmp_path / "faces.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
        archive.writestr("labels.npy", b"")
    monkeypatch.setattr(np.lib.format, "read_array", None)
    message = problem(Npz(path=str(tmp_path / "faces.npz")))
    assert message.startswith("is damaged: the array 'images' is ")
