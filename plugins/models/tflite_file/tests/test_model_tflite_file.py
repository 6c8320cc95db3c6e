"""Networks that Keras has made and TensorFlow has converted, against the network itself."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from faceexp_model_tflite_file import TfliteFile
from pydantic import ValidationError

from faceexp.errors import InputError
from faceexp.quiet import silence
from faceexp.testing import FixedModelContract

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def network():
    """For images of -1 to 1."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([keras.Input((12, 10, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])


def converted(network, folder, *, quantised=False):
    """Write a network, say where."""
    import tensorflow as tf

    with silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.export(folder / "saved", format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
        if quantised:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([x[None]] for x in PIXELS.astype(np.float32) / 127.5 - 1)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.int8
        content = converter.convert()
    (folder / "net.tflite").write_bytes(content)
    return str(folder / "net.tflite")


@pytest.fixture(scope="session")
def path(network, tmp_path_factory):
    return converted(network, tmp_path_factory.mktemp("tflite"))


@pytest.fixture(scope="session")
def quantised(network, tmp_path_factory):
    return converted(network, tmp_path_factory.mktemp("quantised"), quantised=True)


class TestTfliteFileContract(FixedModelContract):
    shapes: ClassVar = ((12, 10, 3), (12, 10, 1))
    refused: ClassVar = ((10, 12, 3), (12, 10, 2))

    @pytest.fixture(params=["float", "quantised"])
    def plugin(self, path, quantised, request):
        return TfliteFile(path=path if request.param == "float" else quantised, mean=127.5, scale=127.5)


def features(plugin):
    return plugin.open(PIXELS.shape[1:])(PIXELS)


def test_it_gives_what_the_network_gives(network, path):
    images = PIXELS.astype(np.float32)
    np.testing.assert_allclose(features(TfliteFile(path=path)), network(images), rtol=1e-4, atol=1e-3)
    scaled = TfliteFile(path=path, mean=(1.0, 2.0, 3.0), scale=64.0, channels="bgr")
    expected = network((images[..., ::-1] - np.array([1, 2, 3], np.float32)) / 64)
    np.testing.assert_allclose(features(scaled), expected, rtol=1e-4, atol=1e-4)


def test_quantised_numbers_stand_for_what_the_file_says(network, quantised):
    expected = np.asarray(network(PIXELS.astype(np.float32) / 127.5 - 1))
    given = features(TfliteFile(path=quantised, mean=127.5, scale=127.5))
    # The output has 256 steps over its range; weights and images have as many.
    assert np.abs(given - expected).max() < 4 * np.ptp(expected) / 255
    assert len(np.unique(given)) <= 256


def test_its_name_and_digest_are_those_of_the_file(path):
    assert TfliteFile(path=path).trained == "net.tflite"
    assert TfliteFile(path=path).sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    with pytest.raises(ValidationError, match="is another file: its digest is "):
        TfliteFile(path=path, sha256="0" * 64)


def test_the_file_says_which_images_it_takes(path):
    assert TfliteFile(path=path).image_shape == (12, 10, 3)
    assert TfliteFile.options_for(Path(path)) == {"path": path}
    assert TfliteFile.options_for(Path("net.onnx")) is None


def test_images_of_another_size_and_outputs_that_are_not_there_are_refused(path):
    with pytest.raises(InputError, match=r"takes 12 x 10 RGB; set size = \[12, 10\] and color"):
        TfliteFile(path=path).open((112, 112, 3))
    with pytest.raises(InputError, match="has no output 'nothing'"):
        TfliteFile(path=path, output="nothing").open((12, 10, 3))


def test_what_is_no_such_file_is_refused(tmp_path, path):
    file = tmp_path / "other.tflite"
    for content, text in (
        (b"", "is no file of TensorFlow Lite"),
        (b"\x1c\0\0\0TFL3..FlexWriteFile", "could write files"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValidationError, match=text):
            TfliteFile(path=str(file))
    with pytest.raises(ValidationError, match="is missing: no such file"):
        TfliteFile(path=str(tmp_path / "missing.tflite"))
    file.write_bytes(Path(path).read_bytes()[:300])
    with pytest.raises(InputError, match="other.tflite: cannot be loaded: "):
        TfliteFile(path=str(file)).open((12, 10, 3))
