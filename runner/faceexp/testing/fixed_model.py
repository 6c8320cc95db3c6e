"""What every model has to keep that is only run, never trained."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import FixedModelPlugin
from faceexp.errors import InputError
from faceexp.testing.plugin import RANDOM, Array, PluginContract, PluginKey, assert_process_stays, assert_same

Shape = tuple[int, int, int]


class FixedModelContract(PluginContract):
    """What every fixed model has to keep; the subclass gives a fixture ``plugin``.

    Class variables:
        shapes: Shapes of images, (height, width, channels), that it is opened for.
        refused: Shapes that it does not take.
    """

    shapes: ClassVar[tuple[Shape, ...]] = ((112, 112, 3),)
    refused: ClassVar[tuple[Shape, ...]] = ()

    def test_gives_flat_features(self, plugin: FixedModelPlugin) -> None:
        """Check that images (B, H, W, C) become finite float32 (B, F), F the same for each B."""
        for shape in self.shapes:
            widths = set()
            for count in (1, 2, 5):
                features = _opened(plugin, shape)(_images(shape, count))
                assert isinstance(features, np.ndarray), f"it gives a {type(features).__name__}, not an array"
                assert features.ndim == 2, f"of {count} images it gives shape {features.shape}, not one vector each"
                assert len(features) == count, f"it gives {len(features)} vectors for {count} images"
                assert features.dtype == np.float32, f"the features are {features.dtype}"
                assert np.isfinite(features).all(), "some feature is not finite"
                widths.add(features.shape[1])
            assert len(widths) == 1, f"it gives {sorted(widths)} features, which depends on the number of images"

    def test_the_batch_does_not_matter(self, plugin: FixedModelPlugin) -> None:
        """Check that an image has the same features alone, among others, and when it is opened again."""
        for shape in self.shapes:
            run, images = _opened(plugin, shape), _images(shape, 5)
            together = run(images)
            alone = np.concatenate([run(images[row : row + 1]) for row in range(5)])
            assert_same("what an image alone gives", alone, together)
            assert_same("what another order gives", run(images[::-1]), together[::-1])
            assert_same("what it gives when it is opened again", plugin.open(shape)(images), together)

    def test_its_function_gives_the_same(self, plugin: FixedModelPlugin) -> None:
        """Check that the function of TensorFlow, if there is one, gives the features that the network gives."""
        for shape in self.shapes:
            function = plugin.as_function(shape)
            if function is None:
                assert type(plugin).as_function is FixedModelPlugin.as_function, "its as_function() gives None"
                continue
            images = _images(shape, 3)
            given = np.asarray(function(images.astype(np.float32)))
            np.testing.assert_allclose(given, _opened(plugin, shape)(images), rtol=1e-4, atol=1e-4)

    def test_the_images_decide(self, plugin: FixedModelPlugin) -> None:
        """Check that other images have other features, and that the images stay as they are."""
        run, images = _opened(plugin, self.shapes[0]), _images(self.shapes[0], 2)
        before = images.copy()
        features = run(images)
        assert not np.array_equal(features[0], features[1]), "two different images have the same features"
        assert np.array_equal(images, before), "it changes the images"

    def test_images_lie_in_memory_in_any_way(self, plugin: FixedModelPlugin) -> None:
        """Check that a part of a larger array, columns first, and what cannot be written, give the same features."""
        shape = self.shapes[0]
        run, images = _opened(plugin, shape), _images(shape, 3)
        expected = run(images)
        apart = np.zeros((6, *shape[:2], 2 * shape[2]), np.uint8)
        apart[::2, ..., ::2] = images
        locked = images.copy()
        locked.flags.writeable = False
        ways = {"a part of a larger array": apart[::2, ..., ::2], "an array of columns": np.asfortranarray(images)}
        for way, given in (ways | {"an array that cannot be written": locked}).items():
            assert np.array_equal(given, images)
            assert_same(f"what {way} gives", run(given), expected)

    def test_other_shapes_are_refused(self, plugin: FixedModelPlugin) -> None:
        """Open it for other images: it takes them, or raises ``InputError``, which has to name no more than one line.

        Those in ``refused`` it has to refuse. What ``check`` refuses, ``open`` refuses in the same words.
        """
        height, width, channels = self.shapes[0]
        others = [(height + 3, width + 5, channels), (height, width, 2), (1, 1, channels)]
        for shape in (*others, *self.refused):
            said, features, checked = None, _images(shape, 0), None
            try:
                plugin.check(shape)
            except InputError as error:
                checked = str(error)
            try:
                features = plugin.open(shape)(_images(shape, 2))
            except InputError as error:
                said = str(error)
            assert checked in (None, said), f"check says {checked!r}, and open says {said!r}"
            if said is None:
                assert shape not in self.refused, f"images of shape {shape} are taken"
                assert features.shape[:1] == (2,), f"of 2 images of shape {shape} it gives shape {features.shape}"
            else:
                assert len(said.splitlines()) == 1, f"it is refused in more than one line, or none: {said!r}"

    def test_its_weights_have_a_name(self, plugin: FixedModelPlugin) -> None:
        """Find a name in ``trained``, which readers know it by, and sentences in ``notes``."""
        for what, text in (("trained", plugin.trained), *(("a note", note) for note in plugin.notes)):
            assert isinstance(text, str), f"{what} is a {type(text).__name__}, not a text"
            assert text.strip(), f"{what} is empty"

    def test_leaves_the_process_as_it_was(self, plugin: FixedModelPlugin) -> None:
        """Open and run it: settings of Keras, TensorFlow, NumPy and Python must stay as they are.

        But for random numbers, of which Keras takes seeds when it opens a network.
        """
        shape = self.shapes[0]
        assert_process_stays(lambda: plugin.open(shape)(_images(shape, 2)), but=RANDOM)


def _images(shape: Shape, count: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, size=(count, *shape), dtype=np.uint8)


def _opened(plugin: FixedModelPlugin, shape: Shape) -> Callable[[Array], Array]:
    try:
        return _shared_network(PluginKey.of(plugin), shape)
    except InputError as error:
        pytest.fail(f"it cannot be opened for images of shape {shape}: {error}")


@functools.lru_cache(maxsize=4)
def _shared_network(key: PluginKey, shape: Shape) -> Callable[[Array], Array]:
    network: Callable[[Array], Array] = key.plugin.open(shape)
    return network
