"""The two files of a run that has searched: one asks for the same search, the other needs none."""

from __future__ import annotations

import tomllib

import pytest

from faceexp import pipeline
from faceexp.experiment import toml
from faceexp.experiment.schema import LossEntry
from faceexp.planning.spelled_out import asked, settled_experiment

SPEC = """
name = "searched"
[dataset]
plugin = "orl"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = { choices = [32, 64] }
[finetune]
steps = 40
learning_rate = { low = 1e-5, high = 1e-2, log = true }
[finetune.sampler]
plugin = "balanced"
images_per_class = 2
[search]
trials = 4
[[losses]]
plugin = "contrastive"
margin = { low = 0.1, high = 10.0, log = true }
normalize = true
[[losses]]
plugin = "npairs"
label = "mine"
[losses.finetune]
learning_rate = 0.01
[losses.pretrain]
dropout = { low = 0.1, high = 0.5 }
[[losses]]
plugin = "supcon"
[losses.finetune.sampler]
plugin = "balanced"
images_per_class = 4
"""


SUGGESTING = """
from typing import ClassVar
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    '''A loss that suggests a range.'''

    reference: ClassVar[str] = "a test"
    distance: ClassVar = "cosine"
    margin: float = option(0.5, "A margin.", search={"low": 0.1, "high": 1.0})

    def build(self, ctx):
        return None
"""


def spaces_of(text):
    candidates = pipeline.loads(text, "x.toml").candidates
    return [
        {each.name: (str(each.space), each.default) for each in part.dimensions}
        for part in (candidates.phase1(), *candidates.spaces())
    ]


def test_what_was_asked_asks_for_the_same_search():
    text = asked(pipeline.loads(SPEC, "x.toml").candidates)
    assert spaces_of(text) == spaces_of(SPEC)
    assert [set(each) for each in spaces_of(text)] == [
        {"model.embedding_dim"},
        {"finetune.learning_rate", "margin"},
        {"pretrain.dropout", "reg_lambda"},
        {"finetune.learning_rate", "temperature"},
    ]


def test_what_plugins_suggest_is_written_down(install):
    install("suggesting", "loss", "suggesting", SUGGESTING)
    spec = SPEC[: SPEC.index("[[losses]]")].replace("{ low = 1e-5, high = 1e-2, log = true }", "0.001")
    spec += '[[losses]]\nplugin = "suggesting"\n'
    data = tomllib.loads(asked(pipeline.loads(spec, "x.toml").candidates))
    assert data["losses"][0]["margin"] == {"low": 0.1, "high": 1.0}
    assert data["search"]["suggested"] is False


def test_what_was_chosen_needs_no_search_and_has_no_rows_of_defaults():
    study = pipeline.loads(SPEC, "x.toml")
    losses: list[LossEntry] = []
    for loss in study.experiment.losses:
        chosen = loss.finetune.model_copy(update={"learning_rate": 0.002 + len(losses) / 1000})
        losses.append(loss.model_copy(update={"setting_of": loss.label, "finetune": chosen}))
        losses.append(loss.model_copy(update={"setting_of": loss.label, "label": f"{loss.label} (defaults)"}))
    compared = study.experiment.model_copy(update={"losses": tuple(losses)})
    again = pipeline.loads(toml.dump(settled_experiment(compared)), "tuned.toml")
    assert again.candidates is None
    assert again.experiment.name == "searched-tuned"
    labels = [loss.label for loss in again.experiment.losses]
    assert labels == [loss.label for loss in study.experiment.losses]
    rates = [loss.finetune.learning_rate for loss in again.experiment.losses]
    assert rates == pytest.approx([0.002, 0.004, 0.006])
