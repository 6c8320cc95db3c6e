"""What a report shows of one trial beside its metrics: curves, histograms, the hardest pairs, a map of embeddings.

All of it is small, no matter how many pairs there are, so that a report can hold it for every trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation.embeddings import as_float64, normalise
from faceexp.evaluation.measured_pairs import map_in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.measured_pairs import PairDistances, Pairs
    from faceexp.evaluation.roc import Roc

# Points of a ROC curve that are kept: a line through so many looks on a screen like the exact curve.
VERTICES = 200
# Bars of a histogram: enough to show its shape, few enough that those of a small test part are not mostly noise.
BINS = 40
# Pairs of each kind that are shown as pictures: enough to see what they have in common, few enough for a small page.
PAIRS_OF_A_KIND = 6
# Embeddings that are drawn in the plane: with more, points hide each other and the file grows.
POINTS = 500
# Pairs that are looked at at a time, since arrays of their indices take more memory than their distances.
BLOCK = 1 << 22


@dataclass(frozen=True)
class JudgedPair:
    """A pair of images and the decision on it.

    Attributes:
        first: Row of one image.
        second: Row of the other.
        distance: Distance between their embeddings.
        similar: Whether they show the same identity.
        accepted: Whether the threshold says that they do.
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
        similar: Number of similar pairs in each bin.
        different: Number of different pairs in each bin.
        hardest: The hardest pairs of each of four kinds: similar pairs that are judged wrongly, or rightly; different
            pairs that are judged wrongly, or rightly. Wrong ones are hard if they are far on the wrong side of the
            threshold, right ones if they are close to it. :data:`PAIRS_OF_A_KIND` of each kind, the hardest first.
    """

    far: tuple[float, ...]
    tar: tuple[float, ...]
    edges: tuple[float, ...]
    similar: tuple[int, ...]
    different: tuple[int, ...]
    hardest: tuple[JudgedPair, ...]


@dataclass(frozen=True)
class Projection:
    """Embeddings in the plane of their first two principal components.

    Attributes:
        row: The row that each point stands for.
        x: First coordinate of each point.
        y: Second coordinate of each point.
        explained: Share of the variance of these embeddings that the plane shows.
    """

    row: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    explained: float


def diagnose(measured: Pairs, curve: Roc, threshold: float, pairs: IntArray | None, total: int) -> Diagnostics:
    """Return the curves and the hardest pairs of a trial.

    Args:
        measured: The distances of its pairs.
        curve: Their ROC curve.
        threshold: Distance up to which a pair counts as similar.
        pairs: int (P, 2), the pairs that were measured; ``None``: all, in the order of ``np.triu_indices(total, 1)``.
        total: Number of rows.
    """
    vertices = _vertices_to_draw(curve.far, curve.tar)
    ends = [(chunk.distance.min(initial=np.inf), chunk.distance.max(initial=0.0)) for chunk in measured.chunks(BLOCK)]
    span = (float(min(low for low, _ in ends)), float(max(high for _, high in ends))) if len(measured) else None
    histograms = list(map_in_threads(lambda chunk: _histogram(chunk, span), measured.chunks(BLOCK)))
    edges = histograms[0][2]
    together, similar = (np.sum([each[kind] for each in histograms], axis=0) for kind in (0, 1))
    # The difference, since counting different pairs would need a copy of nearly all distances.
    different = together - similar
    hardest = []
    for index, distance, is_similar in _hardest_pairs(measured, threshold):
        first, second = pairs[index] if pairs is not None else _rows_of_pair(index, total)
        hardest.append(JudgedPair(int(first), int(second), distance, is_similar, bool(distance <= threshold)))
    return Diagnostics(
        far=_floats(curve.far[vertices]),
        tar=_floats(curve.tar[vertices]),
        edges=_floats(edges),
        similar=tuple(int(count) for count in similar),
        different=tuple(int(count) for count in different),
        hardest=tuple(hardest),
    )


def _vertices_to_draw(far: FloatArray, tar: FloatArray) -> IntArray:
    """Return which vertices to keep: half of them spread evenly over TAR, half over FAR on a logarithmic scale.

    A page may draw the curve with either scale; both shall look smooth.
    """
    if len(far) <= VERTICES:
        return np.arange(len(far))
    half = VERTICES // 2 - 1
    smallest = far[far > 0].min(initial=1.0)
    by_far = np.searchsorted(far, np.geomspace(smallest, 1.0, half))
    by_tar = np.searchsorted(tar, np.linspace(0.0, 1.0, half))
    last = len(far) - 1
    return np.unique(np.clip(np.concatenate([[0], by_far, by_tar, [last]]), 0, last))


def _histogram(chunk: PairDistances, span: tuple[float, float] | None) -> tuple[IntArray, IntArray, FloatArray]:
    """Return how many pairs and how many similar pairs are in each bin, and the borders of the bins."""
    together, edges = np.histogram(chunk.distance, BINS, span)
    return together, np.histogram(chunk.distance[chunk.similar], BINS, (edges[0], edges[-1]))[0], edges


def _hardest_pairs(measured: Pairs, threshold: float) -> Iterator[tuple[int, float, bool]]:
    """Yield the hardest pairs of each kind: its position among all pairs, its distance, whether it is similar.

    They are in the order of ``Diagnostics.hardest``.
    """
    kinds = [(similar, right) for similar in (True, False) for right in (False, True)]

    def hardest_of(numbered: tuple[int, PairDistances]) -> list[tuple[IntArray, FloatArray]]:
        number, chunk = numbered
        accepted = chunk.distance <= threshold
        hardest: list[tuple[IntArray, FloatArray]] = []
        for similar, right in kinds:
            of_kind = np.flatnonzero((chunk.similar == similar) & (accepted == (similar == right)))
            of_kind = of_kind[_furthest(chunk.distance[of_kind], similar=similar)]
            hardest.append((number * BLOCK + of_kind, chunk.distance[of_kind]))
        return hardest

    hardest_of_blocks = list(map_in_threads(hardest_of, enumerate(measured.chunks(BLOCK))))
    for kind, (similar, _) in enumerate(kinds):
        candidates, distance = (np.concatenate([block[kind][part] for block in hardest_of_blocks]) for part in (0, 1))
        for place in _furthest(distance, similar=similar):
            yield int(candidates[place]), float(distance[place]), similar


def _furthest(distance: FloatArray, *, similar: bool) -> IntArray:
    """Return the positions of the hardest pairs of one kind, the hardest first; of equally hard ones, the first.

    A similar pair is harder the larger its distance is, and a different pair the smaller its distance is, whether it
    was judged rightly or wrongly.
    """
    hardness = distance if similar else -distance
    candidates = np.arange(len(hardness))
    if len(hardness) > PAIRS_OF_A_KIND:
        limit = np.partition(hardness, len(hardness) - PAIRS_OF_A_KIND)[len(hardness) - PAIRS_OF_A_KIND]
        candidates = np.flatnonzero(hardness >= limit)
    return candidates[np.argsort(-hardness[candidates], kind="stable")][:PAIRS_OF_A_KIND]


def _rows_of_pair(index: int, total: int) -> tuple[int, int]:
    """Return the two rows of pair number ``index``, in the order of ``np.triu_indices(total, 1)``."""
    starts = np.cumsum(np.arange(total - 1, 0, -1))
    first = int(np.searchsorted(starts, index, side="right"))
    before = int(starts[first - 1]) if first else 0
    return first, first + 1 + index - before


def projection(embeddings: Embeddings, distance: Distance, chosen: BoolArray | None = None) -> Projection | None:
    """Return embeddings projected onto the plane of largest variance; at most :data:`POINTS` of them, the first ones.

    For cosine distances, rows are brought to unit length before, since only their directions matter.

    Args:
        embeddings: float (N, D).
        distance: The distance by which embeddings are compared.
        chosen: bool (N,), the rows to show; ``None``: all.

    Returns:
        The projection, or ``None`` for fewer than three rows, which lie in one plane anyway.
    """
    rows = np.flatnonzero(chosen)[:POINTS] if chosen is not None else np.arange(embeddings.shape[0])[:POINTS]
    if len(rows) < 3:
        return None
    drawn = embeddings[rows]
    values: FloatArray = (normalise(drawn) if distance == "cosine" else as_float64(drawn))[:]
    values = values - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    plane = np.zeros((len(rows), 2))
    plane[:, : min(2, left.shape[1])] = (left * singular)[:, :2]
    # The sign of a singular vector is arbitrary. Here the largest coordinate is positive, on every machine.
    signs = np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])
    plane *= np.where(signs == 0, 1, signs)
    variance = float((singular**2).sum())
    explained = float((singular[:2] ** 2).sum()) / variance if variance else 1.0
    return Projection(tuple(rows.tolist()), _floats(plane[:, 0]), _floats(plane[:, 1]), explained)


def _floats(values: FloatArray) -> tuple[float, ...]:
    """Return six significant digits of each value, which is more than a picture can show, and halves the file."""
    return tuple(float(f"{value:.6g}") for value in values)
