"""Random changes to training images: what they do, where they are made, that they can be repeated; and trunks that draw
or remember something themselves: dropout, batch normalisation."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pytest
from scipy import ndimage

from faceexp.contract import BatchSupply, Distance, LossPlugin, ModelPlugin, SamplerPlugin
from faceexp.engine import finetune, network, pretrain
from faceexp.engine.augment import Augmentation, blurred
from faceexp.engine.backend import compiled, derive_seed, many_steps, tensorflow
from faceexp.engine.inputs import TrainingInputs
from faceexp.engine.training import train
from faceexp.engine.trials import Engine
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.planning.prepare import prepare
from faceexp.store import Store

CHANGES = {"crop": 0.2, "color": 0.3, "blur": 1.5, "cutout": 0.3}
EVERYTHING = Augment(**CHANGES, flip=True, phase2=True)
NONE = np.zeros(1, np.float32), np.ones(1, np.float32)  # a normalisation that leaves values as they are
NORMAL = network.Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))


class ToOne(LossPlugin):
    """Pulls every number of an embedding towards 1."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: tf.reduce_mean(tf.square(embeddings - 1.0))


class Still(LossPlugin):
    """Asks for no change at all."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: 0.0 * tf.reduce_sum(embeddings)


class Noisy(LossPlugin):
    """A loss that drops numbers at random, with random numbers of its own and no seed."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        import keras

        class Layer(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                self.dropout = keras.layers.Dropout(0.5)

            def call(self, labels, embeddings):
                return tf.reduce_mean(tf.square(self.dropout(embeddings, training=True) - 1.0))

        return Layer()


class Remembers(ModelPlugin):
    """A trunk with batch normalisation and dropout, without a seed."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        layers = tensorflow().keras.layers
        return tensorflow().keras.Sequential(
            [
                tensorflow().keras.Input(input_shape),
                layers.Conv2D(3, 4, strides=4),
                layers.BatchNormalization(momentum=0.8),
                layers.Flatten(),
                layers.Dropout(0.3),
            ]
        )


STATISTICS = slice(4, 6)  # moving mean and variance, after kernel and bias, scale and offset


@pytest.fixture(scope="module")
def plan_of(resolved, chosen, tiny):
    """``plan_of(store, losses, augment)``: a plan with the trunk above; names that end in "all" train all weights."""
    finetune = tiny().losses[0].finetune

    def build(store, losses, augment, **rest):
        whole = {"finetune": finetune.model_copy(update={"trainable": "all"})}
        entries = {name: whole for name in losses if name.endswith("all")}
        given = resolved(losses, augment=augment, entries=entries, **rest)
        object.__setattr__(given, "model", chosen("remembers", Remembers()))
        return prepare(given, Store(store), lambda event: None)

    return build


class Scores:
    """Judges checkpoints as it was told to, and keeps the embeddings that it saw."""

    def __init__(self, *values):
        self.values, self.seen, self.key = iter(values), [], f"the scores {values}"

    def __call__(self, embeddings, labels, distance, pairs):
        self.seen.append(embeddings)
        return next(self.values)


SCORE = ValidationAuc()


def trained(plan, store, score=SCORE):
    return {trial.trial.id: trial for trial in train(plan, Store(store), score, lambda event: None)}


def start_of(plan, store):
    made = Engine(plan, Store(store), ValidationAuc(), lambda event: None)
    return made._shared.pretrained(plan.splits[0], plan.resolved.experiment.pretrain).load()


def model_of(result):
    import keras

    tensorflow()
    return keras.saving.load_model(result.network, safe_mode=True)


def weights_of(result):
    """Return the weights of a trial's model file, the trunk's first, in the order in which the engine has them."""
    trunk = next(layer for layer in model_of(result).layers if layer.name.startswith("sequential"))
    return [np.asarray(variable) for variable in (*trunk.weights, *model_of(result).layers[-1].weights)]


def changed(augment, pixels, seed=0):
    augmentation = Augmentation(augment)
    augmentation.reset(seed)
    return augmentation(pixels, *NONE).numpy()


# What the changes are --------------------------------------------------------------------------------------------------


def test_without_changes_images_are_only_normalised(faces):
    pixels = faces(4, 2)[0][..., None]
    found = Augmentation(Augment(flip=True, phase2=True))(pixels, NORMAL.mean, NORMAL.deviation)
    np.testing.assert_array_equal(found, network.normalized(pixels, NORMAL.mean, NORMAL.deviation))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_drawn_for_every_image_and_keep_the_range_of_bytes(change, channels):
    one = np.random.default_rng(0).integers(0, 256, (1, 24, 20, channels)).astype(np.uint8)
    found = changed(Augment(**{change: CHANGES[change]}), np.repeat(one, 6, axis=0))
    assert found.shape == (6, 24, 20, channels)
    assert found.min() >= 0
    assert found.max() <= 255
    for left, right in itertools.combinations([one[0].astype(np.float32), *found], 2):
        assert not np.array_equal(left, right)


def test_crop_shifts_and_zooms_by_at_most_its_share():
    pixels = np.zeros((400, 40, 40, 1), np.uint8)
    pixels[:, 16:24, 16:24] = 240
    images = changed(Augment(crop=0.2), pixels)[..., 0] / 240
    area = images.sum(axis=(1, 2)) / 64
    places = [(images.sum(axis=axis) * np.arange(40)).sum(axis=1) / images.sum(axis=(1, 2)) - 19.5 for axis in (1, 2)]
    for place in places:
        assert 6 < np.abs(place).max() < 8.7
        assert abs(place.mean()) < 0.7
    assert 0.6 < area.min() < 0.85  # (1 / 1.2)^2
    assert 1.3 < area.max() < 1.7  # (1 / 0.8)^2


def test_color_shifts_and_stretches_values_both_ways():
    pixels = np.full((500, 8, 8, 1), 100, np.uint8)
    pixels[:, ::2] = 140
    images = np.concatenate([changed(Augment(color=0.2), pixels, seed) for seed in range(20)])
    brightness = images.mean(axis=(1, 2, 3)) - 120
    contrast = (images[:, 0, 0, 0] - images[:, 1, 0, 0]) / 40
    assert -51 <= brightness.min() < -45
    assert 45 < brightness.max() <= 51.001
    assert 0.799 < contrast.min() < 0.82
    assert 1.18 < contrast.max() < 1.201
    # Uniform: half of 10,000 draws are within half of the bounds, four standard errors either way.
    for values, edge in ((brightness, 25.5), (contrast - 1, 0.1)):
        assert 0.48 < np.mean(np.abs(values) < edge) < 0.52


def test_cutout_erases_a_rectangle_to_the_mean():
    pixels = np.full((400, 32, 32, 1), 200, np.uint8)
    augmentation = Augmentation(Augment(cutout=0.25))
    images = augmentation(pixels, NORMAL.mean, NORMAL.deviation).numpy()[..., 0]
    assert set(np.unique(images)) == {0.0, 2.0}
    erased = images == 0
    sides = erased.any(axis=1).sum(axis=1), erased.any(axis=2).sum(axis=1)
    np.testing.assert_array_equal(sides[0] * sides[1], erased.sum(axis=(1, 2)))
    share = erased.mean(axis=(1, 2))
    assert 0.2 < share.max() <= (17 / 32) ** 2  # 16 pixels, or 17 as rectangles need not begin at a pixel
    assert 0.08 < share.mean() < 0.14  # (mean of sqrt(u))^2 = (2/3)^2 of a quarter


def test_blur_is_a_gaussian_that_ends_at_the_border():
    """Against SciPy: blurred with zeros outside, over the same of ones."""
    images = np.random.default_rng(0).uniform(0, 255, (4, 20, 14, 2)).astype(np.float32)
    sigmas = np.array([0.0, 0.5, 1.5, 4.0], np.float32)
    found = blurred(images, sigmas).numpy()
    np.testing.assert_allclose(found[0], images[0], rtol=1e-6)
    for image, result, sigma in zip(images[1:], found[1:], sigmas[1:], strict=True):
        blur = [
            ndimage.gaussian_filter(values, sigma, mode="constant", truncate=8, axes=(0, 1))
            for values in (image.astype(np.float64), np.ones(image.shape))
        ]
        np.testing.assert_allclose(result, blur[0] / blur[1], rtol=1e-4)


def test_random_numbers_start_over_with_the_seed_and_each_change_has_its_own(faces):
    pixels = faces(6, 4)[0][..., None]
    augmentation = Augmentation(EVERYTHING)
    images = []
    for seed in (3, 4, 3):
        augmentation.reset(seed)
        images.append([augmentation(pixels, *NONE).numpy() for _ in range(3)])
    np.testing.assert_array_equal(images[0], images[2])
    assert len(np.unique([batch[0] for batch in images[0] + images[1]], axis=0)) == 6
    bright = np.full((24, 16, 16, 1), 200, np.uint8)
    masks = [changed(augment, bright) == 0 for augment in (Augment(cutout=0.3), Augment(cutout=0.3, color=0.1))]
    np.testing.assert_array_equal(*masks)
    assert masks[0].any()


@pytest.mark.parametrize("change", CHANGES)
def test_the_step_of_phase_1_compiles_under_xla(faces, change):
    """The engine leaves XLA out of phase 1; that it could be used says that shapes are static and operations portable."""
    tf = tensorflow()
    # A trunk without max pooling, whose gradient XLA refuses while operations have to be deterministic.
    made = network.Network(Remembers(), (16, 16, 1), 8)
    pixels, labels = faces(4, 2)
    classifier = pretrain.Classifier(made, Pretrain(), Augment(**{change: CHANGES[change]}), 4)
    steps = compiled(many_steps(classifier.step, 2), xla=True)
    places = np.arange(2 * len(pixels), dtype=np.int32).reshape(2, -1) % len(pixels)
    try:
        losses = steps(
            pixels[..., None], places, np.stack([labels, labels]), NORMAL.mean, NORMAL.deviation, tf.constant(2)
        ).numpy()
    except tf.errors.InvalidArgumentError as error:
        if change == "crop" and "ImageProjectiveTransformV3" in str(error):
            pytest.skip("Keras moves images with an operation that XLA lacks; it runs outside XLA, as phase 1 does")
        raise
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


# Where they are made ---------------------------------------------------------------------------------------------------


def test_phase_2_on_images_is_a_plain_keras_loop(resolved, faces):
    """The frozen trunk on changed images, and Adam on the embedding layer alone."""
    tf = tensorflow()
    given = resolved({"loss": ToOne()})
    made = network.Network(Remembers(), (16, 16, 1), 8)
    tuner = finetune.Finetuner(made, given.losses[0], EVERYTHING, 6)
    pixels, labels = faces(6, 4)
    start = made.get_weights()
    tuner.reset(start, seed=5)

    def drawn():
        """Four people with two of their four images each, as the sampler of the experiment promises."""
        for k in itertools.count():
            first = 4 * ((np.arange(4) + k) % 6)
            yield np.concatenate([first + k % 4, first + (k + 1) % 4])

    outcome = tuner.run(
        TrainingInputs([pixels[..., None]], np.arange(len(pixels)), seed=0),
        labels,
        drawn(),
        NORMAL,
        lambda: 1.0,
        steps=6,
        validate_every=6,
        on_progress=lambda done, loss: None,
    )
    made.set_weights(start)
    augmentation = Augmentation(EVERYTHING)
    augmentation.reset(derive_seed("augment", 5))
    optimizer = tf.keras.optimizers.Adam(given.losses[0].entry.finetune.learning_rate)
    losses = []
    for index in itertools.islice(drawn(), 6):
        features = made.trunk.predict(augmentation(pixels[index][..., None], NORMAL.mean, NORMAL.deviation), verbose=0)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(made.embedding(features) - 1.0))
        variables = made.embedding.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        losses.append(float(loss))
    assert outcome.curve[0].loss == pytest.approx(np.mean(losses), rel=1e-4)
    for found, expected in zip(outcome.weights, made.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_validation_and_test_images_are_never_changed(plan_of, tmp_path):
    """With a loss that changes nothing, every checkpoint sees the embeddings of phase 1, exactly."""
    score = Scores(1.0, 1.0)
    plan = plan_of(tmp_path, {"still": Still()}, EVERYTHING, baselines=("phase1",))
    found = trained(plan, tmp_path, score)
    still, before = found["still-s0-f0"], found["phase-1-embedding-s0-f0"]
    assert still.reused == ("pretrain",)  # and no features
    assert len(score.seen) == 2
    np.testing.assert_array_equal(*score.seen)
    for part in ("validation", "test"):
        np.testing.assert_allclose(still.embeddings[part], before.embeddings[part], rtol=1e-4, atol=1e-4)
    # Features too are those of images as they are, through statistics as they were kept.
    made = network.Network(Remembers(), (16, 16, 1), 8)
    made.set_weights(start_of(plan, tmp_path))
    normal = network.Normalization.of(plan.images, plan.splits[0].train)
    expected = made.trunk.predict((plan.images.astype(np.float32) - normal.mean) / normal.deviation, verbose=0)
    (features,) = (tmp_path / "features").glob("*/features.npy")
    np.testing.assert_allclose(np.load(features)[0], expected, rtol=1e-4, atol=1e-4)


def test_phase_2_changes_images_only_where_asked_and_phase_1_is_shared(plan_of, tmp_path):
    found = {}
    for name, augment in {
        "none": Augment(),
        "phase 1": Augment(**CHANGES),
        "both": Augment(**CHANGES, phase2=True),
        "flip": Augment(flip=True),
        "flip, both": Augment(flip=True, phase2=True),
    }.items():
        found[name] = trained(plan_of(tmp_path, {"one": ToOne()}, augment), tmp_path)["one-s0-f0"]
    assert len([path for path in (tmp_path / "pretrain").iterdir() if path.is_dir()]) == 3
    assert found["phase 1"].reused == ()
    assert found["both"].reused == ("pretrain",)
    curves = {name: result.curve for name, result in found.items()}
    assert curves["flip"] == curves["flip, both"]  # both views are kept as features, in either case
    assert len({curves[name] for name in ("none", "phase 1", "both", "flip")}) == 4
    again = trained(plan_of(tmp_path, {"one": ToOne()}, Augment(**CHANGES, phase2=True)), tmp_path)["one-s0-f0"]
    assert again.reused == ("pretrain", "finetune")


def test_without_phase_1_phase_2_makes_the_changes(plan_of, tmp_path):
    scratch = Pretrain(enabled=False)
    for augment in (Augment(crop=0.1, phase2=True), Augment(flip=True)):
        (result,) = trained(plan_of(tmp_path, {"one": ToOne()}, augment, pretrain=scratch), tmp_path).values()
        assert result.status == "ok"


# The same numbers every time, and trunks that remember -----------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def plan(plan_of, home):
    return plan_of(home, {"one": ToOne(), "noisy all": Noisy(), "one all": ToOne()}, EVERYTHING, seeds=(0, 1))


@pytest.fixture(scope="module")
def results(plan, home):
    return trained(plan, home)


def test_a_trial_does_not_depend_on_those_before_it(results, plan_of, tmp_path):
    """Changed images, dropout in the trunk, dropout in the loss: all begin with the seed of the trial.

    Here the other seed is missing, and each loss comes before the one that it came after.
    """
    losses = {"one all": ToOne(), "noisy all": Noisy()}
    alone = trained(plan_of(tmp_path, losses, EVERYTHING, seeds=(1,)), tmp_path)
    assert len(alone) == 2
    for name, result in alone.items():
        assert result.status == results[name].status == "ok"
        assert (result.best_step, result.curve) == (results[name].best_step, results[name].curve)
        for part in result.embeddings:
            np.testing.assert_array_equal(result.embeddings[part], results[name].embeddings[part])
        for now, then in zip(weights_of(result), weights_of(results[name]), strict=True):
            np.testing.assert_array_equal(now, then)


def test_moving_statistics_are_learned_in_phase_1_and_kept_by_a_frozen_trunk(results, plan, home):
    start = start_of(plan, home)
    mean, variance = start[STATISTICS]
    assert (mean != 0).all()
    assert (variance != 1).all()
    moved = [not np.array_equal(now, then) for now, then in zip(weights_of(results["one-s0-f0"]), start, strict=True)]
    assert moved == [False] * 6 + [True] * 2
    moved = [
        not np.array_equal(now, then) for now, then in zip(weights_of(results["one-all-s0-f0"]), start, strict=True)
    ]
    assert moved == [True] * 8


def test_the_best_checkpoint_has_its_own_statistics(plan, tmp_path):
    """Of two checkpoints either is kept once; each time the statistics are those of its step."""
    trial = next(trial for trial in plan.trials if trial.id == "one-all-s0-f0")
    kept = []
    for values in ((1.0, 0.0), (0.0, 1.0)):
        store = Store(tmp_path / str(values))
        result = Engine(plan, store, Scores(*values), lambda event: None).run(trial)
        images = plan.images[result.split.test].astype(np.float32)
        found = model_of(result).predict(images, verbose=0)
        np.testing.assert_allclose(found, result.embeddings["test"], rtol=1e-4, atol=1e-4)
        kept.append((result.best_step, weights_of(result)[STATISTICS]))
    assert [step for step, _ in kept] == [5, 10]
    assert not np.allclose(kept[0][1][0], kept[1][1][0])


class AllImages(SamplerPlugin):
    """Every batch holds all images."""

    def supply(self):
        return BatchSupply(24, classes=6, images_per_class=4)

    def build(self, labels, seed):
        return itertools.repeat(np.arange(24))


@pytest.mark.parametrize("phase", [1, 2])
def test_moving_statistics_are_those_of_a_plain_keras_loop(resolved, faces, phase):
    """mean <- 0.8 mean + 0.2 mean of the batch, once a step, also where many steps are one call."""
    made = network.Network(Remembers(), (16, 16, 1), 8)
    pixels, labels = faces(6, 4)
    images = pixels[..., None]
    start = made.get_weights()
    tiny_rate = 1e-12  # the convolution stays, so that only statistics move
    if phase == 1:
        settings = Pretrain(batch_size=24, learning_rate=tiny_rate)
        classifier = pretrain.Classifier(made, settings, Augment(), 6)
        classifier.reset(start, 0, 4)
        classifier.run(
            [images], labels, pretrain.batches(np.arange(24), settings, Augment(), 0), NORMAL, 3, lambda *_: None
        )
    else:
        (loss,) = resolved({"loss": ToOne()}, sampler=AllImages()).losses
        settings = loss.entry.finetune.model_copy(update={"trainable": "all", "learning_rate": tiny_rate})
        object.__setattr__(loss, "entry", loss.entry.model_copy(update={"finetune": settings}))
        tuner = finetune.Finetuner(made, loss, Augment(), 6)
        tuner.reset(start, 0)
        tuner.run(
            TrainingInputs([images], np.arange(len(images)), seed=0),
            labels,
            AllImages().build(labels, 0),
            NORMAL,
            lambda: 1.0,
            steps=3,
            validate_every=3,
            on_progress=lambda done, loss: None,
        )
    convolved = made.trunk.layers[0]((images.astype(np.float32) - 120) / 40).numpy()
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        mean = 0.8 * mean + 0.2 * convolved.mean(axis=(0, 1, 2))
        variance = 0.8 * variance + 0.2 * convolved.var(axis=(0, 1, 2))
    found = made.get_weights()[STATISTICS]
    np.testing.assert_allclose(found[0], mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[1], variance, rtol=1e-2)
