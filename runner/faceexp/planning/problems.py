"""Mistakes in an experiment file that only the installed plugins can show, each at its line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from faceexp.errors import InputError, Problem, did_you_mean, printable
from faceexp.experiment.detect import Detect
from faceexp.experiment.executor import ExecutorRef
from faceexp.experiment.loss_part import OF_PART
from faceexp.experiment.messages import MAX_SENTENCE, backslash_hint, cut, explain, mistakes, short
from faceexp.experiment.references import Reference
from faceexp.experiment.schema import Experiment, LossEntry, ModelRef, PluginRef
from faceexp.experiment.toml import Document, spell
from faceexp.planning.issues import UnplannableError
from faceexp.planning.paths import Paths
from faceexp.registry.installed import Registry


def plugin_problems(document: Document, references: Iterable[Reference], registry: Registry) -> list[Problem]:
    """Return what is wrong with the plugins that a file names, and with the options it gives them."""
    problems = []
    for reference in references:
        try:
            registry.configure(reference.kind, reference.name, reference.options)
        except InputError as error:
            problems += [
                document.problem((*reference.path, "plugin"), cut(problem.message, MAX_SENTENCE))
                for problem in error.problems
            ]
        except ValidationError as error:
            problems += list(_option_problems(document, reference, registry, error))
    return problems


def path_and_plugin_problems(paths: Paths, references: list[Reference]) -> list[Problem]:
    """Return which files are missing, and what else is wrong with plugins and their options."""
    missing = dict(paths.missing(references))
    placed = [paths.of_reference(reference) for reference in references]
    # What a plugin says of a file that is missing is not told as well; it knows no points of a grid.
    places = [place[:-1] if "grid" in place else place for place in missing]
    told = tuple(f"{spell(place)}: " for place in places)
    others = plugin_problems(paths.document, placed, paths.registry)
    return [*missing.values(), *(problem for problem in others if not problem.message.startswith(told))]


# Keys that stand beside the options of a plugin, in tables that have some.
_OF_TABLE = {
    "model": ModelRef.model_fields.keys() - PluginRef.model_fields.keys(),
    "detector": Detect.model_fields.keys() - PluginRef.model_fields.keys(),
    "executor": ExecutorRef.model_fields.keys() - PluginRef.model_fields.keys(),
    "loss": LossEntry.model_fields.keys() - PluginRef.model_fields.keys() - {"index", "distance"} | {"grid"},
}


def _option_problems(
    document: Document, reference: Reference, registry: Registry, error: ValidationError
) -> Iterable[Problem]:
    plugin = registry.find(reference.kind, reference.name)
    options = sorted(plugin.load().model_fields)
    is_part = "combine" in reference.path
    beside = sorted(OF_PART - PluginRef.model_fields.keys() if is_part else _OF_TABLE.get(reference.kind, set()))
    for mistake in mistakes(error):
        key = mistake["loc"]
        # An option that the grid varies is written in the grid, so its line is there.
        inside = (*reference.path, "options" if is_part else "grid", *key[:1])
        is_inside = bool(key) and _holds(document, inside)
        place = (*inside, *(key[1:] if is_part else ())) if is_inside else (*reference.path, *key)
        if mistake["type"] == "extra_forbidden":
            near = did_you_mean(str(key[-1]), [*options, *beside], always_list=False)
            hint = near or did_you_mean(str(key[-1]), options)
            yield document.problem(place, f"unknown option of {plugin}{'; ' + hint if hint else '; it has none'}")
        else:
            yield document.problem(place, f"{explain(mistake, options)}; option of {plugin}")


def _holds(document: Document, path: tuple[str | int, ...]) -> bool:
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def only_labels(experiment: Experiment, labels: Sequence[str]) -> Experiment:
    """Return the experiment with the losses of these labels alone.

    Raises:
        InputError: With every label that no loss has.
    """
    existing = [entry.label for entry in experiment.losses] + [entry.label for entry in experiment.pretrained]
    problems = [
        Problem(f"no row has the label {short(label)}; {did_you_mean(label, existing)}", "--only")
        for label in labels
        if label not in existing
    ]
    if problems:
        raise InputError(problems)
    losses = tuple(entry for entry in experiment.losses if entry.label in labels)
    pretrained = tuple(entry for entry in experiment.pretrained if entry.label in labels)
    return experiment.model_copy(update={"losses": losses, "pretrained": pretrained})


@contextlib.contextmanager
def hinting_at_backslashes() -> Iterator[None]:
    """Add a hint to problems of files whose names hold what an escape stands for: such a file is rarely meant."""
    try:
        yield
    except InputError as error:
        hints = [backslash_hint(problem.where) for problem in error.problems]
        if not any(hints):
            raise
        raise InputError(
            [
                Problem(f"{problem.message}; {hint}", cut(printable(problem.where), MAX_SENTENCE)) if hint else problem
                for problem, hint in zip(error.problems, hints, strict=True)
            ]
        ) from error


def at_their_lines(document: Document, error: UnplannableError) -> InputError:
    """Return what makes an experiment impossible, each mistake at its line of the file."""
    return InputError([document.problem(issue.path, issue.message) for issue in error.issues])


def until_problems(document: Document, experiment: Experiment | None) -> list[Problem]:
    """Return why a run cannot go on until its questions are decided: further seeds have to test other people."""
    if experiment is None or experiment.verdict.until == "seeds" or not experiment.protocol.seeds_share_test:
        return []
    message = "decided needs a protocol whose further seeds test other people: open_set or closed_set, no split_seed"
    return [document.problem(("verdict", "until"), message)]
