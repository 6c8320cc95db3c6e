"""What a person is told when their input is wrong.

A :class:`Problem` is one mistake on one line: where it is, what is wrong, what to do.
Stages collect problems and raise them together as one :class:`InputError`, so that every mistake is
reported in one pass; ``cli`` prints them and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

# So many mistakes of one kind are listed: a longer list helps nobody. The last line then says how many more there are.
MAX_LISTED = 20
# Letters of a name that is compared with those that exist, and of a list of all of them.
MAX_COMPARED = 300
MAX_LIST = 800


@dataclass(frozen=True)
class Problem:
    """One mistake: ``where: what is wrong; what to do``."""

    message: str
    where: str = ""

    def __str__(self) -> str:
        text = " ".join(self.message.split())
        return f"{self.where}: {text}" if self.where else text


class InputError(Exception):
    """The input is wrong; it carries every mistake."""

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(name: str, known: Iterable[str], *, always_list: bool = True) -> str:
    """Return a hint that names the nearest of the known names, or else all of them.

    Args:
        name: What was written.
        known: The names that exist.
        always_list: Whether to list every name where none is near.
    """
    names = sorted(known)
    # What is far longer than a name is near to none, and comparing it would take long.
    near = difflib.get_close_matches(name[:MAX_COMPARED], names, n=3, cutoff=0.6)
    # One that is clearly nearest is meant; others are named where they are about as near.
    closeness = [difflib.SequenceMatcher(None, candidate, name[:MAX_COMPARED]).ratio() for candidate in near]
    near = [candidate for candidate, ratio in zip(near, closeness, strict=True) if ratio > max(closeness) - 0.1]
    if near:
        return "did you mean " + " or ".join(repr(candidate) for candidate in near) + "?"
    if not names or not always_list:
        return ""
    text = ", ".join(names)
    if len(text) <= MAX_LIST:
        return f"known: {text}"
    fitting = text[:MAX_LIST].count(", ")
    return f"known: {', '.join(names[:fitting])} and {len(names) - fitting} more"
