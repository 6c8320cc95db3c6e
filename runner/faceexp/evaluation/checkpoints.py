"""What chooses a checkpoint: the area under the ROC on validation images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from faceexp.evaluation import verification
from faceexp.evaluation.pairs import pair_distances
from faceexp.store import digest, source_digest

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.contract import Distance
    from faceexp.evaluation.embeddings import Embeddings

# The modules that decide the value of a checkpoint. Metrics are elsewhere: a new one must not train every loss anew.
SOURCES = ("evaluation.checkpoints", "evaluation.embeddings", "evaluation.pairs", "evaluation.verification")
# Of more validation images than that, so many choose the checkpoint: pairs grow with their square, and each checkpoint
# looks at all.
CHECKPOINT_IMAGES = 5000
# People whom that choice leaves, or else images are left out instead.
CHECKPOINT_PEOPLE = 100


@dataclass(frozen=True)
class ValidationAuc:
    """:func:`validation_auc` as the engine takes it: with a key of what determines its values."""

    @cached_property
    def key(self) -> str:
        """Return a digest of the sources and of NumPy's version."""
        return digest([np.__version__, source_digest(*SOURCES)])

    def __call__(
        self, embeddings: Embeddings, labels: IntArray, distance: Distance, pairs: IntArray | None = None
    ) -> float:
        """Return the area under the ROC; see :func:`validation_auc`."""
        return validation_auc(embeddings, labels, distance, pairs)


def validation_auc(
    embeddings: Embeddings, labels: IntArray, distance: Distance, pairs: IntArray | None = None
) -> float:
    """Return the area under the ROC on validation images, by which checkpoints are chosen.

    The arguments are those of :func:`faceexp.evaluation.evaluate`. Where there are no listed pairs, at most about
    :data:`CHECKPOINT_IMAGES` images are looked at: those of every second, third, ... identity.
    """
    if pairs is None and len(labels) > CHECKPOINT_IMAGES:
        chosen = _some(labels)
        embeddings, labels = embeddings[chosen], labels[chosen]
    return verification.auc(verification.roc(pair_distances(embeddings, labels, distance, pairs)))


def _some(labels: IntArray) -> IntArray:
    """Return rows of evenly chosen identities; where few would be left, evenly chosen rows."""
    step = -(-len(labels) // CHECKPOINT_IMAGES)
    people = np.unique(labels)[::step]
    return (
        np.flatnonzero(np.isin(labels, people)) if len(people) >= CHECKPOINT_PEOPLE else np.arange(len(labels))[::step]
    )
