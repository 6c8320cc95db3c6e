"""The frozen values that flow from stage to stage, and the events a run emits on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from faceexp.contract import Distance, FaceData, IntArray, LossTraits
from faceexp.experiment import Experiment, LossEntry
from faceexp.registry import Chosen

if TYPE_CHECKING:
    import numpy as np

    FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
else:
    # Only annotations name these types; importing NumPy for them would cost every command a tenth of a second.
    FloatArray = ByteArray = Any

Status = Literal["ok", "diverged", "failed"]


@dataclass(frozen=True)
class Split:
    """Which images one seed and fold trains, validates and tests on; indices into the data set's images."""

    seed: int
    fold: int
    train: IntArray
    validation: IntArray
    test: IntArray


@dataclass(frozen=True)
class ResolvedLoss:
    """A loss of the experiment with its plugin and its sampler, checked against each other."""

    entry: LossEntry
    loss: Chosen
    sampler: Chosen
    traits: LossTraits


@dataclass(frozen=True)
class Resolved:
    """An experiment whose every plugin exists and accepts its options; no data were touched."""

    experiment: Experiment
    dataset: Chosen
    model: Chosen
    losses: tuple[ResolvedLoss, ...]


@dataclass(frozen=True)
class Trial:
    """One training to do, or one baseline to measure: a loss, a seed, a fold."""

    id: str
    label: str
    kind: Literal["loss", "baseline"]
    seed: int
    fold: int
    loss: ResolvedLoss | None = None

    @property
    def name(self) -> str:
        """The loss plugin's name, or the baseline's."""
        return self.loss.entry.plugin if self.loss else self.label


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do, decided and checked before anything trains.

    Attributes:
        resolved: The experiment and its plugins.
        data: The data set.
        images: uint8 (N, H, W, C), preprocessed; memory-mapped.
        images_key: Digest of what determined them.
        labels: int32 (N,), labels of ``images``.
        splits: One for each seed and fold.
        trials: In the order in which they run.
        notes: What a reader of the results should know about the data.
    """

    resolved: Resolved
    data: FaceData
    images: ByteArray
    images_key: str
    labels: IntArray
    splits: tuple[Split, ...]
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A point of a training curve: mean loss since the one before, and the score on validation."""

    step: int
    loss: float
    validation: float


def _no_rows() -> FloatArray:
    import numpy as np

    return np.zeros((0, 0), np.float32)


def _no_labels() -> IntArray:
    import numpy as np

    return np.zeros(0, np.int32)


@dataclass(frozen=True)
class TrainedTrial:
    """What the engine hands to evaluation.

    Attributes:
        validation: Embeddings float32 (n, D) of the validation images; empty if the trial failed.
        test: Embeddings of the test images.
        validation_labels: Labels of ``validation``.
        test_labels: Labels of ``test``.
        distance: The distance these embeddings are compared by.
        folder: Where the trained model lies in the store, if it has one.
        seconds: Time of each stage.
        reused: Stages that were found in the store.
    """

    trial: Trial
    status: Status
    reason: str | None = None
    validation: FloatArray = field(default_factory=_no_rows)
    test: FloatArray = field(default_factory=_no_rows)
    validation_labels: IntArray = field(default_factory=_no_labels)
    test_labels: IntArray = field(default_factory=_no_labels)
    distance: Distance = "euclidean"
    best_step: int = 0
    curve: tuple[Checkpoint, ...] = ()
    folder: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reused: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialResult:
    """One trial as ``results.json`` has it."""

    id: str
    loss: str
    label: str
    kind: Literal["loss", "baseline"]
    seed: int
    fold: int
    status: Status
    reason: str | None
    metrics: dict[str, float | None]
    threshold: float | None
    distance: Distance
    best_step: int
    seconds: dict[str, float]
    reused: tuple[str, ...]
    curve: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something a person watching a run would want to see.

    Attributes:
        stage: ``images``, ``backend`` (TensorFlow starts), ``pretrain``, ``features``, ``finetune``, ``trial`` (ended).
        done: Units of work done, of ``total``.
        label: The loss, where there is one.
        value: The loss value, where there is one.
        finished: The result of a trial that has just ended.
    """

    stage: str
    done: int
    total: int
    label: str = ""
    seed: int = 0
    fold: int = 0
    value: float | None = None
    finished: TrialResult | None = None


Listener = Callable[[Event], None]
Score = Callable[[FloatArray, IntArray, Distance], float]
