"""Letters of rows that cannot be told apart, against their definition."""

from __future__ import annotations

import re
import string
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.statistics.letters import letters

LABELS = list(string.ascii_uppercase[:7])
EDGES = [frozenset(pair) for pair in combinations(LABELS, 2)]


def assert_is_display(shown, ranked, different):
    """Check the definition, pair by pair, and the order of the letters."""
    assert list(shown) == list(ranked)
    for a, b in combinations(ranked, 2):
        assert bool(set(shown[a]) & set(shown[b])) == (frozenset((a, b)) not in different)
    assert all(shown.values())
    assert "a" in shown[ranked[0]]
    used = sorted(set("".join(shown.values())))
    assert used == list(string.ascii_letters[: len(used)])
    assert all(list(text) == sorted(text) for text in shown.values())


@settings(deadline=None)
@given(st.permutations(LABELS), st.sets(st.sampled_from(EDGES)), st.integers(0, 21))
def test_labels_share_a_letter_if_and_only_if_they_are_not_different(ranked, different, most):
    shown = letters(ranked, different, most)
    if any(shown.values()):
        assert_is_display(shown, ranked, different)
        assert len(set("".join(shown.values()))) <= most
    else:
        assert most < 12  # the edges of no graph of 7 labels need more sets than 7 * 7 / 4 (Erdős, Goodman, Pósa)


@settings(deadline=None)
@given(st.permutations(LABELS), st.sets(st.sampled_from(EDGES)))
def test_no_letter_of_any_label_can_be_left_out(ranked, different):
    shown = letters(ranked, different, most=21)
    assert_is_display(shown, ranked, different)
    for label, text in shown.items():
        for letter in text:
            without = shown | {label: text.replace(letter, "")}
            with pytest.raises(AssertionError):
                assert_is_display(without, ranked, different)


def test_letters_where_telling_apart_is_not_transitive():
    assert letters(["best", "middle", "worst"], {frozenset(("best", "worst"))}) == {
        "best": "a",
        "middle": "ab",
        "worst": "b",
    }


def test_a_set_that_others_make_superfluous_has_no_letter():
    """Three pairs of opposite rows: 1-2-3 alike and each of them like two of 4, 5, 6. Its triangle needs no letter."""
    alike = {"12", "23", "13", "14", "24", "25", "35", "16", "36"}
    different = {frozenset(pair) for pair in combinations("123456", 2) if "".join(pair) not in alike}
    assert set("".join(letters("123456", different).values())) == set("abc")


def test_more_letters_than_anybody_reads_are_none_at_all():
    ranked = [f"loss{i}" for i in range(7)]
    all_different = {frozenset(pair) for pair in combinations(ranked, 2)}
    assert letters(ranked, all_different) == dict.fromkeys(ranked, "")
    assert letters(ranked[:6], all_different) == dict(zip(ranked[:6], "abcdef", strict=True))
    assert letters(ranked, all_different, most=7) == dict(zip(ranked, "abcdefg", strict=True))


def test_there_are_always_enough_letters():
    ranked = [f"loss{i}" for i in range(60)]
    shown = letters(ranked, {frozenset(pair) for pair in combinations(ranked, 2)}, most=60)
    assert [shown[label] for label in (ranked[0], ranked[25], ranked[26], ranked[52])] == ["a", "z", "A", "a1"]
    assert len(set(shown.values())) == 60


@pytest.mark.parametrize("percent", [1, 10, 30, 60])
def test_many_labels_with_any_share_of_differences_have_their_letters(percent):
    """There can be exponentially many sets of labels that are alike, so that this would not end if all were listed."""
    ranked = [f"{place:02}" for place in range(41)]
    pairs = [frozenset(pair) for pair in combinations(ranked, 2)]
    chosen = np.random.default_rng(percent).permutation(len(pairs))[: len(pairs) * percent // 100]
    different = {pairs[place] for place in chosen}
    shown = letters(ranked, different, most=len(pairs))
    # Letters beyond the alphabet are followed by digits: a1, b1, ...
    columns = {label: set(re.findall(r"[A-Za-z]\d*", text)) for label, text in shown.items()}
    for a, b in combinations(ranked, 2):
        assert bool(columns[a] & columns[b]) == (frozenset((a, b)) not in different)


def test_no_labels_have_no_letters():
    assert letters([], set()) == {}
