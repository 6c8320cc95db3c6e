"""The conformance suites find what they are for: a defect is planted for each check; and healthy plugins pass."""

# ruff: noqa: NPY002, S311 - some defects are just that

import functools
import inspect
import itertools
import os
import pkgutil
import random
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from PIL import Image
from pydantic import ConfigDict, field_validator, model_validator

import faceexp
from faceexp import testing
from faceexp.contract import (
    BatchNeeds,
    BatchSupply,
    DatasetPlugin,
    DetectorPlugin,
    Distance,
    Executor,
    ExecutorPlugin,
    Face,
    FaceData,
    FacesTold,
    FixedModelPlugin,
    LossPlugin,
    LossTraits,
    ModelPlugin,
    Points,
    SamplerPlugin,
    StoredImage,
    Tracker,
    TrackerPlugin,
    option,
    pair_traits,
)
from faceexp.errors import InputError
from faceexp.tensors import as_float32, pair_distances, unit_rows
from faceexp.testing import (
    DatasetContract,
    DetectorContract,
    ExecutorContract,
    FixedModelContract,
    LossContract,
    ModelContract,
    PluginContract,
    SamplerContract,
    TrackerContract,
)
from faceexp.testing.detector import made_photos
from faceexp.testing.plugin import keras_settings, settings_kept

pytest_plugins = ["pytester"]

SUITES: dict[str, type[PluginContract]] = {
    "loss": LossContract,
    "model": ModelContract,
    "fixed_model": FixedModelContract,
    "dataset": DatasetContract,
    "sampler": SamplerContract,
    "detector": DetectorContract,
    "tracker": TrackerContract,
    "executor": ExecutorContract,
}


def checks(suite):
    return {name for name, _ in inspect.getmembers(suite, inspect.isfunction) if name.startswith("test_")}


def run(suite, plugin, tmp_path, names=None):
    """Run every check of a suite, or those named; return which failed, and which were skipped."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(40, dtype=np.int32), 10))
    failed, skipped = set(), set()
    for name in sorted(names or checks(suite)):
        check = getattr(suite(), name)
        given = {"plugin": plugin, "labels": labels.copy(), "tmp_path": tmp_path, "searches": made_photos()}
        try:
            with settings_kept(plugin):
                check(**{argument: given[argument] for argument in inspect.signature(check).parameters})
        except pytest.skip.Exception:
            skipped.add(name)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever a plugin does
            failed.add(name)
    return failed, skipped


# Healthy plugins


class Pull(LossPlugin):
    """A contrastive loss, short."""

    reference: ClassVar[str] = "this test"
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2)

    margin: float = option(5.0, "Distance that is enough.", unit="distance", gt=0)

    def build(self, ctx):
        import tensorflow as tf

        def loss(labels, x):
            distances, similar, different = pair_distances(labels, x, "all")
            return tf.reduce_mean(similar * distances + different * tf.nn.relu(self.margin - distances))

        return loss


class Halves(LossPlugin):
    """A loss of rows i and i + B/2 that promises not to compile under XLA."""

    reference: ClassVar[str] = "this test"
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=2, halves="mixed")
    xla: ClassVar[bool] = False

    def build(self, ctx):
        import tensorflow as tf

        def loss(labels, x):
            distances, similar, different = pair_distances(labels, x, "halves")
            return tf.reduce_mean(similar * distances**2 - different * tf.minimum(distances, 1.0))

        return loss


class WithoutXla(Pull):
    """The same, which promises not to compile under XLA: most defects show without, and compiling takes long."""

    xla: ClassVar[bool] = False


class Scaled(Pull):
    """The same with an option of every kind that the checks of options tell apart."""

    normalize: bool = option(default=False, description="Divide embeddings by their L2 norm first.")
    power: float = option(1.0, "Of the value.", ge=0, le=3, search={"low": 0.5, "high": 2.0, "log": True})
    steps: int = option(3, "As many times the value.", ge=1, lt=10, search={"low": 1, "high": 9, "step": 2})
    sign: Literal["plus", "minus"] = option("plus", "Of the value.", search=["plus", "minus"])
    order: Literal[1, 2] = option(1, "Divides the value.")
    name: str = option("x", "Nothing depends on it.", min_length=1)
    weights: tuple[float, ...] = option((1.0,), "Factors of the value.", min_length=1, search=[[1.0], [1.0, 2.0]])
    offset: float | None = option(None, "Added to the value.", ge=0)

    def traits(self):
        return pair_traits(self, normalize=self.normalize)

    def build(self, ctx):
        import tensorflow as tf

        pull, sign = super().build(ctx), 1.0 if self.sign == "plus" else -1.0
        factor = sign * self.steps * sum(self.weights) / self.order

        def loss(labels, x):
            x = unit_rows(x) if self.normalize else x
            return factor * tf.pow(1.0 + pull(labels, x), self.power) + (self.offset or 0.0)

        return loss


class Proxies(LossPlugin):
    """Softmax over inner products with one weight vector a class."""

    reference: ClassVar[str] = "this test"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)
    trained: ClassVar[bool] = True

    seeded: bool = option(default=True, description="Draw the weights with the seed.")
    scale: bool = option(default=False, description="Train a scale, too.")

    def build(self, ctx):
        import keras
        import tensorflow as tf

        plugin = self

        class Layer(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                initial = keras.initializers.RandomNormal(seed=ctx.seed if plugin.seeded else None)
                self.proxies = self.add_weight(shape=(ctx.num_classes, ctx.embedding_dim), initializer=initial)
                self.scale = self.add_weight(shape=(), initializer="ones") if plugin.scale else 1.0
                self.built = True

            def call(self, labels, x):
                proxies = tf.convert_to_tensor(self.proxies)
                proxies = proxies if plugin.trained else tf.stop_gradient(proxies)
                logits = self.scale * tf.matmul(x, proxies, transpose_b=True)
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        return Layer()


class Untrained(Proxies):
    """No gradient reaches its weights."""

    trained: ClassVar[bool] = False


class Flat(ModelPlugin):
    """One convolution, averaged."""

    reference: ClassVar[str] = "this test"

    def build(self, input_shape):
        import keras

        return keras.Sequential([keras.Input(input_shape), *self.layers(input_shape)])

    def layers(self, input_shape):
        import keras

        return [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]


class Averages(FixedModelPlugin):
    """The mean of each row of an image, as a network that exists gives features."""

    reference: ClassVar[str] = "this test"

    @property
    def trained(self):
        return "averages.bin"

    def open(self, input_shape):
        if input_shape[2] not in (1, 3):
            raise InputError("takes grey or RGB images")
        return self.features

    def features(self, images):
        return images.astype(np.float32).mean(axis=(2, 3))


class Noise(DatasetPlugin):
    """Three people of noise."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "a generator of random numbers"

    def build(self, seed):
        images = np.random.default_rng(seed).integers(0, 256, (6, 8, 8), np.uint8)
        labels = np.repeat(np.arange(3, dtype=np.int32), 2)
        given = {"images": images, "labels": labels, "identities": ("a", "b", "c"), "fingerprint": "0123"}
        return FaceData(**{"licence": self.licence, "source": self.source} | given | self.change(given))

    def change(self, given):
        return {}


