"""The installed plugins as people read them in a terminal."""

from __future__ import annotations

from faceexp.report.terminal.plugins import plugin_description, plugin_list


def test_plugins_are_listed_by_kind_and_broken_ones_say_why(drawn):
    tidy = {"name": "tidy", "distribution": "faceexp-loss-tidy", "version": "0.1", "module": "m", "error": ""}
    torn = tidy | {"name": "torn", "error": "ImportError: no [m]"}
    text = drawn(plugin_list({"loss": [tidy, torn], "model": []}))
    assert "loss plugins" in text
    assert "x torn (faceexp-loss-tidy 0.1) is broken: ImportError: no [m]" in text
    assert "x tidy" not in text
    assert "none installed" in text


def test_a_description_has_facts_text_and_options(drawn):
    option = {
        "name": "margin",
        "type": "list[int]",
        "default": "[1]",
        "bounds": "> 0",
        "unit": "distance",
        "description": "How far.",
    }
    info = {
        "kind": "loss",
        "name": "x",
        "summary": "Short [bold].",
        "facts": {"reference": "[1] a paper"},
        "text": "Long.",
        "options": [option],
    }
    text = drawn(plugin_description(info))
    for part in ("loss x  Short [bold].", "[1] a paper", "Long.", "list[int]", "How far."):
        assert part in text
    assert "no options" in drawn(plugin_description(info | {"options": [], "text": ""}))
