"""The commands about plugins: what they print of those that are installed, and how a new one begins."""

from __future__ import annotations

import importlib.util
import json

import pytest


def test_plugins_are_listed_by_kind(faceexp):
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    kinds = "loss", "model", "dataset", "sampler", "detector", "tracker", "executor"
    places = [out.index(f"{kind} plugins") for kind in kinds]
    assert places == sorted(places)
    losses, samplers = out[places[0] : places[1]], out[places[3] : places[4]]
    detectors, trackers, executors = out[places[4] : places[5]], out[places[5] : places[6]], out[places[6] :]
    assert "contrastive" in losses
    assert "Contrastive loss" in losses
    assert "0.1.0" in losses
    assert "balanced" in samplers
    assert "haar" in detectors
    assert "tensorboard" in trackers
    assert "local" in executors


def test_a_broken_plugin_is_listed_with_its_reason(faceexp, install):
    install("outside-bad", "loss", "bad", "raise RuntimeError('no [such] GPU')")
    code, out, _ = faceexp("list-plugins")
    assert code == 0
    (row,) = [line for line in out.splitlines() if line.split()[:1] == ["bad"]]
    assert row.split() == ["bad", "broken,", "see", "below", "1.0"]
    assert "x bad (outside-bad 1.0) is broken: RuntimeError: no [such] GPU; outside_bad.py:1" in out
    _, out, _ = faceexp("list-plugins", "--json")
    (bad,) = [item for item in json.loads(out)["loss"] if item["name"] == "bad"]
    assert bad["error"] == "RuntimeError: no [such] GPU; outside_bad.py:1"


def test_plugins_are_listed_where_nothing_can_be_kept(faceexp, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "file" / "store"))
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    assert "contrastive" in out


def test_one_kind_is_listed_alone_and_fits_a_narrow_screen(faceexp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = faceexp("list-plugins", "sampler")
    assert code == 0
    assert out.splitlines()[0].strip() == "sampler plugins"
    assert "contrastive" not in out
    assert max(map(len, out.splitlines())) <= 80
    (line,) = [line for line in out.splitlines() if line.split()[:1] == ["balanced"]]
    assert line.split()[1:3] == ["Balanced", "batches:"]
    assert line.split()[-1] == "0.1.0"
    assert list(json.loads(faceexp("list-plugins", "sampler", "--json")[1])) == ["sampler"]


def test_what_is_no_kind_is_not_listed(faceexp):
    message = "error: there is no kind 'losses' of plugin; did you mean 'loss'?\n"
    assert faceexp("list-plugins", "losses") == (2, "", message)


def test_a_plugin_is_described(faceexp):
    code, out, err = faceexp("describe", "loss", "contrastive")
    assert (code, err) == (0, "")
    assert faceexp("describe", "contrastive") == (code, out, err)
    for text in ("Hadsell", "euclidean", "margin", "number", "1.0", "> 0", "distance", "one of all, halves"):
        assert text in out


def test_a_name_of_two_kinds_is_asked_back(faceexp, install):
    source = (
        "from typing import ClassVar\nfrom faceexp.contract import BatchSupply, SamplerPlugin\n"
        "class Plugin(SamplerPlugin):\n    'Twin.'\n"
        "    def supply(self): return BatchSupply(8)\n    def build(self, labels, seed): ...\n"
    )
    install("outside-twin", "sampler", "contrastive", source)
    message = "'contrastive' is a loss and a sampler; say which: `faceexp describe loss contrastive`"
    assert faceexp("describe", "contrastive") == (2, "", f"error: {message}\n")
    assert faceexp("describe", "sampler", "contrastive")[0] == 0


@pytest.mark.parametrize("words", [["metric", "auc"], ["auc"], ["AUC"]])
def test_a_metric_is_described(faceexp, words):
    code, out, err = faceexp("describe", *words)
    assert (code, err) == (0, "")
    assert "probability that a similar pair is nearer than a different one" in out
    assert json.loads(faceexp("describe", *words, "--json")[1])["key"] == "auc"


@pytest.mark.parametrize("name", ["map_at_r", "MAP@R", "map@r %", "MAP_AT_R"])
def test_a_metric_is_known_by_its_heading_as_well_as_by_its_key(faceexp, name):
    code, out, err = faceexp("describe", "metric", name)
    assert (code, err) == (0, "")
    assert "Take one photo and sort all others by distance." in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metric", "MAP@S"], "there is no metric 'MAP@S'; did you mean 'MAP@R'?"),
        (["contrastiv"], "there is no plugin and no metric 'contrastiv'; did you mean 'contrastive'?"),
        (["zzzz"], "there is no plugin and no metric 'zzzz'; `faceexp list-plugins` shows what is installed"),
        (["metric", "acuracy"], "there is no metric 'acuracy'; did you mean 'accuracy'?"),
        (["loss", "circle", "auc"], "describe takes a kind and a name, and was given 3 words: 'loss circle auc'"),
    ],
)
def test_what_has_no_such_name_cannot_be_described(faceexp, words, message):
    assert faceexp("describe", *words) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("los", "contrastive", "there is no kind 'los' of plugin; did you mean 'loss'?"),
        ("loss", "contrastiv", "no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?"),
    ],
)
def test_what_cannot_be_described(faceexp, kind, name, message):
    assert faceexp("describe", kind, name) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    "arguments",
    [["list-plugins", "--json"], ["describe", "loss", "contrastive", "--json"], ["schema"]],
)
def test_json_is_one_document_and_nothing_else(faceexp, arguments):
    code, out, err = faceexp(*arguments)
    assert (code, err) == (0, "")
    assert isinstance(json.loads(out), dict)


# New plugins


def test_new_plugin_prints_what_to_do_next(faceexp, tmp_path):
    code, out, err = faceexp("new-plugin", "sampler", "my_own", "--out", tmp_path / "with space")
    folder = tmp_path / "with space" / "my_own"
    assert (code, err) == (0, f"wrote {folder}; next:\n")
    assert out.splitlines() == [
        f"pip install -e '{folder}'",
        f"python -m pytest '{folder}'",
        "faceexp describe sampler my_own",
    ]
    assert (folder / "faceexp_sampler_my_own.py").is_file()


def test_new_plugin_says_how_pytest_is_installed_where_it_is_missing(faceexp, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pytest" else found(name, *rest)
    )
    _, out, _ = faceexp("new-plugin", "sampler", "my_own", "--out", tmp_path)
    assert out.splitlines()[1:3] == ["pip install pytest", f"python -m pytest {tmp_path / 'my_own'}"]


def test_new_plugin_refuses_a_bad_name_with_one_line(faceexp, tmp_path):
    code, out, err = faceexp("new-plugin", "loss", "My-Loss", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: 'My-Loss' is no name for a plugin; ")
    assert err.count("\n") == 1


def test_the_schema_in_a_file_is_the_one_on_the_screen(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, _ = command("schema")
    assert command("schema", "--out", "x.schema.json")[:2] == (code, "") == (0, "")
    assert (tmp_path / "x.schema.json").read_text(encoding="ascii") == printed
    assert command("schema", "--out", "nowhere/x.json")[0] == 2
