"""A folder of images per identity: how it is read, and what is said when it is laid out otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faceexp_dataset_image_folder import ImageFolder
from PIL import Image

from faceexp.data.face_data import mistakes_of
from faceexp.errors import InputError
from faceexp.testing import DatasetContract


def save_image(path, value=0):
    """Save a small grey image in the format that the extension names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 5), value).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Two people, four images in four formats."""
    save_image(tmp_path / "faces" / "berta" / "b.jpg", 10)
    save_image(tmp_path / "faces" / "berta" / "a.png", 20)
    save_image(tmp_path / "faces" / "anna" / "2.bmp", 30)
    save_image(tmp_path / "faces" / "anna" / "1.pgm", 40)
    return tmp_path / "faces"


def problems(path, **options):
    """Return what building says about a folder that it refuses."""
    with pytest.raises(InputError) as caught:
        ImageFolder(path=str(path), **options).build(seed=0)
    return [str(problem) for problem in caught.value.problems]


class TestImageFolderContract(DatasetContract):
    @pytest.fixture
    def plugin(self, root):
        return ImageFolder(path=str(root))


# --- What is found ---


def test_identities_and_images_are_sorted_by_name(root):
    faces = ImageFolder(path=str(root)).build(seed=0)
    assert faces.identities == ("anna", "berta")
    assert [path.relative_to(root).as_posix() for path in faces.images] == [
        "anna/1.pgm",
        "anna/2.bmp",
        "berta/a.png",
        "berta/b.jpg",
    ]
    assert faces.labels.dtype == np.int32
    assert faces.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.JPEG", "x.bmp", "x.pgm", "x.tif", "x.gif", "x.webp"])
def test_every_format_that_pillow_reads(root, name):
    save_image(root / "anna" / name)
    assert root / "anna" / name in ImageFolder(path=str(root)).build(seed=0).images


def test_hidden_files_and_files_that_are_no_images_are_ignored(root):
    before = ImageFolder(path=str(root)).build(seed=0)
    save_image(root / "anna" / ".hidden.png")
    save_image(root / ".thumbnails" / "anna.png")
    save_image(root / "anna" / "originals" / "deeper.png")
    (root / "anna" / "notes.txt").write_text("blue eyes")
    (root / "anna" / "png").write_text("no extension")
    (root / "anna" / "report.pdf").write_text("Pillow writes these, but does not read them")
    (root / "README.md").write_text("about these faces")
    after = ImageFolder(path=str(root)).build(seed=0)
    assert (after.images, after.fingerprint) == (before.images, before.fingerprint)


def test_images_are_not_decoded(root):
    (root / "anna" / "broken.png").write_bytes(b"no image at all")
    assert root / "anna" / "broken.png" in ImageFolder(path=str(root)).build(seed=0).images


def test_symbolic_links_are_followed(root):
    elsewhere = save_image(root.parent / "elsewhere" / "1.png")
    (root / "clara").symlink_to(elsewhere.parent)
    (root / "anna" / "3.png").symlink_to(elsewhere)
    (root / "anna" / "dangling.png").symlink_to(root / "nowhere.png")
    faces = ImageFolder(path=str(root)).build(seed=0)
    assert faces.identities == ("anna", "berta", "clara")
    assert faces.labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert faces.notes == ("the data set leaves out anna/dangling.png (a link that leads nowhere)",)


def test_what_looks_like_faces_and_is_left_out_is_said(root):
    save_image(root / ".hidden" / "1.png")
    save_image(root / "anna" / "old" / "1.png")
    (root / "anna" / "loop.png").symlink_to("loop.png")
    (root / "berta" / "loop").symlink_to("loop")
    (root / "clara").symlink_to("nobody")
    os.mkfifo(root / "berta" / "pipe.png")
    (root / ".git").mkdir()
    faces = ImageFolder(path=str(root)).build(seed=0)
    assert faces.identities == ("anna", "berta")
    assert len(faces.images) == 4
    (note,) = faces.notes
    start, *named = note.replace(" and 1 more", "").split(", ")
    assert start == f"the data set leaves out {root.name}/clara (a link that leads nowhere)"
    assert named == [
        ".hidden (a hidden folder)",
        "anna/loop.png (a link that leads nowhere)",
        "anna/old (a folder inside that of an identity)",
        "berta/loop (a link that leads nowhere)",
    ]
    assert note.endswith(" and 1 more")


@pytest.mark.parametrize(
    "suffix", ["h5", "hdf", "mpg", "mpeg", "grib", "bufr", "fits", "ps", "eps", "pdf", "wmf", "mp4"]
)
def test_formats_that_are_no_photos_are_ignored(root, suffix):
    """Pillow lists some of them, but decodes none by itself."""
    before = ImageFolder(path=str(root)).build(seed=0)
    (root / "anna" / f"extra.{suffix}").write_bytes(b"no photo")
    after = ImageFolder(path=str(root)).build(seed=0)
    assert (after.images, after.notes) == (before.images, ())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_are_written_by_their_bytes(root):
    for name in (b"J\xf6rg", b"J\xe4rg"):
        save_image(root / os.fsdecode(name) / os.fsdecode(b"\xe9.png"))
    faces = ImageFolder(path=str(root)).build(seed=0)
    assert faces.identities == (r"J\xe4rg", r"J\xf6rg", "anna", "berta")
    assert mistakes_of(faces) == []
    (root / r"J\xf6rg").mkdir()
    save_image(root / r"J\xf6rg" / "1.png")
    assert problems(root) == [rf"{root}: 2 folders would both be called 'J\\xf6rg'; rename one of them"]


def test_names_that_differ_little_are_different_people(root):
    others = ["ANNA", "anna.", "berta ", "J\u00f6rg", "Jo\u0308rg"]
    for name in others:
        save_image(root / name / "1.png")
    assert set(ImageFolder(path=str(root)).build(seed=0).identities) == {"anna", "berta", *others}


def test_min_images_leaves_out_people_with_fewer(root):
    save_image(root / "clara" / "1.png")
    save_image(root / "berta" / "c.png")
    assert ImageFolder(path=str(root), min_images=1).build(seed=0).identities == ("anna", "berta", "clara")
    faces = ImageFolder(path=str(root), min_images=2).build(seed=0)
    assert faces.notes == ("min_images = 2 of the data set leaves out 1 of 3 people",)
    assert faces.identities == ("anna", "berta")
    assert faces.labels.tolist() == [0, 0, 1, 1, 1]


def test_path_is_relative_to_the_current_directory(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    faces = ImageFolder(path="faces").build(seed=0)
    assert faces.images[0] == root / "anna" / "1.pgm"  # absolute: images are decoded later, maybe elsewhere
    assert faces.fingerprint == ImageFolder(path=str(root)).build(seed=0).fingerprint


def test_tilde_is_the_home_directory(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    assert ImageFolder(path="~/faces").build(seed=0).images[0] == root / "anna" / "1.pgm"


def test_source_and_licence(root):
    faces = ImageFolder(path=str(root)).build(seed=0)
    assert faces.source == f"folder {root.name}"  # results are passed on; where the folder lies is nobody's business
    assert "owner" in faces.licence


# --- Fingerprint ---


def rename_person(root):
    (root / "anna").rename(root / "agnes")


def rename_image(root):
    (root / "anna" / "1.pgm").rename(root / "anna" / "0.pgm")


def add_image(root):
    save_image(root / "anna" / "3.png")


def change_image(root):
    save_image(root / "anna" / "1.pgm", 41)


def swap_images(root):
    first, second = root / "berta" / "a.png", root / "berta" / "b.jpg"
    content = first.read_bytes(), second.read_bytes()
    second.write_bytes(content[0])
    first.write_bytes(content[1])


@pytest.mark.parametrize("change", [rename_person, rename_image, add_image, change_image, swap_images])
def test_fingerprint_changes_with_names_and_content(root, change):
    plugin = ImageFolder(path=str(root))
    before = plugin.build(seed=0).fingerprint
    assert plugin.build(seed=1).fingerprint == before
    change(root)
    assert plugin.build(seed=0).fingerprint != before


def test_fingerprint_covers_only_who_is_kept(root):
    before = ImageFolder(path=str(root), min_images=2).build(seed=0).fingerprint
    save_image(root / "clara" / "1.png")
    assert ImageFolder(path=str(root), min_images=2).build(seed=0).fingerprint == before


# --- What is refused, and in which words ---


def test_a_missing_folder_names_the_near_one(root):
    assert problems(root.parent / "face") == [f"{root.parent / 'face'}: no such folder; did you mean 'faces'?"]


def test_a_missing_folder_with_none_near_says_where_it_was_looked_for(root, monkeypatch):
    monkeypatch.chdir(root)
    hint = "give the folder that holds one folder per identity"
    assert problems("nowhere/at/all") == [f"{root / 'nowhere/at/all'}: no such folder; {hint}"]


def test_an_unknown_home_directory_is_a_missing_folder():
    (message,) = problems("~nobody-of-that-name/faces")
    assert "~nobody-of-that-name/faces: no such folder" in message


def test_a_file_is_no_folder(root):
    path = root / "anna" / "1.pgm"
    assert problems(path) == [f"{path}: not a folder; give the folder that holds one folder per identity"]


def test_an_empty_folder(tmp_path):
    assert problems(tmp_path) == [f"{tmp_path}: no identity folders in it; make one folder of images per person"]


def test_images_outside_identity_folders(root):
    save_image(root / "c.png")
    save_image(root / "b.png")
    (message,) = problems(root)
    assert message == (
        f"{root}: images lie outside identity folders (2, the first is 'b.png'); put each into a folder named after "
        "the person it shows"
    )


def test_identity_folders_without_an_image(root):
    (root / "clara").mkdir()
    save_image(root / "dora" / "2020" / "1.png")
    hint = "no image directly inside this identity folder; add images or remove the folder"
    assert problems(root) == [f"{root / 'clara'}: {hint}", f"{root / 'dora'}: {hint}"]


def test_every_mistake_of_the_layout_is_reported_at_once(root):
    save_image(root / "stray.png")
    (root / "clara").mkdir()
    assert len(problems(root)) == 2


def test_one_person_is_too_few(tmp_path):
    save_image(tmp_path / "anna" / "1.png")
    assert problems(tmp_path) == [
        f"{tmp_path}: 1 identity, but a comparison of faces needs two or more; add a folder for each other person"
    ]


def test_min_images_that_leaves_too_few(root):
    (message,) = problems(root, min_images=5)
    assert message == (
        f"{root}: no identity with at least 5 images, but a comparison of faces needs two or more; "
        "lower min_images or add images"
    )


def forbid(monkeypatch, module, function, forbidden):
    real = getattr(module, function)

    def fail(path, *args):
        if path == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args)

    monkeypatch.setattr(module, function, fail)


def test_a_folder_that_cannot_be_read_is_named(root, monkeypatch):
    forbid(monkeypatch, os, "scandir", root / "anna")
    assert problems(root) == [f"{root / 'anna'}: cannot be read: Permission denied"]


def test_an_image_that_cannot_be_read_is_left_to_whoever_decodes_it(root, monkeypatch):
    before = ImageFolder(path=str(root)).build(seed=0)
    forbid(monkeypatch, Path, "open", root / "anna" / "1.pgm")
    after = ImageFolder(path=str(root)).build(seed=0)
    assert after.images == before.images
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "a\0b", "~nobody-of-that-name/faces", "faces/anna/1.pgm/x"])
def test_a_path_that_is_no_folder_is_one_line(root, monkeypatch, path):
    monkeypatch.chdir(root.parent)
    os.mkfifo("pipe")
    (message,) = problems(path)
    assert "not a folder" in message or "no such folder" in message


def test_neither_importing_nor_building_imports_tensorflow(root):
    code = (
        "import sys; from faceexp_dataset_image_folder import ImageFolder; ImageFolder(path=sys.argv[1]).build(0); "
        "print(sys.modules.keys() & {'tensorflow', 'keras', 'sklearn'})"
    )
    command = [sys.executable, "-c", code, str(root)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "set()\n"
