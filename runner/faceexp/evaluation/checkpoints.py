"""How a checkpoint is chosen: by the area under the ROC curve on validation images, or by MAP@R of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from faceexp.arrays import on_one_core
from faceexp.evaluation import retrieval
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import auc, roc
from faceexp.store import digest, source_digest

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings
    from faceexp.evaluation.people import Weighting
    from faceexp.values import Score

# The modules whose source code decides the value of a checkpoint. Those of other metrics are not among them: a new
# metric must not cause every loss to be trained anew.
SOURCES = (
    "evaluation.checkpoints",
    "evaluation.embeddings",
    "evaluation.measured_pairs",
    "evaluation.pairs",
    "evaluation.people",
    "evaluation.roc",
)
# Those that decide MAP@R of a checkpoint.
SOURCES_OF_MAP = (
    "evaluation.checkpoints",
    "evaluation.embeddings",
    "evaluation.pairs",
    "evaluation.people",
    "evaluation.retrieval",
)
# With more validation images than this, about this many choose the checkpoint. Every checkpoint measures all of their
# pairs, whose number grows with the square of the images: 5,000 images have 12.5 million pairs.
CHECKPOINT_IMAGES = 5000
# Images are left out person by person, so that those who stay keep all of their similar pairs. If fewer people than
# this would stay, the area would depend on who they are; then single images are left out instead.
CHECKPOINT_PEOPLE = 100


def validation_score(choose_by: Literal["auc", "map_at_r"]) -> Score:
    """Return what judges checkpoints and settings, as ``evaluation.choose_by`` names it."""
    return ValidationMap() if choose_by == "map_at_r" else ValidationAuc()


@dataclass(frozen=True)
class ValidationAuc:
    """:func:`validation_auc` in the form that the engine needs: with a key of what determines its values.

    Every person counts alike, however many images they have.
    """

    name: ClassVar[str] = "AUC"

    @cached_property
    def key(self) -> str:
        """Return a digest of the source code and of the version of NumPy."""
        return digest([np.__version__, source_digest(*SOURCES)])

    def __call__(
        self, embeddings: Embeddings, labels: IntArray, distance: Distance, pairs: IntArray | None = None
    ) -> float:
        """Return the area under the ROC curve; see :func:`validation_auc`."""
        with on_one_core(math.prod(embeddings.shape)):
            return validation_auc(embeddings, labels, distance, pairs, weights="people")


@dataclass(frozen=True)
class ValidationMap:
    """MAP@R of validation images, in the form that the engine needs; every person counts alike."""

    name: ClassVar[str] = "MAP@R"

    @cached_property
    def key(self) -> str:
        """Return a digest of the source code and of the version of NumPy."""
        return digest(["map_at_r", np.__version__, source_digest(*SOURCES_OF_MAP)])

    def __call__(
        self, embeddings: Embeddings, labels: IntArray, distance: Distance, pairs: IntArray | None = None
    ) -> float:
        """Return MAP@R, from 0 to 1; of many images, that of the people whom :func:`validation_auc` looks at.

        Raises:
            ValueError: Pairs are listed, which have no order of neighbours.
        """
        if pairs is not None:
            raise ValueError("MAP@R is measured between all images, not on listed pairs")
        embeddings, labels = _few_enough(embeddings, labels)
        with on_one_core(math.prod(embeddings.shape)):
            ranks = retrieval.ranks(embeddings, labels, distance)
        return retrieval.map_at_r(retrieval.person_averaged(ranks, labels))


def validation_auc(
    embeddings: Embeddings,
    labels: IntArray,
    distance: Distance,
    pairs: IntArray | None = None,
    weights: Weighting = "pairs",
) -> float:
    """Return the area under the ROC curve on validation images, by which checkpoints are chosen.

    Without listed pairs, at most about :data:`CHECKPOINT_IMAGES` images are looked at: with up to twice as many images,
    those of every second identity; with up to three times as many, those of every third identity; and so on.

    Args:
        embeddings: float (N, D), of validation images.
        labels: int (N,), their identities.
        distance: The distance that the loss is made for.
        pairs: int (P, 2), the pairs that a protocol lists; ``None``: every pair.
        weights: Whether every person counts alike, or every pair. Pairs that a protocol lists always count alike.

    Raises:
        ValueError: See :func:`faceexp.evaluation.pairs.pair_distances`.
    """
    if pairs is None:
        embeddings, labels = _few_enough(embeddings, labels)
    measured = pair_distances(embeddings, labels, distance, pairs)
    return auc(roc(measured.person_averaged(labels) if weights == "people" and pairs is None else measured))


def _few_enough(embeddings: Embeddings, labels: IntArray) -> tuple[Embeddings, IntArray]:
    """Return embeddings and identities, or those of about :data:`CHECKPOINT_IMAGES` of them."""
    if len(labels) <= CHECKPOINT_IMAGES:
        return embeddings, labels
    chosen = _evenly_chosen(labels)
    return embeddings[chosen], labels[chosen]


def _evenly_chosen(labels: IntArray) -> IntArray:
    """Return the rows of evenly chosen identities; if few identities would be left, evenly chosen rows."""
    step = -(-len(labels) // CHECKPOINT_IMAGES)
    people = np.unique(labels)[::step]
    if len(people) < CHECKPOINT_PEOPLE:
        return np.arange(len(labels))[::step]
    return np.flatnonzero(np.isin(labels, people))
