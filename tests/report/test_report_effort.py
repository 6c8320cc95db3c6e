"""What would tell more: one number of people and one of seeds, the same in every report."""

from __future__ import annotations

import pytest

from faceexp.report.answers import answers
from faceexp.report.effort import more_people, ways
from faceexp.report.headline import headline
from faceexp.results.verdict import NeededRecord

PART = {"images": 25, "people": 5}
PARTS = [{"seed": seed, "fold": 0, "train": PART | {"people": 20}, "validation": PART, "test": PART} for seed in (0, 1)]


@pytest.fixture
def of_thirty(written, changed):
    """A run of 30 people and two seeds."""
    return changed(written, parts=PARTS)


def needed(**values):
    now = {"seeds": 2, "trials": 10, "detectable": 0.2, "minutes": 4.0}
    return NeededRecord.model_validate({"undecided": 2, "now": now, "label": "x", "difference": 0.1} | values)


def test_of_two_needs_for_people_the_larger_one_is_said(of_thirty, changed):
    to_tune_on_too = changed(of_thirty, people_enough=48)
    assert more_people(of_thirty, needed(people=46)) == "16 more people (46 in all)"
    assert more_people(to_tune_on_too, needed(people=46)) == "18 more people (48 in all)"
    assert more_people(to_tune_on_too, needed(people=60)) == "30 more people (60 in all)"
    assert more_people(to_tune_on_too) == "18 more people (48 in all)"


def test_nobody_is_told_to_find_people_whom_they_have_or_whom_nobody_finds(of_thirty, written, changed):
    assert more_people(of_thirty, needed(people=301)) == ""
    assert more_people(of_thirty, needed(people=30)) == ""
    assert more_people(changed(of_thirty, people_enough=30)) == ""
    assert more_people(written, needed(people=46)) == "", "how many people there are is not known"


def test_in_a_closed_set_the_same_people_are_in_every_part(of_thirty, changed):
    assert more_people(changed(of_thirty, protocol="closed_set"), needed(people=46)) == "26 more people (46 in all)"


def test_seeds_are_named_only_if_they_show_a_difference_that_was_seen(of_thirty):
    double = {"seeds": 4, "trials": 20, "detectable": 0.19, "minutes": 8.0}
    assert ways(of_thirty, needed(more=double)) == [], "twice the seeds show 19 points, and 10 were seen"
    assert ways(of_thirty, needed(more=double, seeds=5)) == ["seeds = [0, 1, 2, 3, 4] (about 6 minutes more)"]
    # The run was not lucky: as many seeds as it has find such a difference in most repetitions.
    assert ways(of_thirty, needed(seeds=2)) == ["seeds = [0, 1, 2, 3] (about 4 minutes more)"]
    without_a_time = {"seeds": 2, "trials": 10, "detectable": 0.2}
    assert ways(of_thirty, needed(now=without_a_time, seeds=14)) == ["14 seeds"]


def test_the_finding_and_the_notes_say_the_same(of_thirty, changed):
    claim = {"label": "x", "reference": "phase-1 embedding", "difference": 0.1, "interval": (-0.1, 0.3)}
    claim |= {"p_corrected": 0.3, "verdict": "undecided"}
    asked = {"metric": "map_at_r", "questions": ["helps"], "equivalence": 0.01, "helps": [claim]}
    asked["guessing"] = [claim | {"verdict": "better", "p_corrected": 0.01}]
    asked["needed"] = needed(people=46, seeds=5).to_jsonable()
    run = changed(of_thirty, people_enough=48, verdict=asked)
    more = "seeds = [0, 1, 2, 3, 4] (about 6 minutes more) or 18 more people (48 in all) would tell more"
    assert headline(run)[-1].text.endswith(f"; {more}.")
    assert answers(run)[-1].text.endswith(f"{more}, first about x (+10.0).")
