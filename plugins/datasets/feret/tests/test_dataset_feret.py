"""The FERET faces: which files of NIST's tree are taken, how packed ones are read, and what is said otherwise."""

from __future__ import annotations

import bz2
import os

import faceexp_dataset_feret
import numpy as np
import pytest
from faceexp_dataset_feret import Feret
from PIL import Image
from pydantic import ValidationError

from faceexp.errors import InputError
from faceexp.testing import DatasetContract

# Paths as they are on the discs, with made-up pictures; the sizes' folders hold files of the same names.
COLOR = [
    "dvd1/data/images/00001/00001_930831_fa_a.ppm",
    "dvd1/data/images/00001/00001_930831_fb_a.ppm",
    "dvd1/data/images/00001/00001_930831_hl_a.ppm",
    "dvd1/data/images/00002/00002_930831_fa.ppm",
    "dvd1/data/images/00002/00002_940928_fa.ppm",
    "dvd1/data/images/00002/00002_940928_fb.ppm",
    "dvd1/data/images/00002/00002_940928_rb.ppm",
    "dvd2/data/images/00740/00740_941201_fa.ppm",
]
GRAY = [
    "dvd2/gray_feret_cd1/data/images/00001fa010_930831.tif",
    "dvd2/gray_feret_cd1/data/images/00001fb010_930831.tif",
    "dvd2/gray_feret_cd2/data/images/00740fa010_941201.tif",
    "dvd2/gray_feret_cd2/data/images/00740fb001d_941201.tif",
]


