"""Values that nobody wrote, made to fit the data.

A default suits most data and is nobody's wish. Where the data cannot serve it, the nearest value that they can serve
takes its place, and a note says so. What the file says is never changed: if it is impossible, it is a mistake.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import BatchNeeds, BatchSupply
from faceexp.data.splits import Split, test_size, validation_size
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Experiment, Finetune, Pretrain
from faceexp.planning.needs import lack
from faceexp.registry.guard import PluginFaultError, ask
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin
from faceexp.values import Note, Resolved, ResolvedLoss

# Two people (or two images of one) are the fewest that a part can judge pairs of.
FEWEST = 2
# Steps that an epoch of phase 1 should have: of one step each, epochs would hardly train anything.
STEPS_OF_EPOCH = 4
# Images in a step of phase 1, if there are as many: fewer make every step a matter of chance.
FEWEST_IN_STEP = 8


@dataclasses.dataclass(frozen=True)
class Training:
    """What the smallest training part can serve.

    Attributes:
        images: Images of the part that has fewest.
        counts: For each part, how many images each person has.
    """

    images: int
    counts: tuple[IntArray, ...]

    @classmethod
    def of(cls, labels: IntArray, parts: Sequence[Split]) -> Training:
        """Return what the training parts of some splits hold."""
        counts = tuple(np.bincount(labels[part.train]) for part in parts)
        return cls(min(len(part.train) for part in parts), counts)

    def able(self, images_per_class: int) -> int:
        """Return how many people have so many images, in the part where fewest have."""
        return min(int((count >= images_per_class).sum()) for count in self.counts)

    def serves(self, supply: BatchSupply) -> bool:
        """Return whether every part can fill a batch."""
        return self.able(supply.images_per_class) >= supply.classes and supply.size <= self.images

    @property
    def batch_size(self) -> int:
        """Images in a batch of phase 1 that leave several steps to an epoch."""
        return min(self.images, max(FEWEST_IN_STEP, self.images // STEPS_OF_EPOCH))


def with_fractions(protocol: Protocol, labels: IntArray) -> Protocol:
    """Return the protocol with shares for test and validation that give each of them two people, or images, at least.

    Shares that the file gives stay, and so do those that suffice or that no share could mend.
    """
    if protocol.kind not in ("open_set", "closed_set"):
        return protocol
    counts = np.bincount(labels)
    is_open = protocol.kind == "open_set"
    number = int(np.count_nonzero(counts) if is_open else counts.max())
    # People to train on are compared with each other; of one person's images, one to train on is enough.
    to_train = FEWEST if is_open else 1
    written = protocol.model_fields_set
    if (
        protocol.folds == 1
        and "test_fraction" not in written
        and test_size(number, protocol) < FEWEST
        and number >= 2 * FEWEST + to_train
    ):
        protocol = protocol.model_copy(update={"test_fraction": round(FEWEST / number, 3)})
    rest = number - test_size(number, protocol)
    if "validation_fraction" not in written and validation_size(rest, protocol) < FEWEST and rest >= FEWEST + to_train:
        protocol = protocol.model_copy(update={"validation_fraction": round(FEWEST / rest, 3)})
    return protocol


def with_batches(resolved: Resolved, training: Training) -> Resolved:
    """Return the experiment with batches that every training part can fill, where the file does not give their size."""
    experiment = resolved.experiment
    losses = tuple(_fitted(loss, training) for loss in resolved.losses)
    finetune = experiment.finetune
    for before, after in zip(resolved.losses, losses, strict=True):
        if finetune and before.entry.finetune.sampler == finetune.sampler:
            finetune = _with_sampler(finetune, after.entry.finetune.sampler.options)
            break
    experiment = experiment.model_copy(
        update={
            "pretrain": _with_batch_size(experiment.pretrain, training),
            "finetune": finetune,
            "losses": tuple(loss.entry for loss in losses),
        }
    )
    return dataclasses.replace(resolved, experiment=experiment, losses=losses)


def _with_batch_size(pretrain: Pretrain, training: Training) -> Pretrain:
    if "batch_size" in pretrain.model_fields_set or pretrain.batch_size <= training.images:
        return pretrain
    evenly = training.batch_size - training.batch_size % pretrain.replicas
    fewest = pretrain.replicas if training.images else 0  # where nobody is trained on, no batch is drawn
    return pretrain.model_copy(update={"batch_size": max(evenly, fewest)})


def _with_sampler(finetune: Finetune, options: dict[str, Any]) -> Finetune:
    if options == finetune.sampler.options:
        return finetune
    return finetune.model_copy(update={"sampler": finetune.sampler.model_copy(update={"options": options})})


def _fitted(loss: ResolvedLoss, training: Training) -> ResolvedLoss:
    """Return a loss whose phases have batches that every training part can fill."""
    sampler, changes = fitting_sampler(loss.sampler, loss.traits.needs, training)
    entry = loss.entry.model_copy(
        update={
            "pretrain": _with_batch_size(loss.entry.pretrain, training),
            "finetune": _with_sampler(loss.entry.finetune, {**loss.entry.finetune.sampler.options, **changes}),
        }
    )
    return dataclasses.replace(loss, entry=entry, sampler=sampler)


def fitting_sampler(
    sampler: ConfiguredPlugin, needs: BatchNeeds, training: Training
) -> tuple[ConfiguredPlugin, dict[str, int]]:
    """Return the sampler with a number that nobody wrote as large as the data allow, and that number by its key.

    Which option decides how much a batch asks for, only the sampler knows. So smaller numbers are tried, and its own
    promise tells whether they help. Where none does, or none is needed, the sampler stays as it is.
    """
    plugin = sampler.plugin
    if training.serves(sampler.supply()):
        return sampler, {}
    written = plugin.model_dump(mode="json", exclude_unset=True, by_alias=True)
    for name, field in type(plugin).model_fields.items():
        value = getattr(plugin, name)
        if name in plugin.model_fields_set or isinstance(value, bool) or not isinstance(value, int):
            continue
        key = field.alias or name
        for smaller in range(min(value - 1, training.images), 0, -1):
            candidate = _with_options(sampler, {**written, key: smaller})
            if candidate and _suits(candidate, needs, training):
                return candidate, {key: smaller}
    return sampler, {}


def _with_options(sampler: ConfiguredPlugin, options: dict[str, Any]) -> ConfiguredPlugin | None:
    cls = type(sampler.plugin)
    try:
        return dataclasses.replace(sampler, plugin=ask(lambda: cls.from_toml(options)))
    except PluginFaultError:  # a number that the sampler refuses
        return None


def _suits(sampler: ConfiguredPlugin, needs: BatchNeeds, training: Training) -> bool:
    try:
        supply = sampler.supply()
    except BrokenPluginError:
        return False
    return training.serves(supply) and not lack(needs, supply)


def adapted(before: Experiment, after: Experiment) -> list[Note]:
    """Return a note that tells each value which was made to fit, or none."""
    changes = _changes(before.protocol, after.protocol, "protocol.")
    changes += _changes(before.pretrain, after.pretrain, "pretrain.")
    for old, new in zip(before.losses, after.losses, strict=True):
        changes += _changes(old.pretrain, new.pretrain, "pretrain.")
        given, chosen = old.finetune.sampler.options, new.finetune.sampler.options
        changes += [
            f"{key} = {chosen[key]} of sampler {new.finetune.sampler.plugin!r}" for key in chosen if key not in given
        ]
    if not changes:
        return []
    text = ", ".join(dict.fromkeys(changes))
    advice = "write them in the file to decide yourself"
    return [Note("adapted", f"defaults that these data cannot serve were made to fit: {text}; {advice}")]


def _changes(before: Protocol | Pretrain, after: Protocol | Pretrain, prefix: str) -> list[str]:
    old, new = before.model_dump(), after.model_dump()
    return [f"{prefix}{key} = {new[key]:g} (otherwise {old[key]:g})" for key in new if new[key] != old[key]]
