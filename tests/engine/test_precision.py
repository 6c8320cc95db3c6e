"""A network of mixed precision: what computes in 16 bits, what stays float32, and what its files hold."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from faceexp.contract import Distance, LossPlugin, ModelPlugin
from faceexp.engine import network
from faceexp.engine.backend import tensorflow
from faceexp.engine.borders import PluginValueError
from faceexp.engine.features import open_features
from faceexp.engine.network import Network, Normalization
from faceexp.engine.training import train
from faceexp.engine.trials import Engine
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.schema import ModelRef, Pretrain
from faceexp.registry.installed import discover
from faceexp.store import Store

MIXED = ("mixed_float16", "mixed_bfloat16")
# The largest error of rounding once, as a share of the number.
ROUNDING = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}
SHAPE = (16, 16, 1)
NORMAL = Normalization(np.array([120.0], np.float32), np.array([40.0], np.float32))


class OfEveryKind(ModelPlugin):
    """A trunk with layers that Keras runs in their own ways, one of them inside another model."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        keras = tensorflow().keras
        layers = keras.layers
        inner = keras.Sequential([keras.Input((14, 14, 4)), layers.BatchNormalization(), layers.ReLU()])
        pixels = keras.Input(input_shape)
        hidden = layers.Dropout(0.5, seed=0)(inner(layers.Conv2D(4, 3)(pixels)))
        return keras.Model(pixels, layers.Flatten()(layers.MaxPooling2D()(hidden)))


class OfAFile(ModelPlugin):
    """A trunk whose layers say themselves what they compute in, as those of a file do."""

    reference: ClassVar[str] = "here"

    def build(self, input_shape):
        keras = tensorflow().keras
        convolution = keras.layers.Conv2D(2, 3, dtype="float32")
        return keras.Sequential([keras.Input(input_shape), convolution, keras.layers.Flatten()])


class Still(LossPlugin):
    """Asks for no change at all, and refuses embeddings that are not float32."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()

        def loss(labels, embeddings):
            if embeddings.dtype != tf.float32:
                raise TypeError(embeddings.dtype)
            return 0.0 * tf.reduce_sum(embeddings)

        return loss


class NoNumber(LossPlugin):
    """Is not a number, and neither is its gradient."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        tf = tensorflow()
        return lambda labels, embeddings: tf.reduce_sum(embeddings) * np.float32(np.nan)


def thin_vgg():
    plugin: Any = discover().find("model", "thin_vgg").load()
    return plugin(widths=[4, 4], kernel_sizes=[3])


TRUNKS = {"a stack": thin_vgg, "layers of every kind": OfEveryKind}


def pixels(count=9):
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def largest_difference(found, expected):
    """Return the largest difference as a share of the largest number."""
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.fixture(params=TRUNKS)
def trunk(request):
    return TRUNKS[request.param]()


@pytest.mark.parametrize("precision", MIXED)
def test_every_layer_computes_in_it_and_every_weight_is_float32(trunk, precision):
    keras = tensorflow().keras
    made = Network(trunk, SHAPE, 8, precision=precision)
    layers = [*network._layers(made.trunk), made.embedding]
    assert {layer.compute_dtype for layer in layers} == {precision.removeprefix("mixed_")}
    assert {variable.dtype for variable in made.variables} == {"float32"}
    # It is that of this network alone.
    assert keras.config.dtype_policy().name == "float32"
    assert {layer.compute_dtype for layer in network._layers(Network(trunk, SHAPE, 8).trunk)} == {"float32"}


@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("training", [False, True])
def test_what_comes_out_is_rounded_to_it(trunk, precision, training):
    tf = tensorflow()
    made = Network(trunk, SHAPE, 8, precision=precision)
    features = made.features(tf.constant(pixels() / np.float32(255)), training=training)
    assert features.dtype.name == precision.removeprefix("mixed_")
    assert made.embeddings(features).dtype == tf.float32


