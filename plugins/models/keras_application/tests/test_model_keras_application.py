"""Networks of keras.applications: which there are, their weights, grey and small images."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
from faceexp_model_keras_application import KerasApplication, offered
from pydantic import ValidationError

from faceexp.errors import InputError
from faceexp.testing import ModelContract

GREY, COLOUR = (32, 32, 1), (32, 32, 3)


class TestKerasApplicationContract(ModelContract):
    shapes = (GREY, (33, 40, 3))

    @pytest.fixture
    def plugin(self):
        return KerasApplication(name="MobileNet")


class TestPretrainedContract(ModelContract):
    shapes = (GREY, (33, 40, 3))
    skips: ClassVar = {"test_the_seed_decides": "the weights are those of the file"}

    @pytest.fixture
    def plugin(self, colour_weights):
        return KerasApplication(name="MobileNet", weights=str(colour_weights), pooling="max", scale=2.0)


@pytest.fixture(scope="module")
def network():
    """MobileNet as Keras builds it, with weights unlike those of any other."""
    import keras

    network = keras.applications.MobileNet(weights=None, include_top=False, input_shape=COLOUR)
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.5, 1.0, w.shape) if w.ndim == 1 else w for w in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def colour_weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    network.save_weights(path)
    return path


def images(shape):
    return np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)


def same(here, there):
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5 * np.abs(there).max())


def expected(network, colours, pool=np.mean):
    return pool(np.asarray(network(colours, training=False)), axis=(1, 2))


# Networks


def test_offered_are_the_classes_of_keras_applications():
    import keras

    assert list(offered()) == sorted(name for name in dir(keras.applications) if name[0].isupper())
    assert {"MobileNetV2", "ResNet50", "VGG16"} <= set(offered())


def test_checking_the_name_does_not_import_keras():
    code = (
        "import sys; from faceexp_model_keras_application import KerasApplication; KerasApplication(name='VGG16'); "
        "print(sys.modules.keys() & {'tensorflow', 'keras'})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(ValidationError, match=r"has no network 'MobilNetV2'; did you mean 'MobileNetV2'"):
        KerasApplication(name="MobilNetV2")


def test_features_are_the_pooled_last_map(network, colour_weights):
    x = images(COLOUR)
    for pooling, pool in (("avg", np.mean), ("max", np.max)):
        model = KerasApplication(name="MobileNet", weights=str(colour_weights), pooling=pooling).build(COLOUR)
        same(model(x, training=False), expected(network, x, pool))


def test_scale_multiplies_the_images(network, colour_weights):
    x = images(COLOUR)
    model = KerasApplication(name="MobileNet", weights=str(colour_weights), scale=64.0).build(COLOUR)
    same(model(x, training=False), expected(network, 64 * x))


def test_preprocessing_that_is_built_in_is_left_out_or_undone():
    import keras

    small = KerasApplication(name="MobileNetV3Small").build(GREY)
    assert not [x for x in small.get_layer("MobileNetV3Small").layers if isinstance(x, keras.layers.Rescaling)]
    efficient = KerasApplication(name="EfficientNetB0", scale=0.5).build(GREY)
    inside = [x.scale for x in efficient.get_layer("efficientnetb0").layers if isinstance(x, keras.layers.Rescaling)]
    assert efficient.get_layer("scale").scale * inside[0] == pytest.approx(0.5)


def test_a_grey_image_needs_no_three_channels():
    # 3x3 kernels of the first convolution, 32 filters: two channels fewer.
    grey, colour = (KerasApplication(name="MobileNet").build(shape).count_params() for shape in (GREY, COLOUR))
    assert colour - grey == 2 * 3 * 3 * 32
    assert grey == 3_228_288


def test_moving_averages_follow_the_option():
    import keras

    inside = KerasApplication(name="MobileNet", momentum=0.5).build(GREY).layers[-1].layers
    norms = [layer for layer in inside if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 27
    assert {norm.momentum for norm in norms} == {0.5}


def test_features_of_a_freshly_drawn_network_are_about_those_that_training_sees():
    import keras

    x = np.random.default_rng(1).normal(size=(32, *GREY)).astype(np.float32)
    drawn = KerasApplication(name="MobileNet").build(GREY)
    inference, training = (np.asarray(drawn(x, training=training)) for training in (False, True))
    assert 0.1 < inference.std() / training.std() < 10
    # As Keras draws it, they vanish.
    vanishing = keras.applications.MobileNet(weights=None, include_top=False, input_shape=GREY)(x, training=False)
    assert np.std(vanishing) < 1e-9


@pytest.mark.parametrize(("name", "least"), [("MobileNet", 32), ("Xception", 71)])
def test_images_too_small_are_refused_with_the_smallest_size(name, least):
    with pytest.raises(InputError) as caught:
        KerasApplication(name=name).build((96, 31, 1))
    message = str(caught.value)
    assert message.startswith(f"model 'keras_application': {name} cannot be built for images of 96x31 pixels:")
    assert f"at least {least}x{least}" in message


# Weights


def test_weights_for_colour_see_a_grey_image_three_times(network, colour_weights):
    x = images(GREY)
    model = KerasApplication(name="MobileNet", weights=str(colour_weights)).build(GREY)
    same(model(x, training=False), expected(network, np.repeat(x, 3, axis=-1)))


def test_weights_for_grey_see_it_once(tmp_path):
    import keras

    grey = keras.applications.MobileNet(weights=None, include_top=False, input_shape=GREY)
    grey.save_weights(tmp_path / "grey.weights.h5")
    plugin = KerasApplication(name="MobileNet", weights=str(tmp_path / "grey.weights.h5"))
    same(plugin.build(GREY)(images(GREY), training=False), expected(grey, images(GREY)))
    with pytest.raises(InputError, match="are no weights of MobileNet without its classifier"):
        plugin.build(COLOUR)


def test_weights_in_the_older_format_are_read(network, tmp_path):
    network.save(tmp_path / "whole.h5")
    x = images(COLOUR)
    model = KerasApplication(name="MobileNet", weights=str(tmp_path / "whole.h5")).build(COLOUR)
    same(model(x, training=False), expected(network, x))


def test_weights_of_another_network_are_refused(colour_weights):
    plugin = KerasApplication(name="VGG16", weights=str(colour_weights))
    with pytest.raises(InputError) as caught:
        plugin.build(GREY)
    message = str(caught.value)
    assert message.startswith(f"{colour_weights}: these are no weights of VGG16 without its classifier: ")
    assert "\n" not in message


def test_a_file_that_holds_no_weights_is_refused(tmp_path):
    (tmp_path / "x.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValidationError, match=r"x\.weights\.h5 holds no weights that can be read"):
        KerasApplication(name="MobileNet", weights=str(tmp_path / "x.weights.h5"))


def test_a_file_that_declares_more_weights_than_it_holds_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file.create_dataset("kernel", shape=(10**6, 10**6), dtype="float32", chunks=(100, 100))
    with pytest.raises(ValidationError, match=r"declares weights of 4,000,000,000,000 bytes in a file of "):
        KerasApplication(name="MobileNet", weights=str(tmp_path / "x.weights.h5"))


@pytest.mark.parametrize("name", ["missing.weights.h5", "there.txt"])
def test_weights_must_be_a_file_of_the_right_kind(tmp_path, name):
    (tmp_path / "there.txt").touch()
    with pytest.raises(ValidationError, match=f"no such file that ends in .h5: .*{name}; nothing is downloaded"):
        KerasApplication(name="MobileNet", weights=str(tmp_path / name))


def test_a_large_file_is_not_read(colour_weights, monkeypatch):
    monkeypatch.setattr("faceexp.network_files.network.MAX_BYTES", 1000)
    with pytest.raises(ValidationError, match="1,000 are the most that are read"):
        KerasApplication(name="MobileNet", weights=str(colour_weights))


def test_the_digest_of_the_weights_is_an_option(colour_weights, tmp_path):
    digest = hashlib.sha256(colour_weights.read_bytes()).hexdigest()
    assert KerasApplication(name="MobileNet").sha256 is None
    assert KerasApplication(name="MobileNet", weights=str(colour_weights)).sha256 == digest
    assert KerasApplication(name="MobileNet", weights=str(colour_weights), sha256=digest).sha256 == digest
    with pytest.raises(ValidationError, match=f"is another file: its digest is {digest}"):
        KerasApplication(name="MobileNet", weights=str(colour_weights), sha256="0" * 64)


def test_a_digest_is_a_digest():
    with pytest.raises(ValidationError, match="should match pattern"):
        KerasApplication(name="MobileNet", sha256="x")
