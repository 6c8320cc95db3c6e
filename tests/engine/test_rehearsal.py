"""Before anything trains, each plugin is called once: a mistake is one line that names its file and its line."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import BatchNeeds, BatchSupply, Distance, LossPlugin, SamplerPlugin
from faceexp.engine.backend import tensorflow
from faceexp.engine.rehearsal import (
    Rehearsal,
    Rehearsed,
    ended,
    perform,
    refused,
    rehearsals_of,
    tell_unseeded,
    without,
)
from faceexp.errors import InputError
from faceexp.experiment.keras_optimizers import keras_optimizers
from faceexp.experiment.optimization import Optimizer
from faceexp.experiment.schema import Finetune, PluginRef, Pretrain
from faceexp.layers import proxy_layer
from faceexp.registry.installed import ConfiguredPlugin, InstalledPlugin
from faceexp.store import Store
from faceexp.values import Event, Noted, Refused

MODULE = "losses_of_the_rehearsal"
SOURCE = '''\
"""Losses with one mistake each; `HERE` marks the line that has to be named."""

from typing import ClassVar

import numpy as np

from faceexp.contract import LossPlugin, option
from faceexp.layers import random_layer


def _vector(labels, embeddings, options):  # HERE lambda
    import tensorflow as tf

    return tf.reduce_sum(embeddings**2, axis=1)


class Mistaken(LossPlugin):
    """A loss with a mistake."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    what: str = option("nothing", "Which mistake.")

    def build(self, ctx):
        import tensorflow as tf

        layer = tf.keras.layers.Dense(3)

        def nothing(labels, embeddings):
            return tf.reduce_mean(embeddings**2)

        def shape(labels, embeddings):  # HERE shape
            return tf.reduce_sum(embeddings**2, axis=1)

        def forgets(labels, embeddings):  # HERE forgets
            tf.reduce_mean(embeddings**2)

        def integers(labels, embeddings):  # HERE integers
            return tf.reduce_sum(labels)

        def numpy(labels, embeddings):
            return tf.reduce_mean(np.linalg.norm(embeddings, axis=1))  # HERE numpy

        def value(labels, embeddings):
            return tf.constant(tf.reduce_mean(embeddings).numpy())  # HERE value

        def condition(labels, embeddings):
            mean = tf.reduce_mean(embeddings)
            return mean if mean > 0 else -mean  # HERE condition

        def loop(labels, embeddings):
            return sum(tf.reduce_sum(row) for row in embeddings)  # HERE loop

        def flat(labels, embeddings):  # HERE flat
            return tf.reduce_mean(tf.round(tf.stop_gradient(embeddings)))

        def product(labels, embeddings):
            return tf.reduce_mean(tf.matmul(embeddings[:, :3], embeddings))  # HERE product

        def unseeded(labels, embeddings):
            share, shape = tf.random.uniform(()), tf.shape(embeddings)
            return tf.reduce_mean((embeddings + share * tf.random.normal(shape))**2)

        def seeded(labels, embeddings, seed):
            return tf.reduce_mean((embeddings + tf.random.stateless_normal(tf.shape(embeddings), seed))**2)

        def hides(labels, embeddings):  # HERE hides
            return tf.reduce_mean(layer(embeddings))

        if self.what in ("lambda", "lambda that does more"):
            return (lambda a, b: _vector(a, b, self)) if self.what == "lambda" else (
                lambda a, b: tf.sqrt(_vector(a, b, self)))  # HERE lambda that does more
        if self.what == "seeded":
            return random_layer(ctx, seeded)
        if self.what == "option":
            raise ValueError("what = 'option' is no choice")  # HERE option
        return {each.__name__: each for each in (nothing, shape, forgets, integers, numpy, value, condition, loop, flat,
                                                 product, hides, unseeded)}.get(self.what)
