"""The embedding of a template, the images of one person that are judged as one: the weighted mean of theirs.

Images of one medium, such as the frames of a video, are averaged first: a long video counts no more than a photo.

References:
    Whitelam et al., "IARPA Janus Benchmark-B Face Dataset", CVPR Workshops 2017, for what a template is. Scripts that
    measure on it bring embeddings to length 1 before they average them.
    InsightFace's script for these sets (``recognition/_evaluation_/ijb``) also has the mean of each medium.
"""

from __future__ import annotations

import numpy as np

from faceexp.arrays import FloatArray, IntArray
from faceexp.contract import Distance
from faceexp.evaluation.embeddings import Embeddings


def weights(place: IntArray, quality: FloatArray | None = None, medium: IntArray | None = None) -> FloatArray:
    """Return how much each image counts in its template, float64 (N,); the weights of a template add up to 1.

    An image of unknown quality counts as much as the others of its template do on average. Where no quality is known,
    or all are 0, all images of a template count alike. With media, an image counts by the number of images that its
    template has of its medium: the template is the sum over media of the mean over images of quality times embedding.

    Args:
        place: int (N,), the place of the template of each image.
        quality: float (N,), at least 0; NaN where it is not known.
        medium: int (N,), a number of the medium of each image; ``None``: each image is a medium of its own.
    """
    of_quality = _of_quality(place, quality)
    if medium is None:
        return of_quality
    _, of_both = np.unique(place * (np.int64(medium.max(initial=0)) + 1) + medium, return_inverse=True)
    shared = of_quality / np.bincount(of_both)[of_both]
    weight: FloatArray = shared / np.bincount(place, shared)[place]
    return weight


def _of_quality(place: IntArray, quality: FloatArray | None) -> FloatArray:
    """Return how much each image would count if each were a medium of its own."""
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
    embeddings: Embeddings,
    place: IntArray,
    distance: Distance,
    quality: FloatArray | None = None,
    medium: IntArray | None = None,
) -> Embeddings:
    """Return the embedding of each template, (T, D).

    For the cosine distance, to which lengths mean nothing, embeddings are brought to length 1 first. Where each
    template is one image, they are returned as they are.

    Args:
        embeddings: float (N, D); or pixels, uint8 (N, D), of which 255 counts as 1.
        place: int (N,), the place of the template of each image; templates are in the order of their first images.
        distance: What the embeddings are compared by.
        quality: See :func:`weights`.
        medium: The same.
    """
    images = np.bincount(place)
    if len(images) == len(place):
        return embeddings
    weight = weights(place, quality, medium)
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
