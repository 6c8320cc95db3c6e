"""Experiment files that were damaged at random are loaded, or refused with clear lines; nothing else happens.

Each mutation has its own seed, so that one that fails is found again. ``FACEEXP_HARDENING=full``, which ``nox -s
hardening`` sets, tries many more of each experiment of this repository than the normal suite.
"""

from __future__ import annotations

import copy
import os
import random
import tomllib
from pathlib import Path

import pytest
import tomli_w

import faceexp
from faceexp.errors import InputError
from faceexp.experiment import toml
from faceexp.experiment.lines import walk
from faceexp.registry.installed import discover

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))
MUTATIONS = 2000 if os.environ.get("FACEEXP_HARDENING") == "full" else 60
LONGEST_LINE = 1500

# Values as TOML writes them; many are none.
VALUES = [
    *("1", "-1", "0", "-0.0", "1.0", "1e400", "1e300", "-1e39", "1e-320", "nan", "-inf", "true", "false", '""', "[]", "{}"),
    *("9223372036854775807", "9223372036854775808", "9" * 5000, "0x" + "f" * 900, "0x" + "f" * 5000, "0o777", "1_000"),
    *("2024-11-25", "2024-11-25T07:32:00Z", "07:32:00", "plain", "1.2.3", "+", "'", '"', '"""', "#", "\x00", "\ufeff"),
    *('"a\\u0000b"', '"\\uD800"', '"C:\\temp"', '"C:\\Users\\me"', "'C:\\Users\\me'", '"~nosuchuser/faces"', '"/dev/zero"'),
    *('"\u202e"', '"\\n\\u001b[31m"', '"' + "x" * 20_000 + '"', "'''\n'''", '"pairs_file"', '"contrastive"', '"true"'),
    *("[" * 5 + "]" * 5, "[" * 17 + "]" * 17, "[" * 600 + "]" * 600, "{a=" * 600 + "1" + "}" * 600, "[" * 600),
    *(".".join("a" * 20_000) + " = 1", "{" + ".".join("a" * 20_000) + " = 1}", "{" + ".".join("abc") + " = 1}"),
    *("[1, [2, [3, 'a']]]", "[1, 1]", "[1.5, true, 'a', {}]", f"[{'0,' * 5000}]", "{ plugin = 3 }", "{ plugin = 'random' }"),
    f"{{ margin = [{'1.0,' * 300}], seed = [{'1,' * 300}] }}",
]  # fmt: skip
KEYS = [
    "",
    "plugin",
    "label",
    "grid",
    "path",
    "a.b",
    "a b",
    "\x00",
    "\x1b[2J",
    "é",
    "0",
    "options",
    "k" * 5000,
    '"',
    "\n",
]
MARK = "a value that a mutation replaces"


def change_of_data(text: str, kind: str, chance: random.Random) -> str:
    """Return an experiment file of which one value was changed in some way, or is elsewhere."""
    data = tomllib.loads(text)
    path, value = chance.choice(list(walk(data)))
    around, key, spare = at(data, path[:-1]), path[-1], chance.choice(KEYS)
    nested = [[value], {"a": value}, [[value] * 50] * 50, {"plugin": value}, {"grid": value}]
    if kind == "drop" or (kind == "rename" and isinstance(around, list)):
        del around[key]
    elif kind == "rename":
        around[spare] = around.pop(key)
    elif kind == "duplicate" and isinstance(around, list):
        around += [value] * chance.choice([1, 3, 300])
    elif kind == "duplicate":
        around[spare] = value
    elif kind == "move":
        tables = [place for place, table in walk(data) if isinstance(table, dict)]
        at(data, chance.choice(tables))[str(key)] = copy.deepcopy(value)
    else:
        around[key] = MARK if kind == "retype" else chance.choice(nested)
    return tomli_w.dumps(data).replace(f'"{MARK}"', chance.choice(VALUES))


def change_of_letters(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + chance.choice(["", *VALUES, *'"[]{}=.#\n\\,']) + text[place + chance.randrange(3) :]


def change_of_lines(text: str, chance: random.Random) -> str:
    lines, value = text.split("\n"), chance.choice(VALUES)
    place = chance.randrange(len(lines))
    new = chance.choice([[value], [f"k = {value}"], [f"[{value}]"], [lines[place]] * 2])
    return "\n".join([*lines[:place], *new, *lines[place + chance.randrange(3) :]])


def an_override(text: str, chance: random.Random) -> str:
    path, _ = chance.choice(list(walk(tomllib.loads(text))))
    more = chance.choices([*KEYS, "9" * 5000, "[0]" * 600], k=chance.randrange(2))
    return f"{'.'.join(map(str, [*path, *more]))}={chance.choice(VALUES)}"


def at(data, path):
    for part in path:
        data = data[part]
    return data


def mutated(text: str, chance: random.Random) -> tuple[str, list[str]]:
    """Return an experiment file that was damaged, and values for ``--set``."""
    kind = chance.choice(["drop", "duplicate", "retype", "retype", "rename", "nest", "move", "letters", "lines", "set"])
    match kind:
        case "set":
            return text, [an_override(text, chance)]
        case "letters":
            return change_of_letters(text, chance), []
        case "lines":
            return change_of_lines(text, chance), []
    return change_of_data(text, kind, chance), []


@pytest.fixture(scope="module", autouse=True)
def _plugins():
    """The plugins are looked up once; that takes longer than everything else."""
    installed = discover()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faceexp.pipeline.discover", lambda: installed)
        yield


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_damaged_experiment_is_loaded_or_refused(path, tmp_path):
    original = path.read_text(encoding="utf-8")
    for seed in range(MUTATIONS):
        text, overrides = mutated(original, random.Random(f"{path.stem} {seed}"))  # noqa: S311 - not for secrets
        damaged = tmp_path / "x.toml"
        damaged.write_text(text, encoding="utf-8")
        try:
            study = faceexp.load(damaged, overrides=overrides)
            toml.parse_text(toml.dump(study.experiment), f"the spec.toml of mutation {seed}")
        except InputError as error:
            assert "spec.toml" not in str(error)
            lines = [str(problem) for problem in error.problems]
        except Exception as error:
            error.add_note(f"mutation {seed} of {path.name}; {overrides}")
            raise
        else:
            continue
        assert lines, f"mutation {seed} of {path.name}"
        for line in lines:
            assert "\n" not in line, f"mutation {seed} of {path.name}"
            assert len(line) < LONGEST_LINE, f"mutation {seed} of {path.name}"
