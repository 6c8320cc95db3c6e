"""Networks that exist already: measured as they are, or a trunk whose embedding layer alone is trained."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import Distance, FixedModelPlugin, LossPlugin, ModelPlugin, option
from faceexp.engine.backend import tensorflow
from faceexp.engine.training import train
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.schema import Augment, Finetune, PluginRef, Pretrain, PretrainedEntry
from faceexp.planning.prepare import prepare
from faceexp.planning.trunk import with_trunk
from faceexp.store import Store
from faceexp.values import Event, Noted, ResolvedPretrained

SCRATCH = Pretrain(enabled=False)
CALLS: list[int] = []


def projected(pixels: np.ndarray, features: int) -> np.ndarray:
    """Return what :class:`Projection` gives: grey levels times a fixed random matrix."""
    rows = pixels.reshape(len(pixels), -1).astype(np.float64) - 128
    return rows @ np.random.default_rng(3).normal(size=(rows.shape[1], features)) / 1000


class Projection(FixedModelPlugin):
    """A fixed random projection of the pixels; it counts the images that it is called on."""

    reference: ClassVar[str] = "here"
    features: int = option(12, "Numbers of an image.")

    @property
    def trained(self) -> str:
        return f"projection {self.features}"

    def open(self, input_shape):
        def run(pixels):
            CALLS.append(len(pixels))
            return projected(pixels, self.features).astype(np.float32)

        return run


class Trained(ModelPlugin):
    """A trunk of Keras whose weights count as trained."""

    reference: ClassVar[str] = "here"

    @property
    def trained(self) -> str:
        return "mine.keras"

    def build(self, input_shape):
        import keras

        start = keras.initializers.RandomNormal(stddev=0.1, seed=5)
        dense = keras.layers.Dense(6, kernel_initializer=start, name="inside")
        return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), dense])


class Spread(LossPlugin):
    """Pushes all embeddings apart."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: -tf.reduce_mean(tf.math.reduce_std(embeddings, axis=0))


@pytest.fixture
def run(resolved, chosen, tmp_path):
    """``run(model, rows, ...)``: the trained trials of an experiment, its plan, and what whoever watches is told."""

    def call(model=None, rows=(), losses=("spread",), score=None, **tables):
        base = resolved({name: Spread() for name in losses}, **tables)
        existing = tuple(
            ResolvedPretrained(
                PretrainedEntry(plugin="p", label=row.trained, distance="cosine"), chosen("existing", row)
            )
            for row in rows
        )
        trunk = chosen("existing", model) if model else base.model
        fitted = with_trunk(base.experiment, trunk)
        losses_of = tuple(
            dataclasses.replace(loss, entry=entry) for loss, entry in zip(base.losses, fitted.losses, strict=True)
        )
        whole = dataclasses.replace(base, experiment=fitted, model=trunk, losses=losses_of, pretrained=existing)
        store: Store = Store(tmp_path / "store")
        told: list[Event] = []
        plan = prepare(whole, store, lambda event: None)
        CALLS.clear()
        trials = {
            (each.trial.label, each.trial.seed): each
            for each in train(plan, store, score or ValidationAuc(), told.append)
        }
        return plan, trials, told

    return call


def test_an_embedding_that_exists_is_measured_as_it_is(run):
    plan, trials, _ = run(rows=[Projection()], losses=(), seeds=(0, 1))
    for seed in (0, 1):
        trained = trials["projection 12", seed]
        for part in ("validation", "test"):
            expected = projected(plan.images[getattr(trained.split, part)], 12)
            np.testing.assert_allclose(trained.embeddings[part], expected, rtol=1e-5)
        assert (trained.status, trained.distance, trained.folder) == ("ok", "cosine", None)


def test_every_image_goes_through_it_once(run):
    """But for one black image, by which the width of its features is found."""
    plan, _, _ = run(rows=[Projection()], losses=(), seeds=(0, 1, 2))
    assert sum(CALLS) == len(plan.images) + 1


