"""A trial gives the same numbers whoever trains before it, in the same process and from the same store."""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest

from faceexp.contract import BatchSupply, Distance, LossPlugin, ModelPlugin, SamplerPlugin, option
from faceexp.engine.backend import tensorflow
from faceexp.engine.training import train
from faceexp.engine.trials import Engine
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.layers import random_layer
from faceexp.store import Store
from faceexp.values import TrainedTrial


def pulled(labels: Any, embeddings: Any) -> Any:
    """Return a loss that pulls similar pairs together, for plugins of these tests."""
    tf = tensorflow()
    similar = tf.cast(labels[:, None] == labels[None, :], tf.float32)
    squared = tf.reduce_sum(tf.square(embeddings[:, None] - embeddings[None, :]), axis=2)
    return tf.reduce_mean(similar * squared + (1 - similar) * tf.nn.relu(9.0 - squared))


class Disturbs(LossPlugin):
    """Changes something that belongs to the whole process."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False
    what: str = option(..., "What it changes.")

    def build(self, ctx):
        tf = tensorflow()
        changes = {
            "nothing": lambda: None,
            "policy": lambda: tf.keras.config.set_dtype_policy("mixed_float16"),
            "floatx": lambda: tf.keras.config.set_floatx("float64"),
            "format": lambda: tf.keras.config.set_image_data_format("channels_first"),
            "eager": lambda: tf.config.run_functions_eagerly(True),
            "seeds": lambda: (random.seed(1), np.random.seed(1), tf.random.set_seed(1)),  # noqa: NPY002
            "filters": lambda: warnings.simplefilter("error"),
            "folder": lambda: os.chdir("/"),
            "alarm": lambda: (signal.signal(signal.SIGALRM, signal.SIG_IGN), signal.alarm(100)),
            "output": lambda: setattr(sys, "stdout", None),
            "exit": lambda: sys.exit("no licence"),
        }
        changes[self.what]()
        return pulled


class KeepsVariable(LossPlugin):
    """Counts its steps in a variable that is no weight, and grows with them."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        steps = tf.Variable(0.0, trainable=False)
        return lambda labels, embeddings: pulled(labels, embeddings) * steps.assign_add(1.0)


class KeepsModule(LossPlugin):
    """Has proxies in a ``tf.Module``, which is no Keras layer."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"

    def build(self, ctx):
        tensorflow()
        import tensorflow as tf

        class Proxies(tf.Module):
            def __init__(self):
                super().__init__()
                drawn = np.random.default_rng(ctx.seed).normal(size=(ctx.num_classes, ctx.embedding_dim))
                self.proxies = tf.Variable(drawn.astype(np.float32))

            def __call__(self, labels, embeddings):
                logits = tf.matmul(embeddings, self.proxies, transpose_b=True)
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        return Proxies()


class DrawsNoise(LossPlugin):
    """Draws random numbers, of a generator or without a seed."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False
    seeded: bool = option(True, "Whether by a generator with a seed.")

    def build(self, ctx):
        tf = tensorflow()
        generator = tf.random.Generator.from_seed(ctx.seed)
        draw = generator.normal if self.seeded else tf.random.normal
        return lambda labels, embeddings: pulled(labels, embeddings + draw(tf.shape(embeddings)))


class DrawsFromItsSeed(LossPlugin):
    """Draws random numbers as the contract says, and compiles under XLA."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"

    def build(self, ctx):
        tf = tensorflow()

        def loss(labels, embeddings, seed):
            return pulled(labels, embeddings + tf.random.stateless_normal(tf.shape(embeddings), seed))

        return random_layer(ctx, loss)


SHARED: list[Any] = []


class KeepsForEver(LossPlugin):
    """Keeps a variable in its module."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        SHARED.extend([] if SHARED else [tensorflow().Variable(0.0, trainable=False)])
        return lambda labels, embeddings: pulled(labels, embeddings) * SHARED[0].assign_add(1.0)


