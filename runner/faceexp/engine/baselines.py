"""Embeddings that cost no metric loss: what every loss has to beat."""

from __future__ import annotations

import numpy as np

from faceexp.contract import Distance
from faceexp.values import ByteArray, FloatArray

# Each baseline is compared by the distance under which it is stronger on faces; a weak straw man flatters every loss.
DISTANCES: dict[str, Distance] = {
    "raw pixels": "euclidean",
    "PCA (eigenfaces)": "euclidean",
    "untrained trunk": "cosine",
    "phase-1 embedding": "cosine",
}
PCA_COMPONENTS = 128


def raw_pixels(pixels: ByteArray) -> FloatArray:
    """Return images as vectors of grey or colour values between 0 and 1."""
    return np.asarray(pixels, dtype=np.float32).reshape(len(pixels), -1) / np.float32(255)


def eigenfaces(train: ByteArray, *others: ByteArray) -> list[FloatArray]:
    """Return the principal components of other images, fitted on training images (Turk and Pentland, 1991)."""
    from sklearn.decomposition import PCA

    flat = raw_pixels(train)
    components = min(PCA_COMPONENTS, len(flat) - 1, flat.shape[1])
    # Exact where it is cheap; beyond that the randomised solver, seeded.
    solver = "full" if len(flat) <= 2000 else "randomized"
    pca = PCA(n_components=components, svd_solver=solver, random_state=0).fit(flat)
    return [np.asarray(pca.transform(raw_pixels(other)), dtype=np.float32) for other in others]
