"""The description of every JSON file that a run leaves: a JSON Schema for programs and a page for people.

Both are made from the records, so they cannot say anything else than the code does. This command writes them anew::

    python -m faceexp.results.describe_files docs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic.json_schema import models_json_schema

from faceexp.evaluation.catalogue import METRICS
from faceexp.results.model_schema import ModelRecord, OwnThresholdRecord
from faceexp.results.record import JsonObject, Record
from faceexp.results.schema import SCHEMA, EnvironmentRecord, RunRecord, TrialFile
from faceexp.store import write_text

# A JSON Schema, or a part of one.
Schema: TypeAlias = Mapping[str, Any]

SCHEMA_FILE = "results.schema.json"
PAGE_FILE = "results.md"
# Every JSON file of a run and the record that it holds, in the order in which the page describes them.
FILES: Mapping[str, type[Record]] = {
    "results.json": RunRecord,
    "trials/<id>.json": TrialFile,
    "models/<id>/calibration.json": ModelRecord,
    "models/<id>/own_threshold.json": OwnThresholdRecord,
    "environment.json": EnvironmentRecord,
}
# What lies in the folder of a run, in the order in which a reader may want to open it.
CONTENTS: Mapping[str, str] = {
    "report.html": "the report, one page that needs no other file",
    "report-<set>.html": "the same report on a test set, if the experiment names any",
    "overlap.csv": "every person and image of a test set that the data set which is trained on has as well, if there "
    "are any",
    "results.json": "every trial, every mean and every comparison",
    "spec.toml": "the experiment with every default filled in; `faceexp run spec.toml` repeats the run",
    "tuned.toml": "the same with the settings that a search has chosen, if there was one; `faceexp run tuned.toml` "
    "trains these without searching. `spec.toml` then has the ranges",
    "environment.json": "the machine, the packages and the plugins that the run was made with",
    "trials/<id>.json": "one trial with its curves, its histograms and its hardest pairs",
    "pictures/<number>.png": "the images of the hardest pairs, as the networks see them",
    "models/<id>/model.keras": "the trained network of a trial whose model is kept",
    "models/<id>/calibration.json": "how that network is used: preprocessing, distance and thresholds",
    "models/<id>/seen_photos.bin": "digests of the photos that the model saw in its training, by which `verify` knows "
    "them again: of each file of the training and validation part the first eight bytes of its SHA-256, sorted, "
    "one behind the other; not there if the images of the data set are no files",
    "models/<id>/own_threshold.json": "a threshold that you have set with `faceexp verify --calibrate-on`, if you have",
}
INTRODUCTION = """\
# What a run leaves

This page is made from the code. To change it, change the descriptions in `runner/faceexp/results/`, and then run
`python -m faceexp.results.describe_files docs`.

`faceexp run` writes one folder for each run. The folder is called `<name>-<hash>`: the name of the experiment, and the
first eight digits of the digest of the experiment; where that folder holds results of other code of one of its plugins,
`-2`, `-3` and so on is added, so that these are not overwritten. It holds these files:

| file | what it holds |
| --- | --- |
{files}

A trial is one loss or one baseline that was trained and tested with one seed and one fold. `<id>` is the id of a trial,
for example `contrastive-margin-3-s0-f0`. A baseline has no model, and neither has a trial that did not end well. The
folder that `faceexp export` writes holds these files of a model, too, but for `seen_photos.bin`.

Everything that the report shows is in the JSON files, so you can make tables and figures of your own from them. In
Python, `faceexp.open_run(folder).results` gives `results.json` as an object with types, and
`faceexp.open_run(folder).document` gives the same as plain JSON data. [{schema_file}]({schema_file}) describes the same
keys for programs. It is a JSON Schema (draft 2020-12).

## Publishing a run

```bash
faceexp publish runs/all_losses-1a2b3c4d to_check       # you
faceexp verify-run to_check --set dataset.path=photos   # somebody else, who has the data
```

