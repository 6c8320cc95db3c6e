"""What is wrong with a value, in one sentence that says what to do, made from the errors of pydantic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from pydantic import ValidationError

from faceexp.errors import did_you_mean
from faceexp.experiment.table import SAID

# Of one table; a table of more mistakes than that was not written by a person.
MAX_MISTAKES = 100
# Letters of a sentence. Only what a plugin says of its own options can be longer.
MAX_SENTENCE = 1000

BACKSLASHES = (
    'in "double quotes" a backslash begins an escape, such as \\t for a tab; '
    "write a Windows path in 'single quotes', or with forward slashes (/)"
)


def mistakes(error: ValidationError) -> list[Any]:
    """Return the errors of pydantic, at most ``MAX_MISTAKES``, without those that only follow from others.

    A list with a wrong item is also reported as too short, since pydantic leaves the item out.
    """
    errors = error.errors(include_url=False)
    around = {other["loc"][:depth] for other in errors for depth in range(len(other["loc"]))}
    return [mistake for mistake in errors if mistake["type"] != "too_short" or mistake["loc"] not in around][
        :MAX_MISTAKES
    ]


WANTED = {
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
}


def explain(mistake: Mapping[str, Any], known_keys: list[str]) -> str:
    """Say in one sentence what is wrong with a value, and what to do.

    Args:
        mistake: One of ``ValidationError.errors()``.
        known_keys: The keys that exist in its place.
    """
    sentence = cut(_explain(mistake, known_keys), MAX_SENTENCE)
    hint = backslash_hint(mistake["input"]) if isinstance(mistake["input"], str) else ""
    return f"{sentence}; {hint}" if hint else sentence


def _explain(mistake: Mapping[str, Any], known_keys: list[str]) -> str:
    kind, loc = mistake["type"], mistake["loc"]
    if kind in WANTED:
        return f"must be {WANTED[kind].format(**mistake.get('ctx', {}))}, not {short(mistake['input'])}"
    if kind == "extra_forbidden":
        hint = did_you_mean(str(loc[-1]), known_keys)
        return f"unknown key{'; ' + hint if hint else ''}"
    if kind == "missing":
        table = len(loc) == 1 and loc[-1] in ("dataset", "model", "protocol", "finetune")
        add = f"add [{loc[-1]}]" if table else f"add {loc[-1]}"
        return f"is missing; {'the list is too short' if isinstance(loc[-1], int) else add}"
    message, should_be = str(mistake["msg"]).removeprefix("Value error, "), "Input should be "
    if kind == "string_pattern_mismatch":
        message, should_be = "letters, digits, '.', '_' and '-', beginning with a letter or digit", ""
    if kind == SAID or (kind == "value_error" and isinstance(mistake["input"], dict)):
        # About several options together: the message names them.
        return message
    if message.startswith(should_be):
        return f"must be {message.removeprefix(should_be)}, not {short(mistake['input'])}"
    return f"{message[:1].lower()}{message[1:]} (is {short(mistake['input'])})"


def short(value: object) -> str:
    """Return a value as a message shows it: cut where it is long, dates and times as TOML writes them."""
    return cut(str(value) if isinstance(value, date | time) else repr(value), 60)


def cut(text: str, longest: int) -> str:
    """Return a text, or its beginning with three dots where it has more letters than that."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def backslash_hint(text: str) -> str:
    r"""Return a hint for a text that holds what an escape stands for, since ``"C:\temp"`` holds a tab; else nothing."""
    return BACKSLASHES if re.search(r"[\x07-\x0d\x1b]", text) else ""
