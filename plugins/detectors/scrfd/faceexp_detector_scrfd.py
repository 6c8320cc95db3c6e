"""SCRFD, run by ONNX Runtime from a file that the user has, as a faceexp plugin."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import ValidationInfo, field_validator

from faceexp.contract import ByteArray, DetectorPlugin, Face, FloatArray, Hint, InputFile, Points, option
from faceexp.errors import InputError, Problem
from faceexp.files import check_file, explain_os_error, read_bytes

# Pixels from one place of a map of answers to the next, of the three maps.
STRIDES = (8, 16, 32)
# Boxes, scores and maybe landmarks for each of the strides.
OUTPUTS = {6: "none", 9: "five"}
_while_opening = threading.Lock()

# Networks of this kind have a few megabytes.
MOST_BYTES = 300_000_000


class Scrfd(DetectorPlugin):
    """SCRFD as InsightFace has it, with or without landmarks, from an ONNX file that you have.

    The file is det_500m.onnx, det_2.5g.onnx or det_10g.onnx of InsightFace's packs, whose weights may be used for
    research alone. Files whose names have no "kps" or "bnkps" give boxes only.
    """

    reference: ClassVar[str] = (
        'Guo, Deng, Lattas and Zafeiriou, "Sample and Computation Redistribution for Efficient Face Detection", ICLR '
        "(2022)"
    )
    points: ClassVar[Points] = "five"
    requirements: ClassVar[tuple[str, ...]] = ("onnxruntime",)

    path: InputFile = option(..., "The ONNX file; relative to the experiment file, ~ is your home.")
    threshold: float = option(0.5, "Least score of a face.", unit="none", ge=0, lt=1)
    overlap: float = option(
        0.4, "Of two boxes that overlap by more than this share of both, only the surer one counts.", gt=0, le=1
    )
    size: int = option(
        640,
        "Longer side at which photos are searched; a file that wants a size of its own decides instead.",
        unit="pixels",
        ge=64,
        le=4096,
        multiple_of=32,
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

    def gives(self) -> Points:
        """Return whether the file gives landmarks."""
        return "five" if self._network().has_landmarks else "none"

    def prepare(self) -> None:
        """Open the network.

        Raises:
            InputError: ONNX Runtime is missing, or the file is not such a network.
        """
        self._network()

    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        """Return the faces of a photo, uint8 (H, W, 3)."""
        network = self._network()
        height, width = photo.shape[:2]
        rows, columns = network.size or (self.size, self.size)
        scale = min(rows / height, columns / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR)
        pixels = np.zeros((rows, columns, 3), np.float32)
        pixels[: size[1], : size[0]] = np.asarray(small)
        # What is beside the photo is black, as in training; the network subtracts nothing itself.
        answers = network.session.run(None, {network.name: ((pixels - 127.5) / 128).transpose(2, 0, 1)[None]})
        ratio = np.array([width / size[0], height / size[1]])
        faces = []
        for box, score, landmarks in decoded(answers, (rows, columns), self.threshold, self.overlap):
            (left, top), (right, bottom) = box[:2] * ratio, box[2:] * ratio
            points = None if landmarks is None else (landmarks + 0.5) * ratio - 0.5
            face = Face(left, top, right - left, bottom - top, score=score, landmarks=points)
            if face.side >= hint.smallest * min(height, width):
                faces.append(face)
        return faces

    def _network(self) -> Network:
        with _while_opening:
            return network_of(str(Path(self.path).expanduser()), self.sha256)


@dataclass(frozen=True)
class Network:
    """An opened file.

    Attributes:
        session: What runs it; several threads may share it.
        name: Of its input.
        size: Height and width of its input, if it wants certain ones.
        has_landmarks: Whether it gives landmarks.
    """

    session: Any
    name: str
    size: tuple[int, int] | None
    has_landmarks: bool


@functools.lru_cache(maxsize=4)
def network_of(path: str, sha256: str | None) -> Network:  # noqa: ARG001 - another file is opened anew
    """Return the network of a file.

    Raises:
        InputError: ONNX Runtime is missing, or the file is not such a network.
    """
    try:
        import onnxruntime
    except ImportError:
        message = "photos are cropped to the face by ONNX Runtime, which is missing; run: pip install onnxruntime"
        raise InputError(Problem(message)) from None
    options = onnxruntime.SessionOptions()
    # Several photos are searched at once, each on a core of its own.
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(Problem(f"is no network that ONNX Runtime can run ({reason})", path)) from error
    given, results = session.get_inputs(), session.get_outputs()
    if len(given) != 1 or len(given[0].shape) != 4 or len(results) not in OUTPUTS:
        message = (
            f"is no SCRFD network: it has {len(given)} inputs and {len(results)} outputs; such a network takes one "
            "image (1, 3, H, W) and gives scores, boxes and maybe landmarks for three strides, 6 or 9 outputs"
        )
        raise InputError(Problem(message, path))
    height, width = given[0].shape[2:]
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return Network(session, given[0].name, size, OUTPUTS[len(results)] == "five")


def decoded(
    answers: Sequence[FloatArray], size: tuple[int, int], threshold: float, overlap: float
) -> Iterator[tuple[FloatArray, float, FloatArray | None]]:
    """Yield box, score and landmarks of each face, the surest first.

    Args:
        answers: For each stride scores (A, 1), then for each stride distances of the edges of a box from its place,
            (A, 4), then maybe for each stride those of five points, (A, 10), in units of the stride; places are in
            rows, with the same number of answers at each. A batch axis of 1 may stand before them.
        size: Height and width of the image that the network has seen.
        threshold: Least score.
        overlap: Boxes that overlap a surer one by more are left out.
    """
    maps = [np.asarray(answer, dtype=np.float64).reshape(-1, np.shape(answer)[-1]) for answer in answers]
    count = len(STRIDES)
    boxes, scores, points = [], [], []
    for place, stride in enumerate(STRIDES):
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.mgrid[:rows, :columns]
        centres = np.stack([x, y], axis=-1).reshape(-1, 2) * stride
        score = maps[place][:, 0]
        centres = np.repeat(centres, len(score) // len(centres), axis=0)
        sure = np.flatnonzero(score >= threshold)
        distances = maps[count + place][sure] * stride
        scores.append(score[sure])
        boxes.append(np.hstack([centres[sure] - distances[:, :2], centres[sure] + distances[:, 2:]]))
        if len(maps) > 2 * count:
            points.append(centres[sure][:, None] + maps[2 * count + place][sure].reshape(-1, 5, 2) * stride)
    all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
    all_points = np.concatenate(points) if points else None
    taken: list[int] = []
    for index in np.argsort(-all_scores, kind="stable").tolist():
        if all(shared(all_boxes[index], all_boxes[other]) <= overlap for other in taken):
            taken.append(index)
            yield all_boxes[index], float(all_scores[index]), None if all_points is None else all_points[index]


def shared(one: FloatArray, other: FloatArray) -> float:
    """Return the share of the area of two boxes, (4,) each, that lies in both."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return both / max(areas - both, 1e-12)
