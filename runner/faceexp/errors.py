"""What a person is told when their input is wrong.

A :class:`Problem` is one mistake on one line: where it is, what is wrong, what to do.
Stages collect problems and raise them together as one :class:`InputError`, so that every mistake is
reported in one pass; ``cli`` prints them and exits with code 2.

Names of files, labels and messages of libraries come from outside and may hold anything. What a person reads of them
passes through :func:`printable` or :func:`plain`.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# So many mistakes of one kind are listed: a longer list helps nobody. The last line then says how many more there are.
MAX_LISTED = 20
# So many letters of a message are shown: a longer one hides the other lines, and its ends say what it is about.
MOST_LETTERS = 1500
# Letters of a name that is compared with those that exist, and of a list of all of them.
MAX_COMPARED = 300
MAX_LIST = 800
# So many names beside one that does not exist are compared with it.
MOST_BESIDE = 10_000
# What a text must not do to the place where it is read: move the cursor and clear the screen (control characters), turn
# the order of letters round (marks of direction), be no text at all (halves of surrogate pairs, characters that XML
# forbids), or begin a line of its own (separators).
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
# Sequences that a terminal takes for commands: those with parameters, those that hold a text, and those of one letter.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)


def printable(text: str) -> str:
    r"""Return a text on one line that shows what is in it: ``\x1b`` and ``\u202e`` stand for what could do harm."""
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shortened(text: str, most: int = MOST_LETTERS) -> str:
    """Return a text that is not much longer than it may be; a longer one says how much is left out of its middle."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end]} [... {len(text) - most:,} more letters ...] {text[-end:]}"


def plain(text: str) -> str:
    """Return the message of a library as one printable line of bounded length, without what is meant for a terminal."""
    return shortened(printable(" ".join(_SEQUENCES.sub("", text).split())))


@dataclass(frozen=True)
class Problem:
    """One mistake: ``where: what is wrong; what to do``."""

    message: str
    where: str = ""

    def __str__(self) -> str:
        text = shortened(printable(" ".join(self.message.split())))
        return f"{shortened(printable(self.where))}: {text}" if self.where else text


class InputError(Exception):
    """The input is wrong; it carries every mistake."""

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def first_of(problems: Sequence[Problem], rest: str, where: str = "", total: int | None = None) -> list[Problem]:
    """Return the first of many problems, and one that says how many there are beside them.

    Args:
        problems: The problems, or as many of the first of them as are listed.
        rest: What to say of the others, with ``{}`` for their number.
        where: Where the others are.
        total: How many there are in all, if not all were collected.
    """
    others = (len(problems) if total is None else total) - MAX_LISTED
    return [*problems[:MAX_LISTED], *([Problem(rest.format(others), where)] if others > 0 else [])]


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


def near(path: Path) -> str:
    """Return a hint that names what there is instead of a path that leads nowhere; nothing if no name is like it."""
    missing = path
    try:
        while not os.path.lexists(missing.parent):
            missing = missing.parent
        beside = [other.name for other in itertools.islice(missing.parent.iterdir(), MOST_BESIDE)]
    except (OSError, ValueError):
        return ""
    # All experiment files end alike, which makes none of them like another.
    alike = [name for name in beside if difflib.get_close_matches(missing.stem, [Path(name).stem])]
    return did_you_mean(missing.name, alike, always_list=False)
