"""Sets of TensorFlow Datasets: a tiny one in the library's own format; what is said when one is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import warnings

import faceexp_dataset_tfds as module
import numpy as np
import pytest
from faceexp_dataset_tfds import Tfds
from PIL import Image
from pydantic import ValidationError

from faceexp.errors import InputError
from faceexp.quiet import silence
from faceexp.testing import DatasetContract


def picture(number):
    """An image of its own size and brightness."""
    return np.full((8 + number, 9, 3), 20 * number, np.uint8)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A folder in which the library has prepared a set of eight records, six of them to train."""
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    with silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        import tensorflow_datasets as tfds

        class TinyFaces(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.2.0")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "label": tfds.features.Text(),
                    "who": tfds.features.ClassLabel(names=["Zoe", "Adam"]),
                    "number": tfds.features.Scalar(np.int64),
                    "box": tfds.features.BBoxFeature(),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    homepage="https://example.org",
                    license="For tests",
                )

            def _split_generators(self, _manager):
                return {"train": self._generate_examples(range(6)), "test": self._generate_examples(range(6, 8))}

            def _generate_examples(self, numbers):
                for number in numbers:
                    box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
                    names = {"label": f"Person {'ABC'[number % 3]}", "who": number % 2, "number": number}
                    yield number, {"image": picture(number), "box": box, **names}

        tfds.core.utils.gcs_utils._is_gcs_disabled = True
        TinyFaces(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def options(data_dir, tmp_path):
    return {"name": "tiny_faces", "data_dir": str(data_dir), "cache_dir": str(tmp_path / "cache")}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Fail where a test would reach for the network."""

    def connect(*_):
        raise AssertionError("a test went to the network")

    monkeypatch.setattr("socket.socket.connect", connect)


class TestTfdsContract(DatasetContract):
    @pytest.fixture
    def plugin(self, data_dir):
        return Tfds(name="tiny_faces", data_dir=str(data_dir), cache_dir=str(data_dir / "cache"))


def numbers_of(faces):
    """Read which picture each image is off its height."""
    numbers = []
    for path in faces.images:
        with Image.open(path) as image:
            pixels = np.asarray(image)
        numbers.append(pixels.shape[0] - 8)
        np.testing.assert_array_equal(pixels, picture(numbers[-1]))
    return numbers


# What it gives


def test_each_record_is_an_image_and_whom_it_shows(options):
    faces = Tfds(**options).build(seed=0)
    numbers = numbers_of(faces)
    assert sorted(numbers) == [0, 1, 2, 3, 4, 5]
    assert faces.identities == ("Person A", "Person B", "Person C")
    np.testing.assert_array_equal(faces.labels, np.array(numbers) % 3)
    assert faces.licence == "For tests"
    assert faces.source == "TensorFlow Datasets: tiny_faces; https://example.org"


@pytest.mark.parametrize(
    ("key", "identities", "label"),
    [
        ("who", ("Adam", "Zoe"), lambda number: 1 - number % 2),
        ("number", ("0", "1", "2", "3", "4", "5"), lambda number: number),
    ],
)
def test_labels_are_names_classes_or_numbers(options, key, identities, label):
    faces = Tfds(**options, label_key=key).build(seed=0)
    assert faces.identities == identities
    assert faces.labels.tolist() == [label(number) for number in numbers_of(faces)]


def test_parts_of_the_set(options):
    assert sorted(numbers_of(Tfds(**options, split="train+test").build(seed=0))) == list(range(8))
    assert len(Tfds(**options, split="train[:4]").build(seed=0).images) == 4


def test_images_are_extracted_once(options, monkeypatch):
    first = Tfds(**options).build(seed=0)
    monkeypatch.setattr(module, "_library", lambda: pytest.fail("the library is needed again"))
    again = Tfds(**options).build(seed=0)
    assert (again.images, again.identities, again.fingerprint) == (first.images, first.identities, first.fingerprint)
    assert not list((first.images[0].parents[2]).glob("incomplete-*"))


def test_a_set_prepared_anew_is_extracted_anew(options, data_dir, tmp_path):
    first = Tfds(**options).build(seed=0)
    shutil.copytree(data_dir / "tiny_faces", tmp_path / "other" / "tiny_faces", copy_function=shutil.copy)
    again = Tfds(**{**options, "data_dir": str(tmp_path / "other")}).build(seed=0)
    assert again.images != first.images
    assert again.fingerprint == first.fingerprint  # of the content


def test_what_fails_leaves_nothing_half_done(options, tmp_path):
    with pytest.raises(InputError):
        Tfds(**options, label_key="box").build(seed=0)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() or "incomplete" in path.name] == []


def test_no_image_has_a_number_that_a_list_of_pairs_would_name(options):
    assert all(int(path.name) >= module.FIRST_NUMBER for path in Tfds(**options).build(seed=0).images)


def test_the_newest_version_is_taken_unless_one_is_named(tmp_path):
    for version in ("1.9.0", "1.10.0"):
        (tmp_path / "faces" / version).mkdir(parents=True)
        (tmp_path / "faces" / version / "features.json").touch()
    assert [path.name for path in module._versions(tmp_path, "faces")] == ["1.9.0", "1.10.0"]
    assert [path.name for path in module._versions(tmp_path, "faces:1.9.0")] == ["1.9.0"]
    assert module._versions(tmp_path, "faces:2.0.0") == []


# What is missing or does not fit


def test_a_set_that_is_not_there_says_what_to_run(options, data_dir):
    with pytest.raises(InputError) as caught:
        Tfds(**{**options, "name": "lfw"}).build(seed=0)
    assert str(caught.value) == (
        f"dataset 'tfds', lfw: is not prepared in {data_dir}; fetch it with download = true, or run: "
        f"python -c \"import tensorflow_datasets as tfds; tfds.builder('lfw', data_dir='{data_dir}')"
        '.download_and_prepare()"'
    )


def test_the_nearest_prepared_set_and_its_configurations_are_named(options, tmp_path):
    with pytest.raises(InputError, match="did you mean 'tiny_faces'"):
        Tfds(**{**options, "name": "tiny_face"}).build(seed=0)
    (tmp_path / "faces" / "large" / "1.0.0").mkdir(parents=True)
    (tmp_path / "faces" / "large" / "1.0.0" / "features.json").touch()
    with pytest.raises(InputError, match="; name one of faces/large; "):
        Tfds(name="faces", data_dir=str(tmp_path)).build(seed=0)


def test_the_folder_is_the_librarys_own_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=f"is not prepared in {tmp_path};"):
        Tfds(name="lfw").build(seed=0)
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"is not prepared in {tmp_path}/tensorflow_datasets;"):
        Tfds(name="lfw").build(seed=0)


def test_download_asks_the_library_and_nothing_else_does(options, data_dir, tmp_path, monkeypatch):
    class Library:
        """Prepares a set by copying the one that is there."""

        def builder(self, name, data_dir):
            assert name == "tiny_faces"
            self.folder = data_dir
            return self

        def download_and_prepare(self):
            shutil.copytree(data_dir / "tiny_faces", f"{self.folder}/tiny_faces")

    empty = {**options, "data_dir": str(tmp_path / "empty")}
    with pytest.raises(InputError, match="is not prepared"):
        Tfds(**empty).build(seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_library", Library)
        Tfds(**empty, download=True)._prepared()
    assert len(Tfds(**empty).build(seed=0).images) == 6


def test_what_cannot_be_fetched_says_why(options, tmp_path):
    with pytest.raises(InputError) as caught:
        Tfds(name="no_such_set", data_dir=str(tmp_path), download=True).build(seed=0)
    assert str(caught.value).startswith(
        "dataset 'tfds', no_such_set: cannot be fetched: Dataset no_such_set not found. Available datasets:"
    )


def test_without_a_network_the_library_tries_a_few_times_alone(options, tmp_path, monkeypatch):
    """With its ten tries it takes more than three minutes to say so."""
    tries = []

    class Library:
        def builder(self, _name, data_dir):
            del data_dir
            from tensorflow_datasets.core.download import downloader

            tries.append(downloader.MAX_RETRIES)
            raise OSError("no network")

    monkeypatch.setattr(module, "_library", Library)
    with pytest.raises(InputError, match="tiny_faces: cannot be fetched: no network"):
        Tfds(**{**options, "data_dir": str(tmp_path / "empty")}, download=True).build(seed=0)
    assert tries == [4]


@pytest.mark.parametrize("data_dir", ["/dev/null", "a\0b", "~nobody-of-that-name/sets"])
def test_a_folder_that_cannot_be_is_one_that_holds_nothing(data_dir):
    with pytest.raises(InputError, match="dataset 'tfds', faces: is not prepared in "):
        Tfds(name="faces", data_dir=data_dir).build(seed=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_key": "imag"}, "has no feature 'imag' for image_key; did you mean 'image'?"),
        ({"label_key": "labels"}, "has no feature 'labels' for label_key; did you mean 'label'?"),
        ({"image_key": "who"}, "the feature 'who' is no image but ClassLabel; set image_key"),
        ({"label_key": "box"}, "the feature 'box' is not one name or number an image; set label_key"),
        ({"split": "validation"}, "has no split 'validation'; known: train, test"),
        ({"split": "train[:1]"}, "'train[:1]' shows 1 people; a comparison of faces needs two or more"),
    ],
)
def test_what_does_not_fit_is_named(options, wrong, message):
    with pytest.raises(InputError) as caught:
        Tfds(**{**options, **wrong}).build(seed=0)
    assert str(caught.value) == f"dataset 'tfds', tiny_faces: {message}"


def test_a_missing_library_names_the_command_that_installs_it(options, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError) as caught:
        Tfds(**options).build(seed=0)
    assert str(caught.value) == (
        "dataset 'tfds': TensorFlow Datasets is not installed; run: pip install tensorflow-datasets"
    )


def test_what_was_extracted_needs_no_tensorflow(options):
    Tfds(**options).build(seed=0)
    code = (
        "import json, sys; from faceexp_dataset_tfds import Tfds; "
        "faces = Tfds(**json.loads(sys.argv[1])).build(0); "
        "print(len(faces.images), sys.modules.keys() & {'tensorflow', 'keras', 'tensorflow_datasets'})"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(options)], check=True, capture_output=True, text=True)
    assert done.stdout == "6 set()\n"


@pytest.mark.parametrize("name", ["huggingface:faces", "../faces", "Faces"])
def test_a_name_is_one_that_the_library_may_have(options, name):
    with pytest.raises(ValidationError, match="should match pattern"):
        Tfds(**options | {"name": name})
