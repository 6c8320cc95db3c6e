"""Networks that Keras has exported, against the network itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from faceexp_model_saved_model import SavedModel
from pydantic import ValidationError

from faceexp.errors import InputError
from faceexp.quiet import silence
from faceexp.testing import FixedModelContract

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def network():
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([keras.Input((12, 10, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])


@pytest.fixture(scope="session")
def path(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "net"
    with silence():
        network.export(folder, format="tf_saved_model", verbose=False)
    return str(folder)


class TestSavedModelContract(FixedModelContract):
    shapes: ClassVar = ((12, 10, 3), (12, 10, 1))
    refused: ClassVar = ((10, 12, 3), (12, 10, 2))

    @pytest.fixture
    def plugin(self, path):
        return SavedModel(path=path, trust=True, mean=127.5, scale=127.5)


def features(plugin):
    return plugin.open(PIXELS.shape[1:])(PIXELS)


def test_it_gives_what_the_network_gives(network, path):
    images = PIXELS.astype(np.float32)
    np.testing.assert_allclose(features(SavedModel(path=path, trust=True)), network(images), rtol=1e-5, atol=1e-4)
    scaled = SavedModel(path=path, trust=True, mean=127.5, scale=64.0, channels="bgr", output="output_0")
    np.testing.assert_allclose(features(scaled), network((images[..., ::-1] - 127.5) / 64), rtol=1e-4, atol=1e-5)


def test_it_is_a_program_and_has_to_be_trusted(path):
    with pytest.raises(ValidationError, match=f"{path} is a program, .* say so with trust = true"):
        SavedModel(path=path)


def test_the_folder_says_which_images_it_takes(path, tmp_path):
    assert SavedModel(path=path, trust=True).image_shape == (12, 10, 3)
    assert SavedModel.options_for(Path(path)) == {"path": path}  # not that it is trusted
    assert SavedModel.options_for(tmp_path) is None
    assert SavedModel.is_program


def test_its_digest_is_that_of_its_files(path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    before = SavedModel(path=str(copy), trust=True)
    assert before.sha256 == SavedModel(path=path, trust=True).sha256
    assert before.trained == "copy"
    weights = next((copy / "variables").glob("*.data-*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert SavedModel(path=str(copy), trust=True).sha256 != before.sha256
    with pytest.raises(ValidationError, match="is another file: its digest is "):
        SavedModel(path=str(copy), trust=True, sha256=before.sha256)


def test_what_does_not_fit_is_refused(path):
    with pytest.raises(InputError, match=r"takes 12 x 10 RGB; set size = \[12, 10\] and color"):
        SavedModel(path=path, trust=True).open((112, 112, 3))
    with pytest.raises(InputError, match="has no output 'nothing'"):
        SavedModel(path=path, trust=True, output="nothing").open((12, 10, 3))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_no_such_folder_is_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"holds no saved_model\.pb"):
        SavedModel(path=str(tmp_path), trust=True)
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be loaded: "):
        SavedModel(path=str(tmp_path), trust=True).open((12, 10, 3))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValidationError, match="holds pipe, which is a pipe, not an ordinary file"):
        SavedModel(path=str(tmp_path), trust=True)