'''
SAID = {
    "shape": "gives values of shape (8,), not a scalar",
    "lambda": "gives values of shape (8,), not a scalar",
    "lambda that does more": "gives values of shape (8,), not a scalar",
    "forgets": "gives None, not a tensor",
    "integers": "gives a number of type int32",
    "numpy": "it gives a tensor to NumPy",
    "value": "asks it for numpy()",
    "condition": "a Python `if`",
    "loop": "a Python `for`",
    "flat": "no gradient of the loss reaches the embeddings",
    "product": "Dimensions must be equal, but are 3 and 8 in MatMul",
    "hides": "that nobody would train",
    "option": "ValueError: what = 'option' is no choice",
}


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    """``mistaken(what)``: a loss with a mistake, as if the registry had found it in a file."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / f"{MODULE}.py").write_text(SOURCE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        cls = importlib.import_module(MODULE).Mistaken
        installed = InstalledPlugin("loss", "mistaken", "faceexp-loss-mistaken", "1.0", MODULE, "Mistaken")
        yield lambda what: ConfiguredPlugin(installed, cls(what=what))
        sys.modules.pop(MODULE)


class Short(SamplerPlugin):
    """Gives fewer images than it promises."""

    def supply(self):
        return BatchSupply(8, 4, 2)

    def build(self, labels, seed):
        while True:
            yield np.arange(7)


@pytest.fixture(scope="module")
def plan(planned, tmp_path_factory, mistaken):
    return planned(tmp_path_factory.mktemp("plan"), {"mistaken": mistaken("nothing").plugin})


@pytest.fixture
def called(plan, mistaken, tmp_path):
    """``called(what)``: what comes of the first call of that loss; ``sampler=`` replaces its sampler."""

    def call(what, label="mistaken", **other):
        (loss,) = plan.resolved.losses
        entry = loss.entry.model_copy(update={"label": label})
        resolved = dataclasses.replace(loss, entry=entry, loss=mistaken(what), **other)
        return perform(
            Rehearsal(resolved), plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt
        )

    return call


@pytest.mark.parametrize("what", SAID)
def test_a_mistake_is_one_line_with_the_plugins_file_and_line(called, what):
    rehearsed = called(what)
    number = next(n for n, line in enumerate(SOURCE.splitlines(), 1) if line.endswith(f"# HERE {what}"))
    assert rehearsed.fault.startswith("loss 'mistaken'")
    assert SAID[what] in rehearsed.fault
    assert rehearsed.fault.endswith(f"; {MODULE}.py:{number}")
    assert rehearsed.fault.isprintable()
    assert "Traceback" in rehearsed.traceback


def test_a_loss_without_mistake_is_called_once_and_then_known(called, tmp_path, monkeypatch):
    assert called("nothing") == Rehearsed(called("nothing").rehearsal)
    assert len(list((tmp_path / "rehearsal").iterdir())) == 1
    monkeypatch.setattr("faceexp.engine.rehearsal.rehearse", lambda *_: pytest.fail("it was called again"))
    assert called("nothing").fault == ""


def test_random_numbers_without_a_seed_are_noticed_and_known_later(called, monkeypatch):
    assert called("unseeded").unseeded == ("RandomStandardNormal", "RandomUniform")
    assert called("seeded").unseeded == called("nothing").unseeded == ()
    monkeypatch.setattr("faceexp.engine.rehearsal.rehearse", lambda *_: pytest.fail("it was called again"))
    assert called("unseeded").unseeded == ("RandomStandardNormal", "RandomUniform")
    assert called("unseeded").fault == called("seeded").fault == ""


def test_random_numbers_without_a_seed_are_told_once_for_each_loss(called):
    heard: list[Event] = []
    tell_unseeded([called("unseeded", "one"), called("seeded"), called("unseeded", "two")], heard.append)
    assert [(event.note.kind, event.note.text) for event in heard if isinstance(event, Noted)] == [
        (
            "unseeded",
            "loss 'mistaken' (rows 'one', 'two') draws random numbers that no seed determines "
            "(RandomStandardNormal, RandomUniform), so its numbers may differ from run to run; draw them with the seed that "
            "`faceexp.layers.random_layer` gives",
        )
    ]


def test_a_mistake_is_looked_for_again(called):
    assert called("shape").fault == called("shape").fault != ""


def test_a_sampler_is_named_where_it_is_at_fault(called, chosen):
    fault = called("nothing", sampler=chosen("short", Short())).fault
    assert fault.startswith("sampler 'short' (row 'mistaken'): ")
    assert "promises batches of 8 images, and gives one of shape (7,)" in fault


def test_the_row_is_named_where_it_has_another_name_than_the_plugin(called):
    assert called("forgets", label="margin=2").fault.startswith("loss 'mistaken' (row 'margin=2') gives None")


def test_a_trunk_that_cannot_be_built_is_named(plan, tmp_path):
    def broken() -> object:
        raise ValueError("no such size")

    rehearsed = perform(Rehearsal(), plan, Store(tmp_path), broken, lambda network: None, KeyboardInterrupt)
    assert rehearsed.fault.startswith("model 'thin_vgg': ValueError: no such size; faceexp_model_thin_vgg.py:")


class TestOptimizers:
    @pytest.fixture
    def tried(self, plan, tmp_path):
        """``tried(name=..., ...)``: what comes of trying an optimiser."""

        def call(**options):
            rehearsal = Rehearsal(optimizer=Optimizer.model_validate(options))
            return perform(rehearsal, plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt)

        return call

    def test_one_that_keras_takes_is_no_fault(self, tried):
        assert tried(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4).fault == ""
        assert tried(name="adamw", gradient_accumulation_steps=2, use_ema=True, ema_overwrite_frequency=5).fault == ""

    def test_what_only_keras_can_refuse_ends_the_run_in_one_line(self, tried):
        rehearsed = tried(name="sgd", momentum=2.0)
        line = "optimizer 'sgd' (momentum = 2.0): `momentum` must be a float between [0, 1]."
        assert rehearsed.fault == line
        with pytest.raises(InputError) as caught:
            refused([rehearsed, tried(name="sgd"), tried(name="sgd", weight_decay="much")], lambda event: None)
        first, second = caught.value.problems
        assert str(first) == line
        assert str(second).startswith("optimizer 'sgd' (weight_decay = 'much'): ")

    def test_one_whose_state_cannot_be_exchanged_is_no_fault_where_nothing_is(self, plan, tmp_path):
        """One keeps numbers of whole columns; the other begins with a copy of the weights."""
        arguments = plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt
        for name in ("adafactor", "schedulefreeadamw"):
            optimizer = Optimizer(name=name)
            assert perform(Rehearsal(optimizer=optimizer), *arguments).fault == ""
            assert perform(Rehearsal(optimizer=optimizer, exchanges=True), *arguments).fault == (
                f"optimizer {name!r}: sampled_classes needs one that keeps, for each weight, numbers which begin alike for "
                "all weights; choose another optimizer for the weights of the loss"
            )
        for name in keras_optimizers().keys() - {"adafactor", "schedulefreeadamw"}:
            exchanged = Rehearsal(optimizer=Optimizer(name=name), exchanges=True)
            assert perform(exchanged, *arguments).fault == ""

    def test_each_that_is_used_is_tried_once(self, plan):
        (loss,) = plan.resolved.losses
        sgd, lion = {"name": "sgd"}, {"name": "lion"}
        own = {"optimizer": sgd, "proxies": {"optimizer": lion}, "sampled_classes": 6}
        finetune = loss.entry.finetune.model_dump() | own
        pretrain = loss.entry.pretrain.model_dump() | {"optimizer": sgd}
        update = {"finetune": Finetune.model_validate(finetune), "pretrain": Pretrain.model_validate(pretrain)}
        trial = dataclasses.replace(
            plan.trials[0], loss=dataclasses.replace(loss, entry=loss.entry.model_copy(update=update))
        )
        tried = [each for each in rehearsals_of(plan, [trial, trial]) if each.optimizer]
        assert [(each.optimizer.name, each.exchanges) for each in tried] == [("sgd", False), ("lion", True)]


class Proxies(LossPlugin):
    """Pulls embeddings to a point for each person; whoever asks gets one without weights, or with a mistake."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)
    weightless: bool = False
    mistaken: bool = False

    def build(self, ctx):
        if self.mistaken:
            raise RuntimeError("no proxies today")

        def pulled(labels, embeddings, proxies):
            tf = tensorflow()
            return tf.reduce_mean(tf.square(embeddings - tf.gather(proxies, labels)))

        if self.weightless:
            return lambda labels, embeddings: pulled(labels, embeddings, np.ones((ctx.num_classes, 1), np.float32))
        return proxy_layer(ctx, pulled)


class TestPhase1:
    @pytest.fixture
    def performed(self, planned, tmp_path_factory, tmp_path):
        """``performed(classifier)``: what comes of everything that is called before a phase 1 with that loss."""

        def call(classifier, **rest):
            plan = planned(tmp_path_factory.mktemp("plan"), {"mine": Proxies()}, classifier=classifier, **rest)
            arguments = plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt
            return [perform(each, *arguments) for each in rehearsals_of(plan, plan.trials)]

        return call

    def test_a_loss_with_weights_is_called_once_for_all_rows(self, performed, tmp_path):
        trunk, shared, row = performed(Proxies(), seeds=(0, 1))
        assert shared.rehearsal.phase1.loss.plugin == "classifier"
        assert (trunk.fault, shared.fault, row.fault) == ("", "", "")
        assert len(list((tmp_path / "rehearsal").iterdir())) == 2

    def test_one_without_weights_ends_the_run(self, performed):
        line = (
            "loss 'classifier' has no weights, so it cannot classify in phase 1; name one that has, such as proxies, for "
            "pretrain.loss"
        )
        with pytest.raises(InputError) as caught:
            refused(performed(Proxies(weightless=True)), lambda event: None)
        assert [str(problem) for problem in caught.value.problems] == [line]

    def test_one_that_raises_ends_the_run(self, performed):
        with pytest.raises(InputError, match="^loss 'classifier': RuntimeError: no proxies today"):
            refused(performed(Proxies(mistaken=True)), lambda event: None)

    def test_that_of_a_single_row_costs_that_row(self, performed):
        """The shared phase 1 has no loss, so it is not called."""
        own = Pretrain(epochs=2, batch_size=12, loss=PluginRef(plugin="classifier"))
        rest = {"pretrain": Pretrain(epochs=2, batch_size=12), "entries": {"mine": {"pretrain": own}}}
        trunk, row = performed(Proxies(mistaken=True), **rest)
        assert trunk.fault == ""
        assert row.fault.startswith("loss 'classifier' (row 'mine'): RuntimeError: no proxies today")
        assert refused([trunk, row], lambda event: None) == {"mine": row.fault}
        assert [each.fault for each in performed(Proxies(), **rest)] == ["", ""]

    def test_settings_of_a_row_for_weights_that_there_are_none_of_end_the_run(self, planned, tmp_path):
        def faults(loss):
            settings = Finetune.model_validate({**SERVED, "steps": 5, "proxies": {"learning_rate": 1.0}})
            plan = planned(tmp_path, {"mine": loss}, entries={"mine": {"finetune": settings}})
            arguments = plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt
            return [perform(each, *arguments) for each in rehearsals_of(plan, plan.trials)]

        assert [each.fault for each in faults(Proxies())] == ["", ""]
        with pytest.raises(InputError, match="^the loss of row 'mine' has no weights, so its finetune.proxies changes"):
            refused(faults(Proxies(weightless=True)), lambda event: None)


class TestSampledClasses:
    @pytest.fixture
    def faults(self, planned, tmp_path_factory, tmp_path):
        """``faults(loss, shared, own, phase 1)``: what comes of the rehearsal of a row, with samples as given."""

        def call(loss, *, shared=None, own=None, phase1=None):
            shares = [
                Finetune.model_validate({**SERVED, "steps": 5, "sampled_classes": each}) for each in (shared, own)
            ]
            pretrain = Pretrain(epochs=2, batch_size=12, loss=PluginRef(plugin="classifier"), sampled_classes=phase1)
            entries = {"mine": {"finetune": shares[1]}}
            rest = {"finetune": shares[0], "entries": entries, "classifier": loss, "pretrain": pretrain}
            plan = planned(tmp_path_factory.mktemp("plan"), {"mine": loss}, **rest)
            arguments = plan, Store(tmp_path), lambda: None, lambda network: None, KeyboardInterrupt
            return [perform(each, *arguments).fault for each in rehearsals_of(plan, plan.trials)]

        return call

    def test_a_loss_with_proxies_is_called_with_those_of_a_few(self, faults):
        assert faults(Proxies(), own=5, phase1=8) == ["", "", ""]

    def test_a_loss_without_is_no_fault_where_the_sample_is_for_all_rows(self, faults):
        assert faults(Numbered(), shared=5, own=5)[2] == ""
        assert faults(Numbered(), shared=5, own=6)[2] == (
            "the loss of row 'mine' has no weights for each identity, so its finetune.sampled_classes changes nothing"
        )
        assert faults(Numbered(), phase1=8)[1] == (
            "loss 'classifier' has no weights for each identity, so pretrain.sampled_classes changes nothing"
        )

    def test_one_that_keeps_more_of_each_identity_ends_the_run_in_one_line(self, faults):
        line = (
            "it keeps more of each identity than its proxies, so sampled_classes cannot exchange it; set it to false for "
            "this loss"
        )
        assert faults(Counting(), shared=5, own=5, phase1=8) == [
            "",
            f"loss 'classifier': {line}",
            f"loss 'mine': {line}",
        ]


class Numbered(Proxies):
    """Pulls all embeddings to the same few points."""

    def build(self, ctx):
        tf = tensorflow()
        return proxy_layer(ctx, lambda _, x, points: tf.reduce_mean(tf.square(x[:, None] - points[None])), proxies=3)


class Counting(Proxies):
    """Pulls embeddings to a point for each person, and counts how often it has seen whom."""

    def build(self, ctx):
        tf = tensorflow()

        def counting(labels, embeddings, proxies, seen):
            value = tf.reduce_mean(tf.square(embeddings - tf.gather(proxies, labels)))
            return value, seen + tf.reduce_sum(tf.one_hot(labels, ctx.num_classes), axis=0)

        return proxy_layer(ctx, counting, moving=[ctx.num_classes])


SERVED = {"sampler": {"plugin": "balanced", "options": {"classes_per_batch": 4, "images_per_class": 2}}}


def test_an_interruption_is_no_mistake(plan, tmp_path):
    def interrupt() -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(Rehearsal(), plan, Store(tmp_path), interrupt, lambda network: None, KeyboardInterrupt)


class TestWhatFollows:
    @pytest.fixture
    def two(self, plan):
        """A plan with two rows, of which nothing is trained here."""
        (loss,) = plan.resolved.losses
        other = dataclasses.replace(loss, entry=loss.entry.model_copy(update={"label": "other"}))
        return dataclasses.replace(plan, resolved=dataclasses.replace(plan.resolved, losses=(loss, other)))

    def rehearsed(self, plan, *reasons):
        return [ended(Rehearsal(loss), plan, why) for loss, why in zip(plan.resolved.losses, reasons, strict=False)]

    def test_a_loss_at_fault_costs_its_own_row_and_is_told(self, two):
        heard: list[Event] = []
        faults = refused(self.rehearsed(two, "it took more than 60 seconds"), heard.append)
        line = "loss 'mistaken': when it was called for the first time, it took more than 60 seconds"
        assert faults == {"mistaken": line}
        assert [(event.label, event.reason) for event in heard if isinstance(event, Refused)] == [("mistaken", line)]
        assert list(without([two.trials], faults)) == []
        assert list(without([two.trials], {"other": line})) == [list(two.trials)]

    def test_where_every_loss_is_at_fault_the_run_goes_on_and_its_results_say_why(self, two):
        heard: list[Event] = []
        faults = refused(self.rehearsed(two, "it crashed", "it crashed, too"), heard.append)
        assert faults.keys() == {loss.entry.label for loss in two.resolved.losses}
        assert len(heard) == 2

    def test_nothing_is_trained_without_a_trunk(self, two):
        with pytest.raises(InputError, match="model 'thin_vgg'"):
            refused([ended(Rehearsal(), two, "it crashed")], lambda event: None)

    def test_each_row_is_called_once_whatever_the_number_of_seeds(self, two):
        rehearsals = rehearsals_of(two, [*two.trials, *two.trials])
        assert [each.label for each in rehearsals] == ["", "mistaken"]
