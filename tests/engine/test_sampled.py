"""Class weights of which each step sees a few, against NumPy and against training with all of them."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import faceexp
from faceexp.contract import BatchNeeds, BatchSupply, Distance, LossContext, LossPlugin, SamplerPlugin
from faceexp.engine import finetune, network, pretrain
from faceexp.engine.backend import tensorflow
from faceexp.engine.inputs import TrainingInputs
from faceexp.engine.losses import build_loss
from faceexp.engine.sampled import NotSampledError, is_sampled, sample
from faceexp.experiment.schema import Augment, Finetune, Pretrain
from faceexp.layers import proxy_layer
from faceexp.registry.installed import discover

PEOPLE, BATCH, DIM = 30, 6, 8
NORMAL = network.Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))
LABELS = np.repeat(np.arange(PEOPLE, dtype=np.int32), 2)
# What a loss has that no sample can exchange, by the words of the message that says so.
REFUSED = {"center": "not made by faceexp.layers.proxy_layer", "vpl": "more of each identity than its proxies"}


class Pull(LossPlugin):
    """Half the squared distance to the own proxy, and an eighth of that to all proxies, both as means over the batch."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    def build(self, ctx):
        tf = tensorflow()

        def pull(labels, embeddings, proxies):
            squared = tf.reduce_sum(tf.square(embeddings[:, None] - proxies[None]), axis=2)
            own = tf.reduce_sum(tf.one_hot(labels, ctx.num_classes) * squared, axis=1)
            return tf.reduce_mean(own / 2 + tf.reduce_sum(squared, axis=1) / 8)

        return proxy_layer(ctx, pull)


class Drawn(SamplerPlugin):
    """Random images of any person."""

    def supply(self):
        return BatchSupply(BATCH)

    def build(self, labels, seed):
        random = np.random.default_rng(seed)
        while True:
            yield random.integers(0, len(labels), BATCH)


def numbers(labels, size, classes, seed):
    return sample(np.array(labels), size, classes, np.random.default_rng(seed))


@given(st.data())
@settings(deadline=None)
def test_a_sample_holds_the_batch_and_nobody_twice(data):
    classes = data.draw(st.integers(1, 60))
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=40))
    size = data.draw(st.integers(len(set(labels)), classes))
    chosen, places = numbers(labels, size, classes, data.draw(st.integers(0, 9)))
    assert len(chosen) == len(set(chosen.tolist())) == size
    assert set(labels) <= set(chosen.tolist()) <= set(range(classes))
    assert [chosen[place] for place in places] == labels


def test_everybody_who_is_not_in_the_batch_is_as_likely():
    """20 classes, 3 in the batch, 5 of the 17 others in each of 4000 samples: chi-square of how often each was drawn."""
    random, counts = np.random.default_rng(0), np.zeros(20)
    for _ in range(4000):
        counts[sample(np.array([4, 9, 9, 13]), 8, 20, random)[0]] += 1
    assert counts[[4, 9, 13]].tolist() == [4000] * 3
    assert stats.chisquare(np.delete(counts, [4, 9, 13])).pvalue > 0.001


def test_a_sample_of_all_changes_no_label():
    chosen, places = numbers([3, 0, 3], 5, 5, 0)
    assert chosen.tolist() == [0, 1, 2, 3, 4]
    assert places.tolist() == [3, 0, 3]


@pytest.fixture
def tuner_of(resolved):
    """``tuner_of(loss plugin, more keys of [finetune])``: the network, and the compiled training of the loss."""

    def build(plugin, **changes):
        wanted = resolved({"loss": plugin}, sampler=Drawn())
        (loss,) = wanted.losses
        given = loss.entry.finetune.model_dump() | {"learning_rate": 1e-2} | changes
        entry = loss.entry.model_copy(update={"finetune": Finetune.model_validate(given)})
        made = network.Network(wanted.model.plugin, (16, 16, 1), DIM)
        return made, finetune.Finetuner(made, dataclasses.replace(loss, entry=entry), Augment(), PEOPLE)

    return build


