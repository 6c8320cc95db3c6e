"""Experiment files that were damaged at random are loaded, or refused with clear lines; nothing else happens.

Each mutation has its own seed, so that one that fails is found again. ``FACEEXP_HARDENING_MUTATIONS=2000`` tries that
many of each experiment of this repository instead of the few of the normal suite.
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
MUTATIONS = int(os.environ.get("FACEEXP_HARDENING_MUTATIONS", "60"))
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


def mutated(text: str, chance: random.Random) -> tuple[str, list[str]]:
    """Return a damaged copy of an experiment file, and values for ``--set``."""
    kind = chance.choice(["drop", "duplicate", "retype", "rename", "nest", "swap", "letters", "lines", "set"])
    data = tomllib.loads(text)
    path, value = chance.choice(list(walk(data)))
    around = data
    for part in path[:-1]:
        around = around[part]
    key = path[-1]
    raw = chance.choice(VALUES)
    if kind == "drop":
        del around[key]
    elif kind == "duplicate":
        if isinstance(around, list):
            around += [copy.deepcopy(value) for _ in range(chance.choice([1, 3, 300]))]
        else:
            around[chance.choice(KEYS)] = copy.deepcopy(value)
    elif kind == "retype":
        around[key] = MARK
    elif kind == "rename" and isinstance(around, dict):
        around[chance.choice(KEYS)] = around.pop(key)
    elif kind == "nest":
        around[key] = chance.choice([[value], {"a": value}, [[value] * 50] * 50, {"plugin": value}, {"grid": value}])
    elif kind == "swap":
        other, _ = chance.choice([(other, table) for other, table in walk(data) if isinstance(table, dict)])
        target = data
        for part in other:
            target = target[part]
        target[str(key)] = copy.deepcopy(value)
    written = tomli_w.dumps(data).replace(f'"{MARK}"', raw)
    if kind == "letters":
        place = chance.randrange(len(text))
        written = text[:place] + chance.choice(["", raw, *'"[]{}=.#\n\\,']) + text[place + chance.randrange(3) :]
    elif kind == "lines":
        lines = text.split("\n")
        place = chance.randrange(len(lines))
        lines[place : place + chance.randrange(3)] = chance.choice(
            [[raw], [f"k = {raw}"], [f"[{raw}]"], [lines[-1]] * 2]
        )
        written = "\n".join(lines)
    if kind != "set":
        return written, []
    spelled = ".".join(
        str(part) for part in [*path, *chance.choices([*KEYS, "9" * 5000, "[0]" * 600], k=chance.randrange(2))]
    )
    return text, [f"{spelled}={raw}"]


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
        text, overrides = mutated(original, random.Random(f"{path.stem} {seed}"))
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
