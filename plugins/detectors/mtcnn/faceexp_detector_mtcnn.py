"""MTCNN of the package of that name as a faceexp plugin."""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from faceexp.contract import ByteArray, DetectorPlugin, Face, Hint, Points, option
from faceexp.errors import InputError, Problem
from faceexp.quiet import silence

# Pixels of the smallest face that the package searches. With another number it makes too few or too small sizes of the
# photo, and loses faces without a word: so the photo is resized instead.
LEAST = 20
# Pixels that the smallest face that is looked for keeps: the last network sees faces in 48 x 48.
KEPT = 40
# There is one network for the process, and one thread at a time asks it: TensorFlow uses all cores for each photo.
_one_at_a_time = threading.Lock()


class Mtcnn(DetectorPlugin):
    """Three small networks with five landmarks, whose weights travel in the package mtcnn.

    It takes about a tenth of a second for a photo, and TensorFlow.
    """

    reference: ClassVar[str] = (
        'Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional '
        'Networks", IEEE Signal Processing Letters 23 (2016)'
    )
    points: ClassVar[Points] = "five"
    requirements: ClassVar[tuple[str, ...]] = ("mtcnn>=1.0", "tensorflow")

    threshold: float = option(0.8, "Least score of a face, by the last of the networks.", unit="none", ge=0, lt=1)

    def prepare(self) -> None:
        """Import TensorFlow and load the weights.

        Raises:
            InputError: The package mtcnn is not installed.
        """
        with _one_at_a_time:
            networks()

    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        """Return the faces of a photo, uint8 (H, W, 3)."""
        height, width = photo.shape[:2]
        least = hint.smallest * min(height, width)
        scale = min(1.0, KEPT / max(least, 1.0))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = photo if scale == 1 else np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
        if min(size) < LEAST:
            return []
        with _one_at_a_time:
            rows = networks().detect_faces(
                small,
                fit_to_image=False,
                box_format="xyxy",
                output_type="numpy",
                min_face_size=LEAST,
                threshold_onet=self.threshold,
            )
        across, down = width / size[0], height / size[1]
        faces = []
        for _, left, top, right, bottom, score, *points in np.asarray(rows, dtype=np.float64).tolist():
            # Columns of x and of y; pixels are counted from their middles. With another number of threads TensorFlow
            # rounds otherwise, by a ten-thousandth of a pixel: that is not to be seen.
            landmarks = np.round((np.array(points).reshape(2, 5).T + 0.5) * [across, down] - 0.5, 2)
            box = (left * across, top * down, (right - left) * across, (bottom - top) * down)
            face = Face(*box, score=score, landmarks=landmarks)
            if face.side >= least:
                faces.append(face)
        return faces


@functools.cache
def networks() -> Any:  # noqa: ANN401 - the package has no types
    """Return the networks of this process.

    Raises:
        InputError: The package mtcnn is not installed.
    """
    # As faceexp's engine sets it, whichever of them imports TensorFlow first.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with silence():
            return importlib.import_module("mtcnn").MTCNN(device="CPU:0")
    except ImportError as error:
        message = f"photos are cropped to the face by mtcnn, which cannot be imported ({error}); run: pip install mtcnn"
        raise InputError(Problem(message)) from error
