"""Which share of a run has which trials."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp.errors import InputError
from faceexp.running.parts import Shard
from faceexp.values import Trial


def plan(seeds, folds, rows):
    cells = [(seed, fold) for seed in range(seeds) for fold in range(folds)]
    labels = [f"row {number}" for number in range(rows)]
    trials = [Trial(f"{label}-s{s}-f{f}", label, "loss", s, f) for s, f in cells for label in labels]
    return SimpleNamespace(trials=tuple(trials))


@given(seeds=st.integers(1, 4), folds=st.integers(1, 4), rows=st.integers(1, 6), of=st.integers(1, 40))
def test_every_trial_belongs_to_one_share(seeds, folds, rows, of):
    whole = plan(seeds, folds, rows)
    shares = [Shard(number, of).trials(whole) for number in range(1, of + 1)]
    assert Counter(trial for share in shares for trial in share) == Counter(whole.trials)
    for share in shares:
        assert list(share) == [trial for trial in whole.trials if trial in share], "in the order of the plan"
    cells = [{(trial.seed, trial.fold) for trial in share} for share in shares]
    if of <= seeds * folds:
        # Nobody makes a phase 1 that another share makes as well.
        assert sum(len(each) for each in cells) == seeds * folds
        assert max(map(len, cells)) - min(map(len, cells)) <= 1
    else:
        assert all(len(each) <= 1 for each in cells)


def test_a_share_is_written_as_its_number_and_how_many_there_are():
    assert Shard.parse("3/8") == Shard(3, 8)
    assert Shard(3, 8).suffix == "-shard-3-of-8"


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "3/8/2", "-1/8", "a/b", "3 of 8", "1/0"])
def test_what_is_no_share_is_one_line(text):
    with pytest.raises(InputError) as caught:
        Shard.parse(text)
    assert [str(problem) for problem in caught.value.problems] == [
        f"--shard: must be such as 3/8, the third of eight shares, not {text!r}"
    ]
