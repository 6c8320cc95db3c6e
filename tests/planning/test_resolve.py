"""A plugin that is broken before any data are touched: one line at its place, and others are checked all the same."""

from __future__ import annotations

import pytest

from faceexp.errors import InputError
from faceexp.pipeline import load

LOSS = """
from typing import ClassVar
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    '''Made.'''
    reference: ClassVar[str] = "a test"
    distance: ClassVar[str] = "euclidean"

    def traits(self):
        raise KeyError("name")

    def build(self, ctx):
        return None
"""
SAMPLER = """
from faceexp.contract import SamplerPlugin

class Plugin(SamplerPlugin):
    '''Made.'''

    def supply(self):
        raise SystemExit(0)

    def build(self, labels, seed):
        yield labels
"""
SPEC = """\
name = "made"
[dataset]
plugin = "synthetic"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
[finetune.sampler]
plugin = "{sampler}"
[[losses]]
plugin = "contrastive"
[[losses]]
plugin = "{loss}"
[[losses]]
plugin = "npairs"
"""


@pytest.fixture
def problems(tmp_path, install):
    install("outside-loss", "loss", "mute_loss", LOSS)
    install("outside-sampler", "sampler", "mute_sampler", SAMPLER)

    def told(**names):
        path = tmp_path / "x.toml"
        path.write_text(SPEC.format(**{"sampler": "balanced", "loss": "triplet_margin"} | names))
        with pytest.raises(InputError) as caught:
            load(path)
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]

    return told


def test_a_loss_that_cannot_say_what_it_is_made_for(problems):
    assert problems(loss="mute_loss") == [
        "x.toml:13: losses[1].plugin: loss 'mute_loss' (outside-loss 1.0) is broken: traits() raises KeyError: 'name'; "
        "outside_loss.py:11; mend it there or remove outside-loss"
    ]


def test_a_sampler_that_cannot_say_what_it_serves_is_told_once(problems):
    assert problems(sampler="mute_sampler") == [
        "x.toml:9: finetune.sampler.plugin: sampler 'mute_sampler' (outside-sampler 1.0) is broken: supply() raises "
        "SystemExit: 0; outside_sampler.py:8; mend it there or remove outside-sampler"
    ]


def test_the_sampler_of_one_loss_is_told_at_that_loss(problems):
    own = 'triplet_margin"\n[losses.finetune.sampler]\nplugin = "mute_sampler'
    (problem,) = problems(loss=own)
    assert problem.startswith("x.toml:15: losses[1].finetune.sampler.plugin: sampler 'mute_sampler'")