def save_image(path, value, packed=True):
    """Save a small picture, in grey as TIFF or in colour as PPM, packed as on the discs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if path.suffix == ".tif" else "RGB", (4, 6), value).save(path)
    if packed:
        path.with_name(path.name + ".bz2").write_bytes(bz2.compress(path.read_bytes()))
        path.unlink()


@pytest.fixture
def root(tmp_path):
    """NIST's tree, colour and grey, with the files beside the images that are no images."""
    root = tmp_path / "colorferet"
    for value, name in enumerate(COLOR):
        save_image(root / name, value)
        save_image(root / name.replace("/images/", "/smaller/"), 100 + value)
        save_image(root / name.replace("/images/", "/thumbnails/"), 200 + value)
    for value, name in enumerate(GRAY):
        save_image(root / name, 50 + value)
    for name in (
        "dvd1/data/ground_truths/xml/00001/00001.xml",
        "dvd1/data/ground_truths/xml/00001/00001_930831_fa_a.xml",
        "dvd1/data/ground_truths/name_value/00001/00001_930831_fa_a.txt",
        "dvd1/doc/readme.html",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("no image")
    return root


@pytest.fixture
def feret(root, tmp_path):
    """Make the plugin for the tree, with a cache of its own."""

    def make(**options):
        options = {"path": str(root), "edition": "color", "unpacked": str(tmp_path / "cache"), **options}
        return Feret(**{name: value for name, value in options.items() if value is not None})

    return make


def problems(plugin):
    """Return what building says that is refused."""
    with pytest.raises(InputError) as caught:
        plugin.build(seed=0)
    return [str(problem) for problem in caught.value.problems]


class TestFeretColorContract(DatasetContract):
    @pytest.fixture
    def plugin(self, feret):
        return feret()


class TestFeretGrayContract(DatasetContract):
    @pytest.fixture
    def plugin(self, feret):
        return feret(edition="gray", poses=("fa",))


# --- What is found ---


def test_frontal_images_of_the_largest_size(feret):
    faces = feret().build(seed=0)
    assert faces.identities == ("00001", "00002", "00740")
    assert faces.labels.tolist() == [0, 0, 1, 1, 1, 2]
    assert [path.name for path in faces.images] == [
        "00001_930831_fa_a.ppm",
        "00001_930831_fb_a.ppm",
        "00002_930831_fa.ppm",
        "00002_940928_fa.ppm",
        "00002_940928_fb.ppm",
        "00740_941201_fa.ppm",
    ]
    assert [Image.open(path).getpixel((0, 0))[0] for path in faces.images] == [0, 1, 3, 4, 5, 7]


@pytest.mark.parametrize(("size", "first"), [("images", 0), ("smaller", 100), ("thumbnails", 200)])
def test_sizes_are_not_mixed(feret, size, first):
    faces = feret(size=size).build(seed=0)
    assert len(faces.images) == 6
    assert Image.open(faces.images[0]).getpixel((0, 0))[0] == first


def test_the_folder_of_a_size_may_be_given_itself(feret, root):
    faces = feret(path=str(root / "dvd1" / "data" / "thumbnails"), edition=None).build(seed=0)
    assert Image.open(faces.images[0]).getpixel((0, 0))[0] == 200


def test_gray_names_have_flags_and_maybe_a_letter(feret, root):
    faces = feret(path=str(root / "dvd2"), edition="gray").build(seed=0)
    assert faces.identities == ("00001", "00740")
    assert [path.name for path in faces.images] == [name.rpartition("/")[2] for name in GRAY]
    assert [Image.open(path).getpixel((0, 0)) for path in faces.images] == [50, 51, 52, 53]


def test_the_edition_that_is_there_need_not_be_named(feret, root):
    faces = feret(path=str(root / "dvd1"), edition=None).build(seed=0)
    assert faces.source.startswith("FERET (color), poses fa, fb; ")


def test_other_poses(feret):
    faces = feret(poses=("hl", "rb")).build(seed=0)
    assert [path.name for path in faces.images] == ["00001_930831_hl_a.ppm", "00002_940928_rb.ppm"]


def test_min_images_leaves_out_people_with_fewer_of_these_poses(feret):
    assert feret(min_images=2).build(seed=0).identities == ("00001", "00002")


def test_copies_may_be_sorted_otherwise(feret, tmp_path):
    for name in COLOR:
        save_image(tmp_path / "mine" / name.rpartition("/")[2].replace(".ppm", ".png"), 0, packed=False)
    faces = feret(path=str(tmp_path / "mine"), edition=None).build(seed=0)
    assert faces.labels.tolist() == [0, 0, 1, 1, 1, 2]
    assert all(path.parent == tmp_path / "mine" for path in faces.images)


def test_of_two_files_of_one_name_the_unpacked_one_is_used_and_then_the_first(feret, root, tmp_path):
    for folder, value in (("a", 21), ("z", 22)):
        save_image(root / folder / "00001_930831_fa_a.ppm", value)
    assert Image.open(feret().build(seed=0).images[0]).getpixel((0, 0))[0] == 21
    save_image(root / "z" / "00001_930831_fa_a.ppm", 23, packed=False)
    faces = feret().build(seed=0)
    assert faces.images[0] == root / "z" / "00001_930831_fa_a.ppm"
    assert len(faces.images) == 6


def test_symbolic_links_are_followed(feret, root, tmp_path):
    (tmp_path / "disc").symlink_to(root / "dvd1", target_is_directory=True)
    (tmp_path / "discs").mkdir()
    (tmp_path / "discs" / "dvd1").symlink_to(root / "dvd1", target_is_directory=True)
    fingerprints = {feret(path=str(tmp_path / name)).build(seed=0).fingerprint for name in ("disc", "discs")}
    assert fingerprints == {feret(path=str(root / "dvd1")).build(seed=0).fingerprint}


# --- Packed files ---


def test_links_that_lead_round_and_round_are_followed_once(feret, root):
    before = feret().build(seed=0)
    (root / "dvd1" / "again").symlink_to(root)
    (root / "dvd2" / "data" / "loop").symlink_to(root / "dvd2")
    after = feret().build(seed=0)
    assert (len(after.images), after.fingerprint) == (len(before.images), before.fingerprint)


def test_what_is_called_a_photograph_and_is_none_costs_itself_alone(feret, root):
    before = feret().build(seed=0)
    folder = root / "dvd1/data/images/00001"
    os.mkfifo(folder / "00001_930831_fa_c.ppm.bz2")
    (folder / "00001_930831_fa_b.ppm.bz2").symlink_to("nowhere")
    after = feret().build(seed=0)
    assert after.fingerprint == before.fingerprint
    assert (before.notes, after.notes) == (
        (),
        ("the data set leaves out 2 files that lead nowhere or are none, as 00001_930831_fa_b.ppm.bz2",),
    )


def unpack_all(root):
    for path in sorted(root.rglob("*.bz2")):
        path.with_suffix("").write_bytes(bz2.decompress(path.read_bytes()))


def test_whoever_unpacks_them_the_fingerprint_is_the_same(feret, root):
    before = feret().build(seed=0)
    assert not any(path.is_relative_to(root) for path in before.images)
    unpack_all(root)
    after = feret().build(seed=0)
    assert all(path.is_relative_to(root) for path in after.images)
    assert after.fingerprint == before.fingerprint


def test_fingerprint_changes_with_one_byte_and_with_a_name(feret, root):
    unpack_all(root)
    before = feret().build(seed=0).fingerprint
    path = root / COLOR[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    changed = feret().build(seed=0).fingerprint
    path.rename(path.with_name("00001_930831_fa_b.ppm"))
    path.with_name(path.name + ".bz2").unlink()
    assert len({before, changed, feret().build(seed=0).fingerprint}) == 3


def test_files_are_unpacked_once(feret, monkeypatch):
    first = feret().build(seed=0)
    monkeypatch.setattr(bz2, "open", None)
    assert feret().build(seed=0).images == first.images


def test_a_packed_file_that_was_replaced_is_unpacked_again(feret, root):
    before = feret().build(seed=0)
    save_image(root / COLOR[0], 99)
    os.utime(root / (COLOR[0] + ".bz2"), ns=(1, 1))
    after = feret().build(seed=0)
    assert after.fingerprint != before.fingerprint
    assert Image.open(after.images[0]).getpixel((0, 0))[0] == 99


def test_copies_go_into_the_users_cache(feret, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    assert feret(unpacked=None).build(seed=0).images[0].is_relative_to(tmp_path / "faceexp" / "feret")


def test_a_bomb_is_not_unpacked(feret, root, tmp_path):
    bomb = root / (COLOR[0] + ".bz2")
    bomb.write_bytes(bz2.compress(bytes(faceexp_dataset_feret.MAX_UNPACKED_BYTES + 1)))
    assert bomb.stat().st_size < 1000
    assert problems(feret()) == [
        f"{bomb}: unpacks to more than 16,777,216 bytes, so it is no image of FERET; remove it"
    ]
    assert not list((tmp_path / "cache").rglob(COLOR[0].rpartition("/")[2]))


def test_every_damaged_file_is_named(feret, root):
    short, other = (root / (name + ".bz2") for name in COLOR[:2])
    short.write_bytes(short.read_bytes()[:-8])
    other.write_bytes(b"no bzip2 at all")
    found = problems(feret())
    assert [message.partition(" (")[0] for message in found] == [
        f"{short}: cannot be unpacked",
        f"{other}: cannot be unpacked",
    ]
    assert all(message.endswith("); copy it from the disc again") for message in found)


# --- What is refused, and in which words ---


def test_both_editions_at_once(feret, root):
    assert problems(feret(edition=None)) == [
        f"{root}: holds FERET in color and in gray, which show the same photographs; "
        'set edition = "color" or edition = "gray" in [dataset]'
    ]


def test_an_edition_that_is_not_there(feret, root):
    path = root / "dvd1"
    assert problems(feret(path=str(path), edition="gray")) == [
        f"{path}: no FERET image in gray of size 'images' in it; all of its images are in color"
    ]


def test_no_image_of_feret(feret, tmp_path):
    save_image(tmp_path / "other" / "anna" / "1.ppm", 0)
    assert problems(feret(path=str(tmp_path / "other"), edition=None)) == [
        f"{tmp_path / 'other'}: no FERET image of size 'images' in it; names have to be like "
        "00001_930831_fa_a.ppm.bz2 (color) or 00001fa010_930831.tif.bz2 (gray)"
    ]


def test_a_missing_folder_names_the_near_one(feret, root):
    path = root.with_name("colorferet2")
    assert problems(feret(path=str(path))) == [f"{path}: no such folder; did you mean 'colorferet'?"]


def test_every_pose_that_is_not_there_is_named(feret, root):
    hint = "there are fa, fb, hl, rb"
    assert problems(feret(poses=("fa", "fx", "pl"))) == [
        f"{root}: no image of pose 'fx' in it; {hint}",
        f"{root}: no image of pose 'pl' in it; {hint}",
    ]


def test_too_few_people(feret, root):
    assert problems(feret(min_images=3)) == [
        f"{root}: 1 identity with at least 3 images of these poses, but a comparison of faces needs two or more; "
        "lower min_images or use more poses"
    ]


def test_what_cannot_be_read_is_named(feret, root, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", fail)
    assert problems(feret()) == [f"{root}: cannot be read: Permission denied"]


def test_labels_are_int32_from_zero(feret):
    labels = feret().build(seed=3).labels
    assert labels.dtype == np.int32
    assert sorted(set(labels.tolist())) == [0, 1, 2]


def test_a_pose_is_two_small_letters():
    with pytest.raises(ValidationError, match="should match pattern"):
        Feret(path="x", poses=("FA",))
