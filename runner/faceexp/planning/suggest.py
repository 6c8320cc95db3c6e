"""An experiment for somebody's own photos: each value fits what was seen in them, and a comment says why it was chosen.

Plugins are those that call themselves suggested; where none of a kind does, all that need no options are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tomli_w

from faceexp.arrays import IntArray
from faceexp.data.face_data import some
from faceexp.data.splits import Split, UnservableError, smallest, splits
from faceexp.errors import InputError, Problem
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import ModelRef, Pretrain
from faceexp.planning.adapt import FEWEST, Training, fitting_sampler, with_fractions
from faceexp.planning.annotated import Entry, capital, comment, section
from faceexp.planning.needs import lack
from faceexp.planning.photos import Photos
from faceexp.planning.seen import facts, finding, preprocess
from faceexp.registry.installed import BrokenPluginError, ConfiguredPlugin, Registry

# The people that an open set takes: two to train on, two for validation, two for test.
PEOPLE_OF_OPEN_SET = 3 * FEWEST
# Folds, if there are people for them; with two seeds, there are then enough trials for every question.
MOST_FOLDS = 5
# With so many people, one seed of all folds shows enough, and two would take long.
MANY_PEOPLE = 200
# Seeds of an experiment that has no folds, so that there are five trials as well.
SEEDS_WITHOUT_FOLDS = 5
# Steps of phase 2: enough for the embedding layer of a small network, few enough for a first look.
STEPS = 200


@dataclass(frozen=True)
class Suggestion:
    """An experiment file for some photos.

    Attributes:
        text: The file.
        people: How many people take part.
        images: How many photos take part, as far as they were looked at.
        detects: Whether faces have to be found.
        is_sure: Whether nearly all photos that were searched agree in that.
        facts: What was seen and decided, in sentences.
    """

    text: str
    people: int
    images: int
    detects: bool
    is_sure: bool
    facts: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """Who takes part, and how they are cut."""

    labels: IntArray
    protocol: Protocol
    left_out: str = ""

    @property
    def people(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def seeds(self) -> list[int]:
        if self.protocol.kind == "closed_set":
            return list(range(SEEDS_WITHOUT_FOLDS))
        return [0] if self.people >= MANY_PEOPLE else [0, 1]


def suggest(photos: Photos, name: str, dataset: ConfiguredPlugin, registry: Registry) -> Suggestion:
    """Return an experiment that runs as it stands on the photos that were looked at.

    Args:
        photos: What was seen.
        name: The name of the experiment.
        dataset: The data set, with its options as they are to be written.
        registry: The installed plugins.

    Raises:
        InputError: There are too few people or photos for any protocol, or no plugin that is needed.
    """
    decided, taking = finding(photos.faces), _taking_part(photos)
    try:
        parts = [part for seed in taking.seeds for part in splits(taking.labels, taking.protocol, seed)]
    except UnservableError as error:
        raise InputError(Problem(f"{error}; add photos", photos.data.source)) from None
    model, sampler = _first(registry, "model"), _first(registry, "sampler")
    training = Training.of(taking.labels, parts)
    losses = _losses(registry, sampler, training)
    # Where faces must be found, nobody knows yet in how many photos that succeeds.
    is_exact = not decided.detects and len(photos.opened) == len(photos.data.labels)
    options = dataset.plugin.model_dump(mode="json", exclude_unset=True, by_alias=True)
    width = {"embedding_dim": _default(ModelRef, "embedding_dim")}
    text = [
        _head(photos, name, taking),
        section("dataset", [("", {"plugin": dataset.installed.name, **options})]),
        *preprocess(photos, decided),
        _protocol(taking, parts),
        section(
            "model", [(_summary(model), {"plugin": model.installed.name}), ("Numbers that describe a face.", width)]
        ),
        *_phases(sampler, losses, training, is_exact=is_exact),
        *_rows(losses),
    ]
    return Suggestion(
        text="\n".join(text),
        people=taking.people,
        images=len(taking.labels),
        detects=decided.detects,
        is_sure=decided.is_sure,
        facts=(*facts(photos), decided.reason, *([taking.left_out] if taking.left_out else [])),
    )


def _taking_part(photos: Photos) -> _Part:
    """Return who can take part in an open set, or else in a closed one."""
    counts = photos.counts
    for kind, people_needed in (("open_set", PEOPLE_OF_OPEN_SET), ("closed_set", FEWEST)):
        protocol = Protocol.model_validate({"kind": kind})
        floor = smallest(protocol)
        places = np.flatnonzero(counts >= floor)
        people = len(places)
        if people < people_needed:
            continue
        labels = np.repeat(np.arange(people, dtype=np.int32), counts[places])
        changes: dict[str, Any] = {"folds": min(MOST_FOLDS, people // FEWEST)} if kind == "open_set" else {}
        left_out = ""
        if people < len(counts):
            changes["min_images"] = floor
            names = [photos.data.identities[person] for person in np.flatnonzero(counts < floor)]
            who = f"{len(names)} of {len(counts)} people have fewer than {floor} photos that can be used"
            left_out = f"{who} and are left out: {some(names)}"
        return _Part(labels, with_fractions(protocol.model_copy(update=changes), labels), left_out)
    able = int((counts >= FEWEST).sum())
    message = (
        f"{able} of {len(counts)} people have two photos that can be used; an experiment takes {PEOPLE_OF_OPEN_SET} "
        "people with two photos each, or two people with five photos each: add people or photos"
    )
    raise InputError(Problem(message, photos.data.source))


def _head(photos: Photos, name: str, taking: _Part) -> str:
    folds, seeds = taking.protocol.folds, taking.seeds
    why = "Each seed has its own split, weights and batches"
    why += f"; with {folds} folds, every loss is trained {len(seeds) * folds} times." if folds > 1 else "."
    lines = [comment(f"{capital(fact)}.") for fact in facts(photos)]
    return "\n".join([*lines, tomli_w.dumps({"name": name}).strip(), comment(why), f"seeds = {seeds}", ""])


def _protocol(taking: _Part, parts: Sequence[Split]) -> str:
    protocol = taking.protocol
    if protocol.kind == "open_set":
        sizes = ", ".join(
            f"{_people_in(taking.labels, [getattr(part, name) for part in parts])} for {words}"
            for name, words in (("test", "test"), ("validation", "validation"), ("train", "training"))
        )
        cut = f"{taking.people} people in {protocol.folds} folds, each tested once. People of a fold: {sizes}."
        entries: list[Entry] = [
            ("Whoever is tested was never seen in training, as with new people later.", {"kind": "open_set"}),
            (cut, {"folds": protocol.folds}),
            (
                "Share of the others by whom threshold and checkpoint are chosen.",
                {"validation_fraction": protocol.validation_fraction},
            ),
        ]
    else:
        why = (
            f"{taking.people} people are too few for an open set, which takes {PEOPLE_OF_OPEN_SET}. So the same people "
            "are in training and in test, with other photos: results say nothing about new people."
        )
        shares = {"test_fraction": protocol.test_fraction, "validation_fraction": protocol.validation_fraction}
        entries = [(why, {"kind": "closed_set"}), ("Shares of each person's photos.", shares)]
    if protocol.min_images:
        entries.append((f"{capital(taking.left_out)}.", {"min_images": protocol.min_images}))
    return section("protocol", entries)


def _people_in(labels: IntArray, parts: Sequence[IntArray]) -> str:
    numbers = [len(np.unique(labels[part])) for part in parts]
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _phases(
    sampler: ConfiguredPlugin, losses: Sequence[ConfiguredPlugin], training: Training, *, is_exact: bool
) -> list[str]:
    """Return the tables of both phases; without sizes of batches where nobody knows what a part will hold."""
    second: list[Entry] = [(_summary(sampler), {"plugin": sampler.installed.name})]
    if is_exact:
        words = f"Photos in a step of phase 1; the smallest training part has {training.images}."
        size = min(_default(Pretrain, "batch_size"), training.batch_size)
        first: list[Entry] = [(words, {"batch_size": size})]
        plugin = fitting_sampler(sampler, losses[0].traits().needs, training)[0].plugin
        options = plugin.model_dump(mode="json", by_alias=True)
        for name, field in type(plugin).model_fields.items():
            key = field.alias or name
            if options[key] is not None:
                second.append((str(field.description or ""), {key: options[key]}))
    else:
        words = "Passes over the training part. Sizes of batches are left out: the run makes them fit what it can use."
        first = [(words, {"epochs": _default(Pretrain, "epochs")})]
    return [
        section("pretrain", first),
        section("finetune", [("Steps of phase 2, for each loss.", {"steps": STEPS})]),
        section("finetune.sampler", second),
    ]


def _losses(registry: Registry, sampler: ConfiguredPlugin, training: Training) -> list[ConfiguredPlugin]:
    """Return the losses to begin with: those that can learn from what the sampler serves."""
    fitting = []
    for loss in _candidates(registry, "loss"):
        try:
            needs = loss.traits().needs
            supply = fitting_sampler(sampler, needs, training)[0].supply()
        except BrokenPluginError:
            continue
        if training.serves(supply) and not lack(needs, supply):
            fitting.append(loss)
    if not fitting:
        raise InputError("no installed loss can learn from so few photos of each person; add photos or a loss")
    return fitting


def _rows(losses: Sequence[ConfiguredPlugin]) -> list[str]:
    head = comment(
        "The losses that are compared, with their default options. `faceexp list-plugins` shows all that are "
        "installed, and `faceexp describe loss NAME` the options of one."
    )
    tables = [
        f"[[losses]]\n{comment(_summary(loss))}\n{tomli_w.dumps({'plugin': loss.installed.name})}" for loss in losses
    ]
    return [f"{head}\n{tables[0]}", *tables[1:]]


def _first(registry: Registry, kind: str) -> ConfiguredPlugin:
    candidates = _candidates(registry, kind)
    if not candidates:
        raise InputError(f"no {kind} that needs no options is installed; install one")
    return candidates[0]


def _candidates(registry: Registry, kind: str) -> list[ConfiguredPlugin]:
    """Return the suggested plugins of a kind, or all where none is suggested; never those that need options."""
    usable: list[ConfiguredPlugin] = []
    for name in registry.names(kind):
        try:
            if any(field.is_required() for field in registry.find(kind, name).load().model_fields.values()):
                continue
            usable.append(registry.configure(kind, name, {}))
        except (InputError, BrokenPluginError):
            continue
    return [plugin for plugin in usable if plugin.plugin.suggested] or usable


def _summary(plugin: ConfiguredPlugin) -> str:
    return (type(plugin.plugin).__doc__ or "").strip().partition("\n")[0]


def _default(table: type[ModelRef | Pretrain], key: str) -> int:
    return int(table.model_fields[key].default)
