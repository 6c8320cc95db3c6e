"""Pages that MkDocs gets from the program itself, so that they cannot differ from it.

Every page below ``reference/`` is written anew at each build: from ``faceexp schema``, from ``faceexp list-plugins``
and ``faceexp describe``, from Typer's description of the commands, and from the docstrings of the losses' functions.
"""

from __future__ import annotations

import ast
import functools
import html
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

# Between a sign and its number, so that they stay on one line.
NO_BREAK = "\N{NO-BREAK SPACE}"

# How a page is called, and what its readers should know first. The order is that of the tables of an experiment file.
PLUGIN_PAGES = {
    "loss": (
        "losses",
        "Losses",
        """\
Each `[[losses]]` table of an experiment file names one of these losses with `plugin`, and sets its options. `grid`
tries several values of an option: each combination is a row of the result. B is the number of rows of a batch, D the
width of the embedding, C the number of training identities.""",
    ),
    "model": (
        "models",
        "Models",
        """\
The `[model]` table names one of these trunks with `plugin`. Each makes a vector of features of an image; the embedding
layer behind it has `embedding_dim` numbers, whichever trunk it is.""",
    ),
    "dataset": ("datasets", "Data sets", "The `[dataset]` table names one of these with `plugin`."),
    "sampler": (
        "samplers",
        "Samplers",
        """\
`[finetune.sampler]` names one of these with `plugin`: it draws the batches of phase 2. A loss may have its own in
`[losses.finetune.sampler]`.""",
    ),
    "detector": (
        "detectors",
        "Detectors",
        """\
`[preprocess.detect]` names one of these with `plugin`: it finds the face in each photo. The keys of the table that are
the same for all of them are explained in [photos of scenes](../experiments.md#photos-of-scenes).""",
    ),
    "tracker": (
        "trackers",
        "Trackers",
        """\
Each `[[trackers]]` table names one of these with `plugin`: it records trials elsewhere as they end, see
[recording a run elsewhere](../experiments.md#recording-a-run-elsewhere).""",
    ),
    "executor": (
        "executors",
        "Executors",
        """\
The `[executor]` table names one of these with `plugin`: it runs trials in other places, see
[several machines](../clusters.md). The keys of the table that are the same for all of them are explained there.""",
    ),
}

# Pages whose text stands in the repository's root, where people and platforms look for it.
ROOT_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"reference/command-line.md": command_line(), "reference/experiment-file.md": experiment_file()}
    for kind, (stem, title, opening) in PLUGIN_PAGES.items():
        pages[f"reference/{stem}.md"] = plugins(kind, title, opening)
    for name, page in ROOT_PAGES.items():
        pages[page] = from_root((ROOT / name).read_text(encoding="utf-8"))
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def from_root(text: str) -> str:
    """Return the text of a page of the repository's root with links that work in the site.

    A link into ``docs/`` becomes one beside it; of a link to anything that the site does not have, the words remain.
    """

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        if target.startswith("docs/"):
            return f"[{words}]({target.removeprefix('docs/')})"
        file, _, anchor = target.partition("#")
        if file in ROOT_PAGES:
            return f"[{words}]({ROOT_PAGES[file]}{'#' + anchor if anchor else ''})"
        return words

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, text)


# What the program says


