"""The installed plugins as people read them in a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.registry.describe import ListedPlugin, OptionDescription, PluginDescription
from faceexp.report.terminal.plugins import metric_description, plugin_description, plugin_list


def test_plugins_are_listed_by_kind_and_broken_ones_say_why(drawn):
    tidy = ListedPlugin("tidy", "faceexp-loss-tidy", "0.1", "m")
    torn = replace(tidy, name="torn", error="ImportError: no [m]")
    text = drawn(plugin_list({"loss": [tidy, torn], "model": []}))
    assert "loss plugins" in text
    assert "x torn (faceexp-loss-tidy 0.1) is broken: ImportError: no [m]" in text
    assert "x tidy" not in text
    assert "none installed" in text


def test_a_slow_plugin_says_why(drawn):
    slow = ListedPlugin("slow", "outside-slow", "2.0", "m", summary="A loss.", slow="takes 12 seconds to import: it")
    assert "! slow (outside-slow 2.0) takes 12 seconds to import: it" in drawn(plugin_list({"loss": [slow]}))


def test_a_text_is_put_together_again_so_that_any_width_can_wrap_it(drawn):
    text = "One sentence that goes\nover two lines.\n\n    y = x\n    z = y\n\n- a point\n- another"
    told = drawn(plugin_description(PluginDescription("loss", "x", "Short.", text, {}, (), ("takes 9 seconds",))))
    assert told.rstrip().endswith("! x takes 9 seconds")
    lines = [line.rstrip() for line in told.splitlines()]
    for line in ("One sentence that goes over two lines.", "    y = x", "    z = y", "- a point", "- another"):
        assert line in lines


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("float", "number"),
        ("list of int", "list of whole number"),
        ("bool or nothing", "true or false or nothing"),
        ("one of floating, intern", "one of floating, intern"),
    ],
)
def test_types_are_told_in_words(drawn, kind, words):
    option = OptionDescription("margin", kind, 1, "", "none", "How far.")
    assert words in drawn(plugin_description(PluginDescription("loss", "x", "Short.", "", {}, (option,))))


def test_a_metric_is_told_in_words(drawn):
    text = drawn(metric_description(METRIC_OF["eer"]))
    for part in ("metric eer", METRIC_OF["eer"].meaning, "EER %", "per cent", "lower", '[verdict] metric = "eer"'):
        assert part in text


def test_a_description_has_facts_text_and_options(drawn):
    option = OptionDescription("margin", "list of text", "[1]", "> 0", "distance", "How far.")
    described = PluginDescription("loss", "x", "Short [bold].", "Long.", {"reference": "[1] a paper"}, (option,))
    text = drawn(plugin_description(described))
    for part in ("loss x  Short [bold].", "[1] a paper", "Long.", "list of text", "How far."):
        assert part in text
    assert "no options" in drawn(plugin_description(replace(described, options=(), text="")))


def test_what_a_search_tries_of_an_option_stands_behind_what_it_does(drawn):
    option = OptionDescription("margin", "float", 1.0, "> 0", "none", "How far.", "0.1 to 10, by orders of magnitude")
    text = drawn(plugin_description(PluginDescription("loss", "x", "Short.", "", {}, (option,))), 140)
    assert "How far. [search] tries 0.1 to 10, by orders of magnitude." in " ".join(text.split())
    without = drawn(plugin_description(PluginDescription("loss", "x", "Short.", "", {}, (replace(option, search=""),))))
    assert "[search]" not in without
