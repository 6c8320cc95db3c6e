"""The embedding of a template is the weighted mean of those of its images, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.evaluation.templates import pooled, weights


def places(numbers):
    """Places of templates in the order of their first images."""
    order = list(dict.fromkeys(numbers))
    return np.array([order.index(number) for number in numbers])


def by_loops(rows, place, distance, quality, media=None):
    means = []
    for template in range(max(place) + 1):
        members = [image for image in range(len(place)) if place[image] == template]
        given_weights = [1.0 if quality is None else quality[image] for image in members]
        known = [weight for weight in given_weights if not math.isnan(weight)]
        usual = sum(known) / len(known) if known else 1.0
        used = [usual if math.isnan(weight) else weight for weight in given_weights]
        if sum(used) == 0:
            used = [1.0] * len(members)
        if media is not None:
            of_medium = [sum(media[other] == media[image] for other in members) for image in members]
            used = [weight / count for weight, count in zip(used, of_medium, strict=True)]
        mean = [0.0] * len(rows[0])
        for image, weight in zip(members, used, strict=True):
            row = [float(value) for value in rows[image]]
            length = math.sqrt(sum(value * value for value in row)) if distance == "cosine" else 1.0
            for column, value in enumerate(row):
                mean[column] += weight * value / (length or 1.0) / sum(used)
        means.append(mean)
    return means


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from([0.0, 0.25, 1.0, 3.0, math.nan]), st.integers(-3, 3), st.integers(0, 2)
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["euclidean", "cosine"]),
    st.booleans(),
    st.booleans(),
)
def test_templates_are_those_of_plain_loops(images, distance, weighted, of_media):
    place = places([template for template, *_ in images])
    quality = np.array([weight for _, weight, *_ in images]) if weighted else None
    media = np.array([medium for *_, medium in images]) if of_media else None
    # Some embeddings are zero, which have no direction.
    rows = np.array([[value, value * number % 5, -value] for number, (_, _, value, _) in enumerate(images)], np.float32)
    found = pooled(rows, place, distance, quality, media)
    if len(set(place)) == len(place):
        assert found is rows
        return
    np.testing.assert_allclose(found, by_loops(rows, place, distance, quality, media), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.bincount(place, weights(place, quality, media)), 1)


def test_the_images_of_a_medium_are_averaged_first():
    """As InsightFace's script for IJB does it: the mean of each medium, and the sum of these."""
    random = np.random.default_rng(3)
    place, media = random.integers(0, 5, 60), random.integers(0, 4, 60)
    place = places(place.tolist())
    rows, quality = random.normal(size=(60, 4)), random.uniform(0.1, 1, 60)
    found = pooled(rows, place, "cosine", quality, media)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True) * quality[:, None]
    for template in range(5):
        inside = place == template
        means = [unit[inside & (media == medium)].mean(axis=0) for medium in np.unique(media[inside])]
        total = np.sum(means, axis=0)
        np.testing.assert_allclose(
            found[template] / np.linalg.norm(found[template]), total / np.linalg.norm(total), rtol=1e-5, atol=1e-6
        )
    # Where each image is a medium of its own, media change nothing.
    np.testing.assert_allclose(
        pooled(rows, place, "cosine", quality, np.arange(60)), pooled(rows, place, "cosine", quality)
    )


def test_pixels_are_averaged_as_parts_of_white():
    rows = np.array([[0, 255], [255, 255], [51, 0]], np.uint8)
    found = pooled(rows, np.array([0, 0, 1]), "euclidean")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.5, 1.0], [0.2, 0.0]], rtol=1e-6)
    alone = np.array([0, 1, 2])
    assert pooled(rows, alone, "euclidean") is rows


@pytest.mark.parametrize("quality", [None, np.array([0.0, 1.0, 1.0])])
def test_what_is_not_finite_stays_so(quality):
    rows = np.array([[np.inf, 1], [1, 1], [1, 2]], np.float32)
    found = pooled(rows, np.array([0, 0, 1]), "cosine", quality)
    assert not np.isfinite(found[0]).all()
    assert np.isfinite(found[1]).all()
