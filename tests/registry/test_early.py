"""What code of a plugin does before any data are touched: it is not felt, and what it raises is told in one line."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest
from pydantic import BaseModel

import faceexp
from faceexp.contract import GROUPS, RESERVED, RESERVED_OF_KIND, BatchNeeds, LossTraits
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.experiment.executor import ExecutorRef
from faceexp.experiment.schema import ModelRef, PluginRef, PretrainedEntry
from faceexp.registry.describe import describe
from faceexp.registry.installed import BrokenPluginError, discover

LOSS = '''
import os, random, signal, sys
from typing import Any, ClassVar
from faceexp.contract import BatchNeeds, LossPlugin, LossTraits, option
{module}

class Plugin(LossPlugin):
    """Made loss."""
    reference: ClassVar[str] = "a test"
    distance: ClassVar[str] = "euclidean"

    def model_post_init(self, context):
        {validator}

    def traits(self):
        {question}
        return super().traits()

    def build(self, ctx):
        return None
'''
SAMPLER = '''
from faceexp.contract import BatchSupply, SamplerPlugin

class Plugin(SamplerPlugin):
    """Made sampler."""

    def supply(self):
        return {answer}

    def build(self, labels, seed):
        yield labels
'''
ANY = '''
from typing import ClassVar
from faceexp.contract import {kind}Plugin, option

class Plugin({kind}Plugin):
    """Made plugin."""
    reference: ClassVar[str] = "a test"
    distance: ClassVar[str] = "euclidean"
    licence: ClassVar[str] = "none"
    source: ClassVar[str] = "a test"
    points: ClassVar[str] = "none"
    {option}

    def detect(self, photo, hint):
        return []

    def supply(self):
        return None

    def open(self, run):
        return None

    def build(self, *given):
        return None
'''


def early(place: str, act: str) -> str:
    """Return a loss that acts while it is imported, while its options are checked, or while it is asked."""
    return LOSS.format(**{"module": "", "validator": "pass", "question": "pass"} | {place: act})


def refused(act, *arguments, **options):
    with pytest.raises(InputError) as caught:
        act(*arguments, **options)
    (problem,) = caught.value.problems
    return str(problem)


ACTS = {
    "prints": "print('from Python'); os.write(1, b'from C++')",
    "leaves the folder": "os.chdir('/')",
    "sets a variable": "os.environ['FACEEXP_TEST'] = '1'",
    "sows random numbers": "random.seed(1)",
    "takes a signal": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("place", ["module", "validator", "question"])
def test_what_a_plugin_does_early_is_not_felt(install, capfd, act, place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    install("outside-early", "loss", "early", early(place, act))

    def state():
        return Path.cwd(), dict(os.environ), random.getstate(), signal.getsignal(signal.SIGTERM)

    before = state()
    assert discover().configure("loss", "early", {}).traits() == LossTraits("euclidean", BatchNeeds(), xla=True)
    assert state() == before
    assert capfd.readouterr().out == ""


RAISED = {
    "ValueError('no')": "ValueError: no",
    "SystemExit(0)": "SystemExit: 0",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "GeneratorExit": "GeneratorExit",
}


@pytest.mark.parametrize(("error", "reason"), RAISED.items(), ids=RAISED)
def test_whatever_a_plugin_raises_early_is_told_in_one_line(install, error, reason):
    for place in ("module", "validator", "question"):
        install(f"outside-{place}", "loss", place, early(place, f"raise {error}"))
    registry = discover()
    for place in ("module", "validator"):
        if place == "validator" and error.startswith("ValueError"):
            continue  # validators raise it to refuse the options that they are given
        told = f"loss {place!r} \\(outside-{place} 1.0\\) is broken: {re.escape(reason)}; outside_{place}.py:\\d+; "
        told += f"mend it there or remove outside-{place}"
        assert re.fullmatch(told, refused(registry.configure, "loss", place, {}))
        assert re.fullmatch(told, refused(faceexp.plugin, "loss", place))
    with pytest.raises(BrokenPluginError) as caught:
        registry.configure("loss", "question", {}).traits()
    told = f"loss 'question' (outside-question 1.0) is broken: traits() raises {reason}; outside_question.py:"
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("('euclidean', None, True)", "traits() gives a tuple, not LossTraits(...)"),
        ("None", "traits() gives a NoneType, not LossTraits(...)"),
        ("LossTraits('manhattan', BatchNeeds(), True)", "traits() raises ValueError: the distance is 'manhattan'"),
        ("LossTraits('cosine', None, True)", "traits() raises TypeError: needs is None, not BatchNeeds(...)"),
        ("LossTraits('cosine', BatchNeeds(), 1)", "traits() raises TypeError: xla is 1, not True or False"),
        ("LossTraits('cosine', BatchNeeds(0), True)", "traits() raises ValueError: classes of BatchNeeds is 0"),
        ("LossTraits('cosine', BatchNeeds(2, 2.5), True)", "traits() raises ValueError: images_per_class of Batch"),
        ("LossTraits('cosine', BatchNeeds(halves='both'), True)", "traits() raises ValueError: halves of BatchNeeds"),
    ],
)
def test_a_loss_that_cannot_say_what_it_is_made_for_is_broken(install, answer, reason):
    install("outside-answer", "loss", "made", early("question", f"return {answer}"))
    with pytest.raises(BrokenPluginError) as caught:
        discover().configure("loss", "made", {}).traits()
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("(8, 1, 1)", "supply() gives a tuple, not BatchSupply(...)"),
        ("BatchSupply(0)", "supply() raises ValueError: size of BatchSupply is 0, not a whole number from 1 on"),
        ("BatchSupply(8, True)", "supply() raises ValueError: classes of BatchSupply is True"),
        ("1 / 0", "supply() raises ZeroDivisionError: division by zero"),
    ],
)
def test_a_sampler_that_cannot_say_what_it_serves_is_broken(install, answer, reason):
    install("outside-sampler", "sampler", "made", SAMPLER.format(answer=answer))
    with pytest.raises(BrokenPluginError) as caught:
        discover().configure("sampler", "made", {}).supply()
    assert reason in str(caught.value)


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("spelled", ["{key}: int = option(1, 'A.')", "other: int = option(1, 'A.', alias='{key}')"])
def test_the_keys_of_its_table_are_no_names_for_options(install, kind, spelled):
    tables: dict[str, type[BaseModel]] = {
        "model": ModelRef,
        "dataset": PluginRef,
        "sampler": PluginRef,
        "detector": Detect,
        "tracker": PluginRef,
        "executor": ExecutorRef,
    }
    keys = set(tables[kind].model_fields) - {"options"} if kind in tables else set(RESERVED)
    # A model is also named in [[pretrained]] tables.
    keys |= set(PretrainedEntry.model_fields) - {"options", "index"} if kind == "model" else set()
    assert RESERVED_OF_KIND[kind] == keys
    for number, key in enumerate(sorted(keys)):
        source = ANY.format(kind=kind.capitalize(), option=spelled.format(key=key))
        install(f"outside-taken{number}", kind, f"taken{number}", source)
        with pytest.raises(BrokenPluginError, match=f"its option '{key}' has a name that experiment files use"):
            discover().find(kind, f"taken{number}").load()


def test_a_distance_that_there_is_not_makes_a_loss_broken(install):
    install("outside-far", "loss", "far", early("module", "").replace('"euclidean"', '"manhattan"'))
    with pytest.raises(BrokenPluginError, match="ValueError: the distance is 'manhattan', which is none of euclidean"):
        discover().find("loss", "far").load()


def test_options_that_cannot_be_described_make_a_plugin_broken(install):
    """The factory of a default is code of the plugin, which runs where its options are listed."""
    option = "weight: float = option(1, 'A.')\n    model_config = {'json_schema_extra': lambda schema: 1 / 0}"
    install("outside-odd", "dataset", "odd", ANY.format(kind="Dataset", option=option))
    assert refused(describe, "dataset", "odd").startswith(
        "dataset 'odd' (outside-odd 1.0) is broken: ZeroDivisionError"
    )