`publish` writes a new folder that others can check: `spec.toml` (and `tuned.toml`), `environment.json`,
`results.json`, the trials and the pages of a run, a `README.md`, a `requirements.txt` with the packages that decide
numbers and the plugins, and `SHA256SUMS`, which `sha256sum -c SHA256SUMS` reads. What is not in it:

- Photos. People may not have agreed that theirs are passed on, so the pages are drawn without them. `--pictures` adds
  those of the hardest pairs. People are called in the trials and on the pages what the data call them.
- Models. `--models best` adds the one that `faceexp verify` would use, as `faceexp export` writes it.
- Paths of your machine. A name stands for each in the experiment file, such as `DATASET_PATH` for `dataset.path`, and
  `~` for your home folder wherever a file names it. The README lists what others have to fill in.
- `overlap.csv`, which names photos of the data.

`verify-run` takes such a folder, or that of any finished run. It compares the files with `SHA256SUMS` if that is
there, plans the experiment with the data that are here, and checks that they are cut into the same parts. Then it
trains one trial (`--trial ID`; by default the first loss of the first seed and fold that ended well) from nothing
that was computed before, but for decoded photos, with as many threads as the run had, and compares every metric. On
the same processor and with the same packages, a trial comes out the same to the last bit; elsewhere numbers are added
in another order, so metrics may differ by up to `--tolerance` (0.001). The exit code is 0 then, and 1 with a table of
the metrics that differ by more; it says what differs in machine and software. Exit code 2 says that files were
changed, or that the data or their parts are others.

## The key `schema`

The first key of `results.json` is `schema`: the number of the form that the files have. It is {schema} now.

- Keys may be added at any time, and the number stays the same. A program that reads the files has to ignore keys that
  it does not know.
- The number rises when a key is removed, or when the meaning of a key changes. faceexp refuses results with a number
  that it does not know.

Older versions of faceexp wrote fewer keys under the same number. The keys that they did not write have a "yes" in the
column "may be missing". faceexp reads results without these keys, and so should a program of yours.

## How to read the tables

- A *number* may have a fraction, and a *whole number* has none. Rates, shares and most metrics go from 0 to 1. Times
  are in seconds.
- *null* stands where there is no value, for example where a metric is not defined. JSON has no word for infinity or for
  a result that is no number, so these are null as well.
- *X by name* is a JSON object: its keys are names, and each of its values is an X.

## Metrics

These are the names in `metrics` and the values of `metric`:

