"""From TOML text to data, with one clear sentence for whatever is no TOML, or more than an experiment can hold."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from faceexp.experiment.lines import MAX_DEPTH, KeyPath, TomlTable, too_much, walk
from faceexp.experiment.messages import BACKSLASHES

HINTS = {
    "Invalid value": "text must stand in quotes",
    # What tomllib says of backslashes that begin no escape: \m, \U without eight digits, \ud800.
    "Unescaped": BACKSLASHES,
    "Invalid hex value": BACKSLASHES,
    "Escaped character": BACKSLASHES,
}


class NotTomlError(Exception):
    """A text is not TOML, or more than is read.

    Attributes:
        message: What is wrong.
        line: The line, counted from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        self.message, self.line = message, line
        super().__init__(f"{message} (line {line})")


def decode(text: str) -> TomlTable:
    """Return what a TOML text holds.

    Raises:
        NotTomlError: It is not TOML, or so deeply nested that the parser is not asked.
    """
    refused = too_much(text)
    if refused:
        line, reason = refused
        raise NotTomlError(f"{reason}, which no experiment needs", line)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
        hints = [hint for beginning, hint in HINTS.items() if message.startswith(beginning)]
        # "C:\faces\" never ends: its last backslash makes the quote a letter.
        if message.startswith(("Unterminated", "Illegal")) and '\\"' in text.split("\n")[line - 1]:
            hints.append(BACKSLASHES)
        elif message.startswith(("Unterminated", r"Illegal character '\n'", 'Expected "\'"')):
            hints.append("the quote at its end may be missing")
        message = message[: place.start()] if place else message
        raise NotTomlError("; ".join(["is not valid TOML: " + message, *hints]), line) from None


def unfit(data: TomlTable) -> Iterator[tuple[KeyPath, str]]:
    """Yield the place of each value that is TOML and yet cannot be used, and what is wrong with it."""
    for path, value in walk(data):
        if len(path) == MAX_DEPTH + 1:
            yield path, f"is nested more than {MAX_DEPTH} levels deep, which no experiment needs"
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield path, "is a whole number of more than 64 bits, which TOML does not have"
        elif "\0" in f"{path[-1]}{value if isinstance(value, str) else ''}":
            yield path, "holds a null character, which no name of a file and no text can"
