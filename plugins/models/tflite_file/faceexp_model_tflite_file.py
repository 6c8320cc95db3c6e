"""A TensorFlow Lite file as a faceexp plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from faceexp.contract import FixedModelPlugin, InputFile, option
from faceexp.network_files.features import Pixels, opened_from, shape_of_file
from faceexp.network_files.network import digest_of, of_option
from faceexp.network_files.tflite import check_tflite, has_litert, open_tflite

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.contract import ByteArray, FloatArray

Positive = Annotated[float, Field(gt=0)]


class TfliteFile(FixedModelPlugin):
    """A network in a TensorFlow Lite file, which LiteRT runs (pip install ai-edge-litert), or TensorFlow without it.

    A pixel of 0 to 255 becomes (pixel - mean) / scale. What faceexp exports wants pixels as they are, others often
    mean = 127.5 and scale = 127.5. Where the network is quantised, whole numbers of 8 bits stand for these values, as
    the file says. Grey images are repeated where the network takes colours. Where the output is a map, the mean of each
    channel is its feature. Files with operations of TensorFlow are refused, which could write files.
    """

    reference: ClassVar[str] = "Whoever made the file; faceexp does not know"
    form: ClassVar[str | None] = "tflite"

    path: InputFile = option(..., "The .tflite file; relative to the experiment file, ~ is your home.")
    sha256: str | None = option(
        None,
        "Digest of the file: another file is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )
    output: str | None = option(None, "Name of the output with the features; not needed if there is one.", min_length=1)
    mean: float | tuple[float, float, float] = option(
        0.0, "Subtracted from pixels of 0 to 255: a number, or one for each channel as the network takes them."
    )
    scale: Positive | tuple[Positive, Positive, Positive] = option(
        1.0, "What pixels are divided by then: a number, or one for each channel."
    )
    channels: Literal["rgb", "bgr"] = option("rgb", "Order of the channels that the network takes.")

    @field_validator("path")
    @classmethod
    def _is_a_safe_file(cls, path: str) -> str:
        of_option(path, check_tflite)
        return path

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if "path" not in info.data:
            return sha256
        return of_option(info.data["path"], lambda file: digest_of(file, sha256))

    @property
    def trained(self) -> str:
        """The name of the file."""
        return Path(self.path).name

    @classmethod
    def options_for(cls, path: Path) -> dict[str, str] | None:
        """Return that it opens files that end in .tflite."""
        return {"path": str(path)} if path.suffix.lower() == ".tflite" else None

    @property
    def image_shape(self) -> tuple[int | None, int | None, int | None] | None:
        """Return what images it says that it takes."""
        return shape_of_file(self.path, open_tflite)

    def check(self, input_shape: tuple[int, int, int]) -> None:
        """Open it and give it two images of noise, if LiteRT is installed: TensorFlow would take seconds to load.

        Raises:
            InputError: The file cannot be opened, or takes other images, or gives no features.
        """
        if has_litert():
            self.open(input_shape)

    def open(self, input_shape: tuple[int, int, int]) -> Callable[[ByteArray], FloatArray]:
        """Return the function from pixels uint8 (B, H, W, C) to features float32 (B, F).

        Raises:
            InputError: The file cannot be opened, or takes other images, or gives no features.
        """
        pixels = Pixels(self.mean, self.scale, self.channels)
        return opened_from(self.path, open_tflite, input_shape, pixels, self.output)
