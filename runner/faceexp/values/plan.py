"""Everything that a run will do, decided and checked before anything trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faceexp.arrays import AnyArray, ByteArray, IntArray
from faceexp.contract import FaceData
from faceexp.experiment.baselines import Baseline
from faceexp.values.notes import Kind, Note
from faceexp.values.resolved import Resolved, ResolvedLoss, ResolvedPretrained

if TYPE_CHECKING:
    # Only annotations name these; importing them would cost every command the time of NumPy and of the registry.
    from faceexp.data.groups import Groups
    from faceexp.data.lost import Lost
    from faceexp.data.splits import Split
    from faceexp.data.templates import Templates
    from faceexp.data.test_set import PlannedSet


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
        """The plugin's name, or the baseline's; of a sum of losses, the names of all."""
        if self.loss:
            return self.loss.entry.name
        return self.pretrained.entry.plugin if self.pretrained else self.label


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
