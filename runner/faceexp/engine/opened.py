"""A network that exists already, opened as its plugin opens it: from pixels to features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from faceexp.arrays import ByteArray, FloatArray
from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.engine.backend import asked_device, compiled, standard, tensorflow
from faceexp.engine.borders import PluginValueError, check_trunk
from faceexp.experiment.device import AUTO

Network = Callable[[ByteArray], FloatArray]


def opened(plugin: ModelPlugin | FixedModelPlugin, shape: tuple[int, int, int]) -> Network:
    """Return the function of a network from pixels, uint8 (B, H, W, C), to features, float32 (B, F).

    Args:
        plugin: Opens or builds the network; of a trunk, one that takes pixels.
        shape: (H, W, C) of images.

    Raises:
        InputError: The network takes other images, as the plugin says.
        PluginValueError: It gives no flat vector of numbers for each image.
    """
    if asked_device() != AUTO:
        tensorflow()  # a plugin may import it as well, and would take another device
    run = plugin.open(shape) if isinstance(plugin, FixedModelPlugin) else _built(plugin, shape)

    def checked(pixels: ByteArray) -> FloatArray:
        features = np.asarray(run(pixels))
        if features.ndim != 2 or len(features) != len(pixels) or not np.issubdtype(features.dtype, np.floating):
            raise PluginValueError(
                f"the network gives {features.dtype} {features.shape} for {len(pixels)} images, "
                "not one flat vector of numbers for each"
            )
        return features.astype(np.float32, copy=False)

    return checked


def width_of(network: Network, shape: tuple[int, int, int]) -> int:
    """Return how many features a network gives for an image; it is called on one, which is black."""
    features = network(np.zeros((1, *shape), np.uint8))
    return int(features.shape[1])


def _built(plugin: ModelPlugin, shape: tuple[int, int, int]) -> Network:
    tf = tensorflow()
    with standard(0):
        trunk = plugin.build(shape)
        check_trunk(trunk)
    run = compiled(lambda pixels: trunk(tf.cast(pixels, tf.float32), training=False))
    return lambda pixels: np.asarray(run(pixels).numpy())