class Shuffle(SamplerPlugin):
    """Sixteen images by chance."""

    def supply(self):
        return BatchSupply(size=16)

    def build(self, labels, seed):
        return self.batches(len(labels), seed)

    def batches(self, count, seed):
        rng = np.random.default_rng(seed)
        while True:
            yield rng.choice(count, 16, replace=False)


class Brightest(DetectorPlugin):
    """The brightest pixel is the middle of a face, whose points lie around it."""

    reference: ClassVar[str] = "this test"
    points: ClassVar[Points] = "five"

    def detect(self, photo, hint):
        row, column = np.unravel_index(photo.sum(axis=2).argmax(), photo.shape[:2])
        return [self.face(float(column), float(row))]

    def face(self, x, y):
        return Face(x - 5, y - 5, 10, 10, landmarks=np.array([x, y]) + np.arange(10).reshape(5, 2))


class Lines(TrackerPlugin):
    """A file with a line for each trial."""

    def open(self, run):
        return self.written(run.folder / "lines.txt")

    def written(self, path):
        return Line(path)


class Line(Tracker):
    """What writes it."""

    def __init__(self, path):
        self.path = path
        self.path.write_text("")

    def trial_ended(self, trial):
        self.write(trial.id)

    def run_ended(self, end):
        self.write(end.finding)

    def write(self, line):
        with self.path.open("a") as file:
            file.write(f"{line}\n")


class Threads(ExecutorPlugin):
    """Two threads."""

    def open(self, jobs):
        return self.threads(jobs.call)

    def threads(self, call):
        return TwoThreads(call)


class TwoThreads(Executor):
    """What they are of one run."""

    def __init__(self, call):
        self.call, self.pool = call, ThreadPoolExecutor(2)

    def submit(self, jobs):
        return [self.pool.submit(self.call, job) for job in jobs]

    def close(self):
        self.pool.shutdown(wait=False, cancel_futures=True)


HEALTHY = {
    "loss": Pull,
    "model": Flat,
    "fixed_model": Averages,
    "dataset": Noise,
    "sampler": Shuffle,
    "detector": Brightest,
    "tracker": Lines,
    "executor": Threads,
}


@pytest.mark.parametrize("kind", HEALTHY)
def test_a_healthy_plugin_passes(kind, tmp_path):
    assert run(SUITES[kind], HEALTHY[kind](), tmp_path) == (set(), set())


@pytest.mark.parametrize(
    ("plugin", "skipped"),
    [
        (Halves(), {"test_same_under_xla"}),
        (Scaled(), set()),
        (Proxies(), set()),
        (Proxies(scale=True), {"test_names_of_identities_do_not_matter"}),
    ],
    ids=["halves, no XLA", "options", "weights", "two weights"],
)
def test_other_healthy_losses_pass(plugin, skipped, tmp_path):
    assert run(LossContract, plugin, tmp_path) == (set(), skipped)


def rows(tf, x):
    """The number of rows as a float, also where it is unknown when the loss is compiled."""
    return tf.cast(tf.shape(x)[0], tf.float32)


# Planted defects: for each suite and check, a plugin and which checks fail, if there are others.

PLANTED: dict[tuple[str, str], list[tuple[Any, set[str]]]] = {}


def planted(kind, check, *others):
    """Register a class, or a function without arguments, that gives a plugin with a defect."""

    def register(make):
        PLANTED.setdefault((kind, check), []).append((make, {check, *others}))
        return make

    return register


def spoiled(check, *others, base: Any = WithoutXla):
    """Register a loss whose value is spoiled by a function ``(tf, ctx, labels, x, value) -> value``."""

    def register(spoil):
        class Spoiled(base):
            """A loss with one defect."""

            def build(self, ctx):
                import tensorflow as tf

                loss = super().build(ctx)
                return lambda labels, x: spoil(tf, ctx, labels, as_float32(x), loss(labels, x))

        planted("loss", check, *others)(Spoiled)
        return spoil

    return register


def plant_everywhere(kind):
    base: Any = HEALTHY[kind]

    @planted(kind, "test_options_survive_a_toml_file")
    def lossy():
        class Lossy(base):
            """TOML has no null, and what is left out is 1."""

            number: int | None = option(1, "A number, or none.")

        return Lossy(number=None)

    @planted(kind, "test_option_names_are_free")
    class Taken(base):
        """Experiment files name a plugin so."""

        plugin: str = option("x", "A name.")

    @planted(kind, "test_options_are_documented")
    class Undescribed(base):
        """An option without description."""

        number: int = option(1, "")

    @planted(kind, "test_options_are_documented")
    class WithoutUnit(base):
        """An option without unit."""

        number: int = 1

    @planted(kind, "test_options_out_of_bounds_are_refused")
    class Tolerant(base):
        """Options that there are not are ignored."""

        model_config = ConfigDict(extra="ignore")

    @planted(kind, "test_options_out_of_bounds_are_refused")
    class Infinite(base):
        """A number may be infinite, or none at all."""

        model_config = ConfigDict(allow_inf_nan=True)

        number: float = option(1.0, "A number.")

    @planted(kind, "test_options_out_of_bounds_are_refused")
    def forgiving():
        class Forgiving(base):
            """What has to be given is made up where it is left out."""

            number: int = option(..., "A number that has to be given.")

            @model_validator(mode="before")
            @classmethod
            def _make_up(cls, options):
                return {"number": 1, **options}

        return Forgiving(number=1)

    @planted(kind, "test_options_out_of_bounds_are_refused")
    class Clipped(base):
        """What is out of bounds is moved to the nearest bound, without a word."""

        number: float = option(1.0, "A number.", ge=0, le=1)

        @field_validator("number", mode="before")
        @classmethod
        def _clip(cls, value):
            return min(max(value, 0.0), 1.0) if isinstance(value, float) and abs(value) < 2 else value

    @planted(kind, "test_options_out_of_bounds_are_refused")
    class Guessing(base):
        """Any word is taken for the first."""

        word: Literal["one", "two"] = option("one", "A choice.")

        @field_validator("word", mode="before")
        @classmethod
        def _guess(cls, value):
            return value if value == "two" else "one"

    @planted(kind, "test_suggested_ranges_can_be_searched")
    class Backwards(base):
        """The range that it suggests ends before it begins."""

        number: float = option(1.0, "A number.", search={"low": 2.0, "high": 0.5})

    @planted(kind, "test_suggested_ranges_can_be_searched")
    class Elsewhere(base):
        """The usual number is not searched."""

        number: float = option(1.0, "A number.", search={"low": 2.0, "high": 4.0})

    @planted(kind, "test_suggested_ranges_can_be_searched")
    class Beyond(base):
        """It refuses the end of its own range."""

        number: float = option(1.0, "A number.", le=2, search={"low": 0.5, "high": 4.0})

    @planted(kind, "test_suggested_ranges_can_be_searched")
    class Fractions(base):
        """It suggests fractions for a whole number."""

        number: int = option(1, "A number.", search={"low": 1.0, "high": 4.0})

    @planted(kind, "test_suggested_ranges_can_be_searched")
    class Misspelt(base):
        """One of its choices is a word that it does not know."""

        word: Literal["one", "two"] = option("one", "A choice.", search=["one", "too"])

    @planted(kind, "test_suggested_ranges_can_be_searched")
    class Excluding(base):
        """Its validator refuses what the option allows."""

        number: float = option(1.0, "A number.", search={"low": 0.5, "high": 4.0})

        @model_validator(mode="after")
        def _is_small(self):
            if self.number > 2:
                raise ValueError("too large")
            return self

    @planted(kind, "test_says_what_it_is")
    class Silent(base):
        pass

    @planted(kind, "test_attributes_are_those_of_the_contract")
    class Mistyped(base):
        """It wants to be suggested."""

        suggestd: ClassVar[bool] = True

    @planted(kind, "test_importing_it_leaves_tensorflow_alone")
    class Heavy(base):
        """Its module is the one that the test below writes."""

        __module__ = f"planted_heavy_{kind}"