def test_a_network_that_is_only_run_is_a_trunk(run):
    """The embedding layer is trained on its features, and the file that is kept maps features to embeddings."""
    plan, trials, _ = run(Projection(), seeds=(0,), baselines=("untrained",))
    assert trials["trunk projection 12", 0].status == "ok"
    trained = trials["spread", 0]
    assert (trained.status, trained.reason) == ("ok", None)
    import keras

    head = keras.models.load_model(trained.network)
    assert tuple(head.input_shape) == (None, 12)
    features = projected(plan.images[trained.split.test], 12).astype(np.float32)
    np.testing.assert_allclose(trained.embeddings["test"], head(features), rtol=1e-4, atol=1e-5)
    assert trained.budget.trainable_parameters == 12 * 8 + 8


def test_features_of_such_a_trunk_are_those_of_all_seeds(run):
    plan, _, _ = run(Projection(), seeds=(0, 1))
    assert [images for images in CALLS if images > 1] == [len(plan.images)]


def test_a_row_and_a_trunk_of_one_network_share_its_features(run):
    plan, trials, _ = run(Projection(), rows=[Projection()], seeds=(0,), baselines=("untrained",))
    assert [images for images in CALLS if images > 1] == [len(plan.images)]
    row, trunk = trials["projection 12", 0], trials["trunk projection 12", 0]
    np.testing.assert_array_equal(row.embeddings["test"], trunk.embeddings["test"])


def weights_of(trained):
    import keras

    return [np.asarray(weight) for weight in keras.models.load_model(trained.network).weights]


def inside(run, **pretrain):
    """Return the weights of the trunk, as they are kept with the trial."""
    fit = Pretrain(epochs=2, batch_size=12, learning_rate=0.01, **pretrain)
    _, trials, told = run(Trained(), seeds=(0,), pretrain=fit, baselines=("untrained", "phase1"))
    assert trials["spread", 0].status == "ok", trials["spread", 0].reason
    return weights_of(trials["spread", 0])[0], trials, told


def test_phase_1_leaves_a_trained_trunk_as_it_is(run):
    kernel, trials, _ = inside(run)
    shape = (16, 16, 1)
    np.testing.assert_array_equal(kernel, np.asarray(Trained().build(shape).weights[0]))
    assert {label for label, _ in trials} == {"trunk mine.keras", "phase-1 embedding", "spread"}


def test_phase_1_trains_all_of_it_where_it_is_told_to(run):
    kernel, _, _ = inside(run, trainable="all")
    assert np.abs(kernel - np.asarray(Trained().build((16, 16, 1)).weights[0])).max() > 1e-3


def test_phases_1_behind_one_trained_trunk_are_measured_apart(run):
    """The features are the same, so that what is measured is kept by the weights behind them as well."""
    settings = [Pretrain(epochs=epochs, batch_size=12, learning_rate=0.01) for epochs in (1, 2)]
    runs = [run(Trained(), seeds=(0,), pretrain=each, baselines=("phase1",))[1] for each in settings]
    one, other = (trials["phase-1 embedding", 0] for trials in runs)
    assert not np.array_equal(one.embeddings["test"], other.embeddings["test"])
    assert one.key != other.key


class Falling:
    """A score that is lower each time."""

    name, key = "AUC", "falling"

    def __init__(self):
        self.value = 1.0

    def __call__(self, embeddings, labels, distance, pairs=None):
        self.value -= 0.25
        return self.value


def test_phase_1_that_harms_a_trained_trunk_is_told_of(run):
    _, _, told = run(Trained(), seeds=(0,), pretrain=Pretrain(epochs=1, batch_size=12), score=Falling())
    (note,) = [event.note for event in told if isinstance(event, Noted)]
    assert (note.kind, note.text) == (
        "phase1",
        "phase 1 makes mine.keras worse on validation people (seed 0, fold 0: AUC 0.750 before, 0.500 after); "
        "set pretrain.enabled = false, or train less of it",
    )


def test_mirrored_images_are_trained_on_by_their_features(run):
    sampler = PluginRef(plugin="balanced", options={"classes_per_batch": 4, "images_per_class": 2})
    plan, trials, _ = run(
        Projection(),
        seeds=(0,),
        augment=Augment(flip=True),
        finetune=Finetune(sampler=sampler, steps=4, validate_every=2),
    )
    assert trials["spread", 0].status == "ok"
    assert sum(CALLS) >= 2 * len(plan.images)
