"""What is wrong with a value, in one sentence that says what to do, made from the errors of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from faceexp.errors import did_you_mean


def mistakes(error: ValidationError) -> list[Any]:
    """Return the errors of pydantic, without those that only follow from others.

    A list with a wrong item is also reported as too short, since pydantic leaves the item out.
    """
    errors = error.errors(include_url=False)
    return [
        mistake
        for mistake in errors
        if mistake["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(mistake["loc"]) and other["loc"][: len(mistake["loc"])] == mistake["loc"]
            for other in errors
        )
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
    if kind == "value_error" and isinstance(mistake["input"], dict):
        # About several options together: the message names them.
        return message
    if message.startswith(should_be):
        return f"must be {message.removeprefix(should_be)}, not {short(mistake['input'])}"
    return f"{message[:1].lower()}{message[1:]} (is {short(mistake['input'])})"


def short(value: object) -> str:
    """Return a value as a message shows it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