for _kind in HEALTHY:
    plant_everywhere(_kind)


@planted("loss", "test_option_names_are_free")
class Labelled(Pull):
    """Rows of the table are labelled so."""

    label: str = option("x", "A name.")


@planted("loss", "test_says_what_it_is")
class Unreferenced(Pull):
    """No paper."""

    reference: ClassVar[str] = ""


@planted("loss", "test_says_what_it_is_made_for")
class SimilarHalvesOfSingleImages(WithoutXla):
    """No image is similar to itself."""

    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2, images_per_class=1, halves="similar")


@planted("loss", "test_says_what_it_is_made_for")
class OtherThanItsClass(WithoutXla):
    """It is made for the cosine, but people read of Euclidean distances."""

    def traits(self):
        return LossTraits("cosine", self.needs, self.xla)


class Manhattan(WithoutXla):
    """Nobody measures this distance."""

    distance: ClassVar[Any] = "manhattan"


class Demanding(WithoutXla):
    """It says with another type whether XLA compiles it."""

    def traits(self):
        return LossTraits("cosine", self.needs, xla=1)


class NoIdentity(WithoutXla):
    """It asks for a batch without images."""

    def traits(self):
        return LossTraits("cosine", BatchNeeds(classes=0), xla=False)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Manhattan(), "the distance is 'manhattan', which is none of euclidean, cosine"),
        (Demanding(), "xla is 1, not True or False"),
        (NoIdentity(), "classes of BatchNeeds is 0, not a whole number from 1 on"),
    ],
)
def test_traits_that_are_none_are_found(plugin, message):
    with pytest.raises(pytest.fail.Exception, match=message):
        LossContract().test_says_what_it_is_made_for(plugin)


@spoiled("test_gives_a_float32_scalar")
def shape_is_1(tf, ctx, labels, x, value):
    return value[None]


@spoiled("test_gives_a_float32_scalar", "test_takes_every_precision")
def double_precision(tf, ctx, labels, x, value):
    return tf.cast(value, tf.float64)


@spoiled("test_finite_on_ordinary_batches")
def infinite_unless_identities_have_as_many_images(tf, ctx, labels, x, value):
    images = tf.reduce_sum(tf.cast(labels[:, None] == labels, tf.float32), axis=1)
    return value / tf.cast(tf.reduce_min(images) == tf.reduce_max(images), tf.float32)


@spoiled("test_finite_on_duplicates")
def root_without_gradient_at_zero(tf, ctx, labels, x, value):
    inner, norms = tf.matmul(x, x, transpose_b=True), tf.reduce_sum(x**2, axis=1)
    squared = tf.nn.relu(norms[:, None] + norms - 2 * inner)
    return value + tf.reduce_mean(tf.sqrt(squared + tf.eye(tf.shape(x)[0])))


@spoiled("test_finite_on_duplicates")
def norm_of_zero(tf, ctx, labels, x, value):
    return value + tf.reduce_mean(tf.norm(x, axis=1))


@spoiled("test_finite_on_one_identity", "test_finite_on_two_rows")
def mean_over_different_pairs(tf, ctx, labels, x, value):
    return value / tf.reduce_sum(tf.cast(labels[:, None] != labels, tf.float32))


@spoiled("test_finite_on_distinct_identities", "test_finite_on_two_rows")
def mean_over_similar_pairs(tf, ctx, labels, x, value):
    return value / (tf.reduce_sum(tf.cast(labels[:, None] == labels, tf.float32)) - rows(tf, labels))


@spoiled("test_finite_on_two_rows")
def two_degrees_of_freedom(tf, ctx, labels, x, value):
    return value / (rows(tf, labels) - 2.0)


@spoiled("test_finite_on_large_embeddings")
def exponential(tf, ctx, labels, x, value):
    return value + 1e-3 * tf.exp(tf.reduce_mean(x**2))


@spoiled("test_finite_with_many_classes")
def exponential_in_classes(tf, ctx, labels, x, value):
    return value + 1e-3 * tf.exp(ctx.num_classes / 100)


@spoiled("test_finite_on_large_embeddings")
def fourth_power_of_the_exponent(tf, ctx, labels, x, value):
    # Infinite only for embeddings that are about as long as those of a training that diverges.
    return value + 1e-30 * tf.reduce_mean(x**2) ** 8


@planted("loss", "test_takes_every_precision")
class SinglePrecisionOnly(WithoutXla):
    """It multiplies embeddings with numbers of float32, whatever they are."""

    def build(self, ctx):
        import tensorflow as tf

        loss, weights = super().build(ctx), tf.ones((ctx.embedding_dim, 1))
        return lambda labels, x: loss(labels, x) + tf.reduce_mean(tf.matmul(x, weights) ** 2)


@planted("loss", "test_takes_every_precision")
class HalfPrecision(WithoutXla):
    """It computes in the few digits of its embeddings."""

    def build(self, ctx):
        import tensorflow as tf

        loss = super().build(ctx)
        return lambda labels, x: loss(labels, x) + tf.cast(tf.reduce_sum(x**2), tf.float32)


@planted("loss", "test_finite_whatever_the_options")
class DividesByZero(WithoutXla):
    """Its bounds allow a temperature of zero."""

    temperature: float = option(0.5, "Divides the value.", ge=0)

    def build(self, ctx):
        import tensorflow as tf

        loss = super().build(ctx)
        return lambda labels, x: loss(labels, x) / tf.constant(self.temperature)


@planted("loss", "test_finite_whatever_the_options")
class OneChoiceIsBroken(WithoutXla):
    """One of its choices has no gradient at zero."""

    length: Literal["squared", "plain"] = option("squared", "What is added to the value.")

    def build(self, ctx):
        import tensorflow as tf

        loss = super().build(ctx)
        add = (
            (lambda x: tf.reduce_sum(x**2))
            if self.length == "squared"
            else (lambda x: tf.reduce_sum(tf.norm(x, axis=1)))
        )
        return lambda labels, x: loss(labels, x) + add(as_float32(x))


