"""What is known about plugins and experiment files, as plain data."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

import jsonschema
import pytest

from faceexp.errors import InputError
from faceexp.registry import describe, json_schema, reasons
from faceexp.registry.installed import Registry
from faceexp.results.jsonable import to_jsonable

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))

LOSS = '''
from enum import Enum
from typing import ClassVar, Literal
from faceexp.contract import BatchNeeds, LossPlugin, option

class Colour(Enum):
    RED = "red"
    BLUE = "blue"

class Plugin(LossPlugin):
    """Made loss: a number, for tests.

    And some more about it.
    """
    reference: ClassVar[str] = "a test, 2024"
    distance: ClassVar[str] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=3, images_per_class=2, halves="similar")
    xla: ClassVar[bool] = False
    weight: float = option(..., "Factor.", unit="distance", gt=0, le=10, search={"low": 0.1, "high": 10.0, "log": True})
    pairs: Literal["all", "halves"] = option("all", "Which pairs.")
    widths: tuple[int, ...] = option((1, 2), "Several.", unit="pixels", min_length=1, max_length=4)
    path: str | None = option(None, "A text, or nothing.")
    colour: Colour = option(Colour.RED, "A colour.")

    def build(self, ctx): ...
'''


@pytest.fixture
def made(install):
    return install("outside-described", "loss", "made", LOSS, version="0.3")


@functools.cache
def schema_with_made():
    """Return the schema with the loss ``made``; the same for every test that installs it."""
    return json_schema.schema()


def wrong(document, schema):
    """Return where a document does not fit the schema."""
    return ["/".join(map(str, e.path)) for e in jsonschema.Draft202012Validator(schema).iter_errors(document)]


def experiment(**tables):
    """Return a small experiment, with some of its tables replaced."""
    return {
        "name": "x",
        "dataset": {"plugin": "image_folder", "path": "faces"},
        "protocol": {"kind": "open_set"},
        "model": {"plugin": "thin_vgg", "embedding_dim": 8},
        "finetune": {"sampler": {"plugin": "balanced"}},
        "losses": [{"plugin": "contrastive", "margin": 1.0}],
    } | tables


# Plugins


def test_the_listing_names_every_plugin_by_kind(made):
    by_kind = describe.listing()
    assert list(by_kind) == ["loss", "model", "dataset", "sampler", "detector", "tracker", "executor"]
    expected = {"name": "made", "distribution": "outside-described", "version": "0.3", "module": "outside_described"}
    expected["summary"] = "Made loss: a number, for tests."
    assert describe.ListedPlugin(**expected) in by_kind["loss"]
    assert expected in [plugin.as_json() for plugin in by_kind["loss"]]
    assert all(plugin.error is None for plugins in by_kind.values() for plugin in plugins)


def test_the_listing_says_what_is_broken_and_what_is_offered_twice(install):
    install("outside-bad", "loss", "bad", "raise RuntimeError('no such GPU')")
    install("outside-first", "loss", "twin", LOSS)
    install("outside-second", "loss", "twin", LOSS)
    errors = {(plugin.distribution, plugin.error) for plugin in describe.listing()["loss"]}
    both = "loss 'twin' is offered by outside-first 1.0 and outside-second 1.0; uninstall one of them"
    assert ("outside-bad", "RuntimeError: no such GPU; outside_bad.py:1") in errors
    assert {error for distribution, error in errors if distribution in ("outside-first", "outside-second")} == {both}
    assert ("faceexp-loss-contrastive", None) in errors


def test_a_plugin_that_takes_long_to_import_is_named_with_what_it_imports(install, monkeypatch, tmp_path):
    (tmp_path / "outside_heavy").mkdir()
    for name in ("__init__", "one", "two"):
        (tmp_path / "outside_heavy" / f"{name}.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    imports = "import outside_heavy.one, outside_heavy.two"
    install("outside-slow", "loss", "slow", f"{imports}\n{LOSS}", version="2.0")
    monkeypatch.setattr(reasons, "SLOW", 0.0)
    (slow,) = [plugin for plugin in describe.listing()["loss"] if plugin.name == "slow"]
    cause = "it imports outside_heavy (3 modules); import them inside build"
    assert slow.slow == f"takes 0 seconds to import: {cause}"
    assert slow.as_json()["slow"] == slow.slow


def test_a_plugin_that_brings_tensorflow_is_told_however_quick_it_is(install, monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("", encoding="utf-8")  # stands for the real one
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    install("outside-brings", "loss", "heavy", f"import torch\n{LOSS}")
    install("outside-after", "loss", "after", f"import torch\n{LOSS}")
    heavy, after = (describe.describe("loss", name).remarks for name in ("heavy", "after"))
    assert heavy == ("takes 0 seconds to import: it imports torch (1 modules); import them inside build",)
    assert after == (), "another one has imported it before"
    sys.modules.pop("torch")


def test_a_plugin_that_is_quickly_imported_is_not_called_slow(made):
    (quick,) = [plugin for plugin in describe.listing()["loss"] if plugin.name == "made"]
    assert quick.slow is None
    assert "slow" not in quick.as_json()


LISTING = """
import json, sys
from pathlib import Path
from faceexp.registry import describe

