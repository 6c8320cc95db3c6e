"""``cache``: where finished work is kept, how much room it takes, whose it is, and how it is kept small."""

import re
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, StoreFolder, say, show
from faceexp.errors import InputError, Problem

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
NO_LIMIT = "none"


def size_in_bytes(text: str, option: str) -> int:
    """Return how many bytes a text such as ``10GB`` says; units are powers of 1000.

    Raises:
        InputError: It says no size.
    """
    parts = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?B|)\s*", text.upper())
    if parts is None:
        raise InputError(Problem(f"must be a size such as 500MB or 10GB, not {text!r}", option))
    return int(float(parts[1]) * UNITS[parts[2]])


def cache(
    store: StoreFolder = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the finished work in it. Whatever else lies there is not touched.")
    ] = False,
    prune: Annotated[
        str | None,
        typer.Option(
            "--prune",
            metavar="SIZE",
            help="Remove finished work until the rest is no larger than this, such as 10GB: first what was used least "
            "recently, and nothing that a run has used which is at work.",
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit", metavar="SIZE", help="Prune to this size after every run, until another limit is set; or none."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show where finished work is kept, how much room it takes and which experiments used it; or remove some of it."""
    from faceexp.report.terminal.cache import store_contents, total
    from faceexp.store import Store, default_root

    opened = Store(store or default_root())
    if limit is not None:
        opened.set_limit(None if limit.strip().lower() == NO_LIMIT else size_in_bytes(limit, "--limit"))
    if prune is not None:
        removed, freed = opened.prune(size_in_bytes(prune, "--prune"))
        say(f"removed {removed:,} artefacts ({freed / 1e6:,.1f} MB) from {opened.root}")
    contents, experiments = opened.contents(), opened.by_experiment()
    if clear:
        opened.check_mark()
        artefacts, size = total(contents)
        message = f"removing {artefacts:,} artefacts ({size / 1e6:,.1f} MB) from {opened.root}"
        say(message)
        opened.clear()
    data = {
        "store": str(opened.root),
        "limit": opened.limit,
        "kinds": _as_json(contents),
        "experiments": _as_json(experiments),
        "cleared": clear,
    }
    told = store_contents(str(opened.root), contents, experiments, opened.limit, cleared=clear)
    show(told, data, as_json=as_json)


def _as_json(held: dict[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    return {name: {"artefacts": number, "bytes": size} for name, (number, size) in held.items()}