class HidesWeights(LossPlugin):
    """Has a layer inside a function, where nobody sees its weights."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        head = tf.keras.layers.Dense(ctx.num_classes)
        head.build((None, ctx.embedding_dim))
        return lambda labels, embeddings: tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, head(embeddings))
        )


def trained(plan, store) -> dict[str, TrainedTrial]:
    return {done.trial.id: done for done in train(plan, Store(store), ValidationAuc(), lambda event: None)}


def numbers(done: TrainedTrial) -> list[Any]:
    """Return everything that a training has computed."""
    assert done.status == "ok", done.reason
    losses = [(point.step, point.loss, point.validation) for point in done.curve]
    return [losses, *(values.tolist() for values in done.embeddings.values())]


def test_no_plugin_changes_the_numbers_of_its_neighbours(planned, tmp_path) -> None:
    """Neither those that are computed after it, nor those that the store gives to others."""
    kinds = ("policy", "floatx", "format", "eager", "seeds", "filters", "folder", "alarm", "output", "exit")
    quiet = Disturbs(what="nothing")
    alone = trained(planned(tmp_path / "data", {"last": quiet}, baselines=("phase1",)), tmp_path / "alone")
    losses = {what: Disturbs(what=what) for what in kinds}
    plan = planned(tmp_path / "data", {**losses, "last": quiet}, baselines=("phase1",))
    together = trained(plan, tmp_path / "together")
    reasons = {done.trial.label: done.reason for done in together.values() if done.status != "ok"}
    assert reasons == {"exit": "SystemExit: no licence"}
    for name, done in alone.items():
        assert numbers(together[name]) == numbers(done)
    # Each is trained under the settings of the engine, so what it changed has no effect on itself either.
    expected = numbers(alone["last-s0-f0"])
    assert all(numbers(together[f"{what}-s0-f0"]) == expected for what in kinds if what != "exit")


@pytest.mark.parametrize(
    "loss",
    [KeepsVariable(), KeepsModule(), DrawsNoise(), DrawsNoise(seeded=False), DrawsFromItsSeed()],
    ids=["variable", "module", "generator", "no seed", "seed of the contract"],
)
def test_a_seed_does_not_depend_on_the_seeds_before_it(planned, tmp_path, loss) -> None:
    several = trained(planned(tmp_path / "data", {"mine": loss}, seeds=(0, 1), baselines=()), tmp_path / "several")
    alone = trained(planned(tmp_path / "data", {"mine": loss}, seeds=(1,), baselines=()), tmp_path / "alone")
    assert numbers(several["mine-s1-f0"]) == numbers(alone["mine-s1-f0"])
    assert numbers(several["mine-s0-f0"]) != numbers(several["mine-s1-f0"])
    # What the results warn of: under XLA, numbers without a seed do depend on what was drawn before.
    drawn = ("RandomStandardNormal",) if loss == DrawsNoise(seeded=False) else ()
    assert several["mine-s1-f0"].unseeded == drawn


@pytest.mark.parametrize(
    "classifier",
    [KeepsVariable(), KeepsModule(), DrawsNoise(seeded=False), DrawsFromItsSeed()],
    ids=["variable", "module", "no seed", "seed of the contract"],
)
def test_a_phase_1_with_a_loss_does_not_depend_on_the_seeds_before_it(planned, tmp_path, classifier) -> None:
    losses, rest = {"mine": Disturbs(what="nothing")}, {"classifier": classifier, "baselines": ("phase1",)}
    several = trained(planned(tmp_path / "data", losses, seeds=(0, 1), **rest), tmp_path / "several")
    alone = trained(planned(tmp_path / "data", losses, seeds=(1,), **rest), tmp_path / "alone")
    assert alone.keys() < several.keys()
    for name, done in alone.items():
        assert numbers(several[name]) == numbers(done)
    drawn = ("RandomStandardNormal",) if classifier == DrawsNoise(seeded=False) else ()
    assert alone["mine-s1-f0"].unseeded == drawn
    # All start from it, so without it there are other numbers.
    by_softmax = trained(planned(tmp_path / "data", losses, seeds=(1,), baselines=("phase1",)), tmp_path / "alone")
    assert all(numbers(by_softmax[name]) != numbers(done) for name, done in alone.items())


@pytest.mark.parametrize(
    ("classifier", "reason"),
    [
        (KeepsForEver(), "keeps a variable from one training to the next; make it anew in `build`"),
        (HidesWeights(), "that nobody would train: return a keras.layers.Layer that holds it"),
    ],
)
def test_a_loss_of_phase_1_at_fault_costs_what_starts_from_it(planned, tmp_path, classifier, reason) -> None:
    plan = planned(tmp_path / "data", {"mine": KeepsModule()}, classifier=classifier, seeds=(0, 1), baselines=())
    done = trained(plan, tmp_path / "store")["mine-s1-f0"]
    assert done.status == "failed"
    assert reason in str(done.reason)


def test_what_outlives_a_training_is_refused(planned, tmp_path) -> None:
    plan = planned(tmp_path / "data", {"mine": KeepsForEver()}, seeds=(0, 1), baselines=())
    second = trained(plan, tmp_path / "store")["mine-s1-f0"]
    assert second.status == "failed"
    assert "keeps a variable from one training to the next; make it anew in `build`" in str(second.reason)


def test_weights_that_nobody_would_train_are_refused(planned, tmp_path) -> None:
    (done,) = trained(planned(tmp_path / "data", {"mine": HidesWeights()}, baselines=()), tmp_path / "store").values()
    assert done.status == "failed"
    assert "that nobody would train: return a keras.layers.Layer that holds it" in str(done.reason)


class ChangesLabels(SamplerPlugin):
    """Writes into the labels that it was given, and promises what it does not serve."""

    short: bool = option(False, "Whether its batches are shorter than promised.")

    def supply(self):
        return BatchSupply(8, classes=1)

    def build(self, labels, seed):
        labels[:] = 0
        while True:
            yield np.arange(8 - self.short)


def test_a_sampler_cannot_change_the_labels(planned, tmp_path) -> None:
    losses = {"mine": Disturbs(what="nothing")}
    changed = trained(planned(tmp_path / "data", losses, sampler=ChangesLabels(), baselines=()), tmp_path / "store")
    assert len({point[1] for point in numbers(changed["mine-s0-f0"])[0]}) > 1, "pairs of several people were pushed"
    plan = planned(tmp_path / "data", losses, sampler=ChangesLabels(short=True), baselines=())
    (refused,) = trained(plan, tmp_path / "store").values()
    assert refused.status == "failed"
    assert "promises batches of 8 images, and gives one of shape (7,)" in str(refused.reason)


class Interrupts(LossPlugin):
    """Raises what Ctrl-C raises."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"

    def build(self, ctx):
        raise KeyboardInterrupt


