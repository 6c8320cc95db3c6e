"""Phase 1 as the tests of replicas train it, in a process of its own: TensorFlow is told once how many devices it has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from faceexp.contract import Distance, LossPlugin, ModelPlugin
from faceexp.engine import network, pretrain
from faceexp.engine.backend import tensorflow
from faceexp.engine.borders import PluginValueError
from faceexp.engine.replicas import OneDevice, Replicas, check_divides
from faceexp.experiment.schema import Augment, Pretrain
from faceexp.registry.installed import discover

SHAPE, PEOPLE, IMAGES, DIM, STEPS = (12, 12, 1), 6, 4, 8, 5
NORMAL = network.Normalization(np.array([128.0], np.float32), np.array([64.0], np.float32))
PIXELS = np.random.default_rng(0).integers(0, 256, (PEOPLE * IMAGES, *SHAPE), dtype=np.uint8)
LABELS = np.repeat(np.arange(PEOPLE, dtype=np.int32), IMAGES)


class Layers(ModelPlugin):
    """A convolution, a layer by its name in Keras, and the mean over the image."""

    reference: ClassVar[str] = "here"
    layer: str = ""
    options: Mapping[str, Any] = {}

    def build(self, input_shape):
        layers = tensorflow().keras.layers
        first = layers.Conv2D(6, 3, activation="relu")
        if self.layer == "SpectralNormalization":
            behind = [layers.SpectralNormalization(first)]
        else:
            behind = [first, *([getattr(layers, self.layer)(**self.options)] if self.layer else [])]
        stack = [layers.Input(input_shape), *behind, layers.GlobalAveragePooling2D()]
        return tensorflow().keras.Sequential(stack)


class Contrasts(LossPlugin):
    """Compares every image of a batch with every other one, and with weights of its own."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"

    def build(self, ctx):
        import keras

        tf = tensorflow()

        class Layer(keras.layers.Layer):
            def build(self, *shapes):
                self.scale = self.add_weight(shape=(ctx.embedding_dim,), initializer="ones")

            def call(self, labels, embeddings):
                rows = tf.math.l2_normalize(embeddings * self.scale, axis=1)
                is_same = tf.cast(labels[:, None] == labels[None, :], tf.float32)
                return tf.reduce_mean(tf.square(tf.matmul(rows, rows, transpose_b=True) - is_same))

        return Layer()


@functools.cache
def built(layer: str, precision: str = "float32", **options: Any) -> tuple[network.Network, list[np.ndarray]]:
    """Return a network and its first weights."""
    made = network.Network(Layers(layer=layer, options=options), SHAPE, DIM, seed=1, precision=precision)
    return made, made.get_weights()


def trained(
    replicas: int,
    settings: Mapping[str, Any],
    loss: str | None = None,
    layer: str = "",
    augment: Mapping[str, Any] | None = None,
    precision: str = "float32",
    **options: Any,
) -> tuple[list[float], list[np.ndarray]]:
    """Return the losses of a phase 1, and then all weights of network and loss."""
    made, start = built(layer, precision, **options)
    chosen = Pretrain.model_validate({"batch_size": 8, **settings, "replicas": replicas})
    plugin: Any = Contrasts() if loss == "contrasts" else loss and discover().configure("loss", loss, {}).plugin
    changes = Augment.model_validate(augment or {})
    classifier = pretrain.Classifier(made, chosen, changes, PEOPLE, plugin)
    classifier.reset(start, seed=3, steps=STEPS)
    views: Any = [PIXELS]
    if chosen.trainable == "head":
        views = [np.random.default_rng(1).normal(size=(len(LABELS), made.width)).astype(np.float32)]
    batches = pretrain.batches(np.arange(len(LABELS)), chosen, changes, seed=1)
    history = classifier.run(views, LABELS, batches, NORMAL, STEPS, lambda *_: None)
    assert classifier.made.outside is None
    of_loss = classifier.classes.variables or classifier.loss.variables
    return history, [*made.get_weights(), *(np.asarray(each.numpy()) for each in of_loss)]


