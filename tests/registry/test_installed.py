"""Plugins as they are installed: found by their metadata, imported when used, broken ones on their own."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from pydantic import ValidationError

import faceexp
from faceexp.contract import GROUPS
from faceexp.errors import InputError
from faceexp.registry.installed import BrokenPluginError, discover

LOSS = '''
from typing import ClassVar
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    """Made loss: a number, for tests."""
    reference: ClassVar[str] = "a test"
    distance: ClassVar[str] = "euclidean"
    weight: float = option(1.0, "Factor.", gt=0)

    def build(self, ctx):
        return lambda labels, embeddings: self.weight * ctx.num_classes
'''


# What to do about a broken plugin.
MEND, REST = "mend it there", "reinstall"
CORRECT = "correct the entry point in its pyproject.toml and install it again,"
ENTRY = "its entry point names 'Plugin', which outside_broken5 does not have (did you mean 'Plugn'?)"


def refused(act, *arguments, **options):
    with pytest.raises(InputError) as caught:
        act(*arguments, **options)
    (problem,) = caught.value.problems
    return str(problem)


def test_a_plugin_is_found_by_its_entry_point_without_being_imported(install):
    install("outside-found", "loss", "made", LOSS, version="2.3")
    found = discover().find("loss", "made")
    assert str(found) == "loss 'made' (outside-found 2.3)"
    assert (found.module, found.attribute) == ("outside_found", "Plugin")
    assert "outside_found" not in sys.modules
    assert found.load().__name__ == "Plugin"


def test_plugins_are_listed_by_kind_and_name(install):
    install("outside-listed", "sampler", "aaa", LOSS)
    plugins = discover().plugins
    assert {found.kind for found in plugins} == set(GROUPS)
    assert [found.kind for found in plugins] == sorted((f.kind for f in plugins), key=list(GROUPS).index)
    for kind in GROUPS:
        names = [found.name for found in plugins if found.kind == kind]
        assert names == sorted(names) == discover().names(kind)
    assert discover().names("sampler")[0] == "aaa"


@pytest.mark.parametrize(
    ("number", "source", "reason", "mend"),
    [
        (
            1,
            "raise RuntimeError('no such GPU,\\n  sorry')",
            "RuntimeError: no such GPU, sorry; outside_broken1.py:1",
            MEND,
        ),
        (2, "\nraise SystemExit('bye')", "SystemExit: bye; outside_broken2.py:2", MEND),
        (
            3,
            "import no_such_module",
            "it imports 'no_such_module', which is not installed: pip install no_such_mod",
            "",
        ),
        (4, "def broken(", "SyntaxError: '(' was never closed; outside_broken4.py:1", MEND),
        (5, LOSS.replace("class Plugin", "class Plugn"), ENTRY, CORRECT),
        (6, "Plugin = 3", "outside_broken6:Plugin is not a LossPlugin", MEND),
        (7, "from faceexp.contract import SamplerPlugin as Plugin", "outside_broken7:Plugin is not a LossPlugin", MEND),
        (8, "from faceexp.contract import LossPlugin as Plugin", "outside_broken8:Plugin lacks build", MEND),
        (9, LOSS.replace("weight: float", "weight: 'Missing'"), "PydanticUndefinedAnnotation: name 'Missing' is", REST),
        (10, "import json.no_such_module", "ModuleNotFoundError: No module named 'json.no_such_module'", MEND),
        (11, LOSS.replace("weight: float", "need"), "'need' has no type: write `need: ClassVar[...] = ...`", MEND),
    ],
)
def test_a_broken_plugin_says_why_and_stops_nothing_else(install, number, source, reason, mend):
    distribution = f"outside-broken{number}"
    install(distribution, "loss", "broken", source, version="0.5")
    with pytest.raises(BrokenPluginError) as caught:
        discover().find("loss", "broken").load()
    assert str(caught.value).startswith(f"loss 'broken' ({distribution} 0.5) is broken: {reason}")
    assert "\n" not in str(caught.value)
    told = f"{caught.value}; {mend} or remove {distribution}" if mend else str(caught.value)
    assert refused(discover().configure, "loss", "broken", {}) == refused(faceexp.plugin, "loss", "broken") == told
    healthy: Any = discover().configure("loss", "contrastive", {"margin": 2.0}).plugin
    assert healthy.margin == 2.0


def test_a_plugin_whose_module_is_gone_is_to_be_reinstalled(install):
    install("outside-gone", "loss", "made", "").unlink()
    told = "ModuleNotFoundError: No module named 'outside_gone'; reinstall or remove outside-gone"
    assert refused(faceexp.plugin, "loss", "made").endswith(told)


def test_a_misnamed_module_of_an_entry_point_gets_a_hint(install):
    """Not the module of another plugin, however alike the names are."""
    install("outside-probe2", "loss", "other", LOSS)
    module = install("outside-probe", "loss", "made", LOSS)
    module.rename(module.with_name("outside_probes.py"))
    importlib.invalidate_caches()
    told = (
        "is broken: its entry point names the module 'outside_probe', which does not exist (did you mean "
        "'outside_probes'?); correct the entry point in its pyproject.toml and install it again, or remove outside-probe"
    )
    assert refused(faceexp.plugin, "loss", "made").endswith(told)


@pytest.mark.parametrize(
    ("line", "remark"),
    [
        ("need: ClassVar[int] = 3", "has an attribute 'need' that nobody reads; did you mean 'needs'?"),
        (
            "Distance: ClassVar[str] = 'cosine'",
            "has an attribute 'Distance' that nobody reads; did you mean 'distance'?",
        ),
        ("def trait(self): ...", "has an attribute 'trait' that nobody reads; did you mean 'traits'?"),
        ("colour: ClassVar[str] = 'red'", None),
        ("need: int = option(1, 'An option.')", None),
        ("_need: ClassVar[int] = 3", None),
    ],
)
def test_an_attribute_that_is_nearly_one_of_the_contract_is_named(install, line, remark):
    install("outside-near", "loss", "near", LOSS.replace("weight:", f"{line}\n    weight:"))
    assert discover().find("loss", "near").remarks == ((remark,) if remark else ())


def test_a_required_attribute_that_is_mistyped_is_named_where_it_is_missed(install):
    install("outside-distanse", "loss", "near", LOSS.replace("distance:", "distanse:"))
    told = "does not declare distance; has an attribute 'distanse' that nobody reads; did you mean 'distance'?"
    assert told in refused(faceexp.plugin, "loss", "near")


def test_two_distributions_that_offer_one_name_are_both_named(install):
    install("outside-twin", "loss", "made", LOSS)
    install("outside-double", "loss", "made", LOSS, version="2.0")
    found = refused(discover().find, "loss", "made")
    assert found == "loss 'made' is offered by outside-double 2.0 and outside-twin 1.0; uninstall one of them"


def test_one_name_in_two_kinds_is_no_conflict(install):
    install("outside-one", "loss", "made", LOSS)
    install("outside-two", "sampler", "made", LOSS)
    assert discover().find("loss", "made").distribution == "outside-one"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("loss", "contrastiv", "no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?"),
        (
            "dataset",
            "zzz",
            "no dataset plugin 'zzz' is installed; install its package with `pip install -e FOLDER`; the "
            'pyproject.toml there has to name it below [project.entry-points."faceexp.datasets"]; '
            "`faceexp list-plugins dataset` shows what there is",
        ),
    ],
)
def test_an_unknown_name_lists_those_near_or_says_how_a_plugin_is_installed(kind, name, message):
    assert refused(discover().find, kind, name) == message


def test_the_hint_where_a_kind_has_no_plugin_at_all():
    registry = type(discover())(())
    assert "install its package with `pip install -e FOLDER`" in refused(registry.find, "loss", "made")


@pytest.mark.parametrize("group", ["faceexp.loss", "faceexp.models"])
def test_a_plugin_in_the_wrong_group_of_entry_points_is_found_there(tmp_path, monkeypatch, group):
    metadata = tmp_path / "outside_odd-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-odd\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\nmisplaced = outside_odd:Odd\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert refused(discover().find, "loss", "misplaced") == (
        f"no loss plugin 'misplaced' is installed; outside-odd offers that name in the group {group!r} of entry points; "
        "a loss belongs to 'faceexp.losses'"
    )


def test_options_are_taken_as_toml_gives_them(install):
    install("outside-options", "loss", "made", LOSS)
    plugin: Any = discover().configure("loss", "made", {"weight": 2}).plugin
    assert plugin.weight == 2.0
    for options in ({"weight": "2"}, {"weight": -1.0}, {"wait": 1.0}):
        with pytest.raises(ValidationError):
            discover().configure("loss", "made", options)


def test_the_digest_follows_the_source(install):
    module = install("outside-digest", "loss", "made", LOSS)
    before = discover().find("loss", "made").digest
    assert discover().find("loss", "made").digest == before
    module.write_text(LOSS + "# edited\n")
    assert discover().find("loss", "made").digest != before


def test_the_digest_of_a_package_follows_every_module_of_it(install):
    module = install("outside-package", "loss", "made", "")
    module.unlink()
    package = module.with_suffix("")
    package.mkdir()
    (package / "__init__.py").write_text("from outside_package.inner import Plugin")
    (package / "inner.py").write_text(LOSS)
    before = discover().find("loss", "made").digest
    assert discover().find("loss", "made").load()
    (package / "inner.py").write_text(LOSS + "# edited\n")
    assert discover().find("loss", "made").digest != before


def test_a_module_that_is_gone_has_no_file_and_no_digest(install):
    install("outside-gone", "loss", "made", "").unlink()
    found = discover().find("loss", "made")
    assert (found.file, found.digest) == (None, "unknown")


def test_the_identity_of_a_plugin_is_all_that_determines_a_result(install):
    module = install("outside-identity", "loss", "made", LOSS, version="0.2")
    chosen = discover().configure("loss", "made", {"weight": 2})
    assert chosen.installed.file == module
    assert chosen.identity == {
        "kind": "loss",
        "name": "made",
        "distribution": "outside-identity",
        "version": "0.2",
        "digest": chosen.installed.digest,
        "options": {"weight": 2.0},
    }


def test_defaults_belong_to_the_identity(install):
    install("outside-defaults", "loss", "made", LOSS)
    registry = discover()
    assert registry.configure("loss", "made", {}).identity == registry.configure("loss", "made", {"weight": 1}).identity


# From Python


def test_a_plugin_is_made_from_python(install):
    install("outside-python", "loss", "made", LOSS)
    plugin: Any = faceexp.plugin("loss", "made", weight=2.0)
    assert plugin.build(faceexp.LossContext(num_classes=40, embedding_dim=128, seed=0))(None, None) == 80.0


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"weight": "many"}, {"wait": 1.0}])
def test_options_from_python_are_checked(install, options):
    install("outside-checked", "loss", "made", LOSS)
    with pytest.raises(ValidationError):
        faceexp.plugin("loss", "made", **options)


def test_a_wrong_kind_or_name_from_python_lists_those_near():
    assert refused(faceexp.plugin, "los", "made") == "there is no kind 'los' of plugin; did you mean 'loss'?"
    message = "no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?"
    assert refused(faceexp.plugin, "loss", "contrastiv") == message


def test_the_package_offers_what_it_lists_and_nothing_else():
    for name in faceexp.__all__:
        assert getattr(faceexp, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'losses'"):
        faceexp.losses  # noqa: B018 - the access is the test


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    reference: ClassVar[str] = 'x'\n", "does not declare distance"),
        (
            "    reference: ClassVar[str] = 'x'\n    distance: ClassVar[Distance] = 'cosine'\n"
            "    label: str = option('x', 'A name that is taken.')\n",
            "its option 'label' has a name that experiment files use themselves",
        ),
    ],
)
def test_a_loss_that_breaks_the_contract_is_broken_and_says_how(install, body, reason):
    source = (
        "from typing import ClassVar\nfrom faceexp.contract import Distance, LossPlugin, option\n"
        f"class Plugin(LossPlugin):\n    '''Odd.'''\n{body}"
        "    def build(self, ctx):\n        return None\n"
    )
    install("odd-loss", "loss", "odd", source)
    with pytest.raises(BrokenPluginError, match=reason):
        discover().find("loss", "odd").load()