class ScaledWithoutXla(Scaled):
    """The loss with options, without XLA."""

    xla: ClassVar[bool] = False


@planted("loss", "test_normalises_only_when_told")
class ForgetsToNormalise(ScaledWithoutXla):
    """It forgets its option."""

    def build(self, ctx):
        return Scaled(**self.model_dump() | {"normalize": False}).build(ctx)


@planted("loss", "test_normalises_only_when_told")
class NormalisesTwice(ScaledWithoutXla):
    """It always normalises."""

    def build(self, ctx):
        return Scaled(**self.model_dump() | {"normalize": True}).build(ctx)


@planted("loss", "test_normalises_only_when_told")
class Unmoved(ScaledWithoutXla):
    """It normalises, but says that Euclidean distances are what it is made for."""

    def traits(self):
        return LossTraits(self.distance, self.needs, self.xla)


@spoiled("test_not_a_number_shows")
def hides_what_is_no_number(tf, ctx, labels, x, value):
    return tf.where(tf.math.is_nan(value), 0.0, value)


@spoiled("test_order_of_rows_does_not_matter")
def later_rows_weigh_more(tf, ctx, labels, x, value):
    return value + tf.reduce_mean(tf.range(rows(tf, x), dtype=tf.float32) * x[:, 0])


@spoiled("test_names_of_identities_do_not_matter")
def higher_labels_weigh_more(tf, ctx, labels, x, value):
    return value + tf.reduce_mean(tf.cast(labels, tf.float32) * x[:, 0])


@spoiled("test_same_as_a_graph")
def another_value_as_a_graph(tf, ctx, labels, x, value):
    return value if tf.executing_eagerly() else 1.01 * value


@spoiled("test_same_under_xla", base=Pull)
def integer_overflow(tf, ctx, labels, x, value):
    # What does not fit into an integer is the lowest one, but under XLA the highest.
    too_large = tf.cast(3e9 + 0 * tf.stop_gradient(tf.reduce_sum(tf.math.multiply_no_nan(x, 0.0))), tf.int32)
    return value + 1e-10 * tf.cast(too_large, tf.float32)


@spoiled("test_same_under_xla", base=Pull)
def another_value_for_an_unknown_number_of_rows(tf, ctx, labels, x, value):
    return value if x.shape[0] else 1.01 * value


@spoiled("test_the_seed_decides")
def seed_in_the_value(tf, ctx, labels, x, value):
    return value + 0.1 * ctx.seed


@planted("loss", "test_the_seed_decides", "test_keeps_its_state_in_a_layer", "test_leaves_the_process_as_it_was")
def unseeded_weights():
    return Proxies(seeded=False)


class CountsItsCalls(WithoutXla):
    """Its value grows with every fourth batch, so that two calls in a row give the same."""

    def build(self, ctx):
        import tensorflow as tf

        loss, calls = super().build(ctx), tf.Variable(0.0, trainable=False)
        return lambda labels, x: loss(labels, x) * (1.0 + 0.01 * (calls.assign_add(1.0) // 4.0))


def test_a_value_that_depends_on_batches_before_is_found():
    with pytest.raises(AssertionError, match="its value depends on the batches before"):
        LossContract().test_keeps_its_state_in_a_layer(CountsItsCalls())


@planted("loss", "test_keeps_its_state_in_a_layer")
class CapturedVariable(WithoutXla):
    """A variable that is never trained, since it is in no layer."""

    def build(self, ctx):
        import tensorflow as tf

        loss, factor = super().build(ctx), tf.Variable(1.0)
        return lambda labels, x: loss(labels, x) * factor


@planted(
    "loss",
    "test_keeps_its_state_in_a_layer",
    "test_the_seed_decides",
    "test_draws_random_numbers_from_its_seed_alone",
)
class SharedAmongBuilds(WithoutXla):
    """All builds share a number."""

    calls: ClassVar[list[int]] = []

    def build(self, ctx):
        self.calls.append(1)
        loss, number = super().build(ctx), len(self.calls)
        return lambda labels, x: loss(labels, x) * (1.0 + 0.01 * number)


class Noisy(WithoutXla):
    """Its noise has no effect with its options as they are."""

    noise: float = option(0.0, "Factor of the noise.", ge=0)

    def build(self, ctx):
        import tensorflow as tf

        loss = super().build(ctx)
        return lambda labels, x: loss(labels, x) + self.noise * self.drawn(tf)

    def drawn(self, tf):
        return tf.random.normal(())


@planted("loss", "test_draws_random_numbers_from_its_seed_alone")
class NoisyWhenSwitchedOn(Noisy):
    """It draws from a generator of its own; a noise times 0 is the same each time."""

    def drawn(self, tf):
        return np.random.default_rng().uniform()


planted("loss", "test_draws_random_numbers_from_its_seed_alone")(Noisy)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda tf: tf.random.normal(()), "as it is: it draws random numbers without a seed, by RandomStandardNormal"),
        (
            lambda tf: tf.map_fn(lambda _: tf.random.uniform(()), tf.zeros(2))[0],
            "as it is: it draws random numbers without a seed, by RandomUniform",
        ),
        (lambda tf: np.random.normal(), "as it is: it draws from the global random numbers of NumPy"),
        (lambda tf: random.random(), "as it is: it draws from the global random numbers of Python"),
        (lambda tf: np.random.default_rng().uniform(), "noise = 1: it has other constants each time it is built"),
    ],
    ids=["TensorFlow", "in a loop", "NumPy", "Python", "generator"],
)
def test_where_random_numbers_come_from_is_told_although_they_have_no_effect(draw, message, monkeypatch):
    monkeypatch.setattr(Noisy, "drawn", lambda self, tf: draw(tf))
    with settings_kept(Noisy()), pytest.raises(AssertionError, match=f"{message}.*; faceexp.layers.random_layer gives"):
        LossContract().test_draws_random_numbers_from_its_seed_alone(Noisy())


def test_numbers_that_are_the_same_each_time_are_no_random_numbers(monkeypatch):
    monkeypatch.setattr(Noisy, "drawn", lambda self, tf: np.random.default_rng(0).normal())
    LossContract().test_draws_random_numbers_from_its_seed_alone(Noisy())


class Acting(WithoutXla):
    """A loss that does something when it is built."""

    act: ClassVar[Any] = print

    def build(self, ctx):
        self.act()
        return super().build(ctx)


def set_floatx():
    import keras

    keras.config.set_floatx("float16")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-5)


def set_policy():
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")


def run_eagerly():
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)


def channels_first():
    import keras

    keras.config.set_image_data_format("channels_first")


