"""Embeddings that cost no metric loss: what every loss has to beat."""

from __future__ import annotations

import numpy as np

from faceexp.arrays import ByteArray, FloatArray, IntArray

PCA_COMPONENTS = 128
# Of more training images than that, so many are drawn: PCA holds them as floats, and its axes hardly change.
PCA_IMAGES = 10_000
BLOCK = 4096


def raw_pixels(images: ByteArray, rows: IntArray) -> ByteArray:
    """Return some of the images, uint8 (N, H, W, C), as vectors of grey or colour values, in 255ths: uint8 (n, D)."""
    return images[rows].reshape(len(rows), -1)


def eigenfaces(images: ByteArray, train: IntArray, *others: IntArray) -> list[FloatArray]:
    """Return the principal components of some images, fitted on training images (Turk and Pentland, 1991).

    Args:
        images: uint8 (N, H, W, C).
        train: Rows to fit on; of more than :data:`PCA_IMAGES` a random choice, the same every time.
        others: Rows to transform.

    Returns:
        float32 (n, components) for each of the others.
    """
    from sklearn.decomposition import PCA

    if len(train) > PCA_IMAGES:
        train = np.sort(np.random.default_rng(0).choice(train, PCA_IMAGES, replace=False))
    flat = _floats(images, train)
    components = min(PCA_COMPONENTS, len(flat) - 1, flat.shape[1])
    # Exact where it is cheap; beyond that the randomised solver, seeded.
    solver = "full" if len(flat) <= 2000 else "randomized"
    pca = PCA(n_components=components, svd_solver=solver, random_state=0, copy=False).fit(flat)

    def transformed(rows: IntArray) -> FloatArray:
        blocks = [_floats(images, rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
        return np.concatenate([np.asarray(pca.transform(block), dtype=np.float32) for block in blocks])

    return [transformed(rows) for rows in others]


def _floats(images: ByteArray, rows: IntArray) -> FloatArray:
    return raw_pixels(images, rows).astype(np.float32) / np.float32(255)
