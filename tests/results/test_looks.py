"""Whether a run goes on after a look at its trials, and what a look has settled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from faceexp.experiment.asked import Asked, Limits
from faceexp.experiment.baselines import PHASE1
from faceexp.results.judge import Sampling, judge
from faceexp.results.looks import goes_on, looked
from faceexp.results.schema import TrialRecord
from faceexp.results.verdict import ClaimRecord, LookRecord, StandingRecord, VerdictRecord
from faceexp.statistics.effort import Open

ASKED = Asked(until="decided", looks=3)
SAMPLING = Sampling(ratio=0.25, average_seeds=False, same_people=False, people=40)


def claim(label, verdict="undecided"):
    return ClaimRecord(label=label, reference=PHASE1.label, difference=0.1, verdict=verdict)


def verdict(*claims, looks=(), in_question=(), best=()):
    return VerdictRecord(
        metric="map_at_r",
        questions=("helps", "best"),
        equivalence=0.01,
        helps=claims,
        best=best,
        looks=looks,
        in_question=in_question,
    )


def look(trained=2, seconds=60.0):
    return LookRecord(seeds=(0,), trained=trained, seconds=seconds)


def test_a_look_says_what_has_been_settled_since_the_look_before():
    first = looked(verdict(claim("a", "better"), claim("b"), claim("c"), in_question=("b", "c")), look())
    assert first.looks[-1].settled == ("a",)
    both = verdict(claim("a", "better"), claim("b"), claim("c", "worse"), looks=first.looks, in_question=("b",))
    assert looked(both, look()).looks[-1].settled == ("c",)


@pytest.mark.parametrize(
    ("in_question", "looks", "minutes", "seconds", "expected"),
    [
        (("a", "b"), 1, None, 0.0, True),
        ((), 1, None, 0.0, False),  # nothing is in question
        (("a", "b"), 3, None, 0.0, False),  # all looks were taken
        (("a", "b"), 1, 3.0, 100.0, True),  # both losses took 60 seconds, and will take as long again
        (("a", "b"), 1, 3.0, 130.0, False),
        (("a",), 1, 3.0, 140.0, True),  # one of them will take half of it
    ],
)
def test_a_run_goes_on_while_something_is_in_question_and_there_is_time(in_question, looks, minutes, seconds, expected):
    found = verdict(claim("a"), claim("b"), looks=[look()] * looks, in_question=in_question)
    assert goes_on(found, ASKED, Limits(minutes=minutes), seconds) is expected


def trials(rng, effects, seeds, folds=5, noise=0.01):
    """Made trials: each loss is so much better than the phase-1 embedding."""
    return [
        TrialRecord(
            id=f"{label}-{seed}-{fold}",
            label=label,
            kind="baseline" if label == PHASE1.label else "loss",
            seed=seed,
            fold=fold,
            status="ok",
            metrics={"map_at_r": 0.7 + effect + noise * rng.normal()},
        )
        for label, effect in {**effects, PHASE1.label: 0.0}.items()
        for seed in seeds
        for fold in range(folds)
    ]


def test_what_one_look_decides_the_next_ones_do_not_ask_again():
    rng = np.random.default_rng(3)
    early = trials(rng, {"large": 0.2, "none": 0.0, "small": 0.02}, [0])
    first = judge(early, ASKED, SAMPLING)
    assert {each.label: each.verdict for each in first.helps}["large"] == "better"
    assert first.alpha == pytest.approx(0.05 / 3)
    # Later trials that contradict it change nothing: the look before had its share of the 5 %.
    later = trials(rng, {"large": -0.2, "none": 0.0, "small": 0.02}, [1])
    second = judge(early + later, ASKED, SAMPLING, first)
    assert second.helps[0] == first.helps[0]
    assert [each.label for each in second.helps] == ["large", "none", "small"]


def test_a_loss_that_was_left_out_of_the_best_stays_out():
    rng = np.random.default_rng(4)
    early = trials(rng, {"a": 0.0, "b": 0.0, "far": -0.3}, [0])
    first = judge(early, ASKED, SAMPLING)
    assert {each.label: each.may_be_best for each in first.best} == {"a": True, "b": True, "far": False}
    second = judge(early + trials(rng, {"a": 0.0, "b": 0.0}, [1, 2]), ASKED, SAMPLING, first)
    assert {each.label: each.may_be_best for each in second.best}["far"] is False


def test_nothing_is_in_question_for_a_run_that_stops_after_its_seeds():
    rng = np.random.default_rng(5)
    assert judge(trials(rng, {"a": 0.0, "b": 0.01}, [0]), Asked(), SAMPLING).in_question == ()


def test_a_loss_that_no_look_can_decide_is_given_up():
    rng = np.random.default_rng(6)
    # With half a point of true difference and a spread of five, not even all looks come near the margin of one point.
    found = judge(trials(rng, {"a": 0.0, "b": 0.0, "c": 0.0}, [0, 1, 2], noise=0.05), ASKED, SAMPLING)
    assert {each.verdict for each in found.helps} == {"undecided"}
    assert found.in_question == ()


def test_a_rival_keeps_the_leading_loss_in_question():
    rng = np.random.default_rng(7)
    found = judge(trials(rng, {"first": 0.055, "second": 0.05, "third": 0.05}, [0], noise=0.005), ASKED, SAMPLING)
    assert all(each.may_be_best for each in found.best)
    assert "first" in found.in_question


def test_within_reach_is_what_the_interval_of_the_last_look_will_show():
    """The half width at the last look is computed by hand, for a difference that hardly moves any more."""
    ratio, spread, now, most, level = 0.25, 0.04, 1000, 1010, 0.01
    half = stats.t.ppf(1 - level / 2, now - 1) * spread * np.sqrt(1 / now + ratio)
    at_last = stats.t.ppf(1 - level / 2, most - 1) * spread * np.sqrt(1 / most + ratio)

    def reach(difference, equivalence=0.0):
        return Open(difference, half, now, now - 1, level).within_reach(most, ratio, equivalence)

    assert reach(at_last * 1.01)
    assert reach(-at_last * 1.01)
    assert not reach(at_last * 0.99)
    assert reach(0.0, equivalence=at_last * 1.01)  # practically equal can still be shown
    assert not reach(0.0, equivalence=at_last * 0.99)


def test_standings_of_a_record_need_no_trials():
    standing = StandingRecord(label="a", difference=None, may_be_best=True)
    assert looked(verdict(claim("a"), best=(standing,), in_question=("a",)), look()).looks[-1].settled == ()
