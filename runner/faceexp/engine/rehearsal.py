"""One call of each plugin before anything trains, so that a mistake in one is told at the start of a run.

A rehearsal draws the step as training does, but neither compiles nor runs it: that takes a quarter of a second, where
compiling takes two. So it finds what is wrong with shapes, types and gradients; whether a loss learns, only training
shows.
"""

from __future__ import annotations

import itertools
import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceexp.engine.borders import unseeded_sentence
from faceexp.engine.called import (
    OtherFaultError,
    PlacedError,
    WeightlessError,
    classifier_of,
    classify,
    determines,
    determines_phase1,
    rehearse,
    tried,
)
from faceexp.engine.determinism import refusal
from faceexp.engine.failures import explained, failed, place_of, place_of_function
from faceexp.errors import InputError, Problem
from faceexp.experiment.baselines import PHASE1, UNTRAINED
from faceexp.experiment.optimization import Optimizer
from faceexp.experiment.schema import Finetune, Pretrain
from faceexp.registry.guard import undisturbed
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Inputs, Store, StoreError, canonical
from faceexp.values import (
    Event,
    EventCallback,
    Note,
    Noted,
    Plan,
    Refused,
    ResolvedLoss,
    ResolvedPretrained,
    TrainedTrial,
    Trial,
)

# Seconds that one may take, once TensorFlow is there. Usually it is a quarter of one; a large library that a plugin
# imports for the first time in a new environment takes minutes on a busy machine.
LONGEST = 600.0
# In the store, which operations of a loss draw random numbers for which there is no seed.
UNSEEDED_FILE = "unseeded.json"


@dataclass(frozen=True)
class Rehearsal:
    """What to call once: without any of these, the trunk is to be built.

    Attributes:
        loss: A loss with its sampler, and with a loss of phase 1 where its row has one of its own.
        pretrained: A network to open.
        phase1: The phase 1 that rows share, whose loss is to be called.
        optimizer: An optimiser that the file names.
        exchanges: Whether what it keeps of class weights is exchanged from step to step.
    """

    loss: ResolvedLoss | None = None
    pretrained: ResolvedPretrained | None = None
    phase1: Pretrain | None = None
    optimizer: Optimizer | None = None
    exchanges: bool = False

    @property
    def label(self) -> str:
        """The row of the comparison; empty for what several share."""
        row = self.loss or self.pretrained
        return row.entry.label if row else ""

    def plugins(self, plan: Plan) -> tuple[ConfiguredPlugin, ...]:
        """Return the plugin whose code is called, of a sum of losses all; there is none of an optimiser."""
        if self.loss:
            return self.loss.loss.parts
        if self.phase1:
            return (classifier_of(self.phase1, plan),)
        return (self.pretrained.network if self.pretrained else plan.resolved.trunk,)


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


def rehearsals_of(plan: Plan, trials: Iterable[Trial]) -> list[Rehearsal]:
    """Return what has to be called before these trials: what they share, and each of their losses once."""
    trials, shared = list(trials), plan.resolved.experiment.pretrain
    rows = {trial.label: Rehearsal(trial.loss, trial.pretrained) for trial in trials if trial.loss or trial.pretrained}
    losses = [row.loss.entry for row in rows.values() if row.loss]
    baselines = {trial.baseline.key for trial in trials if trial.baseline}
    phases = [*(entry.pretrain for entry in losses), *([shared] if PHASE1.key in baselines else [])]
    phases = [phase for phase in phases if phase.enabled]
    distinct: dict[str, Rehearsal] = {}
    for phase in [*phases, *(entry.finetune for entry in losses)]:
        differing = (phase.proxies and phase.proxies.optimizer) if isinstance(phase, Finetune) else None
        for optimizer in (phase.optimizer, differing):
            exchanges = phase.sampled is not None and optimizer == (differing or phase.optimizer)
            if optimizer and not optimizer.is_usual:
                key = canonical(optimizer.model_dump())
                exchanges = exchanges or (key in distinct and distinct[key].exchanges)
                distinct[key] = Rehearsal(optimizer=optimizer, exchanges=exchanges)
    classifies = any(phase.loss == shared.loss for phase in phases) and shared.loss
    return [
        *([Rehearsal()] if losses or {UNTRAINED.key, PHASE1.key} & baselines else []),
        *distinct.values(),
        *([Rehearsal(phase1=shared)] if classifies else []),
        *rows.values(),
    ]


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
    if rehearsal.optimizer:
        return Rehearsed(rehearsal, tried(rehearsal.optimizer, exchanges=rehearsal.exchanges), wrong_input=True)
    try:
        with undisturbed():
            if rehearsal.loss:
                loss = rehearsal.loss
                unseeded = _once(determines(loss, plan), store, lambda: rehearse(loss, plan))
            elif rehearsal.phase1:
                phase1 = rehearsal.phase1
                unseeded = _once(determines_phase1(phase1, plan), store, lambda: classify(phase1, plan))
            elif rehearsal.pretrained:
                open_network(rehearsal.pretrained.network)
            else:
                network()
    except (StoreError, interruption):
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; only its own row is not trained
        if refusal(error):
            return Rehearsed(rehearsal)  # its trials will be made where operations need not be deterministic
        return _fault_of(error, rehearsal, plan)
    return Rehearsed(rehearsal, unseeded=unseeded)


