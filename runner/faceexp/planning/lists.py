"""The lists that an experiment names, read before any data are touched."""

from __future__ import annotations

import dataclasses

from faceexp.planning.problems import hinting_at_backslashes
from faceexp.values import Resolved


def with_lists(resolved: Resolved) -> Resolved:
    """Return the experiment with its list of pairs, its lists of parts, and the lists of pairs of its test sets.

    Raises:
        InputError: With every line of a list that is wrong.
    """
    protocol = resolved.experiment.protocol
    with hinting_at_backslashes():
        if protocol.path:
            from faceexp.data import pairs_file

            resolved = dataclasses.replace(resolved, pairs=pairs_file.read(protocol.path))
        if protocol.kind == "listed":
            from faceexp.data import part_files

            resolved = dataclasses.replace(resolved, lists=part_files.read(protocol))
        if any(each.entry.protocol.path for each in resolved.sets):
            from faceexp.data import pairs_file

            sets = [
                dataclasses.replace(each, pairs=pairs_file.read(path)) if (path := each.entry.protocol.path) else each
                for each in resolved.sets
            ]
            resolved = dataclasses.replace(resolved, sets=tuple(sets))
    return resolved
