"""The frozen values that flow from stage to stage, and the events a run emits on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from faceexp.arrays import AnyArray, ByteArray, FloatArray, IntArray
from faceexp.contract import Distance, FaceData, FixedModelPlugin, LossTraits, ModelPlugin
from faceexp.experiment.baselines import PHASE1, UNTRAINED, Baseline, named_after

if TYPE_CHECKING:
    # Only annotations name these; importing them would cost every command the time of NumPy and of the registry.
    from faceexp.data.groups import Groups
    from faceexp.data.lost import Lost
    from faceexp.data.pairs_file import PairsFile
    from faceexp.data.part_files import PartFiles
    from faceexp.data.splits import Split
    from faceexp.data.templates import Templates
    from faceexp.data.test_set import PlannedSet
    from faceexp.experiment.schema import Experiment, LossEntry, PretrainedEntry
    from faceexp.experiment.sets import SetEntry
    from faceexp.registry.installed import ConfiguredPlugin

Status = Literal["ok", "diverged", "failed"]
# A row of the comparison is a trained loss, an embedding that exists already and is only measured, or a baseline.
Kind = Literal["loss", "pretrained", "baseline"]
NoteKind = Literal[
    "data",
    "data_set",
    "left_out",
    "names",
    "closed_set",
    "pairs_file",
    "listed",
    "test_set",
    "overlap",
    "split_seed",
    "duplicates",
    "several_faces",
    "groups",
    "templates",
    "failures",
    "uneven",
    "few_people",
    "few_trials",
    "adapted",
    "unseeded",
    "phase1",
    "existing",
    "code",
    "refused",
]

# What the trained network is called, in the store and in a run.
NETWORK_FILE = "model.keras"


@dataclass(frozen=True)
class Note:
    """What a reader of the results should know about the data.

    Attributes:
        kind: What it is about.
        text: A sentence.
        people: How many people in the data would mend it, where that is known.
    """

    kind: NoteKind
    text: str
    people: int | None = None


@dataclass(frozen=True)
class ResolvedLoss:
    """A loss of the experiment with its plugin and its sampler, checked against each other."""

    entry: LossEntry
    loss: ConfiguredPlugin
    sampler: ConfiguredPlugin
    traits: LossTraits


@dataclass(frozen=True)
class ResolvedPretrained:
    """An embedding that exists already, with the plugin that opens it."""

    entry: PretrainedEntry
    network: ConfiguredPlugin


@dataclass(frozen=True)
class ResolvedSet:
    """A test set with its plugin, and the list of its pairs if it has one; no data were touched."""

    entry: SetEntry
    dataset: ConfiguredPlugin
    pairs: PairsFile | None = None


@dataclass(frozen=True)
class Resolved:
    """An experiment whose every plugin exists and accepts its options; no data were touched."""

    experiment: Experiment
    dataset: ConfiguredPlugin
    model: ConfiguredPlugin | None
    losses: tuple[ResolvedLoss, ...]
    pairs: PairsFile | None = None
    lists: PartFiles | None = None
    pretrained: tuple[ResolvedPretrained, ...] = ()
    sets: tuple[ResolvedSet, ...] = ()
    detector: ConfiguredPlugin | None = None

    @property
    def folds(self) -> int:
        """Folds per seed as far as the file tells; the pairs of a data set have more. ``Plan.folds`` is exact."""
        return self.pairs.folds if self.pairs else self.experiment.protocol.folds

    @property
    def trained(self) -> str:
        """What the trained weights of the trunk are called; empty where they are random, or there is no trunk."""
        return cast("ModelPlugin | FixedModelPlugin", self.model.plugin).trained if self.model else ""

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The baselines that have trials; a trunk with trained weights is called by their name."""
        used = self.experiment.used_baselines
        return tuple(named_after(self.trained) if baseline == UNTRAINED else baseline for baseline in used)

    @property
    def reference(self) -> str:
        """The row that every loss starts from, with which it is compared: of a trained trunk without phase 1, that."""
        start = named_after(self.trained)
        return start.label if self.trained and PHASE1 not in self.baselines else PHASE1.label

    @property
    def remarks(self) -> tuple[str, ...]:
        """What authors of its plugins should know, although they work, and users of its networks; one sentence each."""
        said = [f"{each.installed} {remark}" for each in self.plugins for remark in each.installed.remarks]
        networks = [*filter(None, [self.model]), *(row.network for row in self.pretrained)]
        said += [note for each in networks for note in cast("ModelPlugin | FixedModelPlugin", each.plugin).notes]
        return tuple(dict.fromkeys(said))

    @property
    def plugins(self) -> tuple[ConfiguredPlugin, ...]:
        """Every plugin, those of the losses last; one that losses share is there more than once."""
        of_losses = (each for loss in self.losses for each in (loss.loss, loss.sampler))
        of_sets = (each.dataset for each in self.sets)
        networks = (*filter(None, [self.model, self.detector]), *(row.network for row in self.pretrained))
        return (self.dataset, *networks, *of_sets, *of_losses)

    @property
    def trunk(self) -> ConfiguredPlugin:
        """The network that losses train.

        Raises:
            ValueError: There is none, since nothing is trained.
        """
        if self.model is None:
            raise ValueError("an experiment without losses has no trunk")
        return self.model


