"""An ONNX file as a faceexp plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from faceexp.contract import FixedModelPlugin, InputFile, option
from faceexp.network_files.features import Pixels, opened_from, shape_of_file
from faceexp.network_files.network import NetworkFileError, digest_of, of_option
from faceexp.network_files.onnx import check_onnx, classifier_end, open_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.contract import ByteArray, FloatArray

Positive = Annotated[float, Field(gt=0)]


class OnnxFile(FixedModelPlugin):
    """A network in an ONNX file, which ONNX Runtime runs; it is not trained.

    A pixel of 0 to 255 becomes (pixel - mean) / scale. Models of ArcFace and InsightFace want mean = 127.5 and scale =
    127.5 (some 128), and images of 112 x 112 RGB; what faceexp exports wants pixels as they are. Grey images are
    repeated where the network takes colours. Where the output is a map, the mean of each channel is its feature. Files
    that take weights from other files, or that use operators which ONNX Runtime does not have, are refused.
    """

    reference: ClassVar[str] = "Whoever made the file; faceexp does not know"
    form: ClassVar[str | None] = "onnx"

    path: InputFile = option(..., "The .onnx file; relative to the experiment file, ~ is your home.")
    sha256: str | None = option(
        None,
        "Digest of the file: another file is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )
    output: str | None = option(
        None,
        "Name of the output with the features, or of anything that is computed inside; not needed if there is one.",
        min_length=1,
    )
    mean: float | tuple[float, float, float] = option(
        0.0, "Subtracted from pixels of 0 to 255: a number, or one for each channel as the network takes them."
    )
    scale: Positive | tuple[Positive, Positive, Positive] = option(
        1.0, "What pixels are divided by then: a number, or one for each channel."
    )
    channels: Literal["rgb", "bgr"] = option("rgb", "Order of the channels that the network takes.")
    layout: Literal["auto", "nchw", "nhwc"] = option(
        "auto", "Whether channels come before height and width; 'auto' where the shape of the input says it."
    )

    @field_validator("path")
    @classmethod
    def _is_a_safe_file(cls, path: str) -> str:
        of_option(path, check_onnx)
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
        """Return that it opens files that end in .onnx."""
        return {"path": str(path)} if path.suffix.lower() == ".onnx" else None

    @property
    def image_shape(self) -> tuple[int | None, int | None, int | None] | None:
        """Return what images the file says that it takes."""
        return shape_of_file(self.path, open_onnx, self.layout)

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether its output is that of a classifier."""
        try:
            end = classifier_end(Path(self.path).expanduser())
        except NetworkFileError:  # to open it says what is wrong with it
            return ()
        if end is None or self.output not in (None, end[0]):
            return ()
        output, before = end
        whose = f"{self.trained} ends in a classifier, whose output {output!r} is no embedding"
        return (f"{whose}; its last layer takes {before!r}: set output = {before!r}",)

    def check(self, input_shape: tuple[int, int, int]) -> None:
        """Open it and give it two images of noise.

        Raises:
            InputError: The file cannot be opened, or takes other images, or gives no features.
        """
        self.open(input_shape)

    def open(self, input_shape: tuple[int, int, int]) -> Callable[[ByteArray], FloatArray]:
        """Return the function from pixels uint8 (B, H, W, C) to features float32 (B, F).

        Raises:
            InputError: The file cannot be opened, or takes other images, or gives no features.
        """
        pixels = Pixels(self.mean, self.scale, self.channels, self.layout)
        return opened_from(self.path, lambda file: open_onnx(file, self.output), input_shape, pixels, self.output)
