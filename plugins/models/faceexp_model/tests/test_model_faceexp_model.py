"""A model of faceexp, made by hand without training, against faceexp.load_model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from faceexp_model_faceexp_model import FaceexpModel
from pydantic import ValidationError

import faceexp
from faceexp.errors import InputError
from faceexp.testing import FixedModelContract

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def network():
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    scaled = layers.Rescaling(1 / 64, -2)
    return keras.Sequential([keras.Input((12, 10, 3)), scaled, layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])


@pytest.fixture(scope="session")
def path(network, tmp_path_factory):
    """The folder of a model inside a run, as far as it has to be there."""
    folder = tmp_path_factory.mktemp("runs") / "study-0123" / "models" / "arcface-s0"
    folder.mkdir(parents=True)
    network.save(folder / "model.keras")
    record = {
        "label": "arcface",
        "distance": "cosine",
        "threshold": 0.5,
        "preprocess": {"size": [12, 10], "color": "rgb"},
    }
    (folder / "calibration.json").write_text(json.dumps(record), encoding="utf-8")
    return str(folder)


class TestFaceexpModelContract(FixedModelContract):
    shapes: ClassVar = ((12, 10, 3),)
    refused: ClassVar = ((10, 12, 3), (12, 10, 1))

    @pytest.fixture
    def plugin(self, path):
        return FaceexpModel(path=path)


def test_it_gives_the_embeddings_of_the_model(path, network):
    given = FaceexpModel(path=path).open((12, 10, 3))(PIXELS)
    np.testing.assert_array_equal(given, faceexp.load_model(path).network(PIXELS))
    np.testing.assert_allclose(given, network(PIXELS.astype(np.float32)), rtol=1e-5, atol=1e-5)


def test_a_run_stands_for_its_best_model_and_a_label_for_that_loss(path):
    run = Path(path).parents[1]
    for named in (run, f"{run}:arcface"):
        plugin = FaceexpModel(path=str(named))
        assert plugin.trained == "arcface of study-0123"
        assert plugin.sha256 == FaceexpModel(path=path).sha256
    with pytest.raises(ValidationError, match="the run has no loss 'arcfase'; did you mean 'arcface'"):
        FaceexpModel(path=f"{run}:arcfase")


def test_folders_of_models_are_opened_by_it(path, tmp_path):
    assert FaceexpModel.options_for(Path(path)) == {"path": path}
    assert FaceexpModel.options_for(tmp_path) is None
    assert FaceexpModel(path=path).image_shape == (12, 10, 3)


def test_its_digest_is_that_of_network_and_calibration(path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    plugin = FaceexpModel(path=str(copy))
    assert plugin.sha256 == FaceexpModel(path=path).sha256
    assert plugin.trained == "arcface of copy"
    for name in ("calibration.json", "model.keras"):
        with (copy / name).open("ab") as file:
            file.write(b" " if name == "calibration.json" else bytes(10))
        with pytest.raises(ValidationError, match="is another file: its digest is "):
            FaceexpModel(path=str(copy), sha256=plugin.sha256)


def test_images_that_are_not_those_of_its_training_are_refused(path):
    with pytest.raises(
        InputError, match=r'takes 12 x 10 RGB; set size = \[12, 10\] and color = "rgb" in \[preprocess\]'
    ):
        FaceexpModel(path=path).open((12, 10, 1))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="holds no model; name a run"):
        FaceexpModel(path=str(tmp_path))
    with pytest.raises(ValidationError, match="no such folder"):
        FaceexpModel(path=str(tmp_path / "missing"))


def test_a_program_is_not_opened(path, tmp_path):
    shutil.copy(Path(path) / "calibration.json", tmp_path)
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(ValidationError, match="saved_model: is a program"):
        FaceexpModel(path=str(tmp_path))
