"""The JSON schema of experiment files is there, whatever plugins are installed."""

from __future__ import annotations

from faceexp.experiment import toml
from faceexp.planning.words import with_words
from faceexp.registry import json_schema
from faceexp.registry.installed import discover

SOURCE = """
from collections.abc import Callable
from typing import ClassVar
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    '''A loss with an option that no file can give.'''

    reference: ClassVar[str] = "a test"
    distance: ClassVar = "cosine"
    function: Callable = option(print, "A function.")

    def build(self, ctx):
        return None
"""


def test_a_plugin_whose_options_json_cannot_describe_is_left_out(install):
    install("callable-dist", "loss", "with_a_function", SOURCE)
    losses = [table["title"] for table in json_schema.schema()["properties"]["losses"]["items"]["oneOf"]]
    assert "contrastive" in losses
    assert "with_a_function" not in losses


def test_such_a_plugin_decides_nothing_about_what_is_set(install):
    install("callable-dist", "loss", "with_a_function", SOURCE)
    text = '[[losses]]\nplugin = "with_a_function"\n'
    document = with_words(toml.parse_text(text, "x.toml", ("losses[0].function=1",)), discover())
    assert document.data["losses"][0]["function"] == 1
