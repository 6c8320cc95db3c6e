"""``list-plugins``, ``describe``, ``new-plugin`` and ``schema``: what is installed, and which options it has."""

import contextlib
import importlib.util
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceexp.cli import completion
from faceexp.cli.console import JsonFlag, json_text, print_json, say, show, user_path, writing
from faceexp.errors import InputError, did_you_mean, printable

if TYPE_CHECKING:
    from faceexp.evaluation.catalogue import Metric


def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="List one kind alone: loss, model, dataset, sampler, detector, tracker or executor.",
            show_default=False,
            autocompletion=completion.kinds,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the installed plugins by kind, what each is, and which of them are broken."""
    from faceexp.contract import GROUPS
    from faceexp.registry import describe as descriptions
    from faceexp.report.terminal.plugins import plugin_list
    from faceexp.store import MEMORY, StoreError, default_root

    if kind is not None:
        _check_kind(kind, [*GROUPS])
    memory: Path | None = None
    with contextlib.suppress(StoreError):  # a user without a home has no memory
        memory = default_root() / MEMORY
    by_kind = descriptions.listing(memory)
    if kind is not None:
        by_kind = {kind: by_kind[kind]}
    data = {kind: [plugin.as_json() for plugin in plugins] for kind, plugins in by_kind.items()}
    show(plugin_list(by_kind), data, as_json=as_json)


def describe(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] NAME",
            help="The name of a plugin, or of a metric (its heading will do); before it the kind, if several have "
            "that name: loss, model, dataset, sampler, detector, tracker, executor or metric.",
            show_default=False,
            autocompletion=completion.described,
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show what a plugin does and every option that it has; or what a metric is."""
    from faceexp.registry import describe as descriptions
    from faceexp.report.terminal.plugins import metric_description, plugin_description

    kind, name = _kind_and_name(words)
    if kind == "metric":
        metric = _metric(name)
        if metric is None:
            raise InputError(f"there is no metric {name!r}; {did_you_mean(name, _names_of_metrics())}")
        show(metric_description(metric), metric, as_json=as_json)
        return
    plugin = descriptions.describe(kind, name)
    show(plugin_description(plugin), plugin, as_json=as_json)


def _metric(name: str) -> "Metric | None":
    """Return the metric of this key or heading."""
    from faceexp.evaluation.named import metric_of

    return metric_of(name)


def _names_of_metrics() -> set[str]:
    from faceexp.evaluation.catalogue import METRICS

    return {name for metric in METRICS for name in (metric.key, metric.name)}


def _check_kind(kind: str, kinds: list[str]) -> None:
    if kind not in kinds:
        raise InputError(f"there is no kind {kind!r} of plugin; {did_you_mean(kind, kinds)}")


def _kind_and_name(words: list[str]) -> tuple[str, str]:
    """Return what ``describe`` is asked for.

    Raises:
        InputError: There is no such kind, nothing of that name, or there are several things of that name.
    """
    from faceexp.contract import GROUPS
    from faceexp.registry import describe as descriptions
    from faceexp.registry.installed import discover

    if len(words) > 2:
        raise InputError(f"describe takes a kind and a name, and was given {len(words)} words: {' '.join(words)!r}")
    name = words[-1]
    if len(words) == 2:
        _check_kind(words[0], [*GROUPS, "metric"])
        return words[0], name
    kinds = [*descriptions.kinds_of(name), *(["metric"] if _metric(name) else [])]
    if not kinds:
        known = {plugin.name for plugin in discover().plugins} | _names_of_metrics()
        hint = did_you_mean(name, known, always_list=False) or "`faceexp list-plugins` shows what is installed"
        raise InputError(f"there is no plugin and no metric {name!r}; {hint}")
    if len(kinds) > 1:
        raise InputError(f"{name!r} is a {' and a '.join(kinds)}; say which: `faceexp describe {kinds[0]} {name}`")
    return kinds[0], name


def new_plugin(
    kind: Annotated[
        str,
        typer.Argument(
            help="loss, model, dataset, sampler, detector, tracker or executor.",
            show_default=False,
            autocompletion=completion.kinds,
        ),
    ],
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
    if importlib.util.find_spec("pytest") is None:
        print("pip install pytest")
    # Another pytest on the PATH would not find faceexp.
    print(f"python -m pytest {quoted}")
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
