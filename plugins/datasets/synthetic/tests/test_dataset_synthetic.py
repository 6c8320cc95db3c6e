"""Drawn faces: the same for ever, alike within a person, different between people, neither trivial nor impossible."""

from __future__ import annotations

import faceexp_dataset_synthetic as module
import numpy as np
import pytest
from faceexp_dataset_synthetic import IMAGE, PERSON, Synthetic

from faceexp.testing import DatasetContract

STILL = {"pose": 0, "light": 0, "expression": 0, "noise": 0}


class TestSyntheticContract(DatasetContract):
    @pytest.fixture(params=["gray", "rgb"])
    def plugin(self, request):
        return Synthetic(people=9, images_per_person=4, size=32, color=request.param)


@pytest.fixture(scope="module")
def faces():
    """Forty people, five images each, as drawn unless told otherwise."""
    return Synthetic(people=40).build(seed=0)


def images(**options):
    """Return float images (people, images, size, size) or (..., 3)."""
    plugin = Synthetic(**{"people": 6, "images_per_person": 4, "size": 32, **options})
    pixels = plugin.build(seed=0).images.astype(np.float64)
    return pixels.reshape(plugin.people, plugin.images_per_person, *pixels.shape[1:])


def nearest_is_same_person(pixels, labels):
    """Return how often the nearest other image, pixel by pixel, shows the same person."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    squares = (flat**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    return np.mean(labels[distances.argmin(axis=1)] == labels)


# What it gives


def test_as_many_as_the_source_study_had():
    plugin = Synthetic()
    assert (plugin.people, plugin.images_per_person, plugin.size, plugin.color) == (700, 5, 96, "gray")


def test_person_by_person(faces):
    assert faces.images.shape == (200, 96, 96)
    np.testing.assert_array_equal(faces.labels, np.repeat(np.arange(40), 5))
    assert faces.identities[:2] == ("person000000", "person000001")


def test_grey_is_the_luminance_of_colour():
    luminance = images(color="rgb") @ [0.299, 0.587, 0.114]
    difference = np.abs(images(color="gray") - luminance)
    # Where a channel is cut off at 255, its luminance is not.
    assert np.mean(difference < 1.1) > 0.99


def test_size_changes_the_resolution_alone():
    large, small = images(size=64, noise=0), images(size=32, noise=0)
    halved = large.reshape(6, 4, 32, 2, 32, 2).mean(axis=(3, 5))
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.98
    assert np.abs(halved - small).mean() < 5


# The same for ever


def test_an_image_does_not_depend_on_how_many_there_are():
    many = images(people=13, images_per_person=7, pose=1.0)
    np.testing.assert_array_equal(images(people=5, images_per_person=3, pose=1.0), many[:5, :3])


@pytest.mark.parametrize("size", [16, 96])
def test_an_image_does_not_depend_on_those_drawn_together_with_it(size, monkeypatch):
    options = {"size": size, "pose": 1.0, "expression": 1.0}
    together = images(**options)
    monkeypatch.setattr(module, "BLOCK", 1)
    np.testing.assert_array_equal(images(**options), together)


def test_both_seeds_draw_other_people():
    first, same = (Synthetic(people=3, size=16).build(seed=0) for _ in range(2))
    assert first.fingerprint == same.fingerprint
    others = [Synthetic(people=3, size=16, seed=1).build(seed=0), Synthetic(people=3, size=16).build(seed=1)]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 3
    for other in others:
        assert np.abs(other.images.astype(float) - first.images).mean() > 10


# People and images


def test_without_pose_light_expression_and_noise_a_persons_images_are_all_the_same():
    still = images(**STILL)
    np.testing.assert_array_equal(still, np.broadcast_to(still[:, :1], still.shape))


@pytest.mark.parametrize("cause", ["pose", "light", "expression", "noise"])
def test_each_strength_makes_images_of_a_person_differ_the_more_it_is(cause):
    spread = [images(**{**STILL, cause: strength}).std(axis=1).mean() for strength in (0.2, 0.6, 1.0)]
    assert 0.1 < spread[0] < spread[1] < spread[2]


def test_expression_changes_eyes_and_mouth_alone():
    moved = images(**{**STILL, "expression": 1.0}, size=96).std(axis=1)
    assert moved[:, 25:85, 10:86].max() > 20
    assert moved[:, :20].max() == moved[:, 88:].max() == moved[:, :, :5].max() == moved[:, :, -5:].max() == 0


@pytest.mark.parametrize("name", PERSON)
def test_each_number_of_a_person_shows(name):
    face = {key: high for key, (_, high) in PERSON.items()} | dict.fromkeys(IMAGE, 0.0)  # with a mole
    one, other = (
        module.draw(
            {key: np.full((1, 1, 1), number, np.float32) for key, number in {**face, name: value}.items()}, 64, 3
        )
        for value in PERSON[name]
    )
    assert np.abs(one - other).max() > 0.02


def test_images_use_the_range_of_grey(faces):
    assert 70 < faces.images.mean() < 180
    assert 35 < faces.images.std() < 90
    assert np.mean(faces.images == 255) < 0.02


def test_neither_trivial_nor_impossible(faces):
    # A guess is right 4 times in 199.
    assert 0.3 < nearest_is_same_person(faces.images, faces.labels) < 0.9


def test_strengths_make_it_easy_or_hard():
    def right(strength):
        options = dict.fromkeys(STILL, strength)
        faces = Synthetic(people=40, size=48, **options).build(seed=0)
        return nearest_is_same_person(faces.images, faces.labels)

    easy, middle, hard = right(0.1), right(0.4), right(1.0)
    assert easy > 0.95
    assert easy - 0.2 > middle > hard + 0.2
    assert hard > 2 * 4 / 199