@pytest.mark.parametrize("precision", MIXED)
def test_features_and_embeddings_are_float32_and_near_those_of_float32(trunk, precision):
    made, plain = (Network(trunk, SHAPE, 8, precision=each) for each in (precision, "float32"))
    made.set_weights(plain.get_weights())
    features, expected = (each.extract(pixels(), NORMAL) for each in (made, plain))
    embeddings, expected_embeddings = (each.embed(pixels(), np.arange(9), NORMAL) for each in (made, plain))
    assert features.dtype == embeddings.dtype == np.float32
    for found, usual in ((features, expected), (embeddings, expected_embeddings)):
        # Ten roundings at most, which add up at worst. Not one would be a policy that is not in force.
        assert 0 < largest_difference(found, usual) < 10 * ROUNDING[precision]
    # Embeddings of features in the store are those of images.
    np.testing.assert_array_equal(made.embed(features, np.arange(9), NORMAL), embeddings)


def test_float32_is_what_it_was_without_a_choice(trunk):
    """Nothing is cast, which would be a further operation."""
    tf = tensorflow()
    made = Network(trunk, SHAPE, 8)
    features = tf.constant(made.extract(pixels(), NORMAL))
    np.testing.assert_array_equal(made.embeddings(features), made.embedding(features))
    graph = made._embedded_features.get_concrete_function(features).graph.as_graph_def()
    assert "Cast" not in {node.op for node in graph.node}


@pytest.mark.parametrize("precision", ["float32", *MIXED])
def test_the_embedding_layer_in_numpy_is_that_of_keras(precision):
    made = Network(thin_vgg(), SHAPE, 8, precision=precision)
    features = made.extract(pixels(), NORMAL)
    kernel, bias = made.get_weights()[-2:]
    bias = bias + np.float32(0.3)
    made.embedding.bias.assign(bias)
    expected = made.embed(features, np.arange(9), NORMAL)
    found = network.dense(features, kernel, bias, precision)
    assert found.dtype == np.float32
    # Sums in another order may round to the next number.
    assert largest_difference(found, expected) <= 2 * ROUNDING.get(precision, 1e-6)


def test_a_trunk_that_chooses_its_own_precision_is_refused():
    with pytest.raises(PluginValueError) as caught:
        Network(OfAFile(), SHAPE, 8, precision="mixed_float16")
    assert str(caught.value) == (
        "no layer of the trunk computes in mixed_float16: layers of a file keep the precision that they were saved "
        "with; leave precision out of [model]"
    )
    assert tensorflow().keras.config.dtype_policy().name == "float32"
    Network(OfAFile(), SHAPE, 8)


@pytest.mark.parametrize("precision", MIXED)
def test_the_file_holds_float32_layers_with_the_weights_of_the_network(trunk, precision, tmp_path):
    keras = tensorflow().keras
    made, plain = (Network(trunk, SHAPE, 8, precision=each) for each in (precision, "float32"))
    made.check()
    weights = [value + np.float32(0.1) for value in made.get_weights()]
    made.set_weights(weights)
    plain.set_weights(weights)
    made.save(tmp_path / "model.keras", weights, NORMAL)
    opened = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert {layer.compute_dtype for layer in network._layers(opened)} == {"float32"}
    embeddings = opened.predict(pixels(), verbose=0)
    np.testing.assert_allclose(embeddings, plain.embed(pixels(), np.arange(9), NORMAL), rtol=1e-4, atol=1e-5)
    measured = made.embed(pixels(), np.arange(9), NORMAL)
    assert 0 < largest_difference(measured, embeddings) < 10 * ROUNDING[precision]
    # To write it changes nothing of the network.
    for now, before in zip(made.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)


def test_float32_stays_out_of_what_a_run_is_named_after():
    """As it was before there was a choice."""
    plain = {"plugin": "thin_vgg", "options": {}, "embedding_dim": 8}
    assert ModelRef(**plain).model_dump() == ModelRef(**plain, precision="float32").model_dump() == plain
    assert ModelRef(**plain, precision="mixed_float16").model_dump() == {**plain, "precision": "mixed_float16"}


