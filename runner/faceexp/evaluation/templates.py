"""The embedding of a template, the images of one person that are judged as one: the weighted mean of theirs.

References:
    Whitelam et al., "IARPA Janus Benchmark-B Face Dataset", CVPR Workshops 2017, for what a template is. Scripts that
    measure on it bring embeddings to length 1 before they average them.
"""

from __future__ import annotations

import numpy as np

from faceexp.arrays import FloatArray, IntArray
from faceexp.contract import Distance
from faceexp.evaluation.embeddings import Embeddings


def weights(place: IntArray, quality: FloatArray | None = None) -> FloatArray:
    """Return how much each image counts in its template, float64 (N,); the weights of a template add up to 1.

    An image of unknown quality counts as much as the others of its template do on average. Where no quality is known,
    or all are 0, all images of a template count alike.

    Args:
        place: int (N,), the place of the template of each image.
        quality: float (N,), at least 0; NaN where it is not known.
    """
    images = np.bincount(place)
    if quality is None:
        return 1 / images[place]
    known = ~np.isnan(quality)
    of_known = np.bincount(place[known], quality[known], len(images))
    mean = of_known / np.maximum(1, np.bincount(place[known], minlength=len(images)))
    weight = np.where(known, quality, mean[place])
    total = np.bincount(place, weight, len(images))
    counts = total[place] > 0
    return np.where(counts, weight, 1) / np.where(counts, total[place], images[place])


def pooled(
    embeddings: Embeddings, place: IntArray, distance: Distance, quality: FloatArray | None = None
) -> Embeddings:
    """Return the embedding of each template, (T, D).

    For the cosine distance, to which lengths mean nothing, embeddings are brought to length 1 first. Where each
    template is one image, they are returned as they are.

    Args:
        embeddings: float (N, D); or pixels, uint8 (N, D), of which 255 counts as 1.
        place: int (N,), the place of the template of each image; templates are in the order of their first images.
        distance: What the embeddings are compared by.
        quality: See :func:`weights`.
    """
    images = np.bincount(place)
    if len(images) == len(place):
        return embeddings
    weight = weights(place, quality)
    order, ends = np.argsort(place, kind="stable"), np.cumsum(images)
    means = np.empty((len(images), embeddings.shape[1]), np.float32)
    # What is not finite stays so, and whoever measures says it.
    with np.errstate(invalid="ignore", over="ignore"):
        for template, (end, size) in enumerate(zip(ends.tolist(), images.tolist(), strict=True)):
            members = order[end - size : end]
            means[template] = weight[members] @ _comparable(embeddings[members], distance)
    return means


def _comparable(embeddings: Embeddings, distance: Distance) -> FloatArray:
    """Return some embeddings, float64, for the cosine distance of length 1."""
    values: FloatArray = embeddings.astype(np.float64)
    if embeddings.dtype == np.uint8:
        values /= 255
    if distance != "cosine":
        return values
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths == 0, 1, lengths)
