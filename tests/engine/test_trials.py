"""The engine: the same start for every loss, nothing seen that must not be seen, the same numbers every time."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import BatchSupply, LossPlugin, ModelPlugin, SamplerPlugin, option
from faceexp.engine import baselines, finetune, network, pretrain, trials
from faceexp.engine.backend import derive_seed, tensorflow, versions
from faceexp.engine.inputs import TrainingInputs, resident
from faceexp.engine.trials import Engine, train
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.baselines import BASELINES
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.planning.prepare import prepare
from faceexp.registry.installed import discover
from faceexp.store import Store
from faceexp.values import Budget, Event

EVERY = 5
SCRATCH = Pretrain(enabled=False)
BUILT: list = []


class Still(LossPlugin):
    """Asks for no change at all."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "cosine"
    xla: ClassVar[bool] = False  # compiling takes longer than these trainings

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: 0.0 * tf.reduce_sum(embeddings)


class Pull(LossPlugin):
    """Pulls similar pairs together and pushes all apart; takes rows out by a mask, which XLA refuses to compile."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()

        def loss(labels, embeddings):
            squared = tf.reduce_sum(tf.square(embeddings[:, None] - embeddings[None, :]), axis=2)
            same = labels[:, None] == labels[None, :]
            near = tf.reduce_mean(tf.boolean_mask(squared, same))
            far = tf.reduce_mean(tf.exp(-0.1 * tf.boolean_mask(squared, ~same)))
            return near + far

        return loss


class Proxies(LossPlugin):
    """A loss with weights of its own: a point for each person."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "cosine"

    def build(self, ctx):
        tf = tensorflow()

        class Layer(tf.keras.layers.Layer):
            def __init__(self):
                super().__init__()
                start = tf.keras.initializers.RandomNormal(seed=ctx.seed)
                self.points = self.add_weight(shape=(ctx.num_classes, ctx.embedding_dim), initializer=start)

            def call(self, labels, embeddings):
                logits = tf.matmul(embeddings, self.points, transpose_b=True)
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        BUILT.append(Layer())
        return BUILT[-1]


class NaNAt(LossPlugin):
    """Counts its calls in a weight that is not trained, and is no number at one of them."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    xla: ClassVar[bool] = False
    step: int = option(7, "At which.")

    def build(self, ctx):
        tf = tensorflow()
        at = self.step

        class Layer(tf.keras.layers.Layer):
            def __init__(self):
                super().__init__()
                self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
                self.built = True

            def call(self, labels, embeddings):
                self.calls.assign_add(1.0)
                return tf.reduce_mean(embeddings) + tf.where(self.calls == at, np.nan, 0.0)

        return Layer()


class NoGradient(LossPlugin):
    """A number, whose gradient is none."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: tf.sqrt(0.0 * tf.reduce_sum(embeddings))


class Broken(LossPlugin):
    """Raises when it is built, or when it is called."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    xla: ClassVar[bool] = False
    when: str = option("build", "When.")

    def build(self, ctx):
        if self.when == "build":
            raise RuntimeError("no such\n   luck")

        def loss(labels, embeddings):
            raise ZeroDivisionError("called")

        return loss


class Square(LossPlugin):
    """Mean square of all embeddings."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: tf.reduce_mean(tf.square(embeddings))