def losses_of(tuner, inputs, start, *, seed=0, steps=20):
    """Return the loss of every step of a training."""
    tuner.reset(start, seed)
    given = TrainingInputs([inputs], np.arange(len(inputs)), seed=0)
    batches = Drawn().build(LABELS, 5)
    rest = {"steps": steps, "validate_every": 1, "on_progress": lambda done, loss: None}
    return [each.loss for each in tuner.run(given, LABELS, batches, NORMAL, lambda: 1.0, **rest).curve]


def features_of(made):
    return np.random.default_rng(1).normal(size=(len(LABELS), made.width)).astype(np.float32)


MOMENTUM = {"optimizer": {"name": "sgd", "momentum": 0.9}}


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        ("arcface", {}),
        ("arcface", {"trainable": "all"}),  # on images, without XLA
        ("arcface", {**MOMENTUM, "learning_rate": 1e-3}),
        ("arcface", {"proxies": {"learning_rate": 0.1, **MOMENTUM}, "clip_norm": 1.0}),
        ("soft_triple", {}),  # ten proxies for each
        ("uniface", {}),  # and a number beside them
        ("elasticface", {}),  # and random numbers
        ("curricularface", {}),  # and a moving mean
    ],
)
def test_a_sample_of_all_trains_as_without_a_sample(tuner_of, faces, loss, changes):
    plugin: Any = discover().find("loss", loss).load()()
    losses = []
    for sampled in (None, float(PEOPLE)):
        made, tuner = tuner_of(plugin, **changes, sampled_classes=sampled)
        on_images = changes.get("trainable") == "all"
        inputs = faces(PEOPLE, 2)[0][..., None] if on_images else features_of(made)
        weights = network.initial_weights(made_model(), (16, 16, 1), DIM, 0)
        losses.append(losses_of(tuner, inputs, weights))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def made_model():
    return discover().configure("model", "thin_vgg", {"widths": [4], "kernel_sizes": [3]}).plugin


def watched(tuner):
    """Let every call also note, for each of its steps, who takes part and the labels among them."""
    drawn: list[tuple[np.ndarray, ...]] = []
    draw = tuner.classes.drawn

    def noting(labels, count):
        within, chosen = draw(labels, count)
        drawn.extend(zip(labels[:count].copy(), chosen[:count].copy(), within[:count].copy(), strict=True))
        return within, chosen

    tuner.classes.drawn = noting
    return drawn


def adam(weight, kept, slope, step):
    for moment, share, value in zip(kept, (0.9, 0.999), (slope, slope**2), strict=True):
        moment *= share
        moment += (1 - share) * value
    rate = 1e-2 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return weight - rate * kept[0] / (np.sqrt(kept[1]) + 1e-7)


def with_momentum(weight, kept, slope, step):
    kept[0] *= 0.9
    kept[0] -= 1e-2 * slope
    return weight + kept[0]


def adagrad(weight, kept, slope, step):
    """Keras begins the sum of squares with 0.1."""
    kept[0] += slope**2
    return weight - 1e-2 * slope / np.sqrt(kept[0] + 1e-7)


