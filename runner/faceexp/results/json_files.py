"""JSON files that hold a record: their kind and size are checked before they are read, and what is wrong is told."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from faceexp.errors import InputError, Problem
from faceexp.files import explain_os_error, parse_json, read_bytes, read_input
from faceexp.results.record import JsonObject, Record

AnyRecord = TypeVar("AnyRecord", bound=Record)

# Larger files beside the results of a run are something else.
MAX_BESIDE_BYTES = 32 * 2**20


def read_record(file: Path, record: type[AnyRecord], largest: int, other: str, hint: str) -> AnyRecord:
    """Return the record of a JSON file; the arguments are those of :func:`json_object`.

    Raises:
        InputError: It cannot be read, or it holds something else.
    """
    content = json_object(file, largest, "cannot be read", other, hint)
    try:
        return record.model_validate(content)
    except ValidationError as error:
        raise InputError(Problem(f"{other} ({place_of(error)}); {hint}", str(file))) from None


def json_object(file: Path, largest: int, unreadable: str, other: str, hint: str) -> JsonObject:
    """Return the content of a JSON file, which has to be an object.

    Args:
        file: The file.
        largest: The most bytes that it may have.
        unreadable: What is said of a file that is no JSON.
        other: What is said of JSON that is no object.
        hint: What the user should do then.

    Raises:
        InputError: It cannot be read, or it holds something else.
    """
    try:
        content = parse_json(read_input(file, largest, hint))
    except ValueError as error:
        raise InputError(Problem(f"{unreadable}: {error}; {hint}", str(file))) from None
    if not isinstance(content, dict):
        raise InputError(Problem(f"{other}; {hint}", str(file)))
    return content


def read_if_there(file: Path, record: type[AnyRecord], left_out: list[Problem] | None) -> AnyRecord | None:
    """Return the record of a JSON file, or nothing if the file is lost or damaged."""
    try:
        return record.model_validate(parse_json(read_bytes(file, MAX_BESIDE_BYTES)))
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(left_out, file, explain_os_error(error))
    except ValidationError as error:
        tell(left_out, file, f"is damaged: {place_of(error)} is missing or not what it has to be")
    except ValueError as error:
        tell(left_out, file, f"is damaged: {error}")
    return None


def tell(left_out: list[Problem] | None, file: Path, message: str) -> None:
    """Add what is wrong with a file that a report can do without."""
    if left_out is not None:
        left_out.append(Problem(message, str(file)))


def place_of(error: ValidationError) -> str:
    """Return the first key that is wrong, for example ``trials.3.seed``."""
    return ".".join(str(part) for part in error.errors(include_url=False, include_context=False)[0]["loc"])