class NotFlat(ModelPlugin):
    """Forgets to flatten."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        keras = tensorflow().keras
        return keras.Sequential([keras.Input(input_shape), keras.layers.Conv2D(2, 3)])


class InTurn(SamplerPlugin):
    """TrainingInputs in their order, over and over."""

    size: int = 8

    def supply(self):
        return BatchSupply(self.size, classes=1)

    def build(self, labels, seed):
        return (np.arange(k, k + self.size) % len(labels) for k in itertools.count(0, self.size))


def contrastive(**options):
    return discover().find("loss", "contrastive").load()(**options)


def ignore(event):
    """Hear nothing."""


SCORE = ValidationAuc()


def trained(plan, store, score=SCORE, on_event=ignore):
    return {trial.trial.id: trial for trial in train(plan, Store(store), score, on_event)}


def weights_of(result):
    """Return the weights of a trial's model file, the trunk's first."""
    import keras

    tensorflow()
    model = keras.saving.load_model(result.folder / "model.keras", safe_mode=True)
    return [np.asarray(variable) for variable in model.weights]


def identical(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def same_results(left, right):
    assert (left.status, left.best_step, left.curve) == (right.status, right.best_step, right.curve)
    assert set(left.embeddings) == set(right.embeddings)
    identical(list(left.embeddings.values()), [right.embeddings[part] for part in left.embeddings])
    if left.folder:
        identical(weights_of(left), weights_of(right))


def artefacts(store, kind):
    return [path for path in (store / kind).iterdir() if path.is_dir()]


LOSSES = {
    "still": Still(),
    "contrastive": contrastive(margin=3.0),
    "proxies": Proxies(),
    "pull": Pull(),
    "pull all": Pull(),
    "still scratch": Still(),
    "nan": NaNAt(),
    "no gradient": NoGradient(),
    "broken build": Broken(),
    "broken call": Broken(when="call"),
}


@pytest.fixture(scope="module")
def entries(tiny):
    (entry,) = tiny().losses
    return {
        "pull all": {"finetune": entry.finetune.model_copy(update={"trainable": "all"})},
        "still scratch": {"pretrain": SCRATCH},
        "no gradient": {"finetune": entry.finetune.model_copy(update={"steps": 1})},
    }


@pytest.fixture(scope="module")
def plan_of(planned, entries):
    """``plan_of(store, "still", "pull", ...)``: a plan of some of the losses of this file."""

    def build(store, *names, **rest):
        chosen = {name: LOSSES[name] for name in names or LOSSES}
        own = {name: entry for name, entry in entries.items() if name in chosen}
        return planned(store, chosen, entries=own, **rest)

    return build


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def plan(plan_of, home):
    return plan_of(home, seeds=(0, 1), baselines=tuple(BASELINES))


@pytest.fixture(scope="module")
def results(plan, home, events):
    """Every loss of this file and every baseline on two seeds, trained once for all tests."""
    return trained(plan, home, on_event=events.append)


@pytest.fixture(scope="module")
def start(results, plan, home):
    """The weights that phase 1 left for seed 0."""
    made = Engine(plan, Store(home), ValidationAuc(), ignore)
    return made._shared.pretrained(plan.splits[0], plan.resolved.experiment.pretrain).load()


# The start -----------------------------------------------------------------------------------------------------------


def test_every_loss_starts_from_the_weights_of_phase_1(results, start):
    identical(weights_of(results["still-s0-f0"]), start)
    frozen = [np.array_equal(now, then) for now, then in zip(weights_of(results["pull-s0-f0"]), start, strict=True)]
    assert frozen == [True, True, False, False]  # convolution and its bias; embedding and its bias


def test_a_loss_without_gradient_keeps_the_phase_1_embedding(results):
    np.testing.assert_allclose(
        results["still-s0-f0"].embeddings["test"],
        results["phase-1-embedding-s0-f0"].embeddings["test"],
        rtol=1e-5,
        atol=1e-5,
    )
    assert results["phase-1-embedding-s0-f0"].distance == results["still-s0-f0"].distance == "cosine"


def test_all_weights_move_where_all_are_to_be_trained(results, start):
    moved = [
        not np.array_equal(now, then) for now, then in zip(weights_of(results["pull-all-s0-f0"]), start, strict=True)
    ]
    assert moved == [True] * 4


def test_without_phase_1_the_start_is_the_initial_weights(results, plan, start):
    model = plan.resolved.model.plugin
    initial = network.initial_weights(model, (16, 16, 1), 8, derive_seed("weights", 0, 0))
    identical(weights_of(results["still-scratch-s0-f0"]), initial)
    assert not np.array_equal(initial[0], start[0])
    # Another seed, other weights.
    assert not np.array_equal(initial[0], weights_of(results["still-scratch-s1-f0"])[0])


def test_phase_1_is_done_once_a_seed(results, home, events):
    assert len(artefacts(home, "pretrain")) == 2
    assert len(artefacts(home, "features")) == 4  # phase 1 and untrained, for each seed
    firsts = [trial for trial in results.values() if "pretrain" not in trial.reused and "pretrain" in trial.seconds]
    assert {(t.trial.label, t.trial.seed) for t in firsts if t.seconds["pretrain"] > 0} == {
        ("phase-1 embedding", 0),
        ("phase-1 embedding", 1),
    }
    steps = pretrain.ends_of_epochs(48, Pretrain(epochs=2, batch_size=12))[-1]
    assert [e.done for e in events if e.stage == "pretrain" and e.seed == 0][-1] == steps == 8


def test_phase_1_learns_and_keeps_its_history(results, home):
    for path in artefacts(home, "pretrain"):
        assert {p.name for p in path.iterdir()} == {"weights.npz", "history.json", "manifest.json"}
        losses = json.loads((path / "history.json").read_text(encoding="utf-8"))["loss"]
        assert len(losses) == 8
        assert np.mean(losses[4:]) < np.mean(losses[:4])


def test_losses_learn(results):
    curve = results["pull-s0-f0"].curve
    assert [point.step for point in curve] == [5, 10]
    assert curve[1].loss < curve[0].loss


# Loss plugins that go wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_a_loss_that_is_no_number_has_diverged_at_that_step(results, seed):
    """On the second seed, too: what a loss counts in its own weights starts anew."""
    result = results[f"nan-s{seed}-f0"]
    assert (result.status, result.reason) == ("diverged", "the loss is not finite at step 7")
    assert result.embeddings == {}
    assert result.folder is None


def test_weights_that_are_no_numbers_have_diverged_too(results):
    result = results["no-gradient-s0-f0"]
    assert result.status == "diverged"
    assert "not finite" in result.reason


@pytest.mark.parametrize(
    ("label", "reason"), [("broken-build", "RuntimeError: no such luck"), ("broken-call", "ZeroDivisionError: called")]
)
def test_a_loss_that_raises_costs_only_itself(results, label, reason):
    for seed in (0, 1):
        result = results[f"{label}-s{seed}-f0"]
        assert result.status == "failed"
        assert result.reason.startswith(reason)
        assert "\n" not in result.reason
    good = [name for name, result in results.items() if result.status == "ok"]
    assert len(good) == 2 * (len(BASELINES) + 6)


def test_a_phase_1_that_diverges_is_tried_once(plan_of, tmp_path):
    heard = []
    plan = plan_of(
        tmp_path,
        "still",
        "pull",
        pretrain=Pretrain(epochs=2, batch_size=12, learning_rate=1e30),
        baselines=("phase1", "pca"),
    )
    found = trained(plan, tmp_path, on_event=heard.append)
    for label in ("still", "pull", "phase-1-embedding"):
        result = found[f"{label}-s0-f0"]
        assert result.status == "diverged"
        assert result.reason.startswith("phase 1: the loss is not finite at step ")
    assert found["PCA-eigenfaces-s0-f0"].status == "ok"
    assert [e for e in heard if e.stage == "pretrain"] == []


def test_a_trunk_that_is_not_flat_is_a_failure_with_its_reason(resolved, chosen, tmp_path):
    wanted = resolved({"still": Still()})
    object.__setattr__(wanted, "model", chosen("not_flat", NotFlat()))
    plan = prepare(wanted, Store(tmp_path), ignore)
    (result,) = trained(plan, tmp_path).values()
    assert result.status == "failed"
    assert "not one flat feature vector per image" in result.reason


# Losses with weights of their own --------------------------------------------------------------------------------------


def test_the_weights_of_a_loss_are_trained_along(results):
    compiled, fresh = BUILT[0], BUILT[-1]
    assert compiled.points.shape == fresh.points.shape == (8, 8)
    assert not np.array_equal(compiled.points.numpy(), fresh.points.numpy())


def test_a_seed_does_not_depend_on_the_ones_before_it(results, plan_of, tmp_path):
    alone = trained(plan_of(tmp_path, "proxies", "pull", seeds=(1,)), tmp_path)
    for name in ("proxies-s1-f0", "pull-s1-f0"):
        same_results(alone[name], results[name])


# The same numbers every time --------------------------------------------------------------------------------------------


def test_two_runs_from_nothing_are_identical(results, plan_of, tmp_path):
    again = trained(plan_of(tmp_path, "pull", "pull all", "contrastive"), tmp_path)
    assert len(again) == 3
    for name, result in again.items():
        same_results(result, results[name])
        assert result.reused == (() if name.startswith("pull-s") else result.reused)


def test_an_interrupted_run_goes_on_where_it_was(results, plan_of, tmp_path):
    def interrupt(event):
        if event.stage == "finetune" and event.label == "pull all":
            raise KeyboardInterrupt

    plan = plan_of(tmp_path, "pull", "pull all")
    done = []
    with pytest.raises(KeyboardInterrupt):
        done.extend(train(plan, Store(tmp_path), ValidationAuc(), interrupt))
    assert len(artefacts(tmp_path, "finetune")) == 1
    resumed = trained(plan, tmp_path)
    assert resumed["pull-s0-f0"].reused == ("pretrain", "features", "finetune")
    assert resumed["pull-all-s0-f0"].reused == ("pretrain",)
    for name, result in resumed.items():
        same_results(result, results[name])


def test_a_second_run_trains_nothing(results, plan, home, monkeypatch):
    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(trials, "Finetuner", refuse)
    monkeypatch.setattr(pretrain, "Classifier", refuse)
    again = trained(plan, home)
    assert list(again) == list(results)
    for name, result in again.items():
        if result.status == "failed":  # why it failed may be gone by now; it is tried again
            continue
        same_results(result, results[name])
        assert result.seconds == results[name].seconds
        if result.folder:
            assert "finetune" in result.reused


def test_what_is_trained_does_not_see_test_images(results, plan, plan_of, tmp_path):
    test = plan.splits[0].test
    other = plan_of(tmp_path, "pull", "pull all", data={"inverted": tuple(int(index) for index in test)})
    np.testing.assert_array_equal(other.splits[0].test, test)
    assert (other.images[test] != plan.images[test]).any()
    for name, result in trained(other, tmp_path).items():
        identical(weights_of(result), weights_of(results[name]))
        np.testing.assert_array_equal(result.embeddings["validation"], results[name].embeddings["validation"])
        assert (result.best_step, result.curve) == (results[name].best_step, results[name].curve)
        assert not np.array_equal(result.embeddings["test"], results[name].embeddings["test"])


# Checkpoints ------------------------------------------------------------------------------------------------------------


class Scores:
    """Rates checkpoints as it was told to, and keeps what it saw."""

    def __init__(self, *values):
        self.values, self.seen, self.key = iter(values), [], f"the scores {values}"

    def __call__(self, embeddings, labels, distance, pairs):
        self.seen.append((embeddings, labels, distance))
        return next(self.values)


@pytest.mark.parametrize(
    ("values", "best"), [((0.1, 0.2, 0.9, 0.3), 3), ((0.9, 0.9, 0.1, 0.9), 1), ((math.nan, 0.1, math.nan, 0.2), 4)]
)
def test_the_best_checkpoint_is_kept(plan_of, entries, tiny, tmp_path, values, best):
    (entry,) = tiny().losses
    finetune = entry.finetune.model_copy(update={"steps": 20})
    plan = plan_of(tmp_path, "pull", finetune=finetune, pretrain=SCRATCH)
    score = Scores(*values)
    (result,) = trained(plan, tmp_path, score).values()
    assert result.best_step == best * EVERY
    np.testing.assert_array_equal([point.validation for point in result.curve], values)
    assert [point.step for point in result.curve] == [5, 10, 15, 20]
    embeddings, labels, distance = score.seen[best - 1]
    np.testing.assert_array_equal(result.embeddings["validation"], embeddings)
    np.testing.assert_array_equal(labels, plan.labels[plan.splits[0].validation])
    assert distance == "euclidean"
    assert not np.array_equal(result.embeddings["validation"], score.seen[best % 4][0])


def test_without_any_score_there_is_no_result(plan_of, tmp_path):
    (result,) = trained(plan_of(tmp_path, "pull", pretrain=SCRATCH), tmp_path, Scores(math.nan, math.nan)).values()
    assert (result.status, result.reason) == ("diverged", "no checkpoint has a validation score that is a number")


def test_the_last_checkpoint_is_at_the_last_step(plan_of, tiny, tmp_path):
    (entry,) = tiny().losses
    finetune = entry.finetune.model_copy(update={"steps": 7, "validate_every": 3})
    heard = []
    (result,) = trained(
        plan_of(tmp_path, "pull", finetune=finetune, pretrain=SCRATCH), tmp_path, on_event=heard.append
    ).values()
    assert [point.step for point in result.curve] == [3, 6, 7]
    told = [event for event in heard if event.stage == "finetune"]
    assert isinstance(told[0], Event)
    assert (told[-1].done, told[-1].total, told[-1].label) == (7, 7, "pull")
    assert all(event.value is not None and math.isfinite(event.value) for event in told)


# Early stopping ---------------------------------------------------------------------------------------------------------


def phase_1_of(plan, store, score):
    """Return phase 1's embedding of the validation part, its history, and how many images it has seen."""
    (found,) = trained(plan, store, score).values()
    assert found.status == "ok", found.reason
    history = json.loads((artefacts(store, "pretrain")[0] / "history.json").read_text())
    return found.embeddings["validation"], history, found.budget.pretrain_images


