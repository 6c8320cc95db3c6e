"""The lists that an experiment names, read before any data are touched."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from faceexp.errors import InputError, Problem
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.sets import SetProtocol
from faceexp.planning.problems import hinting_at_backslashes
from faceexp.values import Resolved, ResolvedSet

if TYPE_CHECKING:
    from faceexp.data.pairs_file import PairsFile
    from faceexp.data.template_list import TemplateList


def with_lists(resolved: Resolved) -> Resolved:
    """Return the experiment with its list of pairs, its lists of parts and templates, and the lists of its test sets.

    Raises:
        InputError: With every line of a list that is wrong.
    """
    experiment = resolved.experiment
    column = experiment.evaluation.templates
    with hinting_at_backslashes():
        pairs, templates = _pairs_and_templates(experiment.protocol, column)
        resolved = dataclasses.replace(resolved, pairs=pairs, templates=templates)
        if experiment.protocol.kind == "listed":
            from faceexp.data import part_files

            resolved = dataclasses.replace(resolved, lists=part_files.read(experiment.protocol))
        return dataclasses.replace(resolved, sets=tuple(_of_set(each, column) for each in resolved.sets))


def _of_set(resolved: ResolvedSet, column: str | None) -> ResolvedSet:
    pairs, templates = _pairs_and_templates(resolved.entry.protocol, column)
    return dataclasses.replace(resolved, pairs=pairs, templates=templates)


def _pairs_and_templates(
    protocol: Protocol | SetProtocol, column: str | None
) -> tuple[PairsFile | None, TemplateList | None]:
    """Return the lists of pairs and of templates that a protocol names; a column makes templates as a list does."""
    templates = None
    if files := protocol.template_list:
        from faceexp.data import template_list

        templates = template_list.read(files)
    if not protocol.path:
        return None, templates
    from faceexp.data import pairs_file, template_pairs

    if templates is None and not template_pairs.is_of_templates(protocol.path):
        return pairs_file.read(protocol.path), None
    if templates is None and not column:
        message = (
            "is a list of pairs of templates; name the list of templates as template_list beside it, or their column "
            "as templates in [evaluation]"
        )
        raise InputError(Problem(message, protocol.path))
    pairs = template_pairs.read(protocol.path)
    if templates:
        template_pairs.check(pairs, templates)
    return pairs, templates
