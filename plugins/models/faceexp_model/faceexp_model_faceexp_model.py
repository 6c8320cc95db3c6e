"""A model that faceexp has trained, as a faceexp plugin."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import ValidationInfo, field_validator

from faceexp.contract import AnyPath, FixedModelPlugin, option, user_path
from faceexp.errors import InputError, Problem
from faceexp.network_files.network import NetworkFileError, digest_of, same_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceexp import FaceModel
    from faceexp.contract import ByteArray, FloatArray


class FaceexpModel(FixedModelPlugin):
    """A model that faceexp has trained: a run, one of its losses, one of its models, or an exported folder.

    Photos have to be made into images as for its training: its run says what its [preprocess] was. Whoever it has
    learnt, in training, is no stranger to it: a test on the same people, or on its own training set cut in another way,
    flatters it. Of an exported folder, a SavedModel is not opened, since it is a program.
    """

    reference: ClassVar[str] = "The run that the model comes from"

    path: AnyPath = option(
        ..., "A run, RUN:label, a folder in its models/, or an exported folder; relative to the experiment file."
    )
    sha256: str | None = option(
        None,
        "Digest of its network and calibration: another model is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )

    @field_validator("path")
    @classmethod
    def _is_a_model(cls, path: str) -> str:
        try:
            _model(path)
        except InputError as error:
            raise ValueError(str(error)) from None
        return path

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_model(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if "path" not in info.data:
            return sha256
        digest, folder = hashlib.sha256(), _model(info.data["path"]).folder
        try:
            for file in (*sorted(folder.glob("model.*")), folder / "calibration.json"):
                digest.update(f"{file.name} {digest_of(file)}\n".encode())
            return same_digest(digest.hexdigest(), sha256)
        except NetworkFileError as error:
            raise ValueError(f"{info.data['path']} {error}") from None

    @property
    def trained(self) -> str:
        """Its loss, and the run or the folder that it lies in."""
        model = _model(self.path)
        run = model.folder.parent.parent if model.folder.parent.name == "models" else model.folder
        return f"{model.label} of {run.name}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Why it is this model of a run, and whether it embeds mirror images by itself."""
        model = _model(self.path)
        notes = [f"{self.path}: {model.chosen}"] if model.chosen else []
        if model.record.flip:
            notes.append(f"{self.trained} embeds each photo together with its mirror image, as it was measured")
        return tuple(notes)

    @classmethod
    def options_for(cls, path: Path) -> dict[str, str] | None:
        """Return that it opens folders of models."""
        return {"path": str(path)} if (path / "calibration.json").is_file() else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return what images it was trained on."""
        preprocess = _model(self.path).preprocess
        return (*preprocess.size, 3 if preprocess.color == "rgb" else 1)

    def open(self, input_shape: tuple[int, int, int]) -> Callable[[ByteArray], FloatArray]:
        """Return the function from pixels uint8 (B, H, W, C) to features float32 (B, F).

        Raises:
            InputError: The model cannot be opened, or takes other images.
        """
        self.check(input_shape)
        return _model(self.path).network

    def check(self, input_shape: tuple[int, int, int]) -> None:
        """Compare the images with those of its training.

        Raises:
            InputError: They are others.
        """
        model = _model(self.path)
        if tuple(input_shape) != self.image_shape:
            size, color = model.preprocess.size, model.preprocess.color
            takes = f"takes {size[0]} x {size[1]} {'RGB' if color == 'rgb' else 'grey'}"
            fix = f'set size = [{size[0]}, {size[1]}] and color = "{color}" in [preprocess]'
            raise InputError(Problem(f"{takes}; {fix}", where=self.path))


def _model(path: str) -> FaceModel:
    from faceexp import load_model

    return load_model(user_path(path))
