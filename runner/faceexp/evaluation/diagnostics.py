"""What a reader may want to see of one trial beside its metrics: curves, histograms, telling pairs, a map.

Everything is small, however many pairs there are, so that a report can hold it for every trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import as_float64, normalise
from faceexp.evaluation.pairs import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.pairs import PairDistances
    from faceexp.evaluation.verification import Roc

VERTICES = 200
BINS = 40
PAIRS_OF_A_KIND = 6
POINTS = 500
BLOCK = 1 << 22


@dataclass(frozen=True)
class JudgedPair:
    """A pair and what was said of it.

    Attributes:
        first: Row of one image.
        second: Row of the other.
        distance: Between their embeddings.
        similar: Whether they show the same identity.
        accepted: Whether the threshold says so.
    """

    first: int
    second: int
    distance: float
    similar: bool
    accepted: bool


@dataclass(frozen=True)
class Diagnostics:
    """The curves of one trial and its hardest pairs.

    Attributes:
        far: False accept rates of at most :data:`VERTICES` vertices of the exact ROC polyline, ascending.
        tar: True accept rates at the same vertices.
        edges: Borders of the :data:`BINS` bins of the histograms, in units of the distance.
        similar: Similar pairs in each bin.
        different: Different pairs in each bin.
        hardest: Of right and wrong decisions on similar and on different pairs, those furthest on the wrong side of the
            threshold, or nearest to it; :data:`PAIRS_OF_A_KIND` of each of the four kinds, the hardest first.
    """

    far: tuple[float, ...]
    tar: tuple[float, ...]
    edges: tuple[float, ...]
    similar: tuple[int, ...]
    different: tuple[int, ...]
    hardest: tuple[JudgedPair, ...]


@dataclass(frozen=True)
class Map:
    """Embeddings in the plane of their two first principal components.

    Attributes:
        row: Row of each point.
        x: First coordinate of each point.
        y: Second coordinate.
        explained: Share of the variance of these embeddings that the plane shows.
    """

    row: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    explained: float


def gather(measured: PairDistances, curve: Roc, threshold: float, pairs: IntArray | None, total: int) -> Diagnostics:
    """Return the curves and the hardest pairs of a trial.

    Args:
        measured: The distances of its pairs.
        curve: Their ROC.
        threshold: Distance up to which a pair counts as similar.
        pairs: int (P, 2), the pairs that were measured; ``None``: all, in the order of ``np.triu_indices(total, 1)``.
        total: Number of rows.
    """
    kept = _telling(curve.far, curve.tar)
    ends = (float(measured.distance.min(initial=np.inf)), float(measured.distance.max(initial=0.0)))
    span = ends if len(measured.distance) else None
    counted = list(each(lambda chunk: np.histogram(chunk.distance, BINS, span), measured.chunks(BLOCK)))
    edges = counted[0][1]
    together = np.sum([counts for counts, _ in counted], axis=0)
    similar = np.histogram(measured.distance[measured.similar], BINS, (edges[0], edges[-1]))[0]
    different = together - similar  # counting them would cost a copy of nearly all distances
    hardest = []
    for index in _hardest(measured, threshold):
        first, second = pairs[index] if pairs is not None else _pair(index, total)
        distance = float(measured.distance[index])
        hardest.append(
            JudgedPair(int(first), int(second), distance, bool(measured.similar[index]), bool(distance <= threshold))
        )
    return Diagnostics(
        far=_floats(curve.far[kept]),
        tar=_floats(curve.tar[kept]),
        edges=_floats(edges),
        similar=tuple(int(count) for count in similar),
        different=tuple(int(count) for count in different),
        hardest=tuple(hardest),
    )


def _telling(far: FloatArray, tar: FloatArray) -> IntArray:
    """Return the vertices to keep: evenly spread over TAR, and over FAR on a logarithmic scale."""
    if len(far) <= VERTICES:
        return np.arange(len(far))
    half = VERTICES // 2 - 1
    smallest = far[far > 0].min(initial=1.0)
    by_far = np.searchsorted(far, np.geomspace(smallest, 1.0, half))
    by_tar = np.searchsorted(tar, np.linspace(0.0, 1.0, half))
    last = len(far) - 1
    return np.unique(np.clip(np.concatenate([[0], by_far, by_tar, [last]]), 0, last))


def _hardest(measured: PairDistances, threshold: float) -> Iterator[int]:
    kinds = [(similar, right) for similar in (True, False) for right in (False, True)]

    def hardest_from(start: int) -> list[IntArray]:
        distance = measured.distance[start : start + BLOCK]
        shown = measured.similar[start : start + BLOCK]
        accepted = distance <= threshold
        chosen = [np.flatnonzero((shown == similar) & (accepted == (similar == right))) for similar, right in kinds]
        return [
            start + own[_furthest(distance[own], similar=similar)]
            for own, (similar, _) in zip(chosen, kinds, strict=True)
        ]

    # By blocks, since the indices of millions of pairs would need more memory than their distances.
    found = list(each(hardest_from, range(0, max(1, len(measured.distance)), BLOCK)))
    for kind, (similar, _) in enumerate(kinds):
        candidates = np.concatenate([block[kind] for block in found])
        yield from candidates[_furthest(measured.distance[candidates], similar=similar)].tolist()


def _furthest(distance: FloatArray, *, similar: bool) -> IntArray:
    """Return the places of the hardest pairs, the hardest first, of equals the first.

    A similar pair is the harder the further apart, a different pair the nearer, whether it was judged rightly or not.
    """
    hardness = distance if similar else -distance
    candidates = np.arange(len(hardness))
    if len(hardness) > PAIRS_OF_A_KIND:
        limit = np.partition(hardness, len(hardness) - PAIRS_OF_A_KIND)[len(hardness) - PAIRS_OF_A_KIND]
        candidates = np.flatnonzero(hardness >= limit)
    return candidates[np.argsort(-hardness[candidates], kind="stable")][:PAIRS_OF_A_KIND]


def _pair(index: int, total: int) -> tuple[int, int]:
    """Return the rows of pair ``index`` in the order of ``np.triu_indices(total, 1)``."""
    starts = np.cumsum(np.arange(total - 1, 0, -1))
    first = int(np.searchsorted(starts, index, side="right"))
    before = int(starts[first - 1]) if first else 0
    return first, first + 1 + index - before


def projection(embeddings: Embeddings, distance: Distance, chosen: BoolArray | None = None) -> Map | None:
    """Return embeddings projected onto the plane of largest variance; at most :data:`POINTS`, the first ones.

    Cosine distances are those of rows of unit length, so these are what is projected then.

    Args:
        embeddings: float (N, D).
        distance: What the embeddings are compared by.
        chosen: bool (N,), the rows to show; ``None``: all.

    Returns:
        ``None`` for fewer than three rows: there is no plane to choose.
    """
    rows = np.flatnonzero(chosen)[:POINTS] if chosen is not None else np.arange(embeddings.shape[0])[:POINTS]
    if len(rows) < 3:
        return None
    shown = embeddings[rows]
    values: FloatArray = (normalise(shown) if distance == "cosine" else as_float64(shown))[:]
    values = values - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    plane = np.zeros((len(rows), 2))
    plane[:, : min(2, left.shape[1])] = (left * singular)[:, :2]
    # A singular vector has no sign of its own; this one does not depend on the machine.
    signs = np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])
    plane *= np.where(signs == 0, 1, signs)
    variance = float((singular**2).sum())
    explained = float((singular[:2] ** 2).sum()) / variance if variance else 1.0
    return Map(tuple(rows.tolist()), _floats(plane[:, 0]), _floats(plane[:, 1]), explained)


def _floats(values: FloatArray) -> tuple[float, ...]:
    """Return six significant digits: what a picture can show, and half the size of a file."""
    return tuple(float(f"{value:.6g}") for value in values)