@pytest.mark.parametrize(
    ("changes", "update", "first"),
    [
        ({}, adam, 0.0),
        ({"sampled_classes": 0.4}, adam, 0.0),
        (MOMENTUM, with_momentum, 0.0),
        ({"optimizer": {"name": "adagrad"}}, adagrad, 0.1),
    ],
)
def test_rows_that_take_part_are_changed_as_numpy_does_and_all_others_stay(tuner_of, changes, update, first):
    """The network is written out too: its embedding layer has an optimiser of its own, with the same settings."""
    made, tuner = tuner_of(Pull(), **{"sampled_classes": 12, **changes})
    inputs, start = features_of(made), made.get_weights()
    drawn = watched(tuner)
    tuner.reset(start, 0)
    before = [variable.numpy().reshape(PEOPLE, -1).astype(np.float64) for variable in tuner.classes.variables]
    bits = tuner.classes.variables[0].numpy().reshape(PEOPLE, -1)
    found = losses_of(tuner, inputs, start, steps=7)
    table, *kept = (variable.numpy().reshape(PEOPLE, -1) for variable in tuner.classes.variables)

    proxies, moments = before[0], [np.full((PEOPLE, DIM), first) for _ in kept]
    embedding = [weight.astype(np.float64) for weight in start[-2:]]
    of_network = [[np.full(weight.shape, first) for _ in kept] for weight in embedding]
    rows, expected = Drawn().build(LABELS, 5), []
    for step, (labels, chosen, within) in enumerate(drawn, start=1):
        images = next(rows)
        assert (LABELS[images] == labels).all()
        assert (chosen[within] == labels).all()
        x = inputs[images].astype(np.float64)
        apart = (x @ embedding[0] + embedding[1])[:, None] - proxies[chosen][None]  # (B, S, D)
        own = within[:, None] == np.arange(len(chosen))[None]
        squared = (apart**2).sum(axis=2)
        expected.append((squared * own).sum(axis=1).mean() / 2 + squared.sum(axis=1).mean() / 8)
        slope = apart * (own + 0.25)[..., None] / BATCH
        upstream = slope.sum(axis=1)
        for number, gradient in enumerate((x.T @ upstream, upstream.sum(axis=0))):
            embedding[number] = update(embedding[number], of_network[number], gradient, step)
        of_rows = [moment[chosen] for moment in moments]
        proxies[chosen] = update(proxies[chosen], of_rows, -slope.sum(axis=0), step)
        for moment, changed in zip(moments, of_rows, strict=True):
            moment[chosen] = changed
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(table, proxies, rtol=1e-3, atol=1e-5)
    for now, then in zip(kept, moments, strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-5)
    left_out = np.setdiff1d(np.arange(PEOPLE), np.concatenate([chosen for _, chosen, _ in drawn[:2]]))
    losses_of(tuner, inputs, start, steps=2)
    table, *kept = (variable.numpy().reshape(PEOPLE, -1) for variable in tuner.classes.variables)
    assert len(left_out)
    np.testing.assert_array_equal(table[left_out], bits[left_out])
    for now in kept:
        np.testing.assert_array_equal(now[left_out], np.float32(first))


def test_the_seed_of_a_training_decides_and_not_what_was_trained_before(tuner_of):
    made, tuner = tuner_of(Pull(), sampled_classes=12)
    inputs, start = features_of(made), made.get_weights()
    first, other, again = (losses_of(tuner, inputs, start, seed=seed, steps=5) for seed in (3, 4, 3))
    assert first == again != other
    _, fresh = tuner_of(Pull(), sampled_classes=12)
    assert losses_of(fresh, inputs, start, seed=3, steps=5) == first


def test_how_many_steps_a_call_makes_changes_nothing(tuner_of):
    made, tuner = tuner_of(Pull(), sampled_classes=12)
    start = made.get_weights()
    tuner.reset(start, 0)
    given = TrainingInputs([features_of(made)], np.arange(len(LABELS)), seed=0)
    rest = {"steps": 5, "validate_every": 1, "on_progress": lambda done, loss: None, "chunk": 1}
    one_by_one = tuner.run(given, LABELS, Drawn().build(LABELS, 5), NORMAL, lambda: 1.0, **rest)
    assert [each.loss for each in one_by_one.curve] == losses_of(tuner, features_of(made), start, steps=5)


ALL_LOSSES = sorted(discover().names("loss"))


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_each_loss_is_sampled_or_has_nothing_to_sample_or_says_why_not(name):
    """Of a loss that is sampled, the first proxies are those that it would have without a sample."""
    plugin: Any = discover().find("loss", name).load()()
    if name in REFUSED:
        with pytest.raises(NotSampledError, match=REFUSED[name]):
            is_sampled(plugin, DIM)
        return
    few, many = (plugin.build(LossContext(classes, DIM, 3)) for classes in (4, 40))
    sizes = [sum(int(np.prod(each.shape)) for each in getattr(loss, "weights", ())) for loss in (few, many)]
    assert is_sampled(plugin, DIM) == (sizes[0] < sizes[1])
    if is_sampled(plugin, DIM):
        np.testing.assert_array_equal(few.first_proxies(40), many.proxies.numpy())
        x = np.random.default_rng(0).normal(size=(6, DIM)).astype(np.float32)
        chosen, within = numbers([30, 2, 30, 17, 5, 2], 4, 40, 0)
        few.proxies.assign(many.proxies.numpy().reshape(40, -1)[chosen].reshape(few.proxies.shape))
        assert np.isfinite(few(tensorflow().constant(within, "int32"), x).numpy())


