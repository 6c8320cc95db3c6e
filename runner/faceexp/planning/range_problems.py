"""Mistakes in ranges that only the plugins can show, such as an end that an option does not take."""

from __future__ import annotations

from collections.abc import Mapping

from faceexp.errors import Problem
from faceexp.experiment import parse
from faceexp.experiment.lines import KeyPath
from faceexp.experiment.ranges import extremes
from faceexp.experiment.search import Space
from faceexp.experiment.toml import spell
from faceexp.planning.paths import Paths
from faceexp.planning.problems import plugin_problems


def range_problems(paths: Paths, spaces: Mapping[KeyPath, Space]) -> list[Problem]:
    """Return what is wrong with values of ranges.

    Args:
        paths: The paths of the file, which has a usual value in the place of each range.
        spaces: The ranges.
    """
    problems: list[Problem] = []
    for variant, together in extremes(paths.document, spaces):
        _, mistakes, references = parse.parse(variant)
        mistakes += plugin_problems(variant, map(paths.of_reference, references), paths.registry)
        # What a plugin says of its options together may be another one's fault; such trials fail one by one.
        vague = tuple(
            f"{spell(reference.path)}: "
            for reference in references
            if any(reference.path[: len(table)] == table for table in together)
        )
        problems += [problem for problem in mistakes if not vague or not problem.message.startswith(vague)]
    return list(dict.fromkeys(problems))