@pytest.mark.parametrize(
    ("values", "epochs", "best"),
    [
        ((0.5, 0.6, 0.6, 0.4, 0.9), 4, 2),  # two epochs without a better one
        ((0.5, 0.4, 0.7, 0.6, 0.8), 5, 5),  # never two in a row
        ((0.9, math.nan, 0.1, 0.2, 0.3), 3, 1),
    ],
)
def test_phase_1_stops_when_validation_stops_improving(plan_of, tmp_path, values, epochs, best):
    """And the weights of the best epoch are what is kept."""
    settings = {"baselines": ("phase1",)}
    patient = plan_of(tmp_path, "still", pretrain=Pretrain(epochs=5, batch_size=12, patience=2), **settings)
    patient = dataclasses.replace(patient, trials=patient.trials[:1])
    score = Scores(*values)
    embeddings, history, images = phase_1_of(patient, tmp_path / "patient", score)
    np.testing.assert_array_equal(history["validation"], values[:epochs])
    ends = pretrain.ends_of_epochs(len(patient.splits[0].train), Pretrain(epochs=5, batch_size=12))
    assert len(history["loss"]) == ends[epochs - 1]
    assert images == ends[epochs - 1] * 12
    np.testing.assert_allclose(embeddings, score.seen[best - 1][0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(score.seen[0][1], patient.labels[patient.splits[0].validation])

    # Without patience the same epochs are the same training, and nobody is asked.
    plain = plan_of(tmp_path, "still", pretrain=Pretrain(epochs=epochs, batch_size=12), **settings)
    plain = dataclasses.replace(plain, trials=plain.trials[:1])
    _, same, _ = phase_1_of(plain, tmp_path / "plain", Scores())
    assert same["loss"] == history["loss"]
    assert same["validation"] == []


# Files ------------------------------------------------------------------------------------------------------------------


def test_budgets_count_images_steps_and_weights(results, plan):
    found, whole = results["contrastive-s0-f0"].budget, results["pull-all-s0-f0"].budget
    settings, images = plan.resolved.experiment.pretrain, len(plan.splits[0].train)
    assert (found.steps, found.images) == (10, 10 * 8)
    assert found.pretrain_images == round(settings.epochs * images / settings.batch_size) * settings.batch_size
    embedding = np.prod([*weights_of(results["contrastive-s0-f0"])[-2].shape]) + 8
    assert found.trainable_parameters == embedding
    assert whole.trainable_parameters == sum(weight.size for weight in weights_of(results["pull-all-s0-f0"]))
    assert results["raw-pixels-s0-f0"].budget == Budget()
    assert results["phase-1-embedding-s0-f0"].budget == Budget(pretrain_images=found.pretrain_images)


def test_the_model_file_goes_from_pixels_to_embeddings(results, plan):
    import keras

    for name in ("contrastive-s0-f0", "pull-all-s1-f0"):
        result = results[name]
        split = plan.splits[result.trial.seed]
        model = keras.saving.load_model(result.folder / "model.keras", safe_mode=True)
        found = model(plan.images[split.test].astype(np.float32)).numpy()
        np.testing.assert_allclose(found, result.embeddings["test"], rtol=1e-4, atol=1e-4)
        assert result.split is split


def test_no_artefact_holds_pickles(results, home):
    for path in home.rglob("*.np[yz]"):
        np.load(path, allow_pickle=False)


def test_flipped_views_are_the_features_of_mirrored_images(plan_of, tmp_path):
    plan = plan_of(tmp_path, "pull", "pull all", augment=Augment(flip=True))
    found = trained(plan, tmp_path)
    assert [result.status for result in found.values()] == ["ok", "ok"]
    (folder,) = artefacts(tmp_path, "features")
    views = np.load(folder / "features.npy", allow_pickle=False)
    assert views.shape == (2, 72, 8 * 8 * 4)
    made = network.Network(plan.resolved.model.plugin, (16, 16, 1), 8)
    made.set_weights(
        Engine(plan, Store(tmp_path), ValidationAuc(), ignore)
        ._shared.pretrained(plan.splits[0], plan.resolved.experiment.pretrain)
        .load()
    )
    normal = network.Normalization.of(plan.images, plan.splits[0].train)
    for view, pixels in ((0, plan.images), (1, plan.images[:, :, ::-1])):
        expected = made.trunk((pixels.astype(np.float32) - normal.mean) / normal.deviation).numpy()
        np.testing.assert_allclose(views[view], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(views[0], views[1])


def test_large_batches_are_read_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("faceexp.engine.inputs.RESIDENT_BYTES", 1000)
    given = TrainingInputs([np.zeros((20, 5), np.float32)], np.arange(20), seed=0)
    # A batch of ten rows of five numbers of four bytes each takes 200.
    assert [given.batches_per_read(10, wanted) for wanted in (50, 4)] == [5, 4]
    assert given.batches_per_read(1000, 50) == 1
    given.source = "in memory"
    assert given.batches_per_read(10, 50) == 50


@pytest.mark.parametrize("fits", [True, False], ids=["resident", "read"])
def test_rows_come_from_both_views(fits, monkeypatch):
    """Whether inputs are in memory or are read a chunk at a time, batches are the same."""
    monkeypatch.setattr("faceexp.engine.inputs.RESIDENT_BYTES", 2**20 if fits else 0)
    views = [np.arange(40.0).reshape(20, 2), -np.arange(40.0).reshape(20, 2)]
    train = np.arange(5, 20)
    index = np.random.default_rng(0).integers(0, 15, (9, 8))

    def drawn(views, seed=1):
        source = resident(views, train, 17)
        assert (source is not None) == fits
        given = TrainingInputs(views, train, seed, source)
        # Two chunks, the first of which is not full.
        return np.concatenate([chunk_of(given, index[:4]), chunk_of(given, index[4:])])

    def chunk_of(given, part):
        inputs, places = given.read(part, 5)
        assert places.shape == (5, 8)
        return np.asarray(inputs)[places[: len(part)]]

    found, plain = drawn(views), views[0][train[index]]
    np.testing.assert_array_equal(np.abs(found), plain)
    flipped = found[..., 1] < 0
    assert 0.3 < flipped.mean() < 0.7
    np.testing.assert_array_equal(flipped, np.random.default_rng(1).integers(2, size=index.shape) == 1)
    np.testing.assert_array_equal(drawn(views[:1]), plain)


# Parts ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [1, 30, 1100])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalization_is_mean_and_deviation(images, channels):
    pixels = np.random.default_rng(images).integers(0, 256, (images + 5, 9, 7, channels)).astype(np.uint8)
    chosen = np.random.default_rng(0).permutation(images + 5)[:images]
    found = network.Normalization.of(pixels, chosen)
    pixels = pixels[chosen]
    assert found.mean.dtype == found.deviation.dtype == np.float32
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, pixels.std(axis=(0, 1, 2)), rtol=1e-5)


def test_normalization_of_one_colour_divides_by_no_zero():
    found = network.Normalization.of(np.full((4, 8, 8, 1), 200, np.uint8), np.arange(4))
    assert found.mean == 200
    assert found.deviation > 0


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [1, 4, 10, 25])
def test_phase_1_visits_every_image_equally(size, flip):
    train = np.arange(10, 30)
    drawn = pretrain.batches(train, Pretrain(batch_size=size), Augment(flip=flip), seed=0)
    rows, flips = zip(*(next(drawn) for _ in range(20 * 20 // size)), strict=True)
    assert {len(row) for row in rows} == {size}
    visits = np.bincount(np.concatenate(rows), minlength=30)
    np.testing.assert_array_equal(visits, [0] * 10 + [20] * 20)
    mirrored = np.concatenate(flips).mean()
    assert 0.4 < mirrored < 0.6 if flip else mirrored == 0
    again = pretrain.batches(train, Pretrain(batch_size=size), Augment(flip=flip), seed=0)
    other = pretrain.batches(train, Pretrain(batch_size=20), Augment(flip=flip), seed=1)
    np.testing.assert_array_equal(next(again)[0], rows[0])
    assert not np.array_equal(next(other)[0], np.concatenate(rows)[:20])


def test_ends_of_epochs():
    """Batches run across the ends of epochs: an epoch ends with the batch that ends nearest to it."""
    assert pretrain.ends_of_epochs(48, Pretrain(epochs=3, batch_size=16)) == [3, 6, 9]
    assert pretrain.ends_of_epochs(50, Pretrain(epochs=4, batch_size=20)) == [2, 5, 8, 10]
    assert pretrain.ends_of_epochs(50, Pretrain(epochs=1, batch_size=100)) == [1]
    assert pretrain.ends_of_epochs(10, Pretrain(epochs=1, batch_size=100)) == [1]


def test_seeds_for_different_purposes_differ():
    drawn = [
        derive_seed(name, seed, fold) for name in ("weights", "batches") for seed in range(50) for fold in range(5)
    ]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert derive_seed("weights", 0, 0) == drawn[0]


def test_versions_name_what_determines_numbers():
    assert {"tensorflow", "keras", "numpy", "engine"} <= set(versions())


def test_weights_survive_a_file(tmp_path):
    given = [np.random.default_rng(k).normal(size=(k + 1, 2)).astype(np.float32) for k in range(12)]
    network.save_weights(tmp_path / "w.npz", given)
    identical(network.load_weights(tmp_path / "w.npz"), given)


def test_raw_pixels(results, plan):
    found = results["raw-pixels-s0-f0"]
    # Bytes, since they are many: evaluation counts them in 255ths.
    assert found.embeddings["test"].dtype == np.uint8
    np.testing.assert_array_equal(found.embeddings["test"], plan.images[plan.splits[0].test].reshape(-1, 256))


def test_eigenfaces_are_the_principal_axes_of_training_images(results, plan):
    split = plan.splits[0]
    train, test = (plan.images[part].reshape(-1, 256) / 255 for part in (split.train, split.test))
    axes = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)[2][:47]
    expected = (test - train.mean(axis=0)) @ axes.T
    found = results["PCA-eigenfaces-s0-f0"].embeddings["test"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-2, atol=1e-3)  # axes have no sign


def test_many_images_use_the_seeded_solver():
    pixels = np.random.default_rng(0).integers(0, 256, (2001, 2, 2, 1)).astype(np.uint8)
    everyone = np.arange(2001)
    (first,), (again,) = (baselines.eigenfaces(pixels, everyone, everyone[:5]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (5, 4)


def test_eigenfaces_of_very_many_images_are_those_of_a_random_choice(monkeypatch):
    """Transformed in blocks, too; the axes of a choice are close to the axes of all."""
    pixels = np.random.default_rng(0).integers(0, 256, (600, 2, 2, 1)).astype(np.uint8)
    pixels[:, 0] //= 4  # so that axes differ in what they explain
    pixels[:, 0, 0] //= 4
    everyone = np.arange(600)
    whole, _ = baselines.eigenfaces(pixels, everyone, everyone, everyone[:7])
    monkeypatch.setattr(baselines, "PCA_IMAGES", 300)
    monkeypatch.setattr(baselines, "BLOCK", 64)
    some, few = baselines.eigenfaces(pixels, everyone, everyone, everyone[:7])
    np.testing.assert_allclose(some[:7], few, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(some, whole)
    smallest = whole.std(axis=0)[2:]
    np.testing.assert_allclose(some.std(axis=0)[2:], smallest, rtol=0.1)


# Against plain loops ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tuner_of(resolved):
    """``tuner_of(loss plugin, trainable)``: a new network and the compiled training of the loss."""

    def build(plugin, trainable="embedding", learning_rate=1e-2):
        wanted = resolved({"loss": plugin}, sampler=InTurn())
        (loss,) = wanted.losses
        settings = loss.entry.finetune.model_copy(update={"trainable": trainable, "learning_rate": learning_rate})
        object.__setattr__(loss, "entry", loss.entry.model_copy(update={"finetune": settings}))
        made = network.Network(wanted.model.plugin, (16, 16, 1), 8)
        return made, finetune.Finetuner(made, loss, Augment(), 6)

    return build


NORMAL = network.Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))


def finetuned(tuner, inputs, labels, weights, *, steps=7, every=7, **rest):
    tuner.reset(weights, seed=0)
    return tuner.run(
        TrainingInputs([inputs], np.arange(len(inputs)), seed=0),
        labels,
        InTurn().build(labels, 0),
        NORMAL,
        lambda: 1.0,
        steps=steps,
        validate_every=every,
        on_progress=lambda done, loss: None,
        **rest,
    )


def test_phase_2_is_adam_on_the_embedding_layer(tuner_of):
    """Seven steps against NumPy: mean square of X W + b, by Kingma and Ba's update."""
    made, tuner = tuner_of(Square())
    inputs = np.random.default_rng(0).normal(size=(20, made.width)).astype(np.float32)
    labels = np.arange(20, dtype=np.int32) % 6
    start = made.get_weights()
    outcome = finetuned(tuner, inputs, labels, start)
    kernel, bias = (weight.astype(np.float64) for weight in start[-2:])
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in (kernel, bias)]
    losses = []
    for step in range(1, 8):
        x = inputs[np.arange(8 * (step - 1), 8 * step) % 20].astype(np.float64)
        y = x @ kernel + bias
        losses.append((y**2).mean())
        slope = 2 * y / y.size
        for weight, moment, gradient in zip((kernel, bias), moments, (x.T @ slope, slope.sum(axis=0)), strict=True):
            moment[0] = 0.9 * moment[0] + 0.1 * gradient
            moment[1] = 0.999 * moment[1] + 0.001 * gradient**2
            rate = 1e-2 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weight -= rate * moment[0] / (np.sqrt(moment[1]) + 1e-7)
    np.testing.assert_allclose(outcome.weights[-2], kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outcome.weights[-1], bias, rtol=1e-4, atol=1e-5)
    identical(outcome.weights[:-2], start[:-2])
    assert outcome.curve[0].loss == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("trainable", ["embedding", "all"])
def test_phase_2_is_a_plain_keras_loop(tuner_of, faces, trainable):
    tf = tensorflow()
    keras = tf.keras
    plugin = discover().find("loss", "npairs").load()()
    made, tuner = tuner_of(plugin, trainable)
    pixels, _ = faces(6, 4)
    labels = np.arange(24, dtype=np.int32) % 4  # rows i and i + 4 of a batch match
    start = made.get_weights()
    images = (pixels[..., None].astype(np.float32) - 120) / 40
    inputs = pixels[..., None] if trainable == "all" else made.trunk(images).numpy()
    outcome = finetuned(tuner, inputs, labels, start)

    made.set_weights(start)
    loss = plugin.build(None)
    variables = made.embedding.trainable_variables
    if trainable == "all":
        variables = made.trunk.trainable_variables + variables
    optimizer = keras.optimizers.Adam(1e-2)
    losses = []
    for index in itertools.islice(InTurn().build(labels, 0), 7):
        with tf.GradientTape() as tape:
            value = loss(tf.constant(labels[index]), made.embedding(made.trunk(images[index])))
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        losses.append(float(value))
    for found, expected, before in zip(outcome.weights, made.get_weights(), start, strict=True):
        # Adam divides a gradient by its own size: where that is nearly zero, rounding decides the direction.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=5e-3 * np.abs(expected - before).max())
    assert outcome.curve[0].loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_how_often_one_looks_does_not_change_what_is_trained(tuner_of):
    made, tuner = tuner_of(Pull())
    inputs = np.random.default_rng(0).normal(size=(20, made.width)).astype(np.float32)
    labels = np.arange(20, dtype=np.int32) % 6
    start = made.get_weights()
    seldom = finetuned(tuner, inputs, labels, start, steps=finetune.CHUNK + 10, every=finetune.CHUNK + 10)
    tuner.reset(start, seed=0)
    made.set_weights(start)
    best = finetuned(tuner, inputs, labels, start, steps=finetune.CHUNK + 10, every=20)
    assert [point.step for point in best.curve] == [20, 40, 60]
    assert np.mean([point.loss for point in best.curve]) == pytest.approx(seldom.curve[0].loss, rel=1e-5)
    # Nor does how many steps are made in one call.
    few = finetuned(tuner, inputs, labels, start, steps=finetune.CHUNK + 10, every=20, chunk=7)
    assert few.curve == best.curve
    identical(few.weights, best.weights)


def test_features_are_those_of_the_trunk(resolved, faces):
    """A stack is run layer by layer, biases after poolings: the same values to the last bit, the same gradients."""
    tf = tensorflow()
    layers = tf.keras.layers

    class Stack(ModelPlugin):
        """One of every case: bias added last, an activation between, no bias, no pooling, a layer for training only."""

        reference: ClassVar[str] = "here"

        def build(self, input_shape):
            return tf.keras.Sequential(
                [
                    tf.keras.Input(input_shape),
                    layers.Conv2D(4, 3, padding="same"),
                    layers.MaxPooling2D(2),
                    layers.Conv2D(4, 3, activation="relu"),
                    layers.MaxPooling2D(2),
                    layers.Conv2D(4, 2, use_bias=False, padding="same"),
                    layers.MaxPooling2D(2, padding="same"),
                    layers.Conv2D(4, 2, padding="same"),
                    layers.BatchNormalization(),
                    layers.Dropout(0.5, seed=0),
                    layers.Flatten(),
                ]
            )

    made = network.Network(Stack(), (16, 16, 1), 8)
    random = np.random.default_rng(0)
    made.set_weights([random.normal(size=weight.shape).astype(np.float32) ** 2 for weight in made.get_weights()])
    images = faces(6, 4)[0][..., None].astype(np.float32) / 50 - 2
    for training in (False, True):
        outcomes = []
        for run in (made.trunk, made.features):
            made.trunk.layers[-2].seed_generator.state.assign([1, 2])
            with tf.GradientTape() as tape:
                found = run(images, training=training)
                loss = tf.reduce_sum(tf.square(found))
            outcomes.append([found, *tape.gradient(loss, made.trunk.trainable_variables)])
        np.testing.assert_array_equal(outcomes[0][0], outcomes[1][0])
        for expected, gradient in zip(*outcomes, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_phase_1_is_a_plain_keras_loop(resolved, faces):
    tf = tensorflow()
    keras = tf.keras
    settings = Pretrain(epochs=1, batch_size=8, learning_rate=1e-2, dropout=0.0)
    made = network.Network(resolved({"still": Still()}).model.plugin, (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    classifier = pretrain.Classifier(made, settings, Augment(), 6)
    classifier.reset(start, seed=3)
    head = [variable.numpy() for variable in classifier.head.variables]
    assert not head[1].any()

    def drawn():
        return pretrain.batches(np.arange(24), settings, Augment(flip=True), seed=1)

    told = []
    history = classifier.run(pixels[..., None], labels, drawn(), NORMAL, 5, lambda *heard: told.append(heard))
    found = [*made.get_weights(), *(variable.numpy() for variable in classifier.head.variables)]
    assert [done for done, _ in told][-1] == len(history) == 5

    made.set_weights(start)
    for variable, value in zip(classifier.head.variables, head, strict=True):
        variable.assign(value)
    variables = [*made.trunk.trainable_variables, *made.embedding.trainable_variables, *classifier.head.variables]
    optimizer = keras.optimizers.Adam(1e-2)
    for step, (drawn_rows, flips) in enumerate(itertools.islice(drawn(), 5)):
        images = np.stack([pixels[r][:, ::-1] if f else pixels[r] for r, f in zip(drawn_rows, flips, strict=True)])
        with tf.GradientTape() as tape:
            hidden = tf.nn.relu(made.embedding(made.trunk((images[..., None].astype(np.float32) - 120) / 40)))
            losses = keras.losses.sparse_categorical_crossentropy(
                labels[drawn_rows], classifier.head(hidden), from_logits=True
            )
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        assert history[step] == pytest.approx(float(loss), rel=1e-3)
    expected = [*made.get_weights(), *(variable.numpy() for variable in classifier.head.variables)]
    for now, then in zip(found, expected, strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-4)


def test_phase_1_starts_anew_for_every_seed(resolved, faces):
    settings = Pretrain(epochs=1, batch_size=8, dropout=0.5)
    made = network.Network(resolved({"still": Still()}).model.plugin, (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    classifier = pretrain.Classifier(made, settings, Augment(), 6)
    histories = []
    for seed in (3, 4, 3):
        classifier.reset(start, seed)
        drawn = pretrain.batches(np.arange(24), settings, Augment(), seed=1)
        histories.append(classifier.run(pixels[..., None], labels, drawn, NORMAL, 4, lambda *_: None))
    assert histories[0] == histories[2]
    assert histories[0] != histories[1]


def test_importing_the_engine_does_not_import_tensorflow(tmp_path):
    code = "import sys, faceexp.engine, faceexp.pipeline; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=Path(tmp_path)).returncode == 0
