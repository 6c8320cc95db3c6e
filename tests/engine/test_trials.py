"""The engine: the same start for every loss, nothing seen that must not be seen, the same numbers every time."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import Distance, LossPlugin, ModelPlugin, option
from faceexp.engine import network, pretrain, trials
from faceexp.engine.backend import derive_seed, tensorflow
from faceexp.engine.training import train
from faceexp.engine.trials import Engine
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.baselines import BASELINES
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.planning.prepare import prepare
from faceexp.registry.installed import discover
from faceexp.store import Store
from faceexp.values import Budget, Event, TrainedTrial

EVERY = 5
SCRATCH = Pretrain(enabled=False)
BUILT: list = []


class Still(LossPlugin):
    """Asks for no change at all."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    xla: ClassVar[bool] = False  # compiling takes longer than these trainings

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: 0.0 * tf.reduce_sum(embeddings)


class Pull(LossPlugin):
    """Pulls similar pairs together and pushes all apart; takes rows out by a mask, which XLA refuses to compile."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
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
    distance: ClassVar[Distance] = "cosine"

    def build(self, ctx):
        tf = tensorflow()
        import keras

        class Layer(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                start = keras.initializers.RandomNormal(seed=ctx.seed)
                self.points = self.add_weight(shape=(ctx.num_classes, ctx.embedding_dim), initializer=start)

            def call(self, labels, embeddings):
                logits = tf.matmul(embeddings, self.points, transpose_b=True)
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        BUILT.append(Layer())
        return BUILT[-1]


class NaNAt(LossPlugin):
    """Counts its calls in a weight that is not trained, and is no number at one of them."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False
    step: int = option(7, "At which.")

    def build(self, ctx):
        tf = tensorflow()
        import keras

        at = self.step

        class Layer(keras.layers.Layer):
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
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: tf.sqrt(0.0 * tf.reduce_sum(embeddings))


class Broken(LossPlugin):
    """Raises when it is built, or when it is called."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False
    when: str = option("build", "When.")

    def build(self, ctx):
        if self.when == "build":
            raise RuntimeError("no such\n   luck")

        def loss(labels, embeddings):
            raise ZeroDivisionError("called")

        return loss


class NotFlat(ModelPlugin):
    """Forgets to flatten."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        keras = tensorflow().keras
        return keras.Sequential([keras.Input(input_shape), keras.layers.Conv2D(2, 3)])


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
    model = keras.saving.load_model(result.network, safe_mode=True)
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
    heard: list[Event] = []
    plan = plan_of(
        tmp_path,
        "still",
        "pull",
        pretrain=Pretrain(epochs=2, batch_size=12, learning_rate=1e15),
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
    done: list[TrainedTrial] = []
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
    heard: list[Event] = []
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
        model = keras.saving.load_model(result.network, safe_mode=True)
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
