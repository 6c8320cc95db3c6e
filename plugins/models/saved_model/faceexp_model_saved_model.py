"""A SavedModel of TensorFlow as a faceexp plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from faceexp.contract import FixedModelPlugin, InputFolder, option
from faceexp.errors import InputError, Problem
from faceexp.network_files.features import Pixels, opened_from, shape_of_file
from faceexp.network_files.network import NetworkFileError, of_option, same_digest
from faceexp.network_files.saved_model import (
    A_PROGRAM,
    check_saved_model,
    digest_of_folder,
    function_of,
    open_saved_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp.contract import ByteArray, FloatArray

Positive = Annotated[float, Field(gt=0)]


class SavedModel(FixedModelPlugin):
    """A network in the folder of a SavedModel, which TensorFlow runs; such a folder is a program and has to be trusted.

    It can do anything on this computer that you can do: write, read and remove files, for example. So it is opened only
    with trust = true. A pixel of 0 to 255 becomes (pixel - mean) / scale; what faceexp exports wants pixels as they
    are. Grey images are repeated where the network takes colours. Where the output is a map, the mean of each channel
    is its feature. What runs is the signature serving_default.
    """

    reference: ClassVar[str] = "Whoever made it; faceexp does not know"
    is_program: ClassVar[bool] = True
    form: ClassVar[str | None] = "saved_model"

    path: InputFolder = option(..., "The folder with saved_model.pb; relative to the experiment file, ~ is your home.")
    trust: bool = option(
        False,
        "Whether you trust whoever made it: it is a program, which could do anything on this computer.",
        validate_default=True,
    )
    sha256: str | None = option(
        None,
        "Digest of its files: another one is refused; measured if not given.",
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
    def _is_such_a_folder(cls, path: str) -> str:
        of_option(path, check_saved_model)
        return path

    @field_validator("trust")
    @classmethod
    def _is_trusted(cls, trust: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if not trust and "path" in info.data:
            raise ValueError(f"{info.data['path']} {A_PROGRAM} trust = true")
        return trust

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_folder(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if "path" not in info.data:
            return sha256
        return of_option(info.data["path"], lambda folder: same_digest(digest_of_folder(folder), sha256))

    @property
    def trained(self) -> str:
        """The name of the folder."""
        return Path(self.path).name

    @classmethod
    def options_for(cls, path: Path) -> dict[str, str] | None:
        """Return that it opens folders with saved_model.pb; whether one is trusted, its user says."""
        return {"path": str(path)} if (path / "saved_model.pb").is_file() else None

    @property
    def image_shape(self) -> tuple[int | None, int | None, int | None] | None:
        """Return what images it says that it takes."""
        return shape_of_file(self.path, open_saved_model)

    def open(self, input_shape: tuple[int, int, int]) -> Callable[[ByteArray], FloatArray]:
        """Return the function from pixels uint8 (B, H, W, C) to features float32 (B, F).

        Raises:
            InputError: It cannot be opened, or takes other images, or gives no features.
        """
        pixels = Pixels(self.mean, self.scale, self.channels)
        return opened_from(self.path, open_saved_model, input_shape, pixels, self.output)

    def as_function(self, input_shape: tuple[int, int, int]) -> Callable[[Any], Any]:
        """Return the same as a function of TensorFlow.

        Raises:
            InputError: As :meth:`open`; or it takes only so many images at once.
        """
        pixels = Pixels(self.mean, self.scale, self.channels)
        try:
            return function_of(Path(self.path).expanduser(), input_shape, pixels, self.output)
        except NetworkFileError as error:
            raise InputError(Problem(str(error), where=self.path)) from error
