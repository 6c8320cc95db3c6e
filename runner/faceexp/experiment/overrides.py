"""What ``--set key.path=value`` means, and where it stands in the data of an experiment file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from faceexp.errors import InputError, Problem, printable
from faceexp.experiment.decode import NotTomlError, decode, unfit
from faceexp.experiment.lines import MAX_DEPTH, KeyPath, TomlTable
from faceexp.experiment.messages import cut, short


@dataclass(frozen=True)
class Override:
    """A value that ``--set`` has given.

    Attributes:
        place: The option as it was written, for messages.
        text: The value as it was written.
    """

    place: str
    text: str


def apply(data: TomlTable, written: Iterable[str]) -> dict[KeyPath, Override]:
    """Change the data as ``--set`` says, and return which keys were given how.

    Raises:
        InputError: An override is not ``key=value``, or there is nothing that it could change.
    """
    overrides: dict[KeyPath, Override] = {}
    problems = []
    for one in written:
        place = f"--set {cut(printable(one), 200)}"
        try:
            parts, text = _split(one)
            path = _set(data, parts, _value(text))
        except ValueError as error:
            problems.append(Problem(str(error), place))
            continue
        # What an earlier one has put inside of this value is there no longer.
        overrides = {key: other for key, other in overrides.items() if key[: len(path)] != path}
        overrides[path] = Override(place, text)
    if problems:
        raise InputError(problems)
    return overrides


def _split(written: str) -> tuple[list[str], str]:
    key, equals, text = written.partition("=")
    # Messages write losses[2].margin, so this can be written here, too.
    path = [part.strip() for part in re.sub(r"\[(\d+)\]", r".\1", key).split(".")]
    if not equals or not all(path):
        raise ValueError("write it as table.key=value, for instance finetune.steps=100")
    if len(path) > MAX_DEPTH:
        raise ValueError(f"the key has more than {MAX_DEPTH} parts")
    try:
        written.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8 text") from None
    return path, text.strip()


def _value(text: str) -> object:
    try:
        parsed = decode(f"value = {text}")
    except NotTomlError:
        parsed = {}
    # A shell has eaten the quotes of a plain word; meaning it as text is the only sense it can make. The same goes for
    # what would be more than one value, and for a number that TOML does not have.
    return parsed["value"] if set(parsed) == {"value"} and not any(unfit(parsed)) else text


def _set(data: TomlTable, written: list[str], value: object) -> KeyPath:
    """Put a value into the data, and return its path, in which what counts the items of a list is a number."""
    current: Any = data
    path: KeyPath = ()
    for depth, part in enumerate(written):
        last = depth == len(written) - 1
        key = _key_in(current, part)
        if key is None:
            raise ValueError(
                f"{short(part)} cannot be set there"
                if last
                else f"there is no {cut(printable(part), 60)} to set {short(written[depth + 1])} in"
            )
        path = (*path, key)
        if last:
            current[key] = value
        else:
            current = current.setdefault(key, {}) if isinstance(current, dict) else current[key]
    return path


def _key_in(container: object, part: str) -> str | int | None:
    """Return the key or the index that a part of an override's key means, or ``None`` if there can be none."""
    if isinstance(container, dict):
        return part
    if isinstance(container, list) and re.fullmatch(r"[0-9]{1,9}", part) and int(part) < len(container):
        return int(part)
    return None
