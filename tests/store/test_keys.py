"""Keys: the same for the same content, another for any other."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from faceexp.store import canonical, content_of, digest
from faceexp.store.keys import MOST_VALUES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(value, random):
    keys = list(value)
    random.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)


@given(JSON)
def test_a_digest_survives_the_way_through_a_file(value):
    assert digest(json.loads(json.dumps(value))) == digest(value)
    assert json.loads(canonical(value)) == value
    assert len(digest(value)) == 64


@given(JSON, JSON)
def test_different_content_has_a_different_digest(left, right):
    assert (digest(left) == digest(right)) == (canonical(left) == canonical(right))


def test_digests_do_not_change_between_versions():
    """A store filled yesterday is still of use today."""
    assert digest({"b": [1, 2.5, None], "a": "ü"}) == digest({"a": "ü", "b": [1, 2.5, None]})
    assert canonical({"b": [1, 2.5, None], "a": "ü"}) == '{"a":"\\u00fc","b":[1,2.5,null]}'


def test_of_a_large_array_its_bytes_count_and_of_a_small_one_its_values():
    small = np.arange(6).reshape(3, 2)
    assert content_of(small) == small.tolist()
    large = np.zeros(MOST_VALUES + 1, np.int64)
    other = large.copy()
    other[-1] = 1
    contents = [large, large.copy(), other, large.astype(np.int32), large[:, None]]
    digests = [digest(content_of(each)) for each in contents]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    assert len(canonical(content_of(large))) < 200
