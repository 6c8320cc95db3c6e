"""Random changes to training images, drawn anew at every step.

Mirroring is not here: an image has only one mirror image, so its features can be cached. ``pretrain`` mirrors images,
and ``inputs`` chooses between cached features of the plain and of the mirrored image.
"""

from __future__ import annotations

from faceexp.engine.backend import KerasLayer, Tensor, Variable, derive_seed, tensorflow
from faceexp.engine.network import normalized
from faceexp.experiment.schema import Augment

# Below this, in pixels, a Gaussian is so narrow that the image stays as it is. A width of 0 would divide 0 by 0.
SMALLEST_SIGMA = 1e-3


class Augmentation:
    """Turn bytes into normalised images, and make the random changes that are asked for; by default there are none.

    Crop, colour and blur work on values from 0 to 255, before normalisation. Cutout comes after it: an erased rectangle
    becomes 0, which is the mean of the training images.
    """

    def __init__(self, augment: Augment) -> None:
        keras = tensorflow().keras
        layers = keras.layers
        self._before: dict[str, KerasLayer] = {}
        self._after: dict[str, KerasLayer] = {}
        if augment.crop:
            self._before["zoom"] = layers.RandomZoom((-augment.crop, augment.crop), seed=0)
            self._before["shift"] = layers.RandomTranslation(augment.crop, augment.crop, seed=0)
        if augment.color:
            self._before["brightness"] = layers.RandomBrightness(augment.color, seed=0)
            # Keras reads a pair as (how much below 1, how much above 1). A single number would only add contrast.
            self._before["contrast"] = layers.RandomContrast((augment.color, augment.color), seed=0)
        if augment.cutout:
            # Keras draws a share for each side, and makes the side as long as the square root of its share: so the area
            # is at most the share that is asked for, too. The pair of ones: a rectangle is erased from every image.
            self._after["cutout"] = layers.RandomErasing(
                (1.0, 1.0), scale=(0.0, augment.cutout), fill_value=0.0, seed=0
            )
        self._blur = augment.blur
        self._generators = {name: layer.generator for name, layer in (self._before | self._after).items()}
        self._generators["blur"] = keras.random.SeedGenerator(0)

    def reset(self, seed: int) -> None:
        """Start all random numbers over.

        Each kind of change has its own random numbers, derived from its name: what one kind draws does not depend on
        which other kinds are asked for.
        """
        for name, generator in self._generators.items():
            generator.state.assign([derive_seed(name, seed), 0])

    @property
    def variables(self) -> list[Variable]:
        """The states of all random numbers."""
        return [generator.state for generator in self._generators.values()]

    def __call__(self, pixels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return changed and normalised images, float32 (B, H, W, C), from bytes of the same shape."""
        tf = tensorflow()
        images = tf.cast(pixels, tf.float32)
        for layer in self._before.values():
            images = layer(images, training=True)
        if self._blur:
            sigma = tf.keras.random.uniform(tf.shape(images)[:1], 0.0, self._blur, seed=self._generators["blur"])
            images = blurred(images, sigma)
        images = normalized(images, mean, deviation)
        for layer in self._after.values():
            images = layer(images, training=True)
        return images


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Return images (B, H, W, C), each blurred by a Gaussian of its own width, sigma (B,) in pixels.

    Each pixel becomes the weighted mean of its column, and then of its row; the weights are the Gaussian of the
    distance. They are divided by their sum, so that they add up to 1 at the border of the image, too.

    The layer of Keras is not used: it draws one sigma for a whole batch, pads images with black, and is slow on a CPU.
    """
    tf = tensorflow()
    width = tf.maximum(sigma, SMALLEST_SIGMA)[:, None, None]

    def weights(length: int) -> Tensor:
        place = tf.range(length, dtype=tf.float32)
        gaussian = tf.exp(-0.5 * tf.square((place[:, None] - place[None, :]) / width))
        return gaussian / tf.reduce_sum(gaussian, axis=2, keepdims=True)

    images = tf.einsum("bij,bjkc->bikc", weights(images.shape[1]), images)
    return tf.einsum("bij,bkjc->bkic", weights(images.shape[2]), images)