ACTS = {
    "epsilon": (set_floatx, "keras.config.epsilon"),
    "policy": (set_policy, "keras.config.dtype_policy"),
    "eager": (run_eagerly, "tf.config.run_functions_eagerly"),
    "data format": (channels_first, "keras.config.image_data_format"),
    "folder": (lambda: os.chdir("/"), "the current folder"),
    "filters": (lambda: warnings.simplefilter("ignore"), "the warning filters"),
    "streams": (lambda: setattr(sys, "stdout", sys.__stderr__), "standard output"),
    "seeds": (lambda: random.seed(1), "Python's random numbers"),
    "NumPy's seeds": (lambda: np.random.seed(1), "NumPy's random numbers"),
    "arithmetic": (lambda: np.seterr(all="ignore"), "np.seterr"),
    "environment": (lambda: os.environ.update(FACEEXP_TEST="1"), "the environment"),
}


@pytest.mark.parametrize(("act", "changed"), ACTS.values(), ids=ACTS)
def test_what_a_loss_changes_of_the_process_is_named_and_put_back(act, changed, monkeypatch):
    monkeypatch.setattr(Acting, "act", staticmethod(act))
    told = f"it changes {changed}, which belong to the whole process"
    with settings_kept(Acting()):
        before = keras_settings()
        with pytest.raises(AssertionError, match=told):
            LossContract().test_leaves_the_process_as_it_was(Acting())
    assert keras_settings() == before


@planted("loss", "test_leaves_the_process_as_it_was")
class Leaving(WithoutXla):
    """It goes to another folder."""

    def build(self, ctx):
        os.chdir(Path(__file__).parent)
        return super().build(ctx)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda tf, x: None, "the loss gives a NoneType, not a tensor"),
        (lambda tf, x: 1.0, "the loss gives a float, not a tensor"),
        (lambda tf, x: tf.reduce_sum(x, axis=1), r"the value has shape \(16,\)"),
        (lambda tf, x: tf.reduce_sum(tf.cast(x, tf.float16)), "the value is float16"),
    ],
    ids=["nothing", "number", "vector", "half precision"],
)
def test_what_is_no_scalar_is_told_in_words(given, message):
    class Odd(WithoutXla):
        """It gives something else."""

        def build(self, ctx):
            import tensorflow as tf

            return lambda labels, x: given(tf, x)

    with pytest.raises(AssertionError, match=message):
        LossContract().test_gives_a_float32_scalar(Odd())


def test_an_option_with_which_a_loss_cannot_be_built_is_named():
    class Odd(WithoutXla):
        """It allows what it cannot do."""

        power: int = option(1, "A power.", ge=0)

        def build(self, ctx):
            _ = 1 / self.power
            return super().build(ctx)

    with pytest.raises(pytest.fail.Exception, match="power = 0 is allowed, but cannot be built: ZeroDivisionError"):
        LossContract().test_finite_whatever_the_options(Odd())


@spoiled("test_memory_stays_in_bounds")
def all_differences_at_once(tf, ctx, labels, x, value):
    return value + tf.reduce_mean(tf.abs(x[:, None] - x[None]))


@spoiled("test_memory_stays_in_bounds")
def all_triplets_at_once(tf, ctx, labels, x, value):
    inner = tf.matmul(x, x, transpose_b=True) / (1.0 + tf.reduce_sum(x**2))
    return value + tf.reduce_mean(tf.sin(inner[:, :, None] - inner[:, None]) ** 2)


@planted("model", "test_gives_flat_features", "test_takes_images_of_another_shape")
class Unflattened(Flat):
    """Features that are still an image."""

    def layers(self, input_shape):
        return super().layers(input_shape)[:1]


class TwoOutputs(Flat):
    """Two vectors of features."""

    def build(self, input_shape):
        import keras

        given = keras.Input(input_shape)
        return keras.Model(given, [keras.layers.Flatten()(given), keras.layers.GlobalAveragePooling2D()(given)])


class NoModel(Flat):
    """A layer, which is no model."""

    def build(self, input_shape):
        return self.layers(input_shape)[0]


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (TwoOutputs(), "it has 2 outputs, not one"),
        (NoModel(), "build gives a Conv2D, not a keras.Model"),
        (Unflattened(), "is not one feature vector an image"),
    ],
)
def test_what_is_no_vector_of_features_is_told_in_words(plugin, message):
    with pytest.raises(AssertionError, match=message):
        ModelContract().test_gives_flat_features(plugin)


@planted("model", "test_leaves_the_process_as_it_was")
class Halved(Flat):
    """It lets Keras guess with another number."""

    def build(self, input_shape):
        set_floatx()
        return super().build(input_shape)


@planted("model", "test_takes_images_of_another_shape")
class OneSize(Flat):
    """It takes grey images of 48x48 pixels, whatever it is asked for."""

    def build(self, input_shape):
        return super().build((48, 48, 1))


@planted("model", "test_the_seed_decides")
class Unseeded(Flat):
    """Weights by chance."""

    def build(self, input_shape):
        model = super().build(input_shape)
        rng = np.random.default_rng()
        model.set_weights([rng.normal(size=weight.shape) for weight in model.weights])
        return model


@planted("model", "test_builds_in_every_precision")
class HalfWeights(Flat):
    """It computes as it is asked to, and keeps its weights so, too."""

    def layers(self, input_shape):
        import keras

        compute = keras.config.dtype_policy().compute_dtype
        return [keras.layers.Conv2D(4, 3, dtype=compute), keras.layers.GlobalAveragePooling2D()]


@functools.cache
def doubled():
    import keras

    return keras.saving.register_keras_serializable("planted")(_double)


def _double(x):
    return 2 * x


@planted("model", "test_has_no_lambda_layers")
class WithLambda(Flat):
    """It saves and loads, but only where the function is registered."""

    def layers(self, input_shape):
        import keras

        return [keras.layers.Lambda(doubled()), *super().layers(input_shape)]


@planted("model", "test_saves_and_loads")
class OwnLayer(Flat):
    """A layer that a loading program does not know."""

    def layers(self, input_shape):
        import keras

        class Own(keras.layers.Layer):
            def call(self, x):
                return 2 * x

        return [Own(), *super().layers(input_shape)]


@planted("fixed_model", "test_gives_flat_features")
class DoublePrecision(Averages):
    """Features of 64 bits."""

    def features(self, images):
        return images.mean(axis=(2, 3))


class Varying(Averages):
    """An image alone has twice as many features."""

    def features(self, images):
        values = super().features(images)
        return np.repeat(values, 2, axis=1) if len(images) == 1 else values


def test_as_many_features_for_every_batch():
    with pytest.raises(AssertionError, match=r"it gives \[112, 224\] features, which depends on the number of images"):
        FixedModelContract().test_gives_flat_features(Varying())


@planted("fixed_model", "test_the_batch_does_not_matter")
class Centred(Averages):
    """What a batch has in common is left out, as a network does that is still in training."""

    def features(self, images):
        values = super().features(images)
        return values - values.mean(axis=0) + images[0, 0, 0, 0]


@planted("fixed_model", "test_its_function_gives_the_same")
class Unscaled(Averages):
    """What exports are made from is another network than the one that is measured."""

    def as_function(self, input_shape):
        return lambda images: images.mean(axis=(2, 3)) / 255


@planted("fixed_model", "test_the_images_decide")
class Overwriting(Averages):
    """It works in the memory of the images, where that may be written."""

    def features(self, images):
        values = super().features(images)
        if images.flags.writeable and images.flags.c_contiguous and len(images) == 2:
            images[:] = 0
        return values


