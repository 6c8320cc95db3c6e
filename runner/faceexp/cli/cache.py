"""``cache``: where finished work is kept, and how much room it takes."""

from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, StoreFolder, say, show


def cache(
    store: StoreFolder = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the finished work in it. Whatever else lies there is not touched.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show where finished work is kept and how much room it takes, or remove it."""
    from faceexp.report.terminal.cache import store_contents
    from faceexp.store import MEMORY, Store, default_root

    opened = Store(store or default_root())
    contents = opened.contents()
    if clear:
        opened.check_mark()
        artefacts, size = (sum(numbers) for numbers in zip(*contents.values(), strict=True)) if contents else (0, 0)
        message = f"removing {artefacts:,} artefacts ({size / 1e6:,.1f} MB) from {opened.root}"
        say(message)
        opened.clear()
        (opened.root / MEMORY).unlink(missing_ok=True)
    data = {
        "store": str(opened.root),
        "kinds": {kind: {"artefacts": number, "bytes": size} for kind, (number, size) in contents.items()},
        "cleared": clear,
    }
    show(store_contents(str(opened.root), contents, cleared=clear), data, as_json=as_json)
