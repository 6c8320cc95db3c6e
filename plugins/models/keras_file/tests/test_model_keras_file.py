"""Saved Keras files as trunks: what is loaded, where it is cut, what is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from faceexp_model_keras_file import KerasFile
from pydantic import ValidationError

from faceexp.errors import InputError
from faceexp.network_files.keras import MAX_DESCRIPTION_BYTES
from faceexp.testing import ModelContract

GREY = (8, 8, 1)


@pytest.fixture(scope="session")
def layers():
    import keras

    return keras.layers


@pytest.fixture(scope="session")
def network(layers):
    """Two convolutions, for grey images of any size; batch normalisation has weights that are not trained."""
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            layers.Conv2D(4, 3, strides=2, name="first"),
            layers.BatchNormalization(name="norm", trainable=False),
            layers.Conv2D(6, 3, activation="relu", name="second"),
            layers.GlobalMaxPooling2D(name="pool"),
            layers.Dense(5, name="classes"),
        ]
    )


@pytest.fixture(scope="session")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "network.keras"
    network.save(path)
    return str(path)


@pytest.fixture
def saved(tmp_path):
    """Save a model, say where."""

    def save(model):
        model.save(tmp_path / "model.keras")
        return str(tmp_path / "model.keras")

    return save


class TestKerasFileContract(ModelContract):
    shapes = ((24, 24, 1), (17, 30, 1))
    skips: ClassVar = {"test_the_seed_decides": "the weights are those of the file"}

    @pytest.fixture(params=[{}, {"layer": "pool"}, {"layer": "second", "scale": 64.0, "offset": 128.0}])
    def plugin(self, path, request):
        return KerasFile(path=path, **request.param)


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(3, 24, 24, 1)).astype(np.float32)


def features(plugin, images):
    return np.asarray(plugin.build(images.shape[1:])(images, training=False))


# What it gives


def test_the_whole_model_is_the_trunk_unless_a_layer_is_named(path, network, images):
    np.testing.assert_allclose(features(KerasFile(path=path), images), network(images), rtol=1e-5, atol=1e-6)


def test_a_layer_cuts_the_rest_off(path, network, images):
    cut = KerasFile(path=path, layer="pool")
    np.testing.assert_allclose(
        features(cut, images) @ network.layers[-1].kernel + network.layers[-1].bias, network(images), atol=1e-5
    )
    assert cut.build((24, 24, 1)).count_params() == network.count_params() - 6 * 5 - 5


def test_of_a_map_each_channels_mean_is_the_feature(path, network, images):
    here = images
    for layer in network.layers[:3]:
        here = layer(here)
    expected = np.mean(here, axis=(1, 2))
    np.testing.assert_allclose(features(KerasFile(path=path, layer="second"), images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("functional", [True, False])
def test_a_model_inside_the_model_is_a_layer_of_it(network, saved, layers, functional):
    import keras

    images = np.random.default_rng(0).normal(size=(3, 24, 24, 1)).astype(np.float32)
    outside = keras.Input((24, 24, 1))
    scaled = layers.Rescaling(3.0)
    whole = (
        keras.Model(outside, layers.Dense(2)(network(scaled(outside))))
        if functional
        else keras.Sequential([outside, scaled, network, layers.Dense(2)])
    )
    plugin = KerasFile(path=saved(whole), layer=network.name)
    np.testing.assert_allclose(features(plugin, images), network(3 * images), rtol=1e-4, atol=1e-5)


def test_scale_and_offset_restore_what_the_model_was_made_for(path, network, images):
    plugin = KerasFile(path=path, scale=64.0, offset=128.0)
    np.testing.assert_allclose(features(plugin, images), network(64 * images + 128), rtol=1e-4, atol=1e-3)


def test_what_was_frozen_stays_frozen(path):
    names = {variable.path.split("/")[0] for variable in KerasFile(path=path).build((24, 24, 1)).trainable_variables}
    assert names == {"first", "second", "classes"}


def test_home_is_understood(path, images, monkeypatch):
    folder, _, name = path.rpartition("/")
    monkeypatch.setenv("HOME", folder)
    np.testing.assert_array_equal(features(KerasFile(path=f"~/{name}"), images), features(KerasFile(path=path), images))


def test_the_digest_of_the_file_is_an_option(path, saved, network, layers):
    import keras

    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert KerasFile(path=path).sha256 == KerasFile(path=path, sha256=digest).sha256 == digest
    other = saved(keras.Sequential([keras.Input(GREY), layers.Flatten()]))
    assert KerasFile(path=other).sha256 != digest
    with pytest.raises(ValidationError, match="is another file: its digest is "):
        KerasFile(path=other, sha256=digest)


def test_pixels_are_taken_as_they_are(path, network):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 1)).astype(np.float32)
    plugin = KerasFile(path=path, pixels=True, scale=1 / 128, offset=-1.0)
    assert plugin.takes_pixels
    assert not KerasFile(path=path).takes_pixels
    np.testing.assert_allclose(features(plugin, pixels), network(pixels / 128 - 1), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_whole_models_of_the_old_format_are_opened(network, images, tmp_path):
    network.save(tmp_path / "old.h5")
    plugin = KerasFile(path=str(tmp_path / "old.h5"), layer="pool")
    np.testing.assert_array_equal(
        features(plugin, images), features(KerasFile(path=_new(network, tmp_path), layer="pool"), images)
    )
    assert plugin.trained == "old.h5"


def _new(network, folder):
    network.save(folder / "new.keras")
    return str(folder / "new.keras")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_the_file_says_which_images_it_takes(network, path, tmp_path):
    network.save(tmp_path / "old.h5")
    for file in (path, str(tmp_path / "old.h5")):
        assert KerasFile(path=file).image_shape == (None, None, 1)
        assert KerasFile.options_for(Path(file)) == {"path": file, "pixels": True}
    assert KerasFile.options_for(Path("net.onnx")) is None


def test_old_files_that_would_fill_the_memory_are_refused(tmp_path):
    huge = {"class_name": "Dense", "config": {"units": 10**6}}
    given = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 8, 8, 10**6]}}
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        config = {"name": "old", "layers": [given, huge]}
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
    with pytest.raises(InputError, match="describes layers with 1,000,001,000,000 weights, but holds 0"):
        KerasFile(path=str(tmp_path / "huge.h5")).build(GREY)


@pytest.mark.parametrize(("separate", "cut"), [(False, "features"), (True, "features")])
def test_a_classifier_at_the_end_is_noticed(saved, layers, separate, cut):
    import keras

    end = [layers.Dense(3), layers.Softmax(name="end")] if separate else [layers.Dense(3, "softmax", name="end")]
    model = keras.Sequential([keras.Input(GREY), layers.Flatten(), layers.Dense(4, name="features"), *end])
    plugin = KerasFile(path=saved(model))
    assert plugin.notes == (
        f"model.keras ends in a classifier, whose last layer 'end' gives no embedding; set layer = {cut!r}",
    )
    assert KerasFile(path=plugin.path, layer=cut).notes == ()


# What does not fit


def test_images_of_another_shape_are_refused(path, saved, layers):
    import keras

    for given, text in (((24, 24, 3), "24x24x3"), ((32, 24, 1), "32x24x1")):
        fixed = saved(keras.Sequential([keras.Input((24, 24, 1)), layers.Flatten()]))
        with pytest.raises(InputError) as caught:
            KerasFile(path=fixed).build(given)
        assert str(caught.value) == (
            f"{fixed}: takes images of shape 24x24x1, not {text}; set size and color in [preprocess]"
        )
    with pytest.raises(InputError, match="takes images of shape anyxanyx1, not 24x24x3"):
        KerasFile(path=path).build((24, 24, 3))


def test_images_too_small_are_refused(path):
    with pytest.raises(InputError, match="takes no images of shape 4x4x1"):
        KerasFile(path=path).build((4, 4, 1))


def test_a_layer_that_is_not_there_names_the_nearest(path):
    with pytest.raises(ValidationError, match="has no layer 'clases'; did you mean 'classes'"):
        KerasFile(path=path, layer="clases")


def test_two_outputs_and_outputs_that_are_no_vector_are_refused(saved, layers):
    import keras

    images = keras.Input(GREY)
    with pytest.raises(InputError, match="1 inputs and 2 outputs, but a trunk has one of each"):
        KerasFile(path=saved(keras.Model(images, [images, layers.Flatten()(images)]))).build(GREY)
    with pytest.raises(InputError, match="gives 64x1 numbers, neither a vector nor a map; name a layer"):
        KerasFile(path=saved(keras.Model(images, layers.Reshape((64, 1))(images)))).build(GREY)


def test_a_model_that_never_saw_an_input_is_refused(saved, layers):
    import keras

    with pytest.warns(UserWarning, match="has not yet been built"):
        path = saved(keras.Sequential([layers.Flatten()]))
    with pytest.raises(InputError, match="cannot be loaded"):
        KerasFile(path=path).build(GREY)


# What is not safe


def test_code_is_refused_before_keras_is_imported(saved, layers):
    import keras

    @keras.saving.register_keras_serializable(package="theirs")
    class Own(keras.layers.Layer):
        pass

    def own(x):
        return x

    for layer, text in (
        (layers.Lambda(lambda x: x), "a Lambda layer"),
        (Own(), "the class 'theirs>Own'"),
        (layers.Activation(own), "the function 'own'"),
    ):
        inner = keras.Sequential([keras.Input(GREY), layer])  # inside another model
        path = saved(keras.Sequential([keras.Input(GREY), inner, layers.Flatten()]))
        code = (
            "import sys; from faceexp_model_keras_file import KerasFile\n"
            f"try: KerasFile(path={path!r})\n"
            "except ValueError as error: print(error, sys.modules.keys() & {'tensorflow', 'keras'})"
        )
        said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        assert f"{path} holds {text}; only models of Keras's own layers are loaded" in said
        assert "set()" in said


def described(path, text, name="config.json"):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, text)
    return str(path)


@pytest.mark.parametrize("content", [None, b"", b"PK", "no description", "{", b"\xff", "[" * 100_000])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "x.keras"
    if content in (b"", b"PK"):
        path.write_bytes(content)
    elif content:
        described(path, content, "other.json" if content == "no description" else "config.json")
    with pytest.raises(ValidationError, match=r"no such file|is no file that model\.save"):
        KerasFile(path=str(path))


@pytest.mark.parametrize(
    "config", [{"module": "keras", "class_name": "Nothing", "config": {}}, {"class_name": [], "config": []}, []]
)
def test_a_file_that_only_looks_like_a_model_is_refused(tmp_path, config):
    path = described(tmp_path / "x.keras", json.dumps(config))
    with pytest.raises(InputError, match="x.keras: cannot be loaded: "):
        KerasFile(path=path).build(GREY)
    with pytest.raises(ValidationError, match="has no layer 'first'"):
        KerasFile(path=path, layer="first")


def test_a_file_that_unpacks_to_too_much_is_refused(path, tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b"0" * (MAX_DESCRIPTION_BYTES + 1))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ValidationError, match="describes its model in more than"):
        KerasFile(path=str(bomb))
    monkeypatch.setattr("faceexp.network_files.network.MAX_BYTES", 1000)
    with pytest.raises(ValidationError, match="1,000 are the most that are read"):
        KerasFile(path=path)
