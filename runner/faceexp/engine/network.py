"""The network: normalisation, the plugin's trunk, and the dense embedding behind it."""

from __future__ import annotations

import functools
import inspect
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from faceexp.arrays import ByteArray, FloatArray
from faceexp.engine.backend import compiled, tensorflow
from faceexp.engine.optimizer import Moments, zero_moments

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.contract import ModelPlugin

Weights = list[FloatArray]
BLOCK = 256


@dataclass(frozen=True)
class Normalization:
    """Pixels minus the mean, over the standard deviation, of the training part; one value a channel."""

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, pixels: ByteArray, train: IntArray) -> Normalization:
        """Measure the training images, rows ``train`` of uint8 (N, H, W, C), in blocks."""
        channels = pixels.shape[-1]
        count, total, squares = 0, np.zeros(channels), np.zeros(channels)
        for start in range(0, len(train), 512):
            block = pixels[train[start : start + 512]].reshape(-1, channels).astype(np.float64)
            count += len(block)
            total += block.sum(axis=0)
            squares += (block**2).sum(axis=0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return cls(mean.astype(np.float32), np.maximum(deviation, 1e-3).astype(np.float32))


class Network:
    """Trunk and embedding, with weights that can be put in and taken out."""

    def __init__(self, model: ModelPlugin, shape: tuple[int, int, int], embedding_dim: int) -> None:
        tf = tensorflow()
        keras = tf.keras
        self.shape = shape
        self.trunk = model.build(shape)
        self.width = int(self.trunk.output_shape[-1])
        if len(self.trunk.output_shape) != 2:
            raise ValueError(f"the trunk gives {self.trunk.output_shape}, not one flat feature vector an image")
        self.embedding = keras.layers.Dense(int(embedding_dim), name="embedding")
        self.embedding.build((None, self.width))

    @property
    def variables(self) -> list[Any]:
        """Every weight, the trunk's first."""
        return [*self.trunk.weights, *self.embedding.weights]

    def features(self, images: Any, *, training: bool) -> Any:  # noqa: ANN401 - tensors
        """Return what the trunk makes of normalised images, (B, H, W, C) to (B, F).

        In a plain stack, the bias of a convolution before a max pooling is added after it: it raises the whole window
        alike, so that the values are the same to the last bit, and three quarters of the additions are saved.
        """
        tf = tensorflow()
        layers = tf.keras.layers
        if type(self.trunk) is not tf.keras.Sequential:
            return self.trunk(images, training=training)
        bias = None
        for layer, following in itertools.pairwise([*self.trunk.layers, None]):
            if type(layer) is layers.Conv2D and type(following) is layers.MaxPooling2D and _adds_bias_last(layer):
                images, bias = layer.convolution_op(images, layer.kernel), layer.bias
            else:
                images = layer(images, **({"training": training} if _behaves_otherwise_in_training(layer) else {}))
                images, bias = images if bias is None else tf.nn.bias_add(images, bias), None
        return images

    def embed(self, inputs: FloatArray | ByteArray, rows: IntArray, normalization: Normalization) -> FloatArray:
        """Return embeddings of some of the feature rows, (N, F), or of the images, uint8 (N, H, W, C), in blocks."""
        blocks = (inputs[rows[start : start + BLOCK]] for start in range(0, len(rows), BLOCK))
        if inputs.dtype == np.uint8:
            mean, deviation = normalization.mean, normalization.deviation
            found = [self._embedded_images(block, mean, deviation) for block in blocks]
        else:
            found = [self._embedded_features(block) for block in blocks]
        return np.concatenate([block.numpy() for block in found])

    def extract(self, pixels: ByteArray, normalization: Normalization) -> FloatArray:
        """Return trunk features of a block of images, uint8 (B, H, W, C)."""
        return np.asarray(self._extracted(pixels, normalization.mean, normalization.deviation).numpy())

    @functools.cached_property
    def _extracted(self) -> Any:  # noqa: ANN401
        return compiled(lambda *given: self.features(normalized(*given), training=False))

    @functools.cached_property
    def _embedded_images(self) -> Any:  # noqa: ANN401
        return compiled(lambda *given: self.embedding(self.features(normalized(*given), training=False)))

    @functools.cached_property
    def _embedded_features(self) -> Any:  # noqa: ANN401
        return compiled(self.embedding)

    @functools.cached_property
    def moments(self) -> dict[int, Moments]:
        """Adam's moments of the weights, by ``id``: the same memory for every training, since each starts from zero."""
        trained = [*self.trunk.trainable_variables, *self.embedding.trainable_variables]
        return {id(variable): zero_moments(variable) for variable in trained}

    def take(self) -> Weights:
        """Return the weights as they are."""
        return [np.asarray(variable.numpy()) for variable in self.variables]

    def put(self, weights: Weights) -> None:
        """Set the weights."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def save(self, path: Path, weights: Weights, normalization: Normalization) -> None:
        """Write one Keras file from pixels 0..255 to embeddings; it holds standard layers only."""
        keras = tensorflow().keras
        self.put(weights)
        pixels = keras.Input(self.shape, name="pixels")
        scale = 1.0 / normalization.deviation
        rescaled = keras.layers.Rescaling(
            scale=[float(value) for value in scale],
            offset=[float(value) for value in -normalization.mean * scale],
            name="normalization",
        )(pixels)
        keras.Model(pixels, self.embedding(self.trunk(rescaled, training=False)), name="faceexp").save(path)


def _behaves_otherwise_in_training(layer: Any) -> bool:  # noqa: ANN401
    return "training" in inspect.signature(layer.call).parameters


def _adds_bias_last(convolution: Any) -> bool:  # noqa: ANN401
    keras = tensorflow().keras
    linear = convolution.activation is keras.activations.linear
    plain = convolution.data_format == "channels_last" and convolution.compute_dtype == convolution.variable_dtype
    return bool(convolution.use_bias and linear and plain)


def initial_weights(model: ModelPlugin, shape: tuple[int, int, int], embedding_dim: int, seed: int) -> Weights:
    """Return freshly drawn weights; the same for the same seed."""
    tensorflow().keras.utils.set_random_seed(seed)
    return Network(model, shape, embedding_dim).take()


def normalized(pixels: Any, mean: Any, deviation: Any) -> Any:  # noqa: ANN401 - tensors
    """Return float32 images from bytes."""
    tf = tensorflow()
    return (tf.cast(pixels, tf.float32) - mean) / deviation


def save_weights(path: Path, weights: Weights) -> None:
    """Write weights as plain arrays, in order."""
    np.savez(path, **cast("dict[str, Any]", {f"{index:04d}": value for index, value in enumerate(weights)}))


def load_weights(path: Path) -> Weights:
    """Read what :func:`save_weights` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return [file[key] for key in sorted(file.files)]
