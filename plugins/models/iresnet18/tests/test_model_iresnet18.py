"""The IResNet-18 trunk: its size, its arithmetic, dropout, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from faceexp_model_iresnet18 import IResNet18

from faceexp.errors import InputError
from faceexp.testing import ModelContract


class TestIResNet18Contract(ModelContract):
    shapes = ((32, 32, 1), (40, 33, 3))

    @pytest.fixture(params=[0.0, 0.4])
    def plugin(self, request):
        return IResNet18(width=4, dropout=request.param)


@pytest.fixture(scope="module")
def model():
    return IResNet18().build((112, 112, 3))


def test_112x112_gives_25088_features(model):
    assert model.output_shape == (None, 7 * 7 * 512) == (None, 25088)
    assert "ArcFace" in IResNet18.reference


def test_number_of_parameters(model):
    def block(before, after, shortcut):
        convolutions = 9 * before * after + 9 * after * after
        others = 2 * before + 2 * after + after + 2 * after  # three batch norms and the PReLU
        return convolutions + others + (before * after + 2 * after if shortcut else 0)

    expected = 9 * 3 * 64 + 3 * 64
    for before, after in ((64, 64), (64, 128), (128, 256), (256, 512)):
        expected += block(before, after, shortcut=True) + block(after, after, shortcut=False)
    expected += 2 * 512
    trained = sum(np.prod(variable.shape) for variable in model.trainable_variables)
    assert trained == expected
    # With the authors' dense layer to 512 and the batch norm after it, the size that their implementation has.
    assert trained + 25088 * 512 + 512 + 2 * 512 == 24_025_600


@pytest.mark.parametrize("shape", [(16, 16, 1), (17, 33, 3), (112, 96, 1)])
def test_four_strides_halve_the_image_and_keep_an_odd_row(shape):
    sides = -(-shape[0] // 16) * -(-shape[1] // 16)
    assert IResNet18(width=2).build(shape).output_shape == (None, sides * 16)


def convolution(x, kernel, stride):
    """Convolve (H, W, C) with (k, k, C, F) under TensorFlow's "same" padding."""
    size, padding = kernel.shape[0], []
    for side in x.shape[:2]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        padding.append((total // 2, total - total // 2))  # an odd row goes to the end
    padded = np.pad(x, (*padding, (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))[::stride, ::stride]
    return np.einsum("hwcij,ijcf->hwf", seen, kernel)


def naive_features(model, x):
    """Compute features (F,) of one image (H, W, C) layer by layer in double precision."""
    weights = {layer.name: [w.astype(np.float64) for w in layer.get_weights()] for layer in model.layers}

    def norm(x, name):
        gamma, beta, mean, variance = weights[name]
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def prelu(x, name):
        return np.where(x > 0, x, weights[name][0] * x)

    x = prelu(norm(convolution(x, weights["stem"][0], 1), "stem_norm"), "stem_prelu")
    for stage in (1, 2, 3, 4):
        for number, stride in ((1, 2), (2, 1)):
            name = f"stage{stage}_block{number}"
            shortcut = x
            if stride == 2:
                shortcut = norm(convolution(x, weights[f"{name}_shortcut"][0], 2), f"{name}_shortcut_norm")
            x = convolution(norm(x, f"{name}_norm1"), weights[f"{name}_conv1"][0], 1)
            x = prelu(norm(x, f"{name}_norm2"), f"{name}_prelu")
            x = norm(convolution(x, weights[f"{name}_conv2"][0], stride), f"{name}_norm3") + shortcut
    return norm(x, "last_norm").ravel()


def test_forward_pass_equals_naive_convolutions():
    rng = np.random.default_rng(0)
    model = IResNet18(width=3, dropout=0.5).build((35, 32, 3))
    # Every weight another, also those that start at 0 or 1; variances stay positive.
    model.set_weights(
        [
            rng.uniform(0.3, 1.0, w.shape) * rng.choice([1, 1 if w.ndim == 1 else -1], w.shape)
            for w in model.get_weights()
        ]
    )
    images = rng.normal(size=(2, 35, 32, 3)).astype(np.float32)
    features = np.asarray(model(images, training=False))
    expected = [naive_features(model, image.astype(np.float64)) for image in images]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_dropout_acts_in_training_alone():
    model = IResNet18(width=2, dropout=0.4).build((32, 32, 1))
    images = np.random.default_rng(0).normal(size=(64, 32, 32, 1)).astype(np.float32)
    dropped = np.mean(np.asarray(model(images, training=True)) == 0)
    assert dropped == pytest.approx(0.4, abs=0.03)
    assert np.mean(np.asarray(model(images, training=False)) == 0) == 0


def test_moving_averages_follow_the_option():
    import keras

    layers = IResNet18(width=2, momentum=0.5).build((16, 16, 1)).layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 1 + 8 * 3 + 4 + 1
    assert {norm.momentum for norm in norms} == {0.5}


def test_an_image_too_small_is_refused():
    with pytest.raises(InputError) as caught:
        IResNet18().build((15, 96, 1))
    assert str(caught.value) == (
        "model 'iresnet18': 4 strides of 2 leave nothing to convolve of an image of 15x96 pixels; "
        "give images of at least 16x16 pixels"
    )
