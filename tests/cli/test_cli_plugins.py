"""The commands about plugins: what they print of those that are installed, and how a new one begins."""

from __future__ import annotations

import json

import pytest


def test_plugins_are_listed_by_kind(faceexp):
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    places = [out.index(f"{kind} plugins") for kind in ("loss", "model", "dataset", "sampler")]
    assert places == sorted(places)
    losses, samplers = out[places[0] : places[1]], out[places[3] :]
    assert "contrastive" in losses
    assert "faceexp-loss-contrastive" in losses
    assert "0.1.0" in losses
    assert "balanced" in samplers


def test_a_broken_plugin_is_listed_with_its_reason(faceexp, install):
    install("outside-bad", "loss", "bad", "raise RuntimeError('no [such] GPU')")
    code, out, _ = faceexp("list-plugins")
    assert code == 0
    assert "x bad (outside-bad 1.0) is broken: RuntimeError: no [such] GPU" in out
    _, out, _ = faceexp("list-plugins", "--json")
    (bad,) = [item for item in json.loads(out)["loss"] if item["name"] == "bad"]
    assert bad["error"] == "RuntimeError: no [such] GPU"


def test_plugins_are_listed_where_nothing_can_be_kept(faceexp, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "file" / "store"))
    code, out, err = faceexp("list-plugins")
    assert (code, err) == (0, "")
    assert "faceexp-loss-contrastive" in out


def test_a_plugin_is_described(faceexp):
    code, out, err = faceexp("describe", "loss", "contrastive")
    assert (code, err) == (0, "")
    for text in ("Hadsell", "euclidean", "margin", "float", "1.0", "> 0", "distance", "one of all, halves"):
        assert text in out


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
        f"pytest '{folder}'",
        "faceexp describe sampler my_own",
    ]
    assert (folder / "faceexp_sampler_my_own.py").is_file()


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