def _output(*arguments: str) -> str:
    """Return what a command prints, as wide as it likes and without colours."""
    environment = {**os.environ, "COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"`{' '.join(arguments)}` failed:\n{done.stderr}")
    return done.stdout


@functools.cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(_output("faceexp", "schema"))
    return schema


@functools.cache
def _described() -> dict[str, list[dict[str, Any]]]:
    """Return all that ``faceexp describe`` says of each plugin, by kind."""
    # One process for each of them would start Python fifty times; the same command in this one does not.
    from typer.testing import CliRunner

    from faceexp.cli import app

    offered = json.loads(_output("faceexp", "list-plugins", "--json"))
    broken = [plugin["name"] for entries in offered.values() for plugin in entries if "error" in plugin]
    if broken:
        raise RuntimeError(f"plugins that cannot be imported cannot be described: {', '.join(broken)}")
    described = {}
    for kind, entries in offered.items():
        answers = [CliRunner().invoke(app, ["describe", kind, plugin["name"], "--json"]) for plugin in entries]
        described[kind] = [json.loads(answer.stdout) for answer in answers]
    return described


# Pages


def command_line() -> str:
    """Return the page of all commands, from Typer's own description of them."""
    page = _output("typer", "faceexp.cli", "utils", "docs", "--name", "faceexp")
    sections = dict(re.findall(r"^## `faceexp ([\w-]+)`\n\n(.+)$", page, re.MULTILINE))
    # Typer cuts the lines of its list of commands; here each is a link, with the whole line.
    rows = "\n".join(f"- [`{name}`](#faceexp-{name}): {text}" for name, text in sections.items())
    page = re.sub(r"(?:^\* `[\w-]+`: .*\n)+(?=\n## )", lambda _: rows + "\n", page, count=1, flags=re.MULTILINE)
    return page.replace("# `faceexp`", "# Command line", 1)


def experiment_file() -> str:
    """Return the page of all tables of an experiment file, from its JSON schema."""
    schema = _schema()
    parts = [
        "# Experiment file",
        """\
Every table of an experiment file and every key of it. `faceexp schema` prints the same as a JSON schema, installed
plugins included, for editors that check TOML files while one writes. The options of [losses](losses.md),
[models](models.md), [data sets](datasets.md), [samplers](samplers.md), [detectors](detectors.md),
[trackers](trackers.md) and [executors](executors.md) are on pages of their own.""",
        "A value on the command line, `--set finetune.steps=100` for instance, takes the place of the file's.",
        "## Top of the file",
        _table(_keys(schema, schema, "")),
    ]
    for header, table in _tables(schema, schema, ""):
        text = table.get("description", "")
        parts += [f"## `{header}`", _text(text), _table(_keys(table, schema, header))]
    return "\n\n".join(parts) + "\n"


def plugins(kind: str, title: str, opening: str) -> str:
    """Return the page of all plugins of a kind."""
    described = _described()[kind]
    rows = [(f"[`{plugin['name']}`](#{plugin['name']})", _text(plugin["summary"])) for plugin in described]
    parts = [f"# {title}", opening, _rows(("plugin", "what it is"), rows)]
    for plugin in described:
        parts += [f"## `{plugin['name']}` {{ #{plugin['name']} }}", _text(plugin["summary"])]
        parts += [_prose(plugin["text"])] if plugin["text"] else []
        parts += _formulas(Path(plugin["facts"]["file"])) if kind == "loss" else []
        facts = {key: value for key, value in plugin["facts"].items() if key not in ("file", "distribution")}
        package = plugin["facts"]["distribution"].partition(" ")[0]
        said = [*facts.items(), ("package", f"`{package}`")]
        parts += ["\n".join(f"- {key}: {value if key == 'package' else _text(value)}" for key, value in said)]
        parts += [_table(map(_option, plugin["options"])) if plugin["options"] else "It has no options."]
    return "\n\n".join(parts) + "\n"


def _formulas(module: Path) -> list[str]:
    """Return what the docstrings of a loss's functions say before they come to arguments."""
    # Several losses around one library have their formulas in that library.
    tree = ast.parse(module.read_text(encoding="utf-8"))
    parts = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        arguments = [argument.arg for argument in node.args.args]
        # Functions of labels and of something beside them are losses, or a loss's parts; others are tools.
        if "labels" not in arguments or len(arguments) == 1:
            continue
        text = re.split(r"^(?:Args|Returns|Raises):", ast.get_docstring(node) or "", maxsplit=1, flags=re.MULTILINE)[0]
        parts += [f"**`{node.name}({', '.join(arguments)})`**", _prose(text)]
    return parts


# Tables of a schema


def _resolve(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference stands for, or the value itself; where a range may stand in its place, the value."""
    if "else" in value:
        told = {key: part for key, part in value.items() if key not in ("if", "then", "else", "anyOf")}
        value = {**told, **value["else"]}
    name = str(value.get("$ref", "")).rpartition("/")[2]
    return {**schema["$defs"][name], **value} if name else value


def _inner(value: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """Return the table that a key holds, if it holds one, and whether it may hold several."""
    value = _resolve(value, schema)
    for choice in value.get("anyOf", ()):
        table, many = _inner(choice, schema)
        if table is not None:
            return {**table, "description": value.get("description", table.get("description", ""))}, many
    if value.get("type") == "array":
        return _inner(value.get("items", {}), schema)[0], True
    return (value, False) if value.get("type") == "object" else (None, False)


def _header(above: str, name: str, *, many: bool) -> str:
    path = ".".join([*re.findall(r"[\w.]+", above), name])
    return f"[[{path}]]" if many else f"[{path}]"


def _tables(table: Mapping[str, Any], schema: Mapping[str, Any], above: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every table below this one with its header as a file writes it."""
    for name, value in table.get("properties", {}).items():
        inner, many = _inner(value, schema)
        if inner is None:
            continue
        header = _header(above, name, many=many)
        if tables := _tables_of_plugins(inner, schema):
            shared = _shared(tables)
            required = [name for name in shared if all(name in table["required"] for table in tables)]
            text = value.get("description", "")
            yield header, {"description": text, "properties": shared, "required": required}
            continue
        yield header, inner
        yield from _tables(inner, schema, header)


def _tables_of_plugins(table: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a table may hold for each plugin that it may name; nothing where it names none."""
    return [_resolve(case["then"], schema) for case in table.get("allOf", ()) if "then" in case]


def _shared(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keys that a table of a plugin has whichever plugin it names."""
    choices = [table["properties"] for table in tables]
    shared = {name: value for name, value in choices[0].items() if all(name in choice for choice in choices)}
    shared["plugin"] = {"type": "string", "description": "Name of an installed plugin; its options follow."}
    if "grid" in shared:
        shared["grid"] = {
            "type": "object",
            "description": "Options of the loss, each with a list of values; each combination is a row.",
            "default": None,
        }
    return dict(sorted(shared.items(), key=lambda item: item[0] != "plugin"))


def _keys(table: Mapping[str, Any], schema: Mapping[str, Any], header: str) -> Iterator[dict[str, str]]:
    for name, given in table.get("properties", {}).items():
        value = _resolve(given, schema)
        inner, many = _inner(value, schema)
        description = _text(str(value.get("description", "")))
        if inner is not None and name != "grid":
            below = _header(header, name, many=many)
            description = f"{description} Table `{below}`.".strip()
        required = name in table.get("required", ())
        yield {
            "name": name,
            "type": ("tables" if many else "table") if inner is not None else _type(value),
            "bounds": _bounds(value),
            "default": "required" if required else _default(value.get("default")) if inner is None else "",
            "description": description,
        }


def _type(value: Mapping[str, Any]) -> str:
    if "enum" in value:
        return "one of " + ", ".join(f'`"{choice}"`' for choice in value["enum"])
    if "anyOf" in value:
        return " or ".join(_type(choice) for choice in value["anyOf"] if choice.get("type") != "null")
    if value.get("type") == "array":
        items = value.get("items") or (value.get("prefixItems") or [{}])[0]
        return f"list of {_type(items)}"
    names = {"number": "float", "integer": "int", "boolean": "bool", "string": "text", "object": "table"}
    return names.get(str(value.get("type")), str(value.get("type", "any")))


def _bounds(value: Mapping[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    words = [f"{sign}{NO_BREAK}{value[key]}" for key, sign in signs.items() if key in value]
    for choice in [*value.get("anyOf", ()), value.get("items") or (value.get("prefixItems") or [{}])[0]]:
        words += [_bounds(choice)] if isinstance(choice, Mapping) and choice else []
    return ", ".join(word for word in words if word)


def _default(value: object) -> str:
    """Return a default as a TOML file writes it; nothing where a key may be left out and stands for nothing."""
    return "none" if value is None else f"`{json.dumps(value)}`"


def _option(option: Mapping[str, Any]) -> dict[str, str]:
    """Return the row of a plugin's option."""
    required = option["default"] == "required"
    unit = "" if option["unit"] == "none" else option["unit"]
    searched = f" `[search]` tries {option['search']}." if option["search"] else ""
    return {
        "name": option["name"],
        "type": _text(option["type"]),
        "bounds": ", ".join(part for part in (option["bounds"].replace("= ", f"={NO_BREAK}"), unit) if part),
        "default": "required" if required else _default(option["default"]),
        "description": _text(f"{option['description']}{searched}"),
    }


# Markdown


def _table(keys: Iterator[dict[str, str]] | map[dict[str, str]]) -> str:
    rows = [
        (
            f"`{key['name']}`",
            ", ".join(part for part in (key["type"], _text(key["bounds"])) if part),
            key["default"],
            key["description"],
        )
        for key in keys
    ]
    return _rows(("key", "type, bounds, unit", "default", "what it does"), rows)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _text(text: str) -> str:
    """Return plain text as Markdown that shows it, code in backticks left as it is."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_\[\]#])", r"\\\1", html.escape(piece, quote=False))
        for piece in pieces
    )


def _prose(docstring: str) -> str:
    """Return paragraphs of a docstring as Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", inspect.cleandoc(docstring).replace("``", "`"))
    # What is indented is shown as it stands.
    return "\n\n".join(part if part.startswith("    ") else _text(part) for part in text.split("\n\n"))
