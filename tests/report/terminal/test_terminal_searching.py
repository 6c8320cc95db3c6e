"""What people see of a search while it goes on: before it, in a log, in the live display, and after it."""

from __future__ import annotations

import pytest

from faceexp.report.terminal.searching import EVERY, Pace, Searching, chances_sentence, chances_table
from faceexp.search.chances import Chance, Chances
from faceexp.search.events import ROUND, STAGE, SearchGoesOn, Standing
from faceexp.values import Event

RATE = {"finetune.learning_rate": "1e-05 to 0.01, by orders of magnitude"}


def chances(*labels, trials=10, prunes=False, folds=1):
    losses = tuple(Chance(label, {**RATE, f"margin of {label}": "0 to 1"}, (), 40, 1280) for label in labels)
    return Chances(trials, 2, folds, prunes, losses)


def goes_on(done, total, **best):
    standings = tuple(Standing(label, done // max(1, len(best)), score) for label, score in best.items())
    return SearchGoesOn(STAGE, done, total, standings=standings)


def test_equal_budgets_are_said_before_anything_trains():
    assert chances_sentence(chances("a", "b", folds=3)) == (
        "Settings are searched for on validation people: each of the 2 losses gets the same: 10 trials x 2 seeds x 3 folds "
        "= 60 trainings, each of 40 steps and 1,280 images; 120 trainings in all."
    )
    assert "the loss gets 10 trials x 2 seeds x 1 fold = 20 trainings at most, since trials may end early, each" in (
        chances_sentence(chances("a", prunes=True))
    )


def test_a_search_of_phase_1_is_said_to_be_for_all_losses():
    phase1 = Chances(10, 2, 1, False, (Chance("phase 1", {"model.width": "1 to 2"}, ()),), is_phase1=True)
    assert chances_sentence(phase1) == (
        "The trunk and phase 1, which all losses share, are searched first: 10 trials x 2 seeds x 1 fold = 20 trainings of "
        "phase 1, judged by its embedding on validation people."
    )


def test_what_all_losses_share_stands_once(drawn):
    text = drawn(chances_table(chances("a", "b")), 80)
    assert text.count("finetune.learning_rate") == 1
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    assert lines[2:] == [
        "every loss finetune.learning_rate 1e-05 to 0.01, by orders of magnitude",
        "a margin of a 0 to 1",
        "b margin of b 0 to 1",
    ]


def test_a_log_has_a_line_after_the_first_round_then_now_and_then_and_one_at_the_end():
    search = Searching(chances("a", "b"))
    heard = []

    def hear(event, now):
        search.on_event(event, now)
        heard.append(search.line(now))

    hear(goes_on(0, 20, a=None, b=None), 0.0)
    hear(Event(ROUND, 1, 4), 5.0)
    assert heard == [None, None], "what begins was just said"
    hear(goes_on(2, 20, a=0.9, b=0.8), 20.0)
    assert heard[-1] == "search: 2 of 20 trials done, best validation scores a 0.9000, b 0.8000"
    hear(goes_on(4, 20, a=0.9, b=0.8), 22.0)
    assert heard[-1] is None
    hear(Event(ROUND, 2, 4), 20.0 + EVERY)
    # Of 18 trials, 3 took the 30 seconds since the first round.
    assert heard[-1] == (
        "search: 4 of 20 trials done, 2 of 4 trainings of this round, best validation scores a 0.9000, b 0.8000, about "
        "2 minutes left"
    )
    hear(goes_on(20, 20, a=0.95, b=0.8), 60.0)
    assert heard[-1] == "search: 20 of 20 trials done, best validation scores a 0.9500, b 0.8000"
    assert search.line(200.0) is None, "the end is said once"


def test_a_long_first_round_is_not_silent():
    search = Searching(chances("a", "b"))
    search.on_event(goes_on(0, 20, a=None, b=None), 0.0)
    assert search.line(0.0) is None
    search.on_event(Event(ROUND, 3, 4), EVERY)
    assert search.line(EVERY) == "search: 0 of 20 trials done, 3 of 4 trainings of this round"


def test_only_the_best_of_many_losses_are_named():
    search = Searching(chances(*"abcdefg"))
    search.on_event(goes_on(7, 70, **{label: 0.5 + place / 10 for place, label in enumerate("abcde")}, f=None), 0.0)
    assert search.best(2) == "e 0.9000, d 0.8000 and 3 more"
    assert [label for label, _ in search.rows(3)] == ["e", "d", "c", "and 3 more losses"]


@pytest.mark.parametrize(("done", "seconds"), [(4, 160.0), (10, 50.0), (20, 0.0)])
def test_the_time_left_leaves_the_first_round_out(done, seconds):
    pace = Pace()
    pace.end_round(0.0, 0)
    pace.end_round(100.0, 2)  # phase 1 and compiling took long
    assert pace.left(100.0, 2, 20) is None
    assert pace.left(100.0 + (done - 2) * (10 if done == 4 else 5), done, 20) == pytest.approx(seconds)


def test_a_search_that_goes_on_judges_by_what_it_does_itself():
    pace = Pace()
    pace.end_round(0.0, 16)
    pace.end_round(10.0, 18)
    assert pace.left(12.0, 19, 20) == pytest.approx(2.0)
