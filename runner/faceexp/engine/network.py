"""The network: normalisation, the plugin's trunk, and the dense embedding behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from faceexp.engine.backend import tensorflow
from faceexp.values import ByteArray, FloatArray

if TYPE_CHECKING:
    from faceexp.contract import ModelPlugin

Weights = list[FloatArray]


@dataclass(frozen=True)
class Normalization:
    """Pixels minus the mean, over the standard deviation, of the training part; one value a channel."""

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, pixels: ByteArray) -> Normalization:
        """Measure the training images, uint8 (N, H, W, C), in blocks."""
        channels = pixels.shape[-1]
        count, total, squares = 0, np.zeros(channels), np.zeros(channels)
        for start in range(0, len(pixels), 512):
            block = pixels[start : start + 512].reshape(-1, channels).astype(np.float64)
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
