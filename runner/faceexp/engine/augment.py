"""Random changes to training images, drawn anew at every step; mirroring is elsewhere, since it can be cached."""

from __future__ import annotations

from typing import Any

from faceexp.engine.backend import derive_seed, tensorflow
from faceexp.engine.network import normalized
from faceexp.experiment.schema import Augment


class Augmentation:
    """From bytes to normalised images, with the changes that are asked for in between; none by default.

    Crop, colour and blur work on values 0 to 255; what is cut out becomes 0 after normalisation, the training mean.
    """

    def __init__(self, augment: Augment) -> None:
        keras = tensorflow().keras
        layers = keras.layers
        self._before: dict[str, Any] = {}
        self._after: dict[str, Any] = {}
        if augment.crop:
            self._before["zoom"] = layers.RandomZoom((-augment.crop, augment.crop), seed=0)
            self._before["shift"] = layers.RandomTranslation(augment.crop, augment.crop, seed=0)
        if augment.color:
            self._before["brightness"] = layers.RandomBrightness(augment.color, seed=0)
            # Keras takes a pair as what to subtract from 1 and to add to it; of a single number it would only add.
            self._before["contrast"] = layers.RandomContrast((augment.color, augment.color), seed=0)
        if augment.cutout:
            # Both sides are drawn as square roots of shares, so that the area is a share of at most that, too.
            self._after["cutout"] = layers.RandomErasing(
                (1.0, 1.0), scale=(0.0, augment.cutout), fill_value=0.0, seed=0
            )
        self._blur = augment.blur
        self._generators = {name: layer.generator for name, layer in (self._before | self._after).items()}
        self._generators["blur"] = keras.random.SeedGenerator(0)

    def reset(self, seed: int) -> None:
        """Start the random numbers over; what one change draws does not depend on which others there are."""
        for name, generator in self._generators.items():
            generator.state.assign([derive_seed(name, seed), 0])

    def __call__(self, pixels: Any, mean: Any, deviation: Any) -> Any:  # noqa: ANN401 - tensors
        """Return changed and normalised images, float32 (B, H, W, C), from bytes."""
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


def blurred(images: Any, sigma: Any) -> Any:  # noqa: ANN401 - tensors
    """Return images (B, H, W, C) blurred by Gaussians of their own, sigma (B,) in pixels.

    Keras' layer draws one sigma for a whole batch, pads with black, and is slow on a CPU. Here each pixel is the mean
    of its column, then of its row, weighted by the Gaussian of the distance; weights sum to 1 at the border, too.
    """
    tf = tensorflow()
    width = tf.maximum(sigma, 1e-3)[:, None, None]  # none at all would be 0 / 0

    def weights(length: int) -> Any:  # noqa: ANN401
        place = tf.range(length, dtype=tf.float32)
        gaussian = tf.exp(-0.5 * tf.square((place[:, None] - place[None, :]) / width))
        return gaussian / tf.reduce_sum(gaussian, axis=2, keepdims=True)

    images = tf.einsum("bij,bjkc->bikc", weights(images.shape[1]), images)
    return tf.einsum("bij,bkjc->bkic", weights(images.shape[2]), images)
