"""Keys: the same for the same content, another for any other."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from faceexp.store import canonical, digest

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