def test_a_loss_without_rows_for_each_identity_keeps_its_weights(tuner_of):
    plugin: Any = discover().configure("loss", "manifold", {"K": 5}).plugin
    _, tuner = tuner_of(plugin, sampled_classes=12)
    assert tuner.loss.function.proxies.shape == (5, DIM)
    assert tuner.classes.variables == []


@pytest.mark.parametrize("loss", [None, "arcface"])
def test_phase_1_on_a_sample_of_all_is_phase_1(resolved, faces, loss):
    plugin: Any = discover().find("loss", loss).load()() if loss else None
    made = network.Network(made_model(), (16, 16, 1), DIM)
    pixels, labels = faces(PEOPLE, 2)
    start, histories = made.get_weights(), []
    for sampled in (None, float(PEOPLE), 10):
        changes = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2, "sampled_classes": sampled}
        settings = Pretrain.model_validate(changes)
        classifier = pretrain.Classifier(made, settings, Augment(), PEOPLE, plugin)
        for _ in range(2):
            classifier.reset(start, seed=3, steps=20)
            drawn = pretrain.batches(np.arange(len(labels)), settings, Augment(), seed=1)
            histories.append(classifier.run([pixels[..., None]], labels, drawn, NORMAL, 20, lambda *_: None))
    np.testing.assert_allclose(histories[2], histories[0], rtol=1e-5)
    assert histories[4] == histories[5]
    assert np.isfinite(histories[4]).all()
    assert max(histories[4]) < max(histories[0])  # fewer others to be told from


def test_weights_are_built_for_a_sample_and_drawn_once_for_all(tuner_of, monkeypatch):
    drawn = []
    keras = tensorflow().keras
    normal = keras.initializers.RandomNormal.__call__

    def noting(self, shape, *rest, **named):
        drawn.append(tuple(shape))
        return normal(self, shape, *rest, **named)

    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", noting)
    made, tuner = tuner_of(Pull(), sampled_classes=12)
    tuner.reset(made.get_weights(), 0)
    assert drawn.count((PEOPLE, DIM)) == 1
    assert max(rows for rows, _ in drawn if rows != PEOPLE) == 12
    whole = build_loss(Pull(), PEOPLE, DIM, 0)
    np.testing.assert_array_equal(tuner.classes.variables[0].numpy().reshape(PEOPLE, DIM), whole.proxies.numpy())


END_TO_END = """
[pretrain]
epochs = 1
batch_size = 4
sampled_classes = 5
[finetune]
steps = 10
validate_every = 5
sampled_classes = 0.75
"""


def test_a_run_with_samples_in_both_phases_gives_the_same_numbers_whatever_ran_before(
    small_spec, face_folder, tmp_path
):
    """Eight people are trained on: 5 of them at a time in phase 1, 6 in phase 2. Models hold no class weights."""
    text = small_spec("sampled", face_folder, "arcface", "soft_triple").replace("seeds = [0, 1]", "seeds = [0]")
    before, rest = text.split("[pretrain]")
    (tmp_path / "spec.toml").write_text(before + END_TO_END + rest[rest.index("[finetune.sampler]") :])
    both = faceexp.load(tmp_path / "spec.toml").run(tmp_path / "both", store=tmp_path / "one")
    alone = faceexp.load(tmp_path / "spec.toml", only=["soft_triple"]).run(tmp_path / "alone", store=tmp_path / "other")
    values = {trial.label: trial for trial in both.trials}
    (again,) = (trial for trial in alone.trials if trial.label == "soft_triple")
    assert values["arcface"].status == values["soft_triple"].status == "ok"
    assert again.metrics == values["soft_triple"].metrics
    parameters = [values[label].budget.trainable_parameters for label in ("arcface", "soft_triple")]
    assert parameters[1] - parameters[0] == (10 - 1) * 6 * 8  # numbers that a step changes
    model = tensorflow().keras.models.load_model(next((both.folder / "models").glob("arcface*/*.keras")))
    assert not [each.path for each in model.weights if "proxies" in each.path]
