"""YuNet, run by OpenCV from a file that the user has, as a faceexp plugin."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import ValidationInfo, field_validator

from faceexp.contract import ByteArray, DetectorPlugin, Face, Hint, InputFile, Points, option
from faceexp.errors import InputError, Problem
from faceexp.files import check_file, explain_os_error, read_bytes

# Pixels that the smallest face that is looked for keeps: the network finds faces of 10 to 300 pixels.
KEPT = 30
_of_thread = threading.local()

# Networks of this kind have a few megabytes.
MOST_BYTES = 300_000_000


class Yunet(DetectorPlugin):
    """YuNet with five landmarks: a small, quick network from an ONNX file that you have.

    OpenCV's model zoo has the file, face_detection_yunet_2023mar.onnx; OpenCV runs it.
    """

    reference: ClassVar[str] = (
        'Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20 (2023)'
    )
    points: ClassVar[Points] = "five"
    requirements: ClassVar[tuple[str, ...]] = ("opencv-python-headless>=4.10",)

    path: InputFile = option(..., "The ONNX file; relative to the experiment file, ~ is your home.")
    threshold: float = option(0.7, "Least score of a face.", unit="none", ge=0, lt=1)
    overlap: float = option(
        0.3, "Of two boxes that overlap by more than this share of both, only the surer one counts.", gt=0, le=1
    )
    sha256: str | None = option(
        None,
        "Digest of the file: another file is refused; measured if not given.",
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
    )

    @field_validator("path")
    @classmethod
    def _is_a_file(cls, path: str) -> str:
        try:
            check_file(Path(path).expanduser(), MOST_BYTES)
        except OSError as error:
            raise ValueError(f"{path} {explain_os_error(error)}") from None
        return path

    @field_validator("sha256")
    @classmethod
    def _is_that_of_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        # Measured, because results are kept under the options: another file under the same name is another detector.
        if "path" not in info.data:
            return sha256
        measured = hashlib.sha256(read_bytes(Path(info.data["path"]).expanduser(), MOST_BYTES)).hexdigest()
        if sha256 not in (None, measured):
            raise ValueError(f"{info.data['path']} is another file: its digest is {measured}")
        return measured

    def prepare(self) -> None:
        """Open the network once, to see that it can be opened.

        Raises:
            InputError: OpenCV is missing, or the file is not such a network.
        """
        try:
            rows = self._network((64, 64)).detect(np.zeros((64, 64, 3), np.uint8))[1]
        except opencv().error as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(Problem(f"is no YuNet network that OpenCV can run ({reason})", str(self.path))) from None
        if rows is not None and np.shape(rows)[1] != 15:
            raise InputError(Problem(f"gives {np.shape(rows)[1]} numbers for a face, not 15", str(self.path)))

    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        """Return the faces of a photo, uint8 (H, W, 3)."""
        height, width = photo.shape[:2]
        least = hint.smallest * min(height, width)
        scale = min(1.0, KEPT / max(least, 1.0))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = photo if scale == 1 else np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
        # OpenCV wants blue first.
        rows = self._network(size).detect(np.ascontiguousarray(small[:, :, ::-1]))[1]
        ratio = np.array([width / size[0], height / size[1]])
        faces = []
        for row in np.asarray(rows if rows is not None else np.zeros((0, 15)), dtype=np.float64):
            (left, top), (across, down) = row[:2] * ratio, row[2:4] * ratio
            # Its points begin with the eye that is on the left in the photo. Pixels are counted from their middles.
            landmarks = (row[4:14].reshape(5, 2) + 0.5) * ratio - 0.5
            face = Face(left, top, across, down, score=float(row[14]), landmarks=landmarks)
            if face.side >= least:
                faces.append(face)
        return faces

    def _network(self, size: tuple[int, int]) -> Any:  # noqa: ANN401 - OpenCV has no types for it
        """Return the network of this thread, for photos of a width and height; threads cannot share one."""
        key = (str(self.path), self.sha256, self.threshold, self.overlap)
        if getattr(_of_thread, "key", None) != key:
            file = str(Path(self.path).expanduser())
            _of_thread.network = opencv().FaceDetectorYN.create(file, "", size, self.threshold, self.overlap, 5000)
            _of_thread.key = key
        _of_thread.network.setInputSize(size)
        return _of_thread.network


def opencv() -> Any:  # noqa: ANN401
    """Return OpenCV.

    Raises:
        InputError: It is missing, or has no such detector.
    """
    cv2: Any
    try:
        import cv2
    except ImportError:
        cv2 = None
    if not hasattr(cv2, "FaceDetectorYN"):
        message = "photos are cropped to the face by OpenCV, which is missing; run: pip install opencv-python-headless"
        raise InputError(Problem(message))
    return cv2