def trained(planned, store, precision, losses=None, **rest):
    """Return what training ends with, of a loss that changes nothing if no other is given, and the baselines."""
    model = ModelRef(plugin="thin_vgg", options={"widths": [4], "kernel_sizes": [3]}, embedding_dim=8)
    model = model.model_copy(update={"precision": precision})
    losses = losses or {"still": Still()}
    plan = planned(store, losses, model=model, baselines=("untrained", "phase1"), **rest)
    found = {trial.trial.label: trial for trial in train(plan, Store(store), ValidationAuc(), lambda event: None)}
    return plan, found


@pytest.mark.parametrize("precision", MIXED)
def test_phase_1_features_and_baselines_are_of_the_network_as_it_is(planned, tmp_path, precision):
    plan, found = trained(planned, tmp_path, precision)
    assert {label: trial.status for label, trial in found.items()} == {
        "untrained trunk": "ok",
        "phase-1 embedding": "ok",
        "still": "ok",
    }
    # Of a loss that changes nothing, each embedding is that of phase 1, but for the order of a sum.
    phase1, still = (found[label].embeddings["test"] for label in ("phase-1 embedding", "still"))
    assert largest_difference(phase1, still) <= 2 * ROUNDING[precision]
    # In the store, features are numbers of float32 that have no more digits than the precision has.
    engine = Engine(plan, Store(tmp_path), ValidationAuc(), lambda event: None)
    start = engine._shared.pretrained(plan.splits[0], plan.resolved.experiment.pretrain)
    features = open_features(engine._shared.features(plan.splits[0], start)[0].path)
    tf = tensorflow()
    rounded = tf.cast(tf.cast(features, precision.removeprefix("mixed_")), tf.float32)
    np.testing.assert_array_equal(rounded, features)
    assert found["untrained trunk"].embeddings["test"].dtype == np.float32


@pytest.mark.parametrize("pretrain", [Pretrain(epochs=1, batch_size=12), Pretrain(enabled=False)])
def test_each_precision_is_a_training_of_its_own(planned, tmp_path, pretrain):
    """In one store, nothing that one precision has trained or computed is used for another."""
    results = [trained(planned, tmp_path, precision, pretrain=pretrain)[1] for precision in ("float32", *MIXED)]
    assert not any(found["untrained trunk"].reused for found in results)
    for label in ("still", "untrained trunk"):
        assert len({found[label].key for found in results}) == 3


@pytest.mark.parametrize("precision", MIXED)
def test_trainings_do_not_depend_on_each_other(planned, tmp_path, precision):
    """Two seeds, one after the other, and the second one alone: the same bits, whatever the scale was before."""
    contrastive: Any = discover().find("loss", "contrastive").load()
    model = ModelRef(plugin="thin_vgg", options={"widths": [4], "kernel_sizes": [3]}, embedding_dim=8)
    tables = {"model": model.model_copy(update={"precision": precision})}

    def embeddings(store, seeds):
        plan = planned(store, {"loss": contrastive(margin=3.0)}, seeds=seeds, **tables)
        (*_, last) = train(plan, Store(store), ValidationAuc(), lambda event: None)
        assert last.status == "ok", last.reason
        return last.embeddings["test"]

    both, alone = embeddings(tmp_path / "both", (0, 1)), embeddings(tmp_path / "alone", (1,))
    np.testing.assert_array_equal(both, alone)


def test_a_loss_that_is_no_number_diverges_at_once(planned, tmp_path):
    """As in float32, although steps whose gradients are not finite are left out."""
    losses = {"no number": NoNumber()}
    found = trained(planned, tmp_path, "mixed_float16", losses, pretrain=Pretrain(enabled=False))[1]["no number"]
    assert (found.status, found.reason) == ("diverged", "the loss is not finite at step 1")
