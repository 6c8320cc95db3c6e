"""A split is judged as if each of its templates were one image."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.data.splits import Split
from faceexp.data.templates import Templates
from faceexp.data.test_set import PlannedSet


def part(*images):
    return np.array(images, dtype=np.int64)


def test_each_template_of_a_part_becomes_its_first_image_there():
    templates = Templates("template", part(5, 5, 9, 9, 2, 5, 2, 7))
    split = Split(0, 0, train=part(2, 3), validation=part(1, 4, 6), test=part(0, 5, 7))
    posed = templates.posed(split)
    assert posed.train.tolist() == [2]
    assert posed.validation.tolist() == [1, 4]
    # Template 5 is in two parts, each of which has a template of its images there.
    assert posed.test.tolist() == [0, 7]
    assert (posed.validation_pairs, posed.test_pairs) == (None, None)


def test_nothing_changes_where_each_template_is_one_image():
    templates = Templates("template", part(3, 1, 0, 2))
    split = Split(0, 0, part(0), part(1), part(3, 2), None, part([0, 1]))
    posed = templates.posed(split)
    assert [posed.train.tolist(), posed.validation.tolist(), posed.test.tolist()] == [[0], [1], [3, 2]]
    assert posed.test_pairs.tolist() == [[0, 1]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=9), st.data())
def test_pairs_of_images_become_pairs_of_templates_without_doubles(numbers, data):
    templates, rows = Templates("template", np.array(numbers)), np.arange(len(numbers))
    every = list(itertools.permutations(range(len(numbers)), 2))
    pairs = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=12))
    posed = templates.posed(Split(0, 0, part(), part(), rows, None, np.array(pairs)))
    expected = []
    for first, second in pairs:
        named = (numbers[first], numbers[second])
        if named[0] != named[1] and named not in expected and named[::-1] not in expected:
            expected.append(named)
    found = [(numbers[posed.test[first]], numbers[posed.test[second]]) for first, second in posed.test_pairs]
    assert found == expected


def test_pairs_of_a_test_set_keep_their_folds():
    templates = Templates("template", part(0, 0, 2, 5, 5, 7))
    faces = PlannedSet(
        "set",
        "s",
        "k",
        2 + np.arange(4),
        part(0, 1, 1, 1),
        ("A", "B"),
        part([0, 1], [1, 0], [1, 3], [2, 1], [0, 3]),
        part(4, 3, 2, 1, 0),
    )
    posed = faces.posed(templates)
    assert posed.rows.tolist() == [2, 3, 5]
    # The second pair is the first one again, and the fourth is one of a template with itself.
    assert posed.pairs.tolist() == [[0, 1], [1, 2], [0, 2]]
    assert posed.folds.tolist() == [4, 2, 0]
    assert posed.labels.tolist() == [0, 1, 1]


def test_the_key_follows_templates_and_weights():
    template, quality = part(0, 0, 1), np.array([1.0, 2.0, np.nan])
    made = [
        Templates("t", template),
        Templates("t", part(0, 1, 1)),
        Templates("t", template, quality),
        Templates("t", template, quality[::-1]),
        Templates("t", template, quality, part(0, 0, 2)),
        Templates("t", template, None, part(0, 1, 2)),
    ]
    assert len({each.key for each in made}) == len(made)
    assert Templates("t", template, quality).key == Templates("t", template.copy(), quality.copy()).key
