"""``cache``: where finished work is kept."""

from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, show

# In the store: which plugins are known to import.
MEMORY = "plugins.json"


def cache(
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", envvar="FACEEXP_STORE", help="The store; by default the user's."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in it; runs keep their own files.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show where finished work is kept and how much room it takes, or remove it."""
    from faceexp.report.terminal.cache import store_contents
    from faceexp.store import Store, default_root

    kept = Store(store or default_root())
    found = kept.contents()
    if clear:
        kept.clear()
        (kept.root / MEMORY).unlink(missing_ok=True)
    data = {
        "store": str(kept.root),
        "kinds": {kind: {"artefacts": number, "bytes": size} for kind, (number, size) in found.items()},
        "cleared": clear,
    }
    show(store_contents(data), data, as_json=as_json)
