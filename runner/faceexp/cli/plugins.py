"""``list-plugins``, ``describe``, ``new-plugin`` and ``schema``: what is installed, and which options it has."""

import contextlib
import shlex
from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, json_text, print_json, say, show, user_path, writing
from faceexp.errors import InputError, did_you_mean, printable


def list_plugins(as_json: JsonFlag = False) -> None:
    """Show the installed plugins by kind, and which of them are broken."""
    from faceexp.registry import describe as descriptions
    from faceexp.report.terminal.plugins import plugin_list
    from faceexp.store import MEMORY, StoreError, default_root

    memory: Path | None = None
    with contextlib.suppress(StoreError):  # a user without a home has no memory
        memory = default_root() / MEMORY
    by_kind = descriptions.listing(memory)
    data = {kind: [plugin.as_json() for plugin in plugins] for kind, plugins in by_kind.items()}
    show(plugin_list(by_kind), data, as_json=as_json)


def describe(
    kind: Annotated[str, typer.Argument(help="loss, model, dataset or sampler.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The plugin's name.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Show what a plugin does and every option that it has."""
    from faceexp.contract import GROUPS
    from faceexp.registry import describe as descriptions
    from faceexp.report.terminal.plugins import plugin_description

    if kind not in GROUPS:
        raise InputError(f"there is no kind {kind!r} of plugin; {did_you_mean(kind, GROUPS)}")
    plugin = descriptions.describe(kind, name)
    show(plugin_description(plugin), plugin, as_json=as_json)


def new_plugin(
    kind: Annotated[str, typer.Argument(help="loss, model, dataset or sampler.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The name that experiment files will use.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", parser=user_path, help="The folder in which the folder of the plugin is made."
        ),
    ] = Path(),
) -> None:
    """Write a new plugin: a small package that can be installed and passes its tests before you change anything."""
    from faceexp.registry import scaffold

    folder = scaffold.new_plugin(kind, name, out)
    say(f"wrote {folder}; next:")
    quoted = printable(shlex.quote(str(folder)))
    print(f"pip install -e {quoted}")
    print(f"pytest {quoted}")
    print(f"faceexp describe {kind} {name}")


def schema(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", parser=user_path, help="Write it to a file, which editors can be given."),
    ] = None,
) -> None:
    """Print the JSON schema of experiment files, including all installed plugins, for editors that check TOML."""
    from faceexp.registry import json_schema

    whole = json_schema.schema()
    if out is None:
        print_json(whole)
        return
    with writing("--out", out):
        out.write_text(json_text(whole) + "\n", encoding="ascii")
    say(f"wrote {out}; an experiment beside it that begins with the line `#:schema ./{out.name}` is checked by it")