def test_only_what_really_interrupts_ends_a_run(planned, tmp_path) -> None:
    """In a worker, Ctrl-C raises something else than what a plugin may raise."""
    plan = planned(tmp_path / "data", {"mine": Interrupts()}, baselines=())

    class Asked(KeyboardInterrupt):
        pass

    def engine(interruption):
        return Engine(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None, interruption)

    assert engine(Asked).run(plan.trials[0]).reason == "KeyboardInterrupt was raised without a message"
    with pytest.raises(KeyboardInterrupt):
        engine(KeyboardInterrupt).run(plan.trials[0])


class UnspeakableError(Exception):
    """Has a message that cannot be read."""

    def __str__(self):
        raise RuntimeError


class RaisesIt(Interrupts):
    """Raises an error that cannot be described."""

    def build(self, ctx):
        raise UnspeakableError


def test_an_error_whose_message_cannot_be_read_costs_its_own_trial_alone(planned, tmp_path) -> None:
    losses = {"mine": RaisesIt(), "other": Disturbs(what="nothing")}
    done = trained(planned(tmp_path / "data", losses, baselines=()), tmp_path / "store")
    assert done["mine-s0-f0"].reason == "UnspeakableError: its message cannot be read"
    assert done["other-s0-f0"].status == "ok"


class Named(ModelPlugin):
    """A trunk with the name of a layer that the engine adds."""

    reference: ClassVar[str] = "here"
    called: str = option("embedding", "Its name.")

    def build(self, input_shape):
        keras = tensorflow().keras
        layers = [keras.Input(input_shape), keras.layers.Conv2D(2, 3, strides=4), keras.layers.Flatten()]
        return keras.Sequential(layers, name=self.called)


class SetsPolicy(ModelPlugin):
    """A trunk that changes what Keras makes of later layers."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        keras = tensorflow().keras
        trunk = Named(called="trunk").build(input_shape)
        keras.config.set_dtype_policy("mixed_float16")
        return trunk


def test_the_embedding_layer_does_not_follow_what_a_trunk_has_set() -> None:
    from faceexp.engine.network import Network

    assert Network(SetsPolicy(), (16, 16, 1), 8).embedding.dtype_policy.name == "float32"


@pytest.mark.parametrize("called", ["embedding", "normalization", "pixels", "faceexp"])
def test_a_trunk_may_have_any_name(called: str, tmp_path) -> None:
    from faceexp.engine.network import Network, Normalization

    network = Network(Named(called=called), (16, 16, 1), 8)
    network.check()
    normalization = Normalization(np.array([100.0], np.float32), np.array([50.0], np.float32))
    network.save(tmp_path / "model.keras", network.get_weights(), normalization)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1)).astype(np.uint8)
    model = tensorflow().keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    expected = network.embed(images, np.arange(3), normalization)
    np.testing.assert_allclose(model(images.astype(np.float32)).numpy(), expected, rtol=1e-5, atol=1e-5)
