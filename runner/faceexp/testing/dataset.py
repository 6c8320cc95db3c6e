"""What every data set has to keep."""

from __future__ import annotations

import functools
import random
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import DatasetPlugin, FaceData
from faceexp.data.face_data import mistakes_of, place_of
from faceexp.data.images import UnreadableImageError, opened
from faceexp.testing.plugin import PluginContract, PluginKey


class DatasetContract(PluginContract):
    """What every data set has to keep; the subclass gives a fixture ``plugin``.

    Class variables:
        decoded: How many images are decoded, evenly spread over all.
    """

    decoded: ClassVar[int] = 100

    def test_faces_are_as_promised(self, plugin: DatasetPlugin) -> None:
        """Check what ``build`` returns as ``faceexp run`` does, which refuses any mistake."""
        mistakes = mistakes_of(_faces(plugin))
        assert not mistakes, "; ".join(mistakes)

    def test_labels_count_from_zero(self, plugin: DatasetPlugin) -> None:
        """Check that labels are int32 (N,), one an image, and that each of 0..C-1 occurs."""
        faces = _faces(plugin)
        labels = np.asarray(faces.labels)
        assert labels.dtype == np.int32, f"labels are {labels.dtype}"
        assert labels.shape == (len(faces.images),), f"labels {labels.shape} for {len(faces.images)} images"
        assert np.array_equal(np.unique(labels), np.arange(len(faces.identities))), "labels are not 0..C-1"

    def test_identities_are_unique(self, plugin: DatasetPlugin) -> None:
        """Check that people have names, no two of them the same."""
        identities = _faces(plugin).identities
        assert all(identities), "an identity has no name"
        twice = sorted(name for name, count in Counter(identities).items() if count > 1)
        assert not twice, f"two identities are called {twice[0]!r}"

    def test_images_can_be_read(self, plugin: DatasetPlugin) -> None:
        """Check that images are uint8 (N, H, W) or (N, H, W, 3), or that Pillow decodes them."""
        images = _faces(plugin).images
        assert len(images), "there are no images"
        if isinstance(images, np.ndarray):
            assert images.dtype == np.uint8, f"images are {images.dtype}"
            right = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
            assert right, f"images have shape {images.shape}"
            return
        missing = [image for image in images if isinstance(image, Path) and not image.is_file()]
        assert not missing, f"{len(missing)} files are missing, the first is {missing[0]}"
        for at in np.linspace(0, len(images) - 1, min(self.decoded, len(images))).astype(int):
            try:
                opened(images[at], lambda image: image.load())
            except UnreadableImageError as error:
                pytest.fail(f"{place_of(_faces(plugin), at)} {error}")

    def test_two_builds_are_the_same(self, plugin: DatasetPlugin) -> None:
        """Build it twice with one seed: same fingerprint, same labels, same names, whatever others draw meanwhile."""
        first = _faces(plugin)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002 - it is about this state
        second = plugin.build(seed=0)
        assert first.fingerprint, "the fingerprint is empty"
        assert first.fingerprint == second.fingerprint, "two builds have different fingerprints"
        assert np.array_equal(first.labels, second.labels), "two builds have different labels"
        assert first.identities == second.identities, "two builds have different identities"

    def test_licence_and_source_are_given(self, plugin: DatasetPlugin) -> None:
        """Check that the data say where they come from, and under which terms they may be used."""
        faces = _faces(plugin)
        assert faces.licence.strip(), "the licence is empty"
        assert faces.source.strip(), "the source is empty"


def _faces(plugin: DatasetPlugin) -> FaceData:
    return _shared_faces(PluginKey.of(plugin))


@functools.lru_cache(maxsize=4)
def _shared_faces(key: PluginKey) -> FaceData:
    faces: FaceData = key.plugin.build(seed=0)
    return faces
