"""The MobileFaceNet trunk as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import ModelPlugin, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    import keras

SMALLEST = 16

# Expansion t, width as a multiple of the first, repetitions n, stride of the first repetition: Table 1 of the paper.
BOTTLENECKS = ((2, 1, 5, 2), (4, 2, 1, 2), (2, 2, 6, 1), (4, 2, 1, 2), (2, 2, 2, 1))


class MobileFaceNet(ModelPlugin):
    """MobileFaceNet: inverted residuals and a global depthwise convolution instead of average pooling; 512 features.

    The paper's last layer, a linear 1x1 convolution to 128 numbers, is the embedding that the engine adds. What the
    paper leaves open is as in common implementations: batch normalisation after every convolution, which therefore has
    no bias, and slopes of the PReLU that start at 0.25, one a channel.
    """

    reference: ClassVar[str] = (
        "S. Chen, Y. Liu, X. Gao, Z. Han: MobileFaceNets: efficient CNNs for accurate real-time face verification on "
        "mobile devices. CCBR 2018"
    )

    width: int = option(
        64, "Filters of the first convolution; later ones have 1, 2 and 8 times as many.", unit="filters", ge=2, le=256
    )
    momentum: float = option(
        0.9, "Of batch normalisation's moving averages; more wants more steps of training.", ge=0, lt=1
    )

    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return the trunk: float32 (B, H, W, C) to (B, 8 width).

        The global depthwise convolution is as large as the map that 4 strides of 2 leave, 7x7 for images of 112x112.

        Raises:
            InputError: The image is smaller than 16x16.
        """
        if min(input_shape[:2]) < SMALLEST:
            message = (
                f"4 strides of 2 leave nothing to convolve of an image of {input_shape[0]}x{input_shape[1]} pixels; "
                f"give images of at least {SMALLEST}x{SMALLEST} pixels"
            )
            raise InputError(Problem(message, where="model 'mobilefacenet'"))

        import keras

        layers = keras.layers

        def drawn(gain: float, mode: str) -> keras.Initializer:
            # He's: features of an untrained trunk neither vanish nor explode. The inputs of a depthwise filter are
            # what Keras counts as its outputs.
            return keras.initializers.VarianceScaling(gain, mode, "truncated_normal")

        def normalized(x: keras.KerasTensor, name: str, *, linear: bool = False) -> keras.KerasTensor:
            x = layers.BatchNormalization(momentum=self.momentum, epsilon=1e-5, name=f"{name}_norm")(x)
            if linear:
                return x
            slopes = keras.initializers.Constant(0.25)
            return layers.PReLU(slopes, shared_axes=[1, 2], name=f"{name}_prelu")(x)

        def convolved(
            x: keras.KerasTensor, filters: int, size: int, stride: int, name: str, *, linear: bool = False
        ) -> keras.KerasTensor:
            # Only the linear convolutions come after a PReLU, which takes half of the variance.
            initial = drawn(2.0 if linear else 1.0, "fan_in")
            x = layers.Conv2D(
                filters, size, stride, padding="same", use_bias=False, kernel_initializer=initial, name=name
            )(x)
            return normalized(x, name, linear=linear)

        def depthwise(
            x: keras.KerasTensor, size: int | tuple[int, int], stride: int, name: str, *, linear: bool = False
        ) -> keras.KerasTensor:
            x = layers.DepthwiseConv2D(
                size,
                stride,
                padding="valid" if linear else "same",
                use_bias=False,
                depthwise_initializer=drawn(2.0, "fan_out"),
                name=name,
            )(x)
            return normalized(x, name, linear=linear)

        images = keras.Input(input_shape, name="images")
        x = depthwise(convolved(images, self.width, 3, 2, "conv1"), 3, 1, "conv2")
        number = 0
        for expansion, multiple, repetitions, first_stride in BOTTLENECKS:
            for repetition in range(repetitions):
                number += 1
                before, stride = x, first_stride if repetition == 0 else 1
                x = convolved(x, expansion * int(x.shape[-1]), 1, 1, f"block{number}_expand")
                x = depthwise(x, 3, stride, f"block{number}_depthwise")
                x = convolved(x, multiple * self.width, 1, 1, f"block{number}_project", linear=True)
                if stride == 1 and x.shape == before.shape:
                    x = layers.Add(name=f"block{number}_add")([before, x])
        x = convolved(x, 8 * self.width, 1, 1, "conv3")
        x = depthwise(x, tuple(x.shape[1:3]), 1, "global", linear=True)
        return keras.Model(images, layers.Flatten(name="features")(x), name="mobilefacenet")
