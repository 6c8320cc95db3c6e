"""What trains would run on a GPU: XLA compiles it, and every operation of it has a kernel there.

No GPU is needed. TensorFlow for Linux is built for NVIDIA's, so its registry knows their kernels on every machine. That
a kernel is registered, and takes the types that it would be given, is what can be known there; that it gives the right
numbers cannot.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

from faceexp.contract import LossPlugin
from faceexp.engine.backend import begin, compiled, reseed, tensorflow
from faceexp.engine.borders import scalar
from faceexp.engine.finetune import Finetuner
from faceexp.engine.losses import build_loss, trainable_variables, weights_of
from faceexp.engine.network import Network, Normalization
from faceexp.engine.pretrain import Classifier
from faceexp.experiment.optimization import Optimizer
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.registry.installed import discover

LOSSES = sorted(plugin.name for plugin in discover().plugins if plugin.kind == "loss")
CLASSES, DIM, SHAPE = 8, 8, (16, 16, 1)
# One of these has to take a node. What is registered for DEFAULT runs on every device: it only moves or names values.
ON_A_GPU = frozenset({"GPU", "DEFAULT"})
# What XLA makes of a node on a GPU.
XLA_ON_A_GPU = frozenset({"XLA_GPU_JIT"})
# The kinds of attributes by which a kernel is chosen: types, lists of them, and texts.
CHOOSING = frozenset({"type", "list", "s"})
# Nothing is computed here: a graph is given values at these places, and XLA knows them without a kernel.
GIVEN = frozenset({"Placeholder"})
# What TensorFlow runs on the host beside a GPU, where XLA does not compile the step. Images are bytes, and the rows of a
# batch are chosen where all of them lie. Two losses of tensorflow-similarity write a few bools into a table of the batch.
ON_THE_HOST = frozenset({("GatherV2", "uint8"), ("TensorScatterUpdate", "bool")})
# What phase 2 trains, by the name of a case; the embedding layer alone is trained on features that are computed once.
TRAINED = {"phase 2, embedding layer": "embedding", "phase 2, whole network": "all"}
ON_FEATURES = {"phase 2, embedding layer"}
STEPS = 2
# A value and a gradient of float32 are sums of some hundred numbers, which XLA adds in another order.
RTOL, ATOL = 2e-4, 2e-5


@functools.cache
def kernels_of(operation: str) -> list[Any]:
    from tensorflow.python.framework import kernels

    return list(kernels.get_registered_kernels_for_op(operation).kernel)


@pytest.fixture(scope="module", autouse=True)
def _knows_gpus() -> None:
    compiled(lambda: tensorflow().zeros(()), xla=True)()  # what XLA takes is registered when it first compiles
    if not any(kernel.device_type == "GPU" for kernel in kernels_of("MatMul")):
        pytest.skip("this TensorFlow is built without any kernel for GPUs, as on macOS or in tensorflow-cpu")


def nodes_of(concrete: Any) -> list[Any]:
    """Return the nodes of a drawn graph and of each function that it calls: bodies of loops, branches, gradients.

    Of those that kernels cannot tell apart, one is returned.
    """
    graph = concrete.graph.as_graph_def()
    distinct = {}
    for nodes in (graph.node, *(body.node_def for body in graph.library.function)):
        for node in nodes:
            kinds = ((name, value) for name, value in node.attr.items() if value.WhichOneof("value") in CHOOSING)
            distinct[node.op, tuple(sorted((name, value.SerializeToString()) for name, value in kinds))] = node
    return list(distinct.values())


def takes(kernel: Any, node: Any) -> bool:
    """Return whether a kernel takes the types of a node, and the texts that some have as well."""
    for constraint in kernel.constraint:
        attribute, allowed = node.attr[constraint.name], constraint.allowed_values.list
        given = attribute.list if attribute.WhichOneof("value") == "list" else None
        types = given.type if given else [attribute.type]
        is_taken = attribute.s in allowed.s if allowed.s else set(types) <= set(allowed.type)
        if not is_taken:
            return False
    return True


def without_a_kernel(concrete: Any, devices: frozenset[str]) -> set[str]:
    """Return the nodes that no kernel of these devices takes, as ``Operation(type, ...)``."""
    lacking = set()
    for node in nodes_of(concrete):
        if node.op in GIVEN or any(k.device_type in devices and takes(k, node) for k in kernels_of(node.op)):
            continue
        types = [tensorflow().as_dtype(value.type).name for _, value in sorted(node.attr.items()) if value.type]
        if not any((node.op, name) in ON_THE_HOST for name in types):
            lacking.add(f"{node.op}({', '.join(types)})")
    return lacking


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Return labels and embeddings of four people with four images each, as every loss takes them."""
    labels = np.tile(np.arange(4, dtype=np.int32), 4)
    labels[12:] = np.roll(labels[12:], 1)  # so that the halves hold similar and different pairs
    return labels, np.random.default_rng(0).normal(size=(16, DIM)).astype(np.float32)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_compiles_and_has_kernels(name) -> None:
    tf = tensorflow()
    plugin = cast("LossPlugin", discover().configure("loss", name, {}).plugin)
    loss = build_loss(plugin, CLASSES, DIM, seed=0)
    weights = trainable_variables(loss)
    initial = [variable.numpy() for variable in weights_of(loss)]

    def step(labels: Any, embeddings: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = scalar(loss(labels, embeddings))
        return [value, *tape.gradient(value, [embeddings, *weights], unconnected_gradients="zero")]

    labels, embeddings = (tf.constant(values) for values in batch())
    drawn = compiled(step).get_concrete_function(labels, embeddings)
    expected = [value.numpy() for value in drawn(labels, embeddings)]
    for variable, value in zip(weights_of(loss), initial, strict=True):
        variable.assign(value)
    reseed(loss, 0)
    values = [value.numpy() for value in compiled(step, xla=True)(labels, embeddings)]
    assert without_a_kernel(drawn, ON_A_GPU) == set()
    assert without_a_kernel(drawn, XLA_ON_A_GPU) == set()
    assert plugin.traits().xla
    assert all(np.isfinite(value).all() for value in (*values, *expected))
    # XLA draws other random numbers; their mean is compared in the plugin's own tests.
    if not any(variable.name == "seed_generator_state" for variable in getattr(loss, "variables", [])):
        for value, wanted in zip(values, expected, strict=True):
            np.testing.assert_allclose(value, wanted, RTOL, ATOL * max(1.0, float(np.abs(wanted).max())))


def images() -> tuple[np.ndarray, np.ndarray]:
    labels, _ = batch()
    return labels, np.random.default_rng(1).integers(0, 256, (len(labels), *SHAPE), dtype=np.uint8)


@pytest.fixture
def phase(resolved, tiny):
    """``phase("phase 1", augment)``: what makes the training steps, the network, and one that sets both back."""

    def build(name: str, augment: Augment) -> tuple[Classifier | Finetuner, Network, Callable[[], None]]:
        slow = {"learning_rate": 1e-2, "optimizer": Optimizer(name="sgd")}
        finetune = tiny().finetune.model_copy(update={**slow, "trainable": TRAINED.get(name, "embedding")})
        given = resolved({"own": discover().configure("loss", "arcface", {}).plugin}, finetune=finetune)
        network = Network(given.model.plugin, SHAPE, DIM)
        start = network.get_weights()
        if name == "phase 1":
            classifier = Classifier(network, Pretrain(dropout=0.0, **slow), augment, CLASSES)
            return classifier, network, lambda: classifier.reset(start, 0, STEPS)
        finetuner = Finetuner(network, given.losses[0], augment, CLASSES)
        return finetuner, network, lambda: finetuner.reset(start, 0)

    return build


def arguments_of(network: Network, *, on_images: bool) -> list[Any]:
    """Return what :func:`many_steps` takes: the source, and which rows each batch consists of."""
    tf = tensorflow()
    labels, pixels = images()
    source = pixels if on_images else network.extract(pixels, Normalization.none(1))
    places = np.stack([np.roll(np.arange(len(labels), dtype=np.int32), 2 * step) for step in range(STEPS)])
    given = source, places, labels[places], np.full(1, 120.0, np.float32), np.full(1, 40.0, np.float32), STEPS
    return [tf.constant(each) for each in given]


@pytest.fixture
def nondeterministic() -> Iterator[None]:
    """XLA has no deterministic form of the gradient of max pooling, on any device; outside XLA there is one."""
    begin("auto", deterministic=False)
    yield
    begin("auto")


@pytest.mark.parametrize("name", ["phase 1", *TRAINED])
def test_each_phase_compiles_and_has_kernels(phase, nondeterministic, name) -> None:
    made, network, reset = phase(name, Augment())
    arguments = arguments_of(network, on_images=name not in ON_FEATURES)
    step = made.made._compiled.python_function

    def trained(*, xla: bool) -> tuple[Any, list[np.ndarray]]:
        reset()
        function = compiled(step, xla=xla)
        losses = function(*arguments).numpy()[:STEPS]
        return function, [losses, *(value.numpy() for value in made.descent.trained)]

    (plain, expected), (_, values) = trained(xla=False), trained(xla=True)
    drawn = plain.get_concrete_function(*arguments)
    assert without_a_kernel(drawn, ON_A_GPU) == set()
    assert without_a_kernel(drawn, XLA_ON_A_GPU) == set()
    assert expected[0][0] != expected[0][1]
    for value, wanted in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, wanted, RTOL, ATOL * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("name", ["phase 1", *TRAINED])
def test_each_phase_has_kernels_where_images_change_and_all_is_deterministic(phase, name) -> None:
    """As it is trained: XLA compiles no step on images, since it gains nothing there, and lacks the one for crops."""
    every = Augment(flip=True, crop=0.1, color=0.2, blur=1.0, cutout=0.2, phase2=True)
    made, network, _ = phase(name, every)
    arguments = arguments_of(network, on_images=True)
    assert without_a_kernel(made.made._compiled.get_concrete_function(*arguments), ON_A_GPU) == set()


def test_what_has_no_kernel_is_found() -> None:
    """On strings nothing is computed on a GPU, and XLA computes nothing on them at all."""
    tf = tensorflow()
    drawn = compiled(lambda words: tf.strings.length(words) + 1).get_concrete_function(tf.constant(["a", "bc"]))
    assert without_a_kernel(drawn, ON_A_GPU) == without_a_kernel(drawn, XLA_ON_A_GPU) == {"StringLength()"}
    loop = tf.function(
        lambda words: tf.map_fn(tf.strings.length, words, fn_output_signature=tf.int32), autograph=False
    ).get_concrete_function(tf.constant(["a", "bc"]))
    assert "StringLength()" in without_a_kernel(loop, ON_A_GPU)  # in the body of the loop