(plugin,) = [plugin for plugin in describe.listing(Path(sys.argv[1]))["loss"] if plugin.name == "made"]
print(json.dumps([plugin.error, "outside_listed" in sys.modules]))
"""


@pytest.fixture
def list_made(tmp_path):
    """List plugins in a process of its own, with a memory; say what is wrong with ``made``, and whether it was imported."""
    # Where other tests, that run at the same time, may write is not searched: it would count as a change.
    home = [str(Path(describe.__file__).parents[2]), sysconfig.get_path("purelib")]

    def run(**environment):
        sites = sorted(map(str, tmp_path.glob("site-*")))
        for path in [path for site in sites for path in (*Path(site).rglob("*"), Path(site))]:
            # As old as an installation; what was just written might be written once more, and look the same.
            if path.stat().st_mtime > time.time() - 1000:
                os.utime(path, (time.time() - 2000,) * 2)
        places = os.pathsep.join([*sites, *home])
        environment = {**os.environ, "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        command = [sys.executable, "-S", "-P", "-c", LISTING, str(tmp_path / "memory" / "plugins.json")]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return tuple(json.loads(done.stdout))

    return run


def test_a_plugin_that_imports_is_not_imported_again(install, list_made):
    install("outside-listed", "loss", "made", LOSS)
    assert list_made() == (None, True)
    assert list_made() == (None, False)


def test_a_plugin_that_is_edited_or_loses_what_it_needs_is_imported_again(install, list_made):
    module = install("outside-listed", "loss", "made", f"import outside_needed\n{LOSS}")
    needed = install("outside-needed", "sampler", "needed", "")
    assert [list_made(), list_made()] == [(None, True), (None, False)]
    module.write_text(f"import outside_gone\n{LOSS}")
    assert list_made() == (
        "it imports 'outside_gone', which is not installed: pip install outside_gone; outside_listed.py:1",
        False,
    )
    module.write_text(f"import outside_needed\n{LOSS}")
    assert [list_made(), list_made()] == [(None, True), (None, False)]
    needed.unlink()
    assert list_made() == (
        "it imports 'outside_needed', which is not installed: pip install outside_needed; outside_listed.py:1",
        False,
    )


def test_a_broken_plugin_is_tried_every_time(install, list_made):
    install("outside-listed", "loss", "made", f"import os\nos.environ['OUTSIDE_LISTED']\n{LOSS}")
    assert [list_made(), list_made()] == [("KeyError: 'OUTSIDE_LISTED'; outside_listed.py:2", False)] * 2
    assert [list_made(OUTSIDE_LISTED="here"), list_made()] == [(None, True), (None, False)]


def test_a_description_holds_everything_a_plugin_says_about_itself(made):
    assert to_jsonable(describe.describe("loss", "made")) == {
        "kind": "loss",
        "name": "made",
        "summary": "Made loss: a number, for tests.",
        "text": "And some more about it.",
        "facts": {
            "reference": "a test, 2024",
            "distance": "cosine",
            "a batch holds": "3 identities, 2 images of an identity, halves: rows i and i + B/2 similar, at least",
            "compiles under XLA": "no",
            "distribution": "outside-described 0.3",
            "file": str(made),
        },
        "options": [
            {
                "name": "weight",
                "type": "float",
                "default": "required",
                "bounds": "> 0, <= 10",
                "unit": "distance",
                "description": "Factor.",
                "search": "0.1 to 10, by orders of magnitude",
            },
            {
                "name": "pairs",
                "type": "one of all, halves",
                "default": "all",
                "bounds": "",
                "unit": "none",
                "description": "Which pairs.",
                "search": "",
            },
            {
                "name": "widths",
                "type": "list of int",
                "default": [1, 2],
                "bounds": "items >= 1, items <= 4",
                "unit": "pixels",
                "description": "Several.",
                "search": "",
            },
            {
                "name": "path",
                "type": "text or nothing",
                "default": None,
                "bounds": "",
                "unit": "none",
                "description": "A text, or nothing.",
                "search": "",
            },
            {
                "name": "colour",
                "type": "one of red, blue",
                "default": "red",
                "bounds": "",
                "unit": "none",
                "description": "A colour.",
                "search": "",
            },
        ],
        "remarks": [],
    }


def test_every_installed_plugin_is_described_in_full():
    for kind, plugins in describe.listing().items():
        for plugin in plugins:
            described = describe.describe(kind, plugin.name)
            assert described.summary.endswith("."), plugin
            assert Path(described.facts["file"]).is_file()
            assert all(option.description and option.unit for option in described.options), plugin
            json.dumps(to_jsonable(described), allow_nan=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("contrastiv", "no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?"),
        (
            "bad",
            "loss 'bad' (outside-bad 1.0) is broken: RuntimeError: no such GPU; outside_bad.py:1; "
            "mend it there or remove outside-bad",
        ),
    ],
)
def test_what_is_missing_or_broken_cannot_be_described(install, name, message):
    install("outside-bad", "loss", "bad", "raise RuntimeError('no such GPU')")
    with pytest.raises(InputError) as caught:
        describe.describe("loss", name)
    assert str(caught.value) == message


# The schema


def test_the_schema_is_a_json_schema(made):
    jsonschema.Draft202012Validator.check_schema(schema_with_made())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_fits_the_schema(made, path):
    assert wrong(tomllib.loads(path.read_text(encoding="utf-8")), schema_with_made()) == []


@pytest.mark.parametrize(
    "loss",
    [
        {"plugin": "contrastive"},
        {"plugin": "contrastive", "label": "mine", "grid": {"margin": [1.0, 2.0]}},
        {"plugin": "made", "grid": {"weight": [1.0]}},
        {"plugin": "made", "weight": 1, "colour": "blue"},
        {"plugin": "npairs", "pretrain": {"enabled": False}, "finetune": {"trainable": "all"}},
        {"plugin": "npairs", "finetune": {"sampler": {"images_per_class": 4}}},
        {"plugin": "npairs", "finetune": {"sampler": {"plugin": "balanced", "images_per_class": 4}}},
    ],
)
def test_whatever_a_loss_may_say_fits(made, loss):
    assert wrong(experiment(losses=[loss]), schema_with_made()) == []


@pytest.mark.parametrize(
    ("tables", "where"),
    [
        ({"losses": [{"plugin": "contrastive", "margn": 1.0}]}, "losses/0"),
        ({"losses": [{"plugin": "contrastive", "margin": "1.0"}]}, "losses/0/margin"),
        ({"losses": [{"plugin": "contrastive", "margin": 0}]}, "losses/0/margin"),
        ({"losses": [{"plugin": "contrastive", "grid": {"margn": [1.0]}}]}, "losses/0/grid"),
        ({"losses": [{"plugin": "contrastive", "grid": {"margin": []}}]}, "losses/0/grid/margin"),
        ({"losses": [{"plugin": "contrastive", "finetune": {"stepz": 3}}]}, "losses/0/finetune"),
        (
            {"losses": [{"plugin": "contrastive", "finetune": {"sampler": {"plugin": "balanced", "x": 1}}}]},
            "losses/0/finetune/sampler",
        ),
        ({"losses": [{"plugin": "made", "weight": 1.0, "colour": "green"}]}, "losses/0/colour"),
        ({"losses": [{"plugin": "contrastiv"}]}, "losses/0/plugin"),
        ({"losses": []}, "losses"),
        ({"dataset": {"plugin": "image_folder"}}, "dataset"),
        ({"dataset": {"plugin": "image_folder", "path": "x", "options": {}}}, "dataset"),
        ({"model": {"plugin": "thin_vgg", "embedding_dim": 0}}, "model/embedding_dim"),
        ({"model": {"plugin": "thin_vgg", "widths": ["4"]}}, "model/widths/0"),
        ({"finetune": {"sampler": {"plugin": "balanced", "classes": 4}}}, "finetune/sampler"),
        ({"finetune": {}}, "finetune"),
        ({"pretrain": {"epoch": 3}}, "pretrain"),
        ({"colour": "gray"}, ""),
    ],
)
def test_mistakes_do_not_fit(made, tables, where):
    assert wrong(experiment(**tables), schema_with_made()) == [where]


def test_each_part_of_an_experiment_is_required(made):
    assert len(wrong({}, schema_with_made())) == len({"name", "dataset", "protocol", "model", "finetune", "losses"})


def test_a_broken_plugin_leaves_the_schema_of_the_others_as_it_is(install):
    before = json_schema.schema()
    install("outside-bad", "loss", "bad", "raise RuntimeError('no such GPU')")
    assert json_schema.schema() == before


def test_where_no_plugin_is_installed_the_schema_is_still_one(monkeypatch):
    monkeypatch.setattr(json_schema, "discover", lambda: Registry(()))
    assert set(wrong(experiment(), json_schema.schema())) == {"dataset", "model", "finetune/sampler", "losses/0"}