def _once(inputs: Inputs, store: Store, call: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Return what a call gives, which the store keeps."""

    def make(folder: Path) -> None:
        (folder / UNSEEDED_FILE).write_text(json.dumps(call()), encoding="utf-8")

    artefact = store.get("rehearsal", inputs, make)
    return tuple(json.loads((artefact.path / UNSEEDED_FILE).read_text(encoding="utf-8")))


def _fault_of(error: BaseException, rehearsal: Rehearsal, plan: Plan) -> Rehearsed:
    """Return a rehearsal that an error has ended."""
    plugins = rehearsal.plugins(plan)
    if rehearsal.pretrained and isinstance(error, InputError):
        return Rehearsed(rehearsal, _line(rehearsal, plugins, str(error)), wrong_input=True)
    if isinstance(error, WeightlessError):
        return Rehearsed(rehearsal, str(error), wrong_input=True)
    if isinstance(error, OtherFaultError) and error.__cause__:
        plugins, error = (error.plugin,), error.__cause__
    whole = "".join(traceback.format_exception(error))
    reason = explained(error, plugins)[1].removeprefix("PluginValueError: ").removeprefix("PlacedError: ")
    # Where nothing of the plugin was at work when the mistake showed, what is named is where its `build` begins.
    has_place = place_of(error, plugins) or isinstance(error, PlacedError)
    place = "" if has_place else place_of_function(None, plugins[0])
    return Rehearsed(rehearsal, _line(rehearsal, plugins, reason + place), whole)


def _line(rehearsal: Rehearsal, plugins: Sequence[ConfiguredPlugin], reason: str) -> str:
    """Return what is wrong with a plugin, with its name; and that of the row, where it is another one.

    Where one of several is at fault and nobody knows which, all are named.
    """
    names = " or ".join(repr(plugin.installed.name) for plugin in plugins)
    row = "" if rehearsal.label in ("", plugins[0].installed.name) else f" (row {rehearsal.label!r})"
    verb, rest = reason.startswith("the loss gives "), reason.removeprefix("the loss gives ")
    return f"{plugins[0].installed.kind} {names}{row}{' gives ' if verb else ': '}{rest}"


def ended(rehearsal: Rehearsal, plan: Plan, reason: str) -> Rehearsed:
    """Return a rehearsal with which its process has ended, or which did not end in time."""
    if rehearsal.optimizer:
        return Rehearsed(rehearsal, f"optimizer {rehearsal.optimizer.name!r}: when it was tried, {reason}")
    plugins = rehearsal.plugins(plan)
    reason = f"when it was called for the first time, {reason}{place_of_function(None, plugins[0])}"
    return Rehearsed(rehearsal, _line(rehearsal, plugins, reason))


def faults_of(done: Iterable[object], total: int, on_event: EventCallback) -> dict[str, str]:
    """Return, by label of its row, why a row has no trials; see :func:`refused`.

    Args:
        done: What comes of rehearsals, as they end.
        total: How many there are.
        on_event: Is told of each, and of what is found.
    """
    outcomes: list[Rehearsed] = []
    for each in done:
        if isinstance(each, Rehearsed):
            outcomes.append(each)
            on_event(Event("rehearsal", len(outcomes), total))
    faults = refused(outcomes, on_event)
    tell_unseeded(outcomes, on_event)
    return faults


def refused(all_rehearsed: Iterable[Rehearsed], on_event: EventCallback) -> dict[str, str]:
    """Return, by label of its row, why a row has no trials; whoever watches is told.

    Raises:
        InputError: What rows share is at fault, the trunk or the loss of phase 1, so that there is nothing to train; or
            the file asks for what cannot be, such as a network that does not take its images.
    """
    at_fault = [each for each in all_rehearsed if each.fault]
    if any(each.wrong_input or not each.rehearsal.label for each in at_fault):
        error = InputError([Problem(fault) for fault in dict.fromkeys(each.fault for each in at_fault)])
        for each in at_fault:
            if each.traceback:
                error.add_note(each.traceback)
        raise error
    for each in at_fault:
        on_event(Refused("refused", 1, 1, each.rehearsal.label, reason=each.fault, traceback=each.traceback))
    return {each.rehearsal.label: each.fault for each in at_fault}


def tell_unseeded(all_rehearsed: Iterable[Rehearsed], on_event: EventCallback) -> None:
    """Tell whoever watches which losses draw random numbers for which there is no seed: one line for each plugin."""
    drawing: dict[str, list[Rehearsed]] = {}
    for each in all_rehearsed:
        phase1 = each.rehearsal.phase1.loss if each.rehearsal.phase1 else None
        name = each.rehearsal.loss.entry.name if each.rehearsal.loss else phase1.plugin if phase1 else ""
        if name and each.unseeded:
            drawing.setdefault(name, []).append(each)
    for name, rows in drawing.items():
        operations = {operation for each in rows for operation in each.unseeded}
        sentence = unseeded_sentence(name, [each.rehearsal.label or name for each in rows], operations)
        on_event(Noted("note", 1, 1, note=Note("unseeded", sentence)))


def refused_trials(groups: Iterable[Iterable[Trial]], faults: dict[str, str], plan: Plan) -> Iterator[TrainedTrial]:
    """Yield the trials of losses that are at fault, as failed ones."""
    for trial in itertools.chain.from_iterable(groups):
        if trial.label in faults:
            yield failed(trial, plan, faults[trial.label])


def without(groups: Iterable[Iterable[Trial]], faults: dict[str, str]) -> Iterator[list[Trial]]:
    """Yield each group of trials without those of losses that are at fault."""
    for group in groups:
        rest = [trial for trial in group if trial.label not in faults]
        if rest:
            yield rest