| name | better | meaning |
| --- | --- | --- |
{metrics}
"""
TABLE = "| key | type | may be missing | meaning |\n| --- | --- | --- | --- |\n"
PLAIN_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def json_schema() -> JsonObject:
    """Return the JSON Schema of the files in :data:`FILES`; a key that no record describes is refused by it."""
    references, document = models_json_schema(
        [(record, "validation") for record in FILES.values()], ref_template="#/$defs/{model}"
    )
    definitions = {name: _plain(definition) for name, definition in document["$defs"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"The files of a faceexp run, schema {SCHEMA}",
        "description": "; ".join(f"{name}: {record.__name__}" for name, record in FILES.items()),
        "anyOf": [references[record, "validation"] for record in FILES.values()],
        "$defs": definitions,
    }


def page() -> str:
    """Return the description for people, in Markdown: an introduction, then a table for each record."""
    definitions = json_schema()["$defs"]
    parts = [
        INTRODUCTION.format(
            files="\n".join(f"| `{file}` | {words}{_see(file)} |" for file, words in CONTENTS.items()),
            schema=SCHEMA,
            schema_file=SCHEMA_FILE,
            metrics="\n".join(f"| `{metric.key}` | {metric.better} | {metric.meaning} |" for metric in METRICS),
        )
    ]
    described: set[str] = set()
    for file, record in FILES.items():
        parts.append(f"## {file}\n")
        for name in _reached(record.__name__, definitions):
            if name not in described:
                described.add(name)
                parts.append(_section(name, definitions))
    return "\n".join(parts)


def write_description(folder: Path) -> None:
    """Write both descriptions into a folder."""
    write_text(folder / SCHEMA_FILE, json.dumps(json_schema(), indent=2) + "\n")
    write_text(folder / PAGE_FILE, page())


def _plain(definition: Schema) -> JsonObject:
    """Return the schema of a record without the titles that repeat its keys, and closed to other keys."""
    properties = {
        key: {word: value for word, value in schema.items() if word != "title"}
        for key, schema in definition["properties"].items()
    }
    description = definition["description"].replace("``", "`")
    return {**definition, "description": description, "properties": properties, "additionalProperties": False}


def _reached(name: str, definitions: Mapping[str, Schema]) -> Iterator[str]:
    """Yield the name of a record and of every record inside it, each before those that it holds."""
    yield name
    for schema in definitions[name]["properties"].values():
        for inner in _references(schema):
            yield from _reached(inner, definitions)


def _references(schema: object) -> Iterator[str]:
    """Yield the names of the records that a schema refers to."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield _name(schema["$ref"])
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _section(name: str, definitions: Mapping[str, Schema]) -> str:
    """Return the heading, the description and the table of a record."""
    definition = definitions[name]
    # A record that extends another one says so, instead of showing the same rows again.
    extended = _extended().get(name)
    rows = [
        f"| `{key}` | {_type(schema)} | {_missing(key, definition)} | {_cell(schema['description'])} |\n"
        for key, schema in definition["properties"].items()
        if extended is None or key not in definitions[extended]["properties"]
    ]
    more = f" It has every key of [{extended}]({_link(extended)}), and these:" if extended else ""
    return f"### {name}\n\n{definition['description']}{more}\n\n{TABLE}{''.join(rows)}"


def _extended() -> dict[str, str]:
    """Return the names of the records of files that extend a described record, and the name of that record."""
    bases = {record.__name__: record.__bases__[0] for record in FILES.values()}
    return {name: base.__name__ for name, base in bases.items() if base is not Record}


def _missing(key: str, definition: Schema) -> str:
    return "" if key in definition.get("required", ()) else "yes"


def _type(schema: Schema) -> str:
    """Return the type of a key in words."""
    if "$ref" in schema:
        words = f"[{_name(schema['$ref'])}]({_link(_name(schema['$ref']))})"
    elif "anyOf" in schema:
        kinds = list(dict.fromkeys(_type(choice) for choice in schema["anyOf"]))
        # Each whole number is a number.
        words = _either(
            [kind for kind in kinds if kind != PLAIN_TYPES["integer"] or PLAIN_TYPES["number"] not in kinds]
        )
    elif "enum" in schema:
        words = _either([f"`{value}`" for value in schema["enum"]])
    elif "prefixItems" in schema:
        words = f"[{', '.join(_type(inner) for inner in schema['prefixItems'])}]"
    elif schema["type"] == "array":
        words = f"list of {_type(schema['items'])}"
    elif schema["type"] == "object":
        values = schema["additionalProperties"]
        words = f"{_type(values) if isinstance(values, Mapping) else 'any value'} by name"
    else:
        words = PLAIN_TYPES[schema["type"]]
    return words


def _either(words: list[str]) -> str:
    """Return ``a, b or c``."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _name(reference: str) -> str:
    """Return the name of the record that a reference means."""
    return reference.rpartition("/")[2]


def _link(name: str) -> str:
    """Return the link to the section of a record."""
    return f"#{name.lower()}"


def _see(file: str) -> str:
    """Return the words that lead to the section of a file, if it has one."""
    return f"; see [{FILES[file].__name__}]({_link(FILES[file].__name__)})" if file in FILES else ""


def _cell(text: str) -> str:
    """Return a text as the cell of a table, where a vertical bar would end it."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_description(Path(sys.argv[1]))
