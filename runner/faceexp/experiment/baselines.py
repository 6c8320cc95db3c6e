"""The baselines: embeddings that need no metric loss, and that every loss has to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from faceexp.contract import Distance

BaselineKey = Literal["pixels", "pca", "untrained", "phase1"]


@dataclass(frozen=True)
class Baseline:
    """One baseline.

    Attributes:
        key: Its name in an experiment file.
        label: Its name in tables.
        distance: The distance by which its embeddings are compared.
    """

    key: BaselineKey
    label: str
    distance: Distance


# Each is compared by the distance under which it is stronger on faces; a weak straw man would flatter every loss.
PIXELS = Baseline("pixels", "raw pixels", "euclidean")
PCA = Baseline("pca", "PCA (eigenfaces)", "euclidean")
UNTRAINED = Baseline("untrained", "untrained trunk", "cosine")
PHASE1 = Baseline("phase1", "phase-1 embedding", "cosine")


def named_after(trained: str) -> Baseline:
    """Return the baseline of a trunk as it is: of one with trained weights, under their name."""
    return replace(UNTRAINED, label=f"trunk {trained}") if trained else UNTRAINED


BASELINES: dict[BaselineKey, Baseline] = {baseline.key: baseline for baseline in (PIXELS, PCA, UNTRAINED, PHASE1)}