@dataclass(frozen=True)
class Trial:
    """One training to do, or one embedding to measure, with one seed and fold; it is of the loss or row that it has."""

    id: str
    label: str
    kind: Kind
    seed: int
    fold: int
    loss: ResolvedLoss | None = None
    baseline: Baseline | None = None
    pretrained: ResolvedPretrained | None = None

    @property
    def name(self) -> str:
        """The plugin's name, or the baseline's."""
        row = self.loss or self.pretrained
        return row.entry.plugin if row else self.label


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do, decided and checked before anything trains.

    Attributes:
        resolved: The experiment and its plugins.
        data: The data set.
        images: uint8 (N + M, H, W, C), preprocessed; memory-mapped. Those of test sets come last.
        images_key: Digest of what determined those of the data set.
        labels: int32 (N,), labels of the ``images`` of the data set.
        identities: Names of the people that the labels count.
        splits: One for each seed and fold.
        trials: In the order in which they run.
        notes: What a reader of the results should know about the data.
        columns: What is known of each of ``images`` besides, by name, as in :class:`FaceData`.
        groups: The groups that the experiment asks about.
        templates: What is judged in the place of images, if the experiment asks for it.
        lost: The images that cannot be used; nothing where all can.
        file_digests: uint8 (N, 8), digests of the files of the data set's images; nothing if these are no files.
        sets: Further faces that every trial is measured on.
        sets_key: Digest of what determined their images; empty if there are none.
        is_search: Whether settings are searched for: then nothing but validation scores is computed and kept.
    """

    resolved: Resolved
    data: FaceData
    images: ByteArray
    images_key: str
    labels: IntArray
    identities: tuple[str, ...]
    splits: tuple[Split, ...]
    trials: tuple[Trial, ...]
    notes: tuple[Note, ...] = ()
    file_digests: ByteArray | None = None
    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    groups: tuple[Groups, ...] = ()
    templates: Templates | None = None
    lost: Lost | None = None
    sets: tuple[PlannedSet, ...] = ()
    sets_key: str = ""
    is_search: bool = False

    @property
    def folds(self) -> int:
        """Folds per seed."""
        return len(self.splits) // len(self.resolved.experiment.seeds)

    def rows(self, split: Split, part: str) -> IntArray:
        """Return the images of a part, which is one of the split or the name of a test set."""
        of_sets = {each.name: each.rows for each in self.sets}
        rows: IntArray = of_sets[part] if part in of_sets else getattr(split, part)
        return rows


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
        folder: Where the trained model lies in the store, if it has one.
        seconds: Time of each stage.
        reused: Stages that were taken from the store.
        key: Digest of what determined the embeddings; empty if the trial failed.
        unseeded: Operations of the loss that draw random numbers for which there is no seed.
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
    budget: Budget = Budget()
    seconds: dict[str, float] = field(default_factory=dict)
    reused: tuple[str, ...] = ()
    key: str = ""
    unseeded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """Progress of a run, for whoever watches it.

    Attributes:
        stage: ``images``, ``backend`` (TensorFlow starts), ``rehearsal`` (trunk and losses are called once),
            ``search`` (trials of the search of all losses, or of what ``label`` names), ``pretrain``, ``features``,
            ``finetune``, ``trial`` (one has ended), ``note`` (see :class:`Noted`), ``compare`` (all have ended; what
            they found is compared and written).
        done: Units of work done, of ``total``.
        label: The loss, where there is one.
        value: The loss value, where there is one.
    """

    stage: str
    done: int
    total: int
    label: str = ""
    seed: int = 0
    fold: int = 0
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Something that whoever watches a run should know before it trains."""

    note: Note


@dataclass(frozen=True, kw_only=True)
class Refused(Event):
    """A loss will not be trained, since its first call has failed: why, and the traceback where there is one."""

    reason: str
    traceback: str


EventCallback = Callable[[Event], None]


class Score(Protocol):
    """What judges a checkpoint on validation images; the one with the highest value is kept."""

    @property
    def key(self) -> str:
        """A digest of what determines the values, which every result that a checkpoint was chosen for depends on."""

    def __call__(
        self, embeddings: FloatArray | ByteArray, labels: IntArray, distance: Distance, pairs: IntArray | None = None
    ) -> float:
        """Return the score of some embeddings, float32 (n, D), of identities int (n,)."""
