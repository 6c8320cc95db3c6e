"""Keys of artefacts: digests of everything that determines them, source files included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceexp.arrays import AnyArray

# Everything that determines an artefact, as JSON data.
Inputs = Mapping[str, Any]
# The folder of the package faceexp.
PACKAGE = Path(__file__).parents[1]
# Of an array with more values than this, the text of a key holds a digest.
MOST_VALUES = 200_000


def canonical(value: object) -> str:
    """Return JSON text that is the same for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: object) -> str:
    """Return the hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def content_of(array: AnyArray) -> object:
    """Return what stands for the content of an array in a key: its values, or of very many a digest of their bytes.

    As text, the pairs of a list of millions would take many times the memory of the array.
    """
    if array.size <= MOST_VALUES:
        return array.tolist()
    described = f"{array.dtype.str} {array.shape}"
    return [described, hashlib.sha256(array.tobytes()).hexdigest()]


def source_files(*names: str) -> tuple[Path, ...]:
    """Return the source files of modules and packages of faceexp, those of a package with every folder in it.

    Store keys are made of these files, so that edited code never answers with old numbers. A name that stands for no
    file is an error: otherwise a module that is moved would silently drop out of every key.

    Args:
        names: Dotted names below ``faceexp``, such as ``"engine"`` or ``"evaluation.pairs"``.

    Raises:
        LookupError: A name stands for no source file.
    """
    files: list[Path] = []
    for name in names:
        place = PACKAGE.joinpath(*name.split("."))
        module = place.with_suffix(".py")
        sources = [module] if module.is_file() else sorted(place.rglob("*.py"))
        if not sources:
            raise LookupError(f"faceexp.{name} has no source file; a store key is made of it")
        files += sources
    return tuple(files)


def source_digest(*names: str) -> str:
    """Return a digest of the files that :func:`source_files` names: of their places in the package and their text."""
    return digest(
        [[file.relative_to(PACKAGE).as_posix(), file.read_text(encoding="utf-8")] for file in source_files(*names)]
    )