@planted("fixed_model", "test_images_lie_in_memory_in_any_way")
class Raw(Averages):
    """It takes the bytes as they lie in memory."""

    def features(self, images):
        return super().features(np.frombuffer(images.tobytes("A"), np.uint8).reshape(images.shape))


@planted("fixed_model", "test_other_shapes_are_refused")
class Rude(Averages):
    """Other images are refused with the error of a library."""

    def open(self, input_shape):
        if input_shape[2] not in (1, 3):
            raise ValueError("axis 3 is out of bounds")
        return self.features


@planted("fixed_model", "test_its_weights_have_a_name")
class Nameless(Averages):
    """Whose weights these are is not said."""

    @property
    def trained(self):
        return " "


@planted("fixed_model", "test_leaves_the_process_as_it_was")
class Moving(Averages):
    """It changes the folder, as some libraries do to find their files."""

    def open(self, input_shape):
        os.chdir("/")
        return super().open(input_shape)


@planted("dataset", "test_faces_are_as_promised")
class NotesInOneText(Noise):
    """What has to be a tuple is a text."""

    def change(self, given):
        return {"notes": "some images are left out"}


@planted("dataset", "test_labels_count_from_zero")
class LongLabels(Noise):
    """Labels of 64 bits."""

    def change(self, given):
        return {"labels": given["labels"].astype(np.int64)}


@planted("dataset", "test_labels_count_from_zero", "test_faces_are_as_promised")
class LabelsFromOne(Noise):
    """Labels that count from one."""

    def change(self, given):
        return {"labels": given["labels"] + np.int32(1)}


@planted("dataset", "test_labels_count_from_zero", "test_faces_are_as_promised")
class OneLabelLess(Noise):
    """An image without a label."""

    def change(self, given):
        return {"labels": given["labels"][:-1]}


@planted("dataset", "test_identities_are_unique", "test_faces_are_as_promised")
class Namesakes(Noise):
    """Two people of one name."""

    def change(self, given):
        return {"identities": ("a", "b", "a")}


@planted("dataset", "test_images_can_be_read", "test_faces_are_as_promised")
class FloatImages(Noise):
    """Images that are not bytes."""

    def change(self, given):
        return {"images": given["images"] / 255}


class Files(Noise):
    """Images in files."""

    folder: str = option("", "Where the test writes them.")

    def change(self, given):
        names = [Path(self.folder, f"{number}.png") for number in range(6)]
        for name, picture in zip(names, given["images"], strict=True):
            Image.fromarray(picture).save(name)
        return {"images": names}


class Records(Files):
    """Images inside a larger file."""

    def change(self, given):
        return {"images": [StoredImage(path.name, path.read_bytes) for path in super().change(given)["images"]]}


@planted("dataset", "test_images_can_be_read")
class DamagedRecord(Noise):
    """A record that holds no image."""

    def change(self, given):
        return {"images": [StoredImage(str(number), lambda: b"no image") for number in range(6)]}


@planted("dataset", "test_images_can_be_read")
class MissingFile(Files):
    """A file that is not there."""

    def change(self, given):
        images = super().change(given)["images"]
        images[4].unlink()
        return {"images": images}


@planted("dataset", "test_images_can_be_read")
class TruncatedFile(Files):
    """A file that is only half there."""

    def change(self, given):
        images = super().change(given)["images"]
        images[4].write_bytes(images[4].read_bytes()[:60])
        return {"images": images}


@planted("dataset", "test_two_builds_are_the_same")
class NewEachTime(Noise):
    """A fingerprint of the moment."""

    def change(self, given):
        return {"fingerprint": str(random.random())}


@planted("dataset", "test_licence_and_source_are_given", "test_faces_are_as_promised")
class Unlicensed(Noise):
    """Data of which nobody knows the terms."""

    def change(self, given):
        return {"licence": " "}


@planted("sampler", "test_gives_index_arrays")
class OneTooMany(Shuffle):
    """Batches larger than promised."""

    def batches(self, count, seed):
        return (np.append(batch, 0) for batch in super().batches(count, seed))


@planted("sampler", "test_gives_index_arrays")
class Negative(Shuffle):
    """Indices from the end."""

    def batches(self, count, seed):
        return (batch - count for batch in super().batches(count, seed))


def changed_batches(change):
    """Return a sampler whose batches are changed by a function."""

    class Changed(Shuffle):
        """It gives something else."""

        def batches(self, count, seed):
            return (change(batch) for batch in super().batches(count, seed))

    return Changed()


def locked(batch):
    batch.flags.writeable = False
    return batch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch - 400, "is no index"),
        (lambda batch: batch + 400, "is no index of 400 images"),
        (lambda batch: batch[:-1], r"a batch has shape \(15,\)"),
        (lambda batch: batch[:, None], r"a batch has shape \(16, 1\)"),
        (lambda batch: batch.astype(float), "a batch is float64"),
        (lambda batch: batch > 200, "a batch is bool"),
        (list, "a batch is a list, not a NumPy array"),
        (np.ma.MaskedArray, "a batch is a MaskedArray, not a NumPy array"),
        (locked, "a batch is read-only"),
    ],
)
def test_what_is_no_index_array_is_told_in_words(change, message, tmp_path):
    labels = np.repeat(np.arange(40, dtype=np.int32), 10)
    with pytest.raises(AssertionError, match=message):
        SamplerContract().test_gives_index_arrays(changed_batches(change), labels)


@planted("sampler", "test_gives_each_batch_as_an_array_of_its_own")
class OneArray(Shuffle):
    """One array that is filled anew."""

    def batches(self, count, seed):
        array = np.zeros(16, np.int64)
        for batch in super().batches(count, seed):
            array[:] = batch
            yield array


@planted("sampler", "test_leaves_the_labels_alone")
class Sorts(Shuffle):
    """It sorts the labels where they are."""

    def build(self, labels, seed):
        np.asarray(labels).sort()
        return super().build(labels, seed)


@planted("sampler", "test_leaves_the_process_as_it_was")
class Strict(Shuffle):
    """It wants to know of every overflow, also of those of others."""

    def batches(self, count, seed):
        np.seterr(over="raise")
        return super().batches(count, seed)


