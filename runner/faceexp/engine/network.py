"""The network: normalisation, the trunk that a model plugin builds, and the dense embedding layer behind it."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from faceexp.arrays import ByteArray, FloatArray
from faceexp.engine.backend import Compiled, KerasLayer, Tensor, Variable, compiled, set_standard, standard, tensorflow
from faceexp.engine.borders import PluginValueError, check_can_be_kept, check_trunk, outside_state
from faceexp.engine.inputs import with_mirrored
from faceexp.engine.network_file import NetworkFile
from faceexp.engine.optimizer import Moments, zero_moments
from faceexp.experiment.schema import FLOAT32, Precision

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.contract import ModelPlugin

Weights = list[FloatArray]
# Images that go through the network in one call outside training. Larger blocks need more memory for the values between
# layers and are hardly faster. A different size may change the last bits of features.
BLOCK = 256
# Images whose pixels are float64 at the same time while mean and deviation are measured. Another size adds the numbers
# in another order, which changes the last bits of both.
MEASURED_AT_ONCE = 512
# Standard deviations below this, in grey levels, count as this: pixels that are all alike must not be divided by 0.
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True)
class Normalization:
    """What pixels are normalised with: minus the mean, over the standard deviation, of the training images.

    Attributes:
        mean: float32 (C,), one value per channel, in grey levels from 0 to 255.
        deviation: float32 (C,), likewise.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def none(cls, channels: int) -> Normalization:
        """Return what leaves pixels as they are, for a trunk that scales them itself."""
        return cls(np.zeros(channels, np.float32), np.ones(channels, np.float32))

    @classmethod
    def of(cls, pixels: ByteArray, train: IntArray) -> Normalization:
        """Measure the training images, rows ``train`` of uint8 (N, H, W, C), a block at a time."""
        channels = pixels.shape[-1]
        count, total, squares = 0, np.zeros(channels), np.zeros(channels)
        for start in range(0, len(train), MEASURED_AT_ONCE):
            block = pixels[train[start : start + MEASURED_AT_ONCE]].reshape(-1, channels).astype(np.float64)
            count += len(block)
            total += block.sum(axis=0)
            squares += (block**2).sum(axis=0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return cls(mean.astype(np.float32), np.maximum(deviation, SMALLEST_DEVIATION).astype(np.float32))


class Network:
    """The trunk and the embedding layer. There is one network per run; whoever uses it sets its weights first.

    Args:
        model: Builds the trunk; ``None`` where that is only run, so that what is trained begins behind its features.
        shape: What goes in: (H, W, C) of images, or (F,) of features.
        embedding_dim: Numbers per embedding.
        seed: Of the weights that are drawn.
        precision: What its layers compute in, as a policy of Keras. Weights, and what losses are given, are float32.

    Raises:
        PluginValueError: The trunk cannot be used; see :func:`faceexp.engine.borders.check_trunk`. Or it does not
            compute in the precision.
    """

    def __init__(
        self,
        model: ModelPlugin | None,
        shape: tuple[int, ...],
        embedding_dim: int,
        seed: int = 0,
        *,
        precision: Precision = FLOAT32,
    ) -> None:
        keras = tensorflow().keras
        self.shape, self.precision, self._model = shape, precision, model
        # All losses of a seed and fold have the same normalisation, so the latest file is that of the next trial, too.
        self._file: tuple[Normalization, NetworkFile] | None = None
        with standard(seed):
            if model is None:
                self.trunk = keras.Sequential([keras.Input(shape), keras.layers.Identity(name="features")])
            else:
                if precision != FLOAT32:
                    keras.config.set_dtype_policy(precision)
                self.trunk = model.build(cast("tuple[int, int, int]", shape))
            set_standard()  # the embedding layer is ours: it must not follow what the plugin has set
            check_trunk(self.trunk)
            if precision != FLOAT32:
                _check_precision(self.trunk, precision)
            self.width = int(self.trunk.output_shape[-1])
            self.embedding = keras.layers.Dense(int(embedding_dim), name=self._name("embedding"), dtype=precision)
            self.embedding.build((None, self.width))

    def _name(self, name: str) -> str:
        """Return the name of a layer beside the trunk, which may have the same one; Keras saves no two of a name."""
        return f"{name}_of_faceexp" if self.trunk.name == name else name

    @property
    def variables(self) -> list[Variable]:
        """Every weight, those of the trunk first."""
        return [*self.trunk.weights, *self.embedding.weights]

    @property
    def every_variable(self) -> list[Variable]:
        """Every weight, and the states of random numbers, which are set anew for each training as well."""
        return [*self.trunk.variables, *self.embedding.variables]

    @property
    def needs_scale(self) -> bool:
        """Whether small gradients are lost in training unless the loss is scaled; see :class:`LossScale`."""
        return self.precision == "mixed_float16"

    def trainable_variables(self, *, whole: bool) -> list[Variable]:
        """Return the weights that are trained: all of them, or those of the embedding layer."""
        return [*(self.trunk.trainable_variables if whole else []), *self.embedding.trainable_variables]

    def features(self, images: Tensor, *, training: bool) -> Tensor:
        """Return the output of the trunk for normalised images, (B, H, W, C) to (B, F).

        If the trunk is a plain stack of layers, the bias of a convolution that is followed by max pooling is added
        after the pooling. A bias raises every value of a window by the same amount, so the largest one stays the
        largest and the result is the same to the last bit, while three quarters of the additions are saved.
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
                images = layer(images, **({"training": training} if _distinguishes_training(layer) else {}))
                images, bias = images if bias is None else tf.nn.bias_add(images, bias), None
        return images

    def embeddings(self, features: Tensor) -> Tensor:
        """Return the embeddings of features, (B, F) to float32 (B, D), whatever the layers compute in."""
        tf = tensorflow()
        return tf.cast(self.embedding(features), tf.float32)

    def embed(self, inputs: FloatArray | ByteArray, rows: IntArray, normalization: Normalization) -> FloatArray:
        """Return embeddings, float32 (n, D), a block at a time.

        Args:
            inputs: Features, float32 (N, F), or images, uint8 (N, H, W, C).
            rows: int (n,), which of them.
            normalization: Of images; not used for features.
        """
        blocks = (inputs[rows[start : start + BLOCK]] for start in range(0, len(rows), BLOCK))
        if inputs.dtype == np.uint8:
            mean, deviation = normalization.mean, normalization.deviation
            embeddings = [self._embedded_images(block, mean, deviation) for block in blocks]
        else:
            embeddings = [self._embedded_features(block) for block in blocks]
        return np.concatenate([block.numpy() for block in embeddings])

    def embed_views(self, views: Sequence[FloatArray | ByteArray], rows: IntArray, norm: Normalization) -> FloatArray:
        """Return embeddings as :meth:`embed` does; of images whose mirror images are given as well, of both."""
        return with_mirrored(*(self.embed(inputs, rows, norm) for inputs in views))

    def extract(self, pixels: ByteArray, normalization: Normalization) -> FloatArray:
        """Return the trunk features of one block of images, uint8 (B, H, W, C) to float32 (B, F)."""
        return np.asarray(self._extracted(pixels, normalization.mean, normalization.deviation).numpy())

    def check(self) -> None:
        """Refuse a trunk that could be trained, but not be kept, or whose training would depend on what came before.

        Raises:
            PluginValueError: Keras cannot save the network or open it again; or the trunk holds variables that are none
                of its weights, which no training could set back.
        """
        channels = self.shape[-1]
        plain = Normalization.none(channels)
        check_can_be_kept(lambda file: self.save(file, self.get_weights(), plain))
        images = tensorflow().TensorSpec((None, *self.shape), "float32")
        if outside_state(compiled(lambda images: self.features(images, training=True)), [images], self.every_variable):
            raise PluginValueError(
                "the trunk holds variables that are none of its weights, so a training would depend on those before it"
            )

    @functools.cached_property
    def _extracted(self) -> Compiled:
        tf = tensorflow()
        return compiled(lambda *arguments: tf.cast(self.features(normalized(*arguments), training=False), tf.float32))

    @functools.cached_property
    def _embedded_images(self) -> Compiled:
        return compiled(lambda *arguments: self.embeddings(self.features(normalized(*arguments), training=False)))

    @functools.cached_property
    def _embedded_features(self) -> Compiled:
        return compiled(self.embeddings)

    @functools.cached_property
    def moments(self) -> dict[int, Moments]:
        """Adam's moments of the weights, by ``id`` of the variable.

        Every training starts from zero moments, so all of them can use the same memory.
        """
        return {id(variable): zero_moments(variable) for variable in self.trainable_variables(whole=True)}

    def get_weights(self) -> Weights:
        """Return the values of all weights as they are now, in the order of ``variables``."""
        return [np.asarray(variable.numpy()) for variable in self.variables]

    def set_weights(self, weights: Weights) -> None:
        """Set the weights to what :meth:`get_weights` returned."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def save(self, path: Path, weights: Weights, normalization: Normalization) -> None:
        """Write one Keras file that maps pixels from 0 to 255 to embeddings, with these weights.

        The file holds standard layers only: normalisation becomes a rescaling layer, so Keras can read it without
        faceexp. They compute in float32 even if the network does not: every format and device has that.
        """
        if self.precision != FLOAT32:
            self._in_float32.save(path, weights, normalization)
            return
        if self._file is None or self._file[0] is not normalization:
            self._file = normalization, NetworkFile(self._whole(normalization), self.variables)
        self._file[1].write(path, weights)

    @functools.cached_property
    def _in_float32(self) -> Network:
        """The same layers in float32, for files. Their weights are not used."""
        return Network(self._model, self.shape, self.embedding.units)

    def _whole(self, normalization: Normalization) -> KerasLayer:
        """Return a model of Keras from pixels to embeddings; behind a network that is only run, from its features."""
        keras = tensorflow().keras
        if len(self.shape) == 1:
            features = keras.Input(self.shape, name="features")
            return keras.Model(features, self.embedding(features), name="faceexp")
        pixels = keras.Input(self.shape, name=self._name("pixels"))
        scale = 1.0 / normalization.deviation
        rescaled = keras.layers.Rescaling(
            scale=[float(value) for value in scale],
            offset=[float(value) for value in -normalization.mean * scale],
            name=self._name("normalization"),
        )(pixels)
        return keras.Model(pixels, self.embedding(self.trunk(rescaled, training=False)), name="faceexp")


def _check_precision(trunk: KerasLayer, precision: Precision) -> None:
    """Refuse a trunk of which no layer with weights computes in a precision; of one without weights, no layer at all.

    Raises:
        PluginValueError: See above.
    """
    layers = list(_layers(trunk))
    computing = [layer for layer in layers if layer.weights] or layers
    if all(layer.dtype_policy.name != precision for layer in computing):
        raise PluginValueError(
            f"no layer of the trunk computes in {precision}: layers of a file keep the precision that they were saved "
            "with; leave precision out of [model]"
        )


def _layers(model: KerasLayer) -> Iterator[KerasLayer]:
    """Yield the layers of a model, and of the models in it."""
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, tensorflow().keras.Model) else [layer]


