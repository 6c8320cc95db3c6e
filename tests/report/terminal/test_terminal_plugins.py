"""The installed plugins as people read them in a terminal."""

from __future__ import annotations

from dataclasses import replace

from faceexp.registry.describe import ListedPlugin, OptionDescription, PluginDescription
from faceexp.report.terminal.plugins import plugin_description, plugin_list


def test_plugins_are_listed_by_kind_and_broken_ones_say_why(drawn):
    tidy = ListedPlugin("tidy", "faceexp-loss-tidy", "0.1", "m")
    torn = replace(tidy, name="torn", error="ImportError: no [m]")
    text = drawn(plugin_list({"loss": [tidy, torn], "model": []}))
    assert "loss plugins" in text
    assert "x torn (faceexp-loss-tidy 0.1) is broken: ImportError: no [m]" in text
    assert "x tidy" not in text
    assert "none installed" in text


def test_a_description_has_facts_text_and_options(drawn):
    option = OptionDescription("margin", "list[int]", "[1]", "> 0", "distance", "How far.")
    described = PluginDescription("loss", "x", "Short [bold].", "Long.", {"reference": "[1] a paper"}, (option,))
    text = drawn(plugin_description(described))
    for part in ("loss x  Short [bold].", "[1] a paper", "Long.", "list[int]", "How far."):
        assert part in text
    assert "no options" in drawn(plugin_description(replace(described, options=(), text="")))
