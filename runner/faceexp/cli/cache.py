"""``cache``: where finished work is kept, and how much room it takes."""

from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, show

# A file in the store that says which plugins were imported without error, so that they need not be imported again.
MEMORY = "plugins.json"


def cache(
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", envvar="FACEEXP_STORE", help="The store; by default that of the user."),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove everything in it. The folders of runs are not touched.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show where finished work is kept and how much room it takes, or remove it."""
    from faceexp.report.terminal.cache import store_contents
    from faceexp.store import Store, default_root

    opened = Store(store or default_root())
    contents = opened.contents()
    if clear:
        opened.clear()
        (opened.root / MEMORY).unlink(missing_ok=True)
    data = {
        "store": str(opened.root),
        "kinds": {kind: {"artefacts": number, "bytes": size} for kind, (number, size) in contents.items()},
        "cleared": clear,
    }
    show(store_contents(str(opened.root), contents, cleared=clear), data, as_json=as_json)
