"""The MobileFaceNet trunk: the paper's table, its arithmetic, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from faceexp_model_mobilefacenet import MobileFaceNet

from faceexp.errors import InputError
from faceexp.testing import ModelContract


class TestMobileFaceNetContract(ModelContract):
    shapes = ((32, 32, 1), (48, 40, 3))

    @pytest.fixture
    def plugin(self):
        return MobileFaceNet(width=4)


@pytest.fixture(scope="module")
def model():
    return MobileFaceNet().build((112, 112, 3))


def test_112x112_gives_512_features(model):
    assert MobileFaceNet().width == 64
    assert model.output_shape == (None, 512)
    assert "MobileFaceNets" in MobileFaceNet.reference


def test_layers_are_those_of_the_papers_table(model):
    # Input of each row: side and channels; Table 1 of the paper.
    rows = {
        "conv1": (112, 3),
        "conv2": (56, 64),
        "block1_expand": (56, 64),
        "block6_expand": (28, 64),
        "block7_expand": (14, 128),
        "block13_expand": (14, 128),
        "block14_expand": (7, 128),
        "conv3": (7, 128),
        "global": (7, 512),
    }
    for name, (side, channels) in rows.items():
        assert tuple(model.get_layer(name).input.shape[1:]) == (side, side, channels), name
    assert model.get_layer("global").output.shape[1:3] == (1, 1)
    # One block fewer than repetitions where the first has a stride or widens.
    assert sum("add" in layer.name for layer in model.layers) == 4 + 6 + 2


def test_number_of_parameters(model):
    def block(before, expansion, after):
        inner = expansion * before
        convolutions = before * inner + 9 * inner + inner * after
        return convolutions + 4 * (2 * inner + after) + 2 * inner  # batch norm has 4 a channel, PReLU 1

    expected = 9 * 3 * 64 + 5 * 64 + 9 * 64 + 5 * 64
    expected += 5 * block(64, 2, 64) + block(64, 4, 128) + 6 * block(128, 2, 128) + block(128, 4, 128)
    expected += 2 * block(128, 2, 128)
    expected += 128 * 512 + 5 * 512 + 49 * 512 + 4 * 512
    assert model.count_params() == expected == 956_672
    # The paper counts 0.99 million with its last layer, 512 to 128; moving averages are not trained.
    trained = sum(np.prod(variable.shape) for variable in model.trainable_variables)
    assert trained + 512 * 128 == pytest.approx(0.99e6, rel=0.02)


@pytest.mark.parametrize("shape", [(16, 16, 1), (17, 33, 3), (96, 96, 1)])
def test_the_global_convolution_is_as_large_as_the_map(shape):
    model = MobileFaceNet(width=2).build(shape)
    assert model.output_shape == (None, 16)
    assert model.get_layer("global").kernel.shape[:2] == (-(-shape[0] // 16), -(-shape[1] // 16))


def patches(x, size, stride):
    """Return what a convolution with "same" padding sees, (H', W', C, size, size), of an image (H, W, C)."""
    padding = []
    for side in x.shape[:2]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        padding.append((total // 2, total - total // 2))  # an odd row goes to the end
    padded = np.pad(x, (*padding, (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))[::stride, ::stride]


def naive_features(model, x):
    """Compute features (F,) of one image (H, W, C) layer by layer in double precision, from the paper's table."""
    weights = {layer.name: [w.astype(np.float64) for w in layer.get_weights()] for layer in model.layers}

    def after(x, name, linear=False):
        gamma, beta, mean, variance = weights[f"{name}_norm"]
        x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        return x if linear else np.where(x > 0, x, weights[f"{name}_prelu"][0] * x)

    def convolution(x, name, size=1, stride=1, linear=False):
        return after(np.einsum("hwcij,ijcf->hwf", patches(x, size, stride), weights[name][0]), name, linear)

    def depthwise(x, name, stride=1):
        return after(np.einsum("hwcij,ijc->hwc", patches(x, 3, stride), weights[name][0][..., 0]), name)

    x = depthwise(convolution(x, "conv1", 3, 2), "conv2")
    strides = [2, 1, 1, 1, 1] + [2] + [1] * 6 + [2] + [1, 1]
    for number, stride in enumerate(strides, start=1):
        inner = depthwise(convolution(x, f"block{number}_expand"), f"block{number}_depthwise", stride)
        inner = convolution(inner, f"block{number}_project", linear=True)
        x = inner + x if stride == 1 else inner
    x = convolution(x, "conv3")
    return after(np.einsum("hwc,hwc->c", x, weights["global"][0][..., 0]), "global", linear=True)


def test_forward_pass_equals_naive_convolutions():
    rng = np.random.default_rng(0)
    model = MobileFaceNet(width=3).build((37, 32, 3))
    # Every weight another, also those that start at 0 or 1; variances stay positive.
    model.set_weights(
        [
            rng.uniform(0.3, 1.0, w.shape) * rng.choice([1, 1 if w.ndim == 1 else -1], w.shape)
            for w in model.get_weights()
        ]
    )
    images = rng.normal(size=(2, 37, 32, 3)).astype(np.float32)
    features = np.asarray(model(images, training=False))
    expected = [naive_features(model, image.astype(np.float64)) for image in images]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_moving_averages_follow_the_option():
    import keras

    norms = [
        x
        for x in MobileFaceNet(width=2, momentum=0.5).build((16, 16, 1)).layers
        if isinstance(x, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 2 + 3 * 15 + 2
    assert {norm.momentum for norm in norms} == {0.5}


def test_an_image_too_small_is_refused():
    with pytest.raises(InputError) as caught:
        MobileFaceNet().build((96, 15, 1))
    assert str(caught.value) == (
        "model 'mobilefacenet': 4 strides of 2 leave nothing to convolve of an image of 96x15 pixels; "
        "give images of at least 16x16 pixels"
    )
