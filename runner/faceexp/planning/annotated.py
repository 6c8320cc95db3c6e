"""TOML with comments, as somebody would write it by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import tomli_w

from faceexp.errors import printable

WIDTH = 100

# Keys with their values, and why they are what they are.
Entry = tuple[str, dict[str, Any]]


def section(table: str, entries: Sequence[Entry]) -> str:
    """Return a table, each comment above its keys."""
    lines = [f"[{table}]"]
    for words, values in entries:
        if words:
            lines.append(comment(words))
        lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    return "\n".join([*lines, ""])


def _value(value: object) -> str:
    """Return a value as TOML, lists on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


def comment(text: str) -> str:
    """Return a text as lines of comments. Names of files come from outside, so no letter may end a line."""
    lines = textwrap.wrap(printable(text), WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def capital(text: str) -> str:
    """Return a sentence that begins with a capital letter."""
    return text[:1].upper() + text[1:]
