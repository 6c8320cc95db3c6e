"""The thin VGG trunk as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from faceexp.contract import ModelPlugin, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    import keras

Width = Annotated[int, Field(ge=1, le=4096)]
KernelSize = Annotated[int, Field(ge=1, le=31)]


class ThinVgg(ModelPlugin):
    """Thin VGG: a few convolutions with leaky ReLU, each followed by 2x2 max pooling, then flattened."""

    reference: ClassVar[str] = (
        "The trunk of the 2018 study that faceexp generalises (TensorFlow 1.12); a thin form of K. Simonyan, "
        "A. Zisserman: Very deep convolutional networks for large-scale image recognition. ICLR 2015"
    )
    suggested: ClassVar[bool] = True

    widths: tuple[Width, ...] = option(
        (32, 16, 16), "Filters of each convolution, first to last.", unit="filters", min_length=1, max_length=10
    )
    kernel_sizes: tuple[KernelSize, ...] = option(
        (4, 3, 3), "Side of each convolution's square kernel: as many as widths, or one.", unit="pixels", min_length=1
    )
    negative_slope: float = option(0.2, "Slope of the leaky ReLU below zero.", ge=0, le=1)

    @model_validator(mode="after")
    def _one_kernel_size_per_width(self) -> ThinVgg:
        if len(self.kernel_sizes) not in (1, len(self.widths)):
            message = (
                f"kernel_sizes must have one entry for all convolutions or the length of widths, one for each; "
                f"they have {len(self.widths)} and {len(self.kernel_sizes)}"
            )
            raise ValueError(message)
        return self

    def build(self, input_shape: tuple[int, int, int]) -> keras.Model:
        """Return the trunk: float32 (B, H, W, C) to (B, F), F = floor(H / 2^n) floor(W / 2^n) times the last width.

        Its n convolutions keep the image's size ("same" padding), its n poolings halve it.

        Raises:
            InputError: The poolings would leave nothing of the image.
        """
        depth = len(self.widths)
        if min(input_shape[:2]) < 2**depth:
            message = (
                f"{depth} poolings shrink an image of {input_shape[0]}x{input_shape[1]} pixels to nothing; "
                f"give images of at least {2**depth}x{2**depth} pixels or fewer widths and kernel_sizes"
            )
            raise InputError(Problem(message, where="model 'thin_vgg'"))

        import keras

        layers: list[keras.Layer] = [keras.Input(input_shape, name="images")]
        sizes = self.kernel_sizes * depth if len(self.kernel_sizes) == 1 else self.kernel_sizes
        for number, (width, kernel_size) in enumerate(zip(self.widths, sizes, strict=True), start=1):
            layers += [
                keras.layers.Conv2D(width, kernel_size, padding="same", name=f"conv{number}"),
                # The leaky ReLU rises everywhere: after the pooling it gives the same, on a quarter of the values.
                keras.layers.MaxPooling2D(2, name=f"pool{number}"),
                keras.layers.LeakyReLU(self.negative_slope, name=f"relu{number}"),
            ]
        return keras.Sequential([*layers, keras.layers.Flatten(name="features")], name="thin_vgg")
