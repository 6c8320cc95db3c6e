"""The features of all images, written once a block at a time, and read back as views: plain, and maybe mirrored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from faceexp.arrays import ByteArray, FloatArray, new_array_file
from faceexp.data.images import release
from faceexp.engine.determinism import mark
from faceexp.engine.inputs import FEATURES_FILE, FLIPPED
from faceexp.engine.network import BLOCK

SECONDS_FILE = "seconds.json"


def write_features(
    folder: Path,
    images: ByteArray,
    shape: tuple[int, int],
    extract: Callable[[ByteArray], FloatArray],
    on_block: Callable[[int, int], None],
) -> None:
    """Write the features of images into a folder of the store, and how long that took.

    Args:
        folder: Gets ``features.npy``, float32 (views, N, F), and ``seconds.json``; the second view is that of mirrored
            images.
        images: uint8 (N, H, W, C), memory-mapped.
        shape: How many views, and how many features an image has.
        extract: From a block of images to their features.
        on_block: Is called with the view, and how many images of it are done.
    """
    began = time.perf_counter()
    views, width = shape
    out = new_array_file(folder / FEATURES_FILE, np.float32, (views, len(images), width))
    for view in range(views):
        for begin in range(0, len(images), BLOCK):
            block: ByteArray = np.asarray(images[begin : begin + BLOCK])
            block = np.ascontiguousarray(block[:, :, ::-1]) if view == FLIPPED else block
            out[view, begin : begin + len(block)] = extract(block)
            # Both files are mapped into memory; without this, all of what was read and written would stay there.
            release(out)
            release(images)
            on_block(view, begin + len(block))
    out.flush()
    mark(folder)
    (folder / SECONDS_FILE).write_text(json.dumps(time.perf_counter() - began), encoding="utf-8")


def seconds_of(folder: Path) -> float:
    """Return how long it took to compute the features in a folder of the store."""
    return float(json.loads((folder / SECONDS_FILE).read_text(encoding="utf-8")))


def open_features(folder: Path) -> FloatArray:
    """Return the features in a folder of the store, float32 (views, N, F), memory-mapped."""
    features: FloatArray = np.load(folder / FEATURES_FILE, mmap_mode="r", allow_pickle=False)
    return features