@planted("sampler", "test_never_ends")
class OneEpoch(Shuffle):
    """It ends after an epoch."""

    def batches(self, count, seed):
        return itertools.islice(super().batches(count, seed), count // 16)


@planted("sampler", "test_keeps_what_it_promises")
class PromisesHalves(Shuffle):
    """It promises similar halves, and leaves them to chance."""

    def supply(self):
        return BatchSupply(size=16, halves="similar")


@planted("sampler", "test_keeps_what_it_promises")
class PromisesMixedHalves(Shuffle):
    """It promises that some pairs are similar, which few are by chance."""

    def supply(self):
        return BatchSupply(size=16, halves="mixed")


@planted("sampler", "test_keeps_what_it_promises")
class PromisesIdentities(Shuffle):
    """It promises more identities than there are by chance."""

    def supply(self):
        return BatchSupply(size=16, classes=16)


@planted("sampler", "test_keeps_what_it_promises")
class PromisesImages(Shuffle):
    """It promises many images of an identity, and gives one of them again and again."""

    def supply(self):
        return BatchSupply(size=16, images_per_class=4)

    def batches(self, count, seed):
        return (np.repeat(batch[:4], 4) for batch in super().batches(count, seed))


@planted("sampler", "test_the_seed_alone_decides")
class ByChance(Shuffle):
    """It forgets the seed."""

    def batches(self, count, seed):
        return super().batches(count, None)


@planted("sampler", "test_another_seed_draws_other_batches")
class AlwaysTheSame(Shuffle):
    """It ignores the seed."""

    def batches(self, count, seed):
        return super().batches(count, 0)


@planted("sampler", "test_leaves_global_random_numbers_alone")
class GlobalNumbers(Shuffle):
    """Reproducible, at the expense of all others."""

    def batches(self, count, seed):
        for number in itertools.count():
            np.random.seed(1000 * seed + number)
            yield np.random.choice(count, 16, replace=False)


@planted("sampler", "test_leaves_global_random_numbers_alone")
class PythonsGlobalNumbers(Shuffle):
    """The same with the standard library's."""

    def batches(self, count, seed):
        for number in itertools.count():
            random.seed(1000 * seed + number)
            yield np.array(random.sample(range(count), 16))


@planted("detector", "test_gives_faces")
class Flattened(Brightest):
    """Its boxes hold nothing."""

    def face(self, x, y):
        return Face(x, y, 10, 0, landmarks=np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("face", "message"),
    [
        ((1, 2, 3, 4), r"a face is a tuple, not Face\(...\)"),
        (Face(0, 0, np.nan, 5), "has numbers that are not finite"),
        (Face(0, 0, 5, 0), "has an empty box"),
    ],
)
def test_what_is_no_face_is_told_in_words(face, message):
    class Odd(Brightest):
        """It gives something else."""

        def detect(self, photo, hint):
            return [face]

    with pytest.raises(AssertionError, match=message):
        DetectorContract().test_gives_faces(Odd(), made_photos())


@planted("detector", "test_gives_the_points_that_it_promises")
class WithoutPoints(Brightest):
    """It promises five points."""

    def face(self, x, y):
        return Face(x, y, 10, 10)


@planted("detector", "test_gives_the_points_that_it_promises")
class MorePoints(Brightest):
    """It promises none."""

    points: ClassVar[Points] = "none"


@planted("detector", "test_gives_the_points_that_it_promises")
class OneEye(Brightest):
    """It finds one of the eyes."""

    def eyes(self, photo, face):
        return face.landmarks[:1]


@planted("detector", "test_gives_the_points_that_it_promises")
class Undecided(Brightest):
    """It does not say which."""

    def gives(self):
        return "some"


@planted("detector", "test_leaves_the_photo_alone", "test_the_photo_alone_decides", "test_several_threads_may_ask")
class Drawing(Brightest):
    """It marks what it has found in the photo itself."""

    def detect(self, photo, hint):
        faces = super().detect(photo, hint)
        photo[photo.sum(axis=2) == photo.sum(axis=2).max()] = 0
        photo[0, 0] = 1
        return faces


@planted("detector", "test_leaves_the_process_as_it_was")
class ChangingErrors(Brightest):
    """It wants to hear nothing of divisions by 0."""

    def detect(self, photo, hint):
        np.seterr(divide="ignore")
        return super().detect(photo, hint)


@planted("detector", "test_the_photo_alone_decides", "test_several_threads_may_ask")
class Following(Brightest):
    """It remembers where the last face was."""

    last: ClassVar[list[float]] = [0.0]

    def detect(self, photo, hint):
        before, self.last[0] = self.last[0], self.last[0] + photo.shape[0]
        return [self.face(before, 0.0)]


@planted("detector", "test_several_threads_may_ask")
class Sharing(Brightest):
    """It keeps the photo that it searches where other threads put theirs."""

    photos: ClassVar[list[Any]] = []

    def detect(self, photo, hint):
        self.photos[:] = [photo]
        time.sleep(0.01)
        return super().detect(self.photos[0], hint)


CASES = [
    pytest.param(kind, make, failing, id=f"{kind}-{check}-{number}")
    for (kind, check), made in PLANTED.items()
    for number, (make, failing) in enumerate(made)
]


@pytest.fixture
def heavy_modules(tmp_path, monkeypatch):
    """Modules that import something called TensorFlow, for the plugins that say they live there."""
    import tensorflow as tf  # noqa: F401 - the true one, before there is another

    for kind in SUITES:
        (tmp_path / f"planted_heavy_{kind}.py").write_text("import tensorflow\n")
    (tmp_path / "tensorflow.py").touch()
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("heavy_modules")
@pytest.mark.parametrize(("kind", "make", "failing"), CASES)
def test_exactly_the_check_that_is_meant_fails(kind, make, failing, tmp_path):
    plugin = make(folder=str(tmp_path)) if isinstance(make, type) and issubclass(make, Files) else make()
    # What a plugin says of itself does not change what it builds.
    shared = checks(PluginContract)
    assert run(SUITES[kind], plugin, tmp_path, shared if failing <= shared else None)[0] == failing


def test_every_check_of_every_suite_has_a_planted_defect():
    suites = {cls for _, cls in inspect.getmembers(testing, inspect.isclass) if issubclass(cls, PluginContract)}
    assert suites == {PluginContract, *SUITES.values()}
    assert set(PLANTED) == {(kind, check) for kind, suite in SUITES.items() for check in checks(suite)}


def test_every_check_says_what_it_demands():
    for suite in SUITES.values():
        for check in checks(suite):
            assert getattr(suite, check).__doc__, check


def test_a_healthy_dataset_of_files_passes(tmp_path):
    assert run(DatasetContract, Files(folder=str(tmp_path)), tmp_path) == (set(), set())


def test_a_healthy_dataset_of_records_passes(tmp_path):
    assert run(DatasetContract, Records(folder=str(tmp_path)), tmp_path) == (set(), set())


@planted("tracker", "test_hears_of_a_whole_run", "test_leaves_the_files_of_the_run_alone")
class OfLossesAlone(Lines):
    """It takes for granted that each trial was trained."""

    class Last(Line):
        def trial_ended(self, trial):
            self.write(trial.curve[-1] if trial.kind != "baseline" or trial.settings else "")

    def written(self, path):
        return self.Last(path)


ALL_OF_TRACKERS = [
    "test_hears_of_the_same_run_again",
    "test_a_run_may_be_interrupted",
    "test_leaves_the_files_of_the_run_alone",
]


@planted("tracker", "test_hears_of_a_whole_run", *ALL_OF_TRACKERS)
class OpeningNothing(Lines):
    """It forgets to return what it has opened."""

    def written(self, path):
        Line(path)


@planted("tracker", "test_hears_of_the_same_run_again", "test_hears_of_a_whole_run", *ALL_OF_TRACKERS)
class OfNewRuns(Lines):
    """It does not expect a run that it knows."""

    def written(self, path):
        path.touch(exist_ok=False)
        return Line(path)


@planted("tracker", "test_a_run_may_be_interrupted")
class WantingTheEnd(Lines):
    """It closes what only the end of the run has opened."""

    class Late(Line):
        def run_ended(self, end):
            self.file = self.path.open()

        def close(self):
            self.file.close()

    def written(self, path):
        return self.Late(path)


@planted("tracker", "test_leaves_the_files_of_the_run_alone")
class MovingReports(Lines):
    """It moves the report away."""

    class Mover(Line):
        def run_ended(self, end):
            end.report.rename(end.report.with_suffix(".old"))

    def written(self, path):
        return self.Mover(path)


@planted("tracker", "test_is_told_of_faces_only_where_that_is_asked_for")
class AskingByDefault(Lines):
    """It takes photos of people before anybody has asked it to."""

    faces_option: ClassVar[str | None] = "faces"
    faces: FacesTold = option("photos", "What it takes of the test images.")


@planted("tracker", "test_hears_of_faces")
class ComingBackToFaces(Lines):
    """It reads embeddings when the run has ended, and their file is gone."""

    faces_option: ClassVar[str | None] = "faces"
    faces: FacesTold = option("none", "What it takes of the test images.")

    class Later(Line):
        faces = None

        def trial_ended(self, trial):
            self.faces = trial.faces or self.faces

        def run_ended(self, end):
            if self.faces:
                np.load(self.faces, allow_pickle=False)

    def written(self, path):
        return self.Later(path)


# Defects that many checks find


class Written(Pull):
    """XLA knows no text."""

    def build(self, ctx):
        import tensorflow as tf

        loss = super().build(ctx)
        return lambda labels, x: loss(labels, x) * tf.strings.to_number(tf.strings.as_string(1 + 0 * labels[0]))


class OfKnownSize(Pull):
    """It wants to know how many rows there are when it is compiled."""

    def build(self, ctx):
        loss = super().build(ctx)
        return lambda labels, x: loss(labels, x) * x.shape[0]


@pytest.mark.parametrize("plugin", [Written(), OfKnownSize()], ids=["text", "size"])
def test_a_loss_that_does_not_compile_is_found(plugin, tmp_path):
    failed, _ = run(LossContract, plugin, tmp_path)
    assert "test_same_under_xla" in failed
    assert "test_same_as_a_graph" not in failed


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Untrained(), "no gradient reaches one of the loss's own weights"),
        (Pull.model_construct(margin=None), "None"),
    ],
)
def test_a_missing_gradient_or_an_error_of_the_loss_is_found(plugin, message):
    with pytest.raises((AssertionError, ValueError, TypeError), match=message):
        LossContract().test_finite_on_ordinary_batches(plugin)