def by_hand(parts: int, layer: str, **options: Any) -> list[np.ndarray]:
    """Return the weights after a phase 1 by plain Keras, of which each batch goes through the trunk in parts.

    Each part starts with the running means of the batch before; they become the mean of what the parts make of them.
    """
    tf = tensorflow()
    made, start = built(layer, **options)
    made.set_weights(start)
    kernel = tf.Variable(pretrain.first_kernel(DIM, PEOPLE, seed=3))
    bias = tf.Variable(tf.zeros(PEOPLE))
    variables = [*made.trunk.trainable_variables, *made.embedding.trainable_variables, kernel, bias]
    kept = made.trunk.non_trainable_variables
    settings = Pretrain(batch_size=8)
    drawn = pretrain.batches(np.arange(len(LABELS)), settings, Augment(), seed=1)
    for _ in range(STEPS):
        rows, _flips = next(drawn)
        images = (PIXELS[rows].astype(np.float32) - 128) / 64
        before, after = [each.numpy() for each in kept], []
        with tf.GradientTape() as tape:
            embeddings = []
            for part in np.split(images, parts):
                for variable, value in zip(kept, before, strict=True):
                    variable.assign(value)
                embeddings.append(made.embedding(made.trunk(part, training=True)))
                after.append([each.numpy() for each in kept])
            logits = tf.nn.relu(tf.concat(embeddings, 0)) @ kernel + bias
            each_image = tf.keras.losses.sparse_categorical_crossentropy(LABELS[rows], logits, from_logits=True)
            value = tf.reduce_mean(each_image)
        for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
            variable.assign(variable - 0.1 * gradient)
        for variable, values in zip(kept, zip(*after, strict=True), strict=True):
            variable.assign(np.mean(values, axis=0))
    return [*made.get_weights(), kernel.numpy(), bias.numpy()]


def embeddings_of_equal_images(replicas: int) -> np.ndarray:
    """Return the embeddings that two steps judge, of a batch of eight times one image, behind dropout in the trunk."""
    tf = tensorflow()
    made, start = built("Dropout", rate=0.5, seed=7)
    made.set_weights(start)
    settings = Pretrain(replicas=replicas, dropout=0.0, batch_size=8)
    classifier = pretrain.Classifier(made, settings, Augment(), PEOPLE)
    classifier.reset(start, seed=3, steps=STEPS)
    judged = tf.Variable(tf.zeros((8, DIM)))
    step = gradients_of(replicas, made, classifier, judged.assign)
    images = tf.repeat((tf.constant(PIXELS[:1], tf.float32) - 128) / 64, 8, axis=0)
    found = []
    for _ in range(2):
        step(images)
        found.append(judged.numpy())
    return np.stack(found)


def gradients_of(
    replicas: int, made: network.Network, classifier: pretrain.Classifier, on_judged: Callable[[Any], Any]
) -> Any:
    """Return a compiled function that computes the gradients of a batch of images."""
    tf = tensorflow()
    variables = made.trainable_variables(whole=True), made.every_variable, classifier.loss.weights, classifier.descent
    devices = Replicas(replicas, *variables) if replicas > 1 else OneDevice(*variables)

    def judge(embeddings):
        on_judged(embeddings)
        return classifier.loss(tf.zeros(8, tf.int32), embeddings)

    def embed(images):
        return made.embeddings(made.features(images, training=True))

    return tf.function(lambda images: devices.gradients(images, embed, judge)[1], autograph=False)


def devices_of(replicas: int) -> Sequence[str]:
    """Return on which devices convolutions of a step, and of its gradients, compute."""
    made, start = built("")
    classifier = pretrain.Classifier(made, Pretrain(replicas=replicas, batch_size=8), Augment(), PEOPLE)
    classifier.reset(start, seed=3, steps=STEPS)
    step = gradients_of(replicas, made, classifier, lambda embeddings: None)
    graph = step.get_concrete_function(tensorflow().zeros((8, *SHAPE))).graph
    return sorted({each.device for each in graph.get_operations() if each.type.startswith("Conv2D")})


def refused(layer: str, *, before: bool) -> str:
    """Return why a trunk cannot be trained in parts: as is found before any training, or by phase 1 itself."""
    try:
        if before:
            check_divides(built(layer)[0])
        else:
            trained(2, {}, layer=layer)
    except PluginValueError as error:
        return str(error)
    return ""
