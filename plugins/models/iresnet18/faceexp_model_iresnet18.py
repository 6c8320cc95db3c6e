"""The improved ResNet-18 of ArcFace as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import ModelPlugin, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    import keras

STAGES, BLOCKS = 4, 2
SMALLEST = 2**STAGES


class IResNet18(ModelPlugin):
    """IResNet-18 of ArcFace: residual blocks BN-Conv-BN-PReLU-Conv-BN, the last map flattened after BN and dropout.

    Eight blocks in four stages; the first block of each has stride 2. The stem has none, since faces are small. The
    dense layer after dropout is the embedding that the engine adds; the batch normalisation after it is left out.
    """

    reference: ClassVar[str] = (
        "J. Deng, J. Guo, N. Xue, S. Zafeiriou: ArcFace: additive angular margin loss for deep face recognition. "
        "CVPR 2019; residual units after D. Han, J. Kim, J. Kim: Deep pyramidal residual networks. CVPR 2017"
    )

    width: int = option(
        64, "Filters of the first stage; each later one has twice as many.", unit="filters", ge=2, le=256
    )
    dropout: float = option(
        0.0, "Share of features dropped in training; the paper has 0.4, its authors' later code 0.", ge=0, lt=1
    )
    momentum: float = option(
        0.9, "Of batch normalisation's moving averages; more wants more steps of training.", ge=0, lt=1
    )

    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return the trunk: float32 (B, H, W, C) to (B, F), F = ceil(H / 16) ceil(W / 16) times 8 width.

        Raises:
            InputError: The image is smaller than 16x16.
        """
        if min(input_shape[:2]) < SMALLEST:
            message = (
                f"{STAGES} strides of 2 leave nothing to convolve of an image of {input_shape[0]}x{input_shape[1]} "
                f"pixels; give images of at least {SMALLEST}x{SMALLEST} pixels"
            )
            raise InputError(Problem(message, where="model 'iresnet18'"))

        import keras

        layers = keras.layers

        def normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
            return layers.BatchNormalization(momentum=self.momentum, epsilon=1e-5, name=name)(x)

        def convolved(x: keras.KerasTensor, filters: int, size: int, stride: int, name: str) -> keras.KerasTensor:
            return layers.Conv2D(filters, size, stride, padding="same", use_bias=False, name=name)(x)

        def activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
            return layers.PReLU(keras.initializers.Constant(0.25), shared_axes=[1, 2], name=name)(x)

        def block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
            shortcut = x
            if stride != 1:
                shortcut = normalized(convolved(x, filters, 1, stride, f"{name}_shortcut"), f"{name}_shortcut_norm")
            x = convolved(normalized(x, f"{name}_norm1"), filters, 3, 1, f"{name}_conv1")
            x = activated(normalized(x, f"{name}_norm2"), f"{name}_prelu")
            x = normalized(convolved(x, filters, 3, stride, f"{name}_conv2"), f"{name}_norm3")
            return layers.Add(name=f"{name}_add")([shortcut, x])

        images = keras.Input(input_shape, name="images")
        x = activated(normalized(convolved(images, self.width, 3, 1, "stem"), "stem_norm"), "stem_prelu")
        for stage in range(STAGES):
            for number in range(BLOCKS):
                x = block(x, self.width * 2**stage, 2 if number == 0 else 1, f"stage{stage + 1}_block{number + 1}")
        # A seed: without one, Keras draws another in every process.
        x = layers.Dropout(self.dropout, seed=0, name="dropout")(normalized(x, "last_norm"))
        return keras.Model(images, layers.Flatten(name="features")(x), name="iresnet18")
