"""Which people of a data set take part: those with enough images, and of these the first that are wanted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.contract import choose_people, too_few_people


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 4), st.none() | st.integers(2, 5))
def test_people_with_enough_images_are_chosen(labels, min_images, first):
    chosen = choose_people(np.array(labels, np.int32), min_images, first)
    everybody = sorted(set(labels))
    enough = [person for person in everybody if labels.count(person) >= min_images]
    people = enough if first is None else enough[:first]
    assert chosen.people.tolist() == people
    assert chosen.rows.tolist() == [row for row, person in enumerate(labels) if person in people]
    assert chosen.labels.tolist() == [people.index(person) for person in labels if person in people]
    assert chosen.labels.dtype == np.int32
    left_out = [f"leaves out {len(everybody) - len(enough)} of {len(everybody)} people"] if enough != everybody else []
    left_out += [f"leaves out {len(enough) - len(people)} more people"] if people != enough else []
    assert [note[note.index("leaves") :] for note in chosen.notes] == left_out


@pytest.mark.parametrize(
    ("count", "min_images", "text"),
    [
        (1, 1, "1 identity, but a comparison of faces needs two or more"),
        (0, 3, "no identity with at least 3 images, but a comparison of faces needs two or more"),
    ],
)
def test_too_few_people_are_told(count, min_images, text):
    assert too_few_people(count, min_images) == text