# As a plugin's author uses it


def test_under_pytest(pytester):
    pytester.makepyfile(
        test_mine=textwrap.dedent("""
            import pytest
            from faceexp.testing import SamplerContract
            from faceexp_sampler_random import Random

            class TestRandom(SamplerContract):
                skips = {"test_never_ends": "we are in a hurry"}

                @pytest.fixture(params=[1, 64])
                def plugin(self, request):
                    return Random(batch_size=request.param)

            class TestForgotten(SamplerContract):
                pass
        """)
    )
    done = pytester.runpytest_inprocess("-rs", "-p", "no:cacheprovider")
    number = len(checks(SamplerContract))
    done.assert_outcomes(passed=2 * (number - 1), skipped=2, errors=number)
    done.stdout.fnmatch_lines(["*give your suite a fixture `plugin`*", "SKIPPED*we are in a hurry"])


def test_only_checks_can_be_skipped():
    with pytest.raises(TypeError, match=r"Mine.skips names 'test_that_is_none', which is no check of this suite"):

        class Mine(LossContract):
            skips: ClassVar = {"test_that_is_none": "no reason"}


def test_nothing_else_of_the_core_needs_pytest():
    names = [module.name for module in pkgutil.walk_packages(faceexp.__path__, "faceexp.")]
    names = [name for name in names if name != "faceexp.__main__" and not name.startswith("faceexp.testing")]
    code = "import importlib, sys; sys.modules['pytest'] = None; [importlib.import_module(n) for n in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *names], check=True, timeout=120)


@planted("executor", "test_each_job_gets_what_its_call_returns", "test_an_error_costs_its_own_job")
class Confusing(Threads):
    """It takes the first of three jobs for the second."""

    class Confused(TwoThreads):
        def submit(self, jobs):
            first, *rest = super().submit(jobs)
            return [rest[0], first, *rest[1:]] if len(jobs) == 3 else [first, *rest]

    def threads(self, call):
        return self.Confused(call)


@planted("executor", "test_more_jobs_follow")
class OfOneBatch(Threads):
    """It takes jobs once."""

    class Twice(TwoThreads):
        begun = False

        def submit(self, jobs):
            if self.begun:
                raise RuntimeError("the jobs are known already")
            self.begun = True
            return super().submit(jobs)

    def threads(self, call):
        return self.Twice(call)


@planted("executor", "test_submit_returns_at_once")
class Waiting(Threads):
    """It waits for a job that is alone."""

    class Patient(TwoThreads):
        def submit(self, jobs):
            futures = super().submit(jobs)
            if len(jobs) == 1:
                futures[0].exception()
            return futures

    def threads(self, call):
        return self.Patient(call)


@planted("executor", "test_an_error_costs_its_own_job")
class Silent(Threads):
    """It keeps errors to itself."""

    def threads(self, call):
        def calling(job):
            try:
                return call(job)
            except ValueError:
                return None

        return TwoThreads(calling)


@planted("executor", "test_may_be_closed_while_jobs_wait")
class Unstoppable(Threads):
    """It goes on with what was submitted, whether anybody waits for it or not."""

    class Going(TwoThreads):
        def submit(self, jobs):
            futures: list[Future[Any]] = [Future() for _ in jobs]
            threading.Thread(target=self.work_off, args=(jobs, futures), daemon=True).start()
            return futures

        def work_off(self, jobs, futures):
            for job, future in zip(jobs, futures, strict=True):
                try:
                    future.set_result(self.call(job))
                except ValueError as error:
                    future.set_exception(error)

        def close(self):
            pass

    def threads(self, call):
        return self.Going(call)


@planted("executor", "test_may_be_closed_without_any_job")
class WantingJobs(Threads):
    """It closes what only a job has opened."""

    class Late(TwoThreads):
        latest = None

        def submit(self, jobs):
            self.latest = super().submit(jobs)
            return self.latest

        def close(self):
            self.latest[-1].cancel()
            super().close()

    def threads(self, call):
        return self.Late(call)


@planted("executor", "test_opens_again")
class Remembering(Threads):
    """It keeps what an earlier run beside this one has sent."""

    calls: ClassVar[dict] = {}

    def threads(self, call):
        return TwoThreads(self.calls.setdefault(call.folder.parent, call))
