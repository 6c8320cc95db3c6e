"""The thin VGG trunk: its shape, its size, its arithmetic, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from faceexp_model_thin_vgg import ThinVgg
from pydantic import ValidationError
from scipy.signal import correlate

from faceexp.errors import InputError
from faceexp.testing import ModelContract


class TestThinVggContract(ModelContract):
    @pytest.fixture
    def plugin(self):
        return ThinVgg()


def test_defaults_are_those_of_the_study():
    plugin = ThinVgg()
    assert plugin.widths == (32, 16, 16)
    assert plugin.kernel_sizes == (4, 3, 3)
    assert plugin.negative_slope == 0.2  # of TensorFlow 1.x's leaky_relu; Keras 3 has 0.3
    assert "2018 study" in plugin.reference


def test_96x96_grey_gives_2304_features():
    model = ThinVgg().build((96, 96, 1))
    assert model.input_shape == (None, 96, 96, 1)
    assert model.output_shape == (None, 12 * 12 * 16) == (None, 2304)


def test_number_of_parameters():
    first = 4 * 4 * 1 * 32 + 32
    second = 3 * 3 * 32 * 16 + 16
    third = 3 * 3 * 16 * 16 + 16
    assert ThinVgg().build((96, 96, 1)).count_params() == first + second + third == 7488


def test_every_weight_is_trained():
    model = ThinVgg().build((16, 16, 1))
    assert len(model.trainable_variables) == len(model.variables) == 6


@pytest.mark.parametrize(
    ("shape", "features"), [((8, 8, 1), 16), ((9, 15, 1), 16), ((17, 8, 3), 32), ((112, 92, 1), 2464)]
)
def test_each_pooling_halves_the_image_and_drops_an_odd_row(shape, features):
    assert ThinVgg().build(shape).output_shape == (None, features)


def test_depth_follows_from_the_lengths():
    plugin = ThinVgg(widths=[8, 4], kernel_sizes=[5, 3])  # a list, as TOML gives it
    assert plugin.widths == (8, 4)
    assert plugin.build((20, 20, 1)).output_shape == (None, 5 * 5 * 4)


def test_one_kernel_size_serves_all_convolutions():
    one, each = (ThinVgg(widths=(8, 4), kernel_sizes=sizes).build((20, 20, 1)) for sizes in ((3,), (3, 3)))
    assert [variable.shape for variable in one.variables] == [variable.shape for variable in each.variables]


def naive_layer(image, kernel, bias, slope):
    """Convolve (H, W, C) with (k, k, C, F) under "same" padding, leaky ReLU, 2x2 max pooling."""
    size, filters = kernel.shape[0], kernel.shape[3]
    before, after = (size - 1) // 2, size // 2  # TensorFlow pads an even kernel's odd row at the end
    padded = np.pad(image, ((before, after), (before, after), (0, 0)))
    convolved = np.stack(
        [correlate(padded, kernel[..., f], mode="valid", method="direct")[..., 0] + bias[f] for f in range(filters)],
        axis=-1,
    )
    activated = np.where(convolved > 0, convolved, slope * convolved)
    height, width = activated.shape[0] // 2, activated.shape[1] // 2
    blocks = activated[: 2 * height, : 2 * width].reshape(height, 2, width, 2, filters)
    return blocks.max(axis=(1, 3))


@pytest.mark.parametrize("shape", [(8, 8, 1), (11, 8, 3)])
def test_forward_pass_equals_a_naive_convolution(shape):
    rng = np.random.default_rng(0)
    plugin = ThinVgg(widths=(3, 2, 4), negative_slope=0.1)
    model = plugin.build(shape)
    model.set_weights([rng.normal(size=variable.shape) for variable in model.variables])
    images = rng.normal(size=(2, *shape)).astype(np.float32)

    expected = []
    for image in images.astype(np.float64):
        x = image
        for kernel, bias in zip(model.get_weights()[::2], model.get_weights()[1::2], strict=True):
            x = naive_layer(x, kernel.astype(np.float64), bias, slope=0.1)
        expected.append(x.ravel())

    features = np.asarray(model(images))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def test_names_do_not_depend_on_what_was_built_before():
    names = [[layer.name for layer in ThinVgg().build((16, 16, 1)).layers] for _ in range(2)]
    assert names[0] == names[1]
    assert names[0][:3] == ["conv1", "pool1", "relu1"]


def test_an_image_that_pooling_shrinks_to_nothing_is_refused():
    assert ThinVgg().build((8, 8, 1)).output_shape == (None, 16)
    with pytest.raises(InputError) as caught:
        ThinVgg().build((96, 7, 1))
    assert str(caught.value) == (
        "model 'thin_vgg': 3 poolings shrink an image of 96x7 pixels to nothing; "
        "give images of at least 8x8 pixels or fewer widths and kernel_sizes"
    )


def test_lengths_that_disagree_are_refused():
    with pytest.raises(
        ValidationError, match=r"one entry for all convolutions or the length of widths.*they have 2 and 3"
    ):
        ThinVgg(widths=(32, 16))


@pytest.mark.parametrize(
    "options",
    [
        {"widths": (), "kernel_sizes": ()},
        {"widths": (0,), "kernel_sizes": (3,)},
        {"widths": (8,), "kernel_sizes": (0,)},
        {"widths": (8,) * 11, "kernel_sizes": (3,) * 11},
        {"widths": (100_000, 16, 16)},
        {"kernel_sizes": (4, 3, 99)},
        {"negative_slope": -0.1},
        {"negative_slope": 1.5},
        {"negative_slope": float("nan")},
        {"dropout": 0.5},
    ],
)
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(ValidationError):
        ThinVgg(**options)
