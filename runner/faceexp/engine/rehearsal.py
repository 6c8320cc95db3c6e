"""One call of each plugin before anything trains, so that a mistake in one is told at the start of a run.

A rehearsal draws the step as training does, but neither compiles nor runs it: that takes a quarter of a second, where
compiling takes two. So it finds what is wrong with shapes, types and gradients; whether a loss learns, only training
shows.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import LossPlugin, SamplerPlugin
from faceexp.engine.backend import compiled, derive_seed, standard, tensorflow, versions
from faceexp.engine.borders import PluginValueError, scalar, take, unseeded_draws, unseeded_sentence
from faceexp.engine.failures import explained, place_of, place_of_function
from faceexp.engine.losses import build_loss, others, refuse_hidden, trainable_variables, weights_of
from faceexp.engine.shared import training_labels
from faceexp.errors import InputError, Problem
from faceexp.experiment.baselines import PHASE1, UNTRAINED
from faceexp.registry.guard import undisturbed
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Inputs, Store, StoreError, digest
from faceexp.values import EventCallback, Note, Noted, Plan, Refused, ResolvedLoss, ResolvedPretrained, Trial

# Seconds that one may take, once TensorFlow is there. Usually it is a quarter of one; a large library that a plugin
# imports for the first time in a new environment takes minutes on a busy machine.
LONGEST = 600.0
# Batches that are drawn from a sampler.
BATCHES = 3
# In the store, which operations of a loss draw random numbers for which there is no seed.
UNSEEDED_FILE = "unseeded.json"


@dataclass(frozen=True)
class Rehearsal:
    """A loss with its sampler to call once, or a network to open; without either, the trunk is to be built."""

    loss: ResolvedLoss | None = None
    pretrained: ResolvedPretrained | None = None

    @property
    def label(self) -> str:
        """The row of the comparison; empty for the trunk."""
        row = self.loss or self.pretrained
        return row.entry.label if row else ""

    def plugin(self, plan: Plan) -> ConfiguredPlugin:
        """Return the plugin whose code is called."""
        if self.loss:
            return self.loss.loss
        return self.pretrained.network if self.pretrained else plan.resolved.trunk


@dataclass(frozen=True)
class Rehearsed:
    """What came of a rehearsal.

    Attributes:
        rehearsal: Which one.
        fault: What is wrong with the plugin, on one line; empty where nothing is.
        traceback: Where it was raised; empty where the process has ended.
        unseeded: Operations of the loss that draw random numbers for which there is no seed.
        wrong_input: Whether it is no fault of the plugin, but of what the experiment gives it.
    """

    rehearsal: Rehearsal
    fault: str = ""
    traceback: str = ""
    unseeded: tuple[str, ...] = ()
    wrong_input: bool = False


class SamplerFaultError(Exception):
    """The sampler of a loss is at fault, by the error that caused this one."""


class _PlacedError(PluginValueError):
    """A plugin has given what its contract does not allow; the text ends with a file and a line."""


def rehearsals_of(trials: Iterable[Trial]) -> list[Rehearsal]:
    """Return what has to be called before these trials: the trunk, and each of their losses once."""
    trials = list(trials)
    rows = {trial.label: Rehearsal(trial.loss, trial.pretrained) for trial in trials if trial.loss or trial.pretrained}
    needs_trunk = any(
        trial.loss or (trial.baseline and trial.baseline.key in (UNTRAINED.key, PHASE1.key)) for trial in trials
    )
    return [*([Rehearsal()] if needs_trunk else []), *rows.values()]


def determines(resolved: ResolvedLoss, plan: Plan) -> Inputs:
    """Return everything that determines what comes of the rehearsal of a loss."""
    return {
        "loss": resolved.loss.identity,
        "sampler": resolved.sampler.identity,
        "labels": digest(_labels(plan).tolist()),
        "embedding_dim": plan.resolved.experiment.trunk.embedding_dim,
        "versions": versions(),
    }


def rehearse(resolved: ResolvedLoss, plan: Plan) -> tuple[str, ...]:
    """Call a loss once, on random embeddings of people that its sampler draws.

    Returns:
        Its operations that draw random numbers for which there is no seed.

    Raises:
        SamplerFaultError: The sampler raises something, or does not give what it promises.
        PluginValueError: The loss is no number, or no gradient of it reaches the embeddings. Whatever else it raises
            passes through.
    """
    tf = tensorflow()
    labels, dim = _labels(plan), plan.resolved.experiment.trunk.embedding_dim
    try:
        sampler, supply = resolved.sampler, resolved.sampler.supply()
        batches = cast("SamplerPlugin", sampler.plugin).build(labels.copy(), derive_seed("rehearsal"))
        rows = take(batches, BATCHES, supply, labels, str(sampler.installed))[0]
    except BaseException as error:
        raise SamplerFaultError from error
    plugin = cast("LossPlugin", resolved.loss.plugin)
    loss = build_loss(plugin, int(labels.max()) + 1, dim, derive_seed("rehearsal"))
    drawn = np.random.default_rng(0).normal(size=(len(rows), dim)).astype(np.float32)

    def step(people: object, embeddings: object) -> tuple[object, object]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = scalar(loss(people, embeddings))
        hidden = others(tape.watched_variables(), weights_of(loss))
        gradient, *rest = tape.gradient(value, [embeddings, *hidden, *trainable_variables(loss)])
        refuse_hidden(hidden, rest[: len(hidden)])
        if gradient is None:
            raise PluginValueError(
                "no gradient of the loss reaches the embeddings: rounding, comparing, casting to integers, argmax, "
                "stop_gradient and NumPy have none"
            )
        return value, gradient

    try:
        with standard(derive_seed("rehearsal")):
            graph = compiled(step).get_concrete_function(tf.constant(labels[rows], tf.int32), tf.constant(drawn))
    except PluginValueError as error:
        # It is ours, raised after the plugin has returned: what can be named is where the function begins.
        raise _PlacedError(f"{error}{place_of_function(loss, resolved.loss)}") from error
    return unseeded_draws(graph)


def perform(
    rehearsal: Rehearsal,
    plan: Plan,
    store: Store,
    network: Callable[[], object],
    open_network: Callable[[ConfiguredPlugin], object],
    interruption: type[BaseException],
) -> Rehearsed:
    """Return what comes of a rehearsal, which the store keeps if nothing is wrong.

    Args:
        rehearsal: Which one.
        plan: The plan of the run.
        store: Where those that went well are found.
        network: Builds the network, and checks its trunk.
        open_network: Opens a network that exists already.
        interruption: What comes from outside, not from a plugin.
    """
    unseeded: tuple[str, ...] = ()
    try:
        with undisturbed():
            if rehearsal.loss:
                unseeded = _called(rehearsal.loss, plan, store)
            elif rehearsal.pretrained:
                open_network(rehearsal.pretrained.network)
            else:
                network()
    except (StoreError, interruption):
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; only its own row is not trained
        return _fault_of(error, rehearsal, plan)
    return Rehearsed(rehearsal, unseeded=unseeded)


def _called(resolved: ResolvedLoss, plan: Plan, store: Store) -> tuple[str, ...]:
    """Return what :func:`rehearse` gives, which the store keeps."""

    def make(folder: Path) -> None:
        (folder / UNSEEDED_FILE).write_text(json.dumps(rehearse(resolved, plan)), encoding="utf-8")

    artefact = store.get("rehearsal", determines(resolved, plan), make)
    return tuple(json.loads((artefact.path / UNSEEDED_FILE).read_text(encoding="utf-8")))


def _fault_of(error: BaseException, rehearsal: Rehearsal, plan: Plan) -> Rehearsed:
    """Return a rehearsal that an error has ended."""
    plugin = rehearsal.plugin(plan)
    if rehearsal.pretrained and isinstance(error, InputError):
        return Rehearsed(rehearsal, _line(rehearsal, plugin, str(error)), wrong_input=True)
    if isinstance(error, SamplerFaultError) and rehearsal.loss and error.__cause__:
        plugin, error = rehearsal.loss.sampler, error.__cause__
    whole = "".join(traceback.format_exception(error))
    reason = explained(error, [plugin])[1].removeprefix("PluginValueError: ").removeprefix("_PlacedError: ")
    # Where nothing of the plugin was at work when the mistake showed, what is named is where its `build` begins.
    has_place = place_of(error, [plugin]) or isinstance(error, _PlacedError)
    return Rehearsed(
        rehearsal, _line(rehearsal, plugin, reason + ("" if has_place else place_of_function(None, plugin))), whole
    )


def _line(rehearsal: Rehearsal, plugin: ConfiguredPlugin, reason: str) -> str:
    """Return what is wrong with a plugin, with its name; and that of the row, where it is another one."""
    row = "" if rehearsal.label in ("", plugin.installed.name) else f" (row {rehearsal.label!r})"
    verb, rest = reason.startswith("the loss gives "), reason.removeprefix("the loss gives ")
    return f"{plugin.installed.kind} {plugin.installed.name!r}{row}{' gives ' if verb else ': '}{rest}"


def ended(rehearsal: Rehearsal, plan: Plan, reason: str) -> Rehearsed:
    """Return a rehearsal with which its process has ended, or which did not end in time."""
    plugin = rehearsal.plugin(plan)
    reason = f"when it was called for the first time, {reason}{place_of_function(None, plugin)}"
    return Rehearsed(rehearsal, _line(rehearsal, plugin, reason))


def refused(all_rehearsed: Iterable[Rehearsed], on_event: EventCallback) -> dict[str, str]:
    """Return, by label of its row, why a row has no trials; whoever watches is told.

    Raises:
        InputError: The trunk cannot be built, so that there is nothing to train; or a network does not take the images
            of the experiment.
    """
    at_fault = {each.rehearsal.label: each for each in all_rehearsed if each.fault}
    if "" in at_fault or any(each.wrong_input for each in at_fault.values()):
        error = InputError([Problem(fault) for fault in dict.fromkeys(each.fault for each in at_fault.values())])
        for each in at_fault.values():
            if each.traceback:
                error.add_note(each.traceback)
        raise error
    for label, each in at_fault.items():
        on_event(Refused("refused", 1, 1, label, reason=each.fault, traceback=each.traceback))
    return {label: each.fault for label, each in at_fault.items()}


def tell_unseeded(all_rehearsed: Iterable[Rehearsed], on_event: EventCallback) -> None:
    """Tell whoever watches which losses draw random numbers for which there is no seed: one line for each plugin."""
    drawing: dict[str, list[Rehearsed]] = {}
    for each in all_rehearsed:
        if each.rehearsal.loss and each.unseeded:
            drawing.setdefault(each.rehearsal.loss.entry.plugin, []).append(each)
    for loss, rows in drawing.items():
        operations = {name for each in rows for name in each.unseeded}
        sentence = unseeded_sentence(loss, [each.rehearsal.label for each in rows], operations)
        on_event(Noted("note", 1, 1, note=Note("unseeded", sentence)))


def _labels(plan: Plan) -> IntArray:
    """Return the labels of the first training part, from 0 on."""
    train = plan.splits[0].train
    return training_labels(plan.labels, train)[train]


def without(groups: Iterable[Iterable[Trial]], faults: dict[str, str]) -> Iterator[list[Trial]]:
    """Yield each group of trials without those of losses that are at fault."""
    for group in groups:
        rest = [trial for trial in group if trial.label not in faults]
        if rest:
            yield rest
