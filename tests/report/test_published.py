"""What is said of published results: every sentence follows from the verdicts on their pairs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.report.published import remarks
from faceexp.results.published import CountPowerRecord, PublishedRecord, PublishedResultRecord
from faceexp.statistics.power import from_counts


def published(right, pairs=134):
    power = CountPowerRecord.model_validate(from_counts(right, pairs))
    results = tuple(PublishedResultRecord(label=label, right=count) for label, count in right.items())
    return PublishedRecord(source="a study", pairs=pairs, results=results, power=power)


def said(right, pairs=134):
    return " ".join(remarks(published(right, pairs)))


@pytest.mark.parametrize(
    ("right", "sentence"),
    [
        # 107 of 134 can be told from 114 if the errors are nested, and cannot if they are unrelated.
        (
            {"a": 114, "b": 107},
            "Whether the two published losses can be told apart at 5 % depends on which pairs each judged right.",
        ),
        ({"a": 114, "b": 60}, "The two published losses can be told apart at 5 %, even if their errors are unrelated."),
        (
            {"a": 114, "b": 112},
            "The two published losses cannot be told apart at 5 % by McNemar's exact test, not even",
        ),
        (
            {"a": 114, "b": 110, "c": 112},
            "not even if their errors were as alike as they can be: no winner can be called.",
        ),
        ({"a": 130, "b": 60, "c": 61}, "a is better than every other of them."),
        ({"a": 130, "b": 129, "c": 60}, "No winner can be called: a cannot be told apart from b."),
        ({"a": 130, "b": 122, "c": 60}, "Whether a is better than every other of them depends on which pairs"),
    ],
)
def test_a_winner_is_called_where_the_verdicts_call_one(right, sentence):
    assert sentence in said(right)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3000), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_no_sentence_contradicts_a_verdict(pairs, shares):
    right = {f"loss{place}": round(share * pairs) for place, share in enumerate(shares)}
    text = said(right, pairs)
    record = published(right, pairs)
    verdicts = [pair.verdict for pair in record.power.pairs]
    first = max(right, key=lambda label: right[label])
    of_first = {pair.verdict for pair in record.power.pairs if first in (pair.a, pair.b)}
    # A winner is denied only where the best loss cannot be told from another, and called where it always can.
    assert ("no winner can be called" in text.lower()) <= ("indistinguishable" in of_first)
    assert ("is better than every other of them." in text) <= (of_first == {"distinguishable"})
    assert ("None of the" in text or "cannot be told apart at" in text) == (set(verdicts) == {"indistinguishable"})
    assert ("depends on which pairs" in text) == ("undecided" in verdicts)
