"""What the engine hands to evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from faceexp.arrays import ByteArray, FloatArray, IntArray
from faceexp.contract import Distance
from faceexp.values.notes import Status
from faceexp.values.plan import Trial

if TYPE_CHECKING:
    # Only annotations name these; importing them would cost every command the time of NumPy and of the registry.
    from faceexp.data.splits import Split

# What the trained network is called, in the store and in a run.
NETWORK_FILE = "model.keras"


@dataclass(frozen=True)
class Checkpoint:
    """A point of a training curve: mean loss since the one before, and the score on validation."""

    step: int
    loss: float
    validation: float


@dataclass(frozen=True)
class Budget:
    """What a trial was given; a comparison is fair where all losses were given the same.

    Attributes:
        pretrain_images: Images seen in phase 1, repetitions counted.
        steps: Optimiser steps of phase 2.
        images: Images seen in phase 2, repetitions counted.
        trainable_parameters: Weights that phase 2 trains, those of the loss included.
    """

    pretrain_images: int = 0
    steps: int = 0
    images: int = 0
    trainable_parameters: int = 0


@dataclass(frozen=True)
class TrainedTrial:
    """What the engine hands to evaluation.

    Attributes:
        split: The parts it was trained, validated and tested on.
        embeddings: float32 (n, D) by part: ``"validation"``, ``"test"``, ``"train"`` where the people who are tested
            were trained on, and the name of each test set; empty if the trial failed.
        distance: The distance these embeddings are compared by.
        folder: Where what is kept of its training lies in the store, if it was trained.
        network: The file of the trained network in the store, if it has one and that is there.
        seconds: Time of each stage.
        reused: Stages that were taken from the store.
        key: Digest of what determined the embeddings; empty if the trial failed.
        unseeded: Operations of the loss that draw random numbers for which there is no seed.
        nondeterministic: Whether anything of it was made where operations need not be deterministic.
        refusal: What TensorFlow says of an operation that has no deterministic form, where the trial failed for that.
    """

    trial: Trial
    split: Split
    status: Status
    reason: str | None = None
    embeddings: Mapping[str, FloatArray | ByteArray] = field(default_factory=dict)
    distance: Distance = "euclidean"
    best_step: int = 0
    curve: tuple[Checkpoint, ...] = ()
    folder: Path | None = None
    network: Path | None = None
    budget: Budget = Budget()
    seconds: dict[str, float] = field(default_factory=dict)
    reused: tuple[str, ...] = ()
    key: str = ""
    unseeded: tuple[str, ...] = ()
    nondeterministic: bool = False
    refusal: str = ""


class Score(Protocol):
    """What judges a checkpoint on validation images; the one with the highest value is kept."""

    @property
    def name(self) -> str:
        """What the values are, such as AUC, for whoever reads of them."""

    @property
    def key(self) -> str:
        """A digest of what determines the values, which every result that a checkpoint was chosen for depends on."""

    def __call__(
        self, embeddings: FloatArray | ByteArray, labels: IntArray, distance: Distance, pairs: IntArray | None = None
    ) -> float:
        """Return the score of some embeddings, float32 (n, D), of identities int (n,)."""