def dense(features: FloatArray, kernel: FloatArray, bias: FloatArray, precision: Precision) -> FloatArray:
    """Return what the embedding layer gives for features, float32 (n, F) to (n, D); it needs no TensorFlow."""
    if precision == FLOAT32:
        return np.asarray(features @ kernel + bias)
    import ml_dtypes

    half = np.float16 if precision == "mixed_float16" else ml_dtypes.bfloat16

    def rounded(values: FloatArray) -> FloatArray:
        return values.astype(half).astype(np.float32)

    return rounded(rounded(rounded(features) @ rounded(kernel)) + rounded(bias))


def _distinguishes_training(layer: KerasLayer) -> bool:
    """Return whether a layer, such as dropout, works differently in training."""
    return "training" in inspect.signature(layer.call).parameters


def _adds_bias_last(convolution: KerasLayer) -> bool:
    """Return whether adding its bias is the last thing that a convolution does, so that it can be added later."""
    keras = tensorflow().keras
    linear = convolution.activation is keras.activations.linear
    plain = convolution.data_format == "channels_last" and convolution.compute_dtype == convolution.variable_dtype
    return bool(convolution.use_bias and linear and plain)


def initial_weights(model: ModelPlugin | None, shape: tuple[int, ...], embedding_dim: int, seed: int) -> Weights:
    """Return freshly drawn weights of a network; the same ones for the same seed."""
    network = Network(model, shape, embedding_dim, seed)
    return network.get_weights()


def normalized(pixels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return normalised float32 images from bytes."""
    tf = tensorflow()
    return (tf.cast(pixels, tf.float32) - mean) / deviation


def save_weights(path: Path, weights: Weights) -> None:
    """Write weights as plain NumPy arrays; their names count them, so that they can be read in the same order."""
    np.savez(path, **cast("dict[str, Any]", {f"{index:04d}": value for index, value in enumerate(weights)}))


@functools.lru_cache(maxsize=1)
def load_weights(path: Path) -> Weights:
    """Read what :func:`save_weights` wrote. The latest ones stay in memory: a seed and fold has many losses."""
    with np.load(path, allow_pickle=False) as file:
        return [file[key] for key in sorted(file.files)]
