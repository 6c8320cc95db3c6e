"""What every model has to keep."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from faceexp.contract import ModelPlugin
from faceexp.testing.plugin import (
    RANDOM,
    Array,
    PluginContract,
    PluginKey,
    assert_process_stays,
    assert_same,
    random_state_kept,
)


class ModelContract(PluginContract):
    """What every model has to keep; the subclass gives a fixture ``plugin``.

    Class variables:
        shapes: Two shapes of images, (height, width, channels), that it is built for.
    """

    shapes: ClassVar[tuple[tuple[int, int, int], tuple[int, int, int]]] = ((48, 48, 1), (64, 40, 3))

    def test_gives_flat_features(self, plugin: ModelPlugin) -> None:
        """Check that images (B, H, W, C) become finite float32 (B, F), F known when it is built."""
        self._flat(plugin, self.shapes[0])

    def test_takes_images_of_another_shape(self, plugin: ModelPlugin) -> None:
        """Check the same for images of another height, width and number of channels."""
        self._flat(plugin, self.shapes[1])

    @staticmethod
    def _flat(plugin: ModelPlugin, shape: tuple[int, int, int]) -> None:
        import keras

        model = _model(plugin, shape)
        assert isinstance(model, keras.Model), f"build gives a {type(model).__name__}, not a keras.Model"
        for what, tensors in (("input", model.inputs), ("output", model.outputs)):
            assert len(tensors or ()) == 1, f"it has {len(tensors or ())} {what}s, not one"
        assert tuple(model.input_shape) == (None, *shape), f"built for {shape}, it takes {model.input_shape}"
        assert len(model.output_shape) == 2, f"{model.output_shape} is not one feature vector an image"
        assert model.output_shape[1], f"{model.output_shape} does not say how many features there are"
        features = np.asarray(model(_images(shape), training=False))
        assert features.shape == (3, model.output_shape[1]), f"the features have shape {features.shape}"
        assert features.dtype == np.float32, f"the features are {features.dtype}"
        assert np.isfinite(features).all(), "some feature is not finite"

    def test_the_seed_decides(self, plugin: ModelPlugin) -> None:
        """Build it twice after ``keras.utils.set_random_seed``: same weights, same features; another seed, others."""
        import keras

        built = []
        with random_state_kept():
            for seed in (1, 1, 2):
                keras.utils.set_random_seed(seed)
                built.append(plugin.build(self.shapes[0]))
        first, second, other = ([np.asarray(weight) for weight in model.weights] for model in built)
        for here, there in zip(first, second, strict=True):
            assert np.array_equal(here, there), "two builds after one seed draw different weights"
        same = all(np.array_equal(here, there) for here, there in zip(first, other, strict=True))
        assert not first or not same, "another seed draws the same weights"
        images = _images(self.shapes[0])
        once, again = (np.asarray(built[0](images, training=False)) for _ in range(2))
        assert np.array_equal(once, again), "the same images give different features"

    def test_has_no_lambda_layers(self, plugin: ModelPlugin) -> None:
        """Find no ``Lambda`` layer: a saved model is data, not code."""
        import keras

        def layers(model: Any) -> Iterator[Any]:  # noqa: ANN401 - Keras has no types
            # Models have layers, and layers around a layer, such as TimeDistributed, have one.
            for layer in [*getattr(model, "layers", ()), getattr(model, "layer", None)]:
                if layer is not None:
                    yield layer
                    yield from layers(layer)

        model = _model(plugin, self.shapes[0])
        names = [layer.name for layer in layers(model) if isinstance(layer, keras.layers.Lambda)]
        assert not names, f"{', '.join(names)}: write it with layers or operations of Keras"

    def test_saves_and_loads(self, plugin: ModelPlugin, tmp_path: Path) -> None:
        """Save it as one ``.keras`` file and load that in safe mode: the same features."""
        import keras

        model, images = _model(plugin, self.shapes[0]), _images(self.shapes[0])
        try:
            model.save(tmp_path / "model.keras")
            again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
        except Exception as error:  # noqa: BLE001 - whatever Keras or a layer raises
            pytest.fail(f"it cannot be saved and loaded: {type(error).__name__}: {error}")
        assert_same("what the loaded model gives", np.asarray(again(images)), np.asarray(model(images)))

    def test_builds_in_every_precision(self, plugin: ModelPlugin) -> None:
        """Build it under policies of mixed precision: float32 weights of the same shapes, and finite features.

        The engine sets such a policy while it builds a trunk, if the experiment asks for it, and gives it the weights
        of a network in float32.
        """
        import keras

        usual, before = _model(plugin, self.shapes[0]), keras.config.dtype_policy()
        for policy in ("mixed_float16", "mixed_bfloat16"):
            try:
                keras.config.set_dtype_policy(policy)
                model = plugin.build(self.shapes[0])
            finally:
                keras.config.set_dtype_policy(before)
            wrong = [weight.path for weight in model.weights if weight.dtype != "float32"]
            assert not wrong, f"{policy}: {', '.join(wrong)} is not float32; leave the type of weights to Keras"
            shapes = [[tuple(weight.shape) for weight in each.weights] for each in (model, usual)]
            assert shapes[0] == shapes[1], f"{policy}: its weights have the shapes {shapes[0]}, not {shapes[1]}"
            model.set_weights(usual.get_weights())
            # How far they are from those of float32 is not asked: every layer rounds, and deep ones with random weights
            # make much of it.
            features = np.asarray(model(_images(self.shapes[0]), training=False)).astype(np.float32)
            assert np.isfinite(features).all(), f"{policy}: some feature is not finite"

    def test_leaves_the_process_as_it_was(self, plugin: ModelPlugin) -> None:
        """Build it: settings of Keras, TensorFlow, NumPy and Python must stay as they are.

        But for random numbers, of which Keras takes seeds for weights.
        """
        import keras  # noqa: F401 - for its settings, as they are before the model is built

        assert_process_stays(lambda: plugin.build(self.shapes[0]), but=RANDOM)


def _images(shape: tuple[int, int, int]) -> Array:
    return np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)


def _model(plugin: ModelPlugin, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401 - Keras has no types
    return _shared_model(PluginKey.of(plugin), shape)


@functools.lru_cache(maxsize=4)
def _shared_model(key: PluginKey, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401 - Keras has no types
    return key.plugin.build(shape)
