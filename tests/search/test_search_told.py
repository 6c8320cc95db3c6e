"""What a search tells whoever watches: what it gives, how far it is, who waits, and whom it has seen."""

from __future__ import annotations

import itertools
import threading

import pytest

from faceexp import pipeline
from faceexp.experiment.protocol import Protocol
from faceexp.results.outlook import outlook
from faceexp.search.events import ROUND, SearchBegins, SearchEnds, SearchGoesOn
from faceexp.search.prospect import prospect
from faceexp.search.tuned import people_note, tuned
from faceexp.store import Store
from faceexp.values import Event, Noted

LOSSES = """\
[[losses]]
plugin = "contrastive"
margin = { low = 0.1, high = 10.0, log = true }
[[losses]]
plugin = "npairs"
reg_lambda = { low = 0.0, high = 1.0 }
"""


@pytest.fixture
def heard(text_of, counter, score, tmp_path):
    """``heard(search="trials = 3")``: the events of a search."""

    def run(search="trials = 3", losses=LOSSES, tested=(), **tables):
        study = pipeline.loads(text_of(losses, search=search, **tables), "x.toml")
        events: list[Event] = []
        store = Store(tmp_path / "store")
        tuned(study.candidates, study.resolved, store, score, events.append, None, tested)
        return events

    return run


def test_a_search_says_what_it_gives_then_how_far_it_is_then_what_it_has_chosen(heard):
    events = heard()
    assert isinstance(events[0], SearchBegins)
    chances = events[0].chances
    assert (chances.trials, chances.seeds, chances.folds, chances.all_trainings) == (3, 2, 1, 12)
    assert [(loss.label, loss.steps, loss.images) for loss in chances.losses] == [
        ("contrastive", 10, 80),
        ("npairs", 10, 80),
    ]
    told = [event for event in events if isinstance(event, SearchGoesOn)]
    assert [(event.done, event.total) for event in told] == [(0, 6), (2, 6), (4, 6), (6, 6)]
    assert [standing.best for standing in told[0].standings] == [None, None]
    for earlier, later in itertools.pairwise(told[1:]):
        for before, after in zip(earlier.standings, later.standings, strict=True):
            assert after.best >= before.best, "the best score never falls"
    rounds = [(event.done, event.total) for event in events if event.stage == ROUND]
    assert rounds == 3 * [(1, 4), (2, 4), (3, 4), (4, 4)]
    last = events[-1]
    assert isinstance(last, SearchEnds)
    assert [each.best.score for each in last.searched] == [standing.best for standing in told[-1].standings]
    assert {loss.entry.label for loss in last.resolved.losses} >= {"contrastive", "npairs"}


def test_trials_that_end_early_count_as_a_share_of_the_round(heard):
    events = heard(search='trials = 3\npruner = "median"')
    for event in events:
        if event.stage == ROUND:
            assert 0 < event.done <= event.total == 4


def test_phase_1_is_told_like_a_loss(heard):
    model = '[model]\nplugin = "thin_vgg"\nwidths = [4]\nkernel_sizes = [3]\nembedding_dim = { choices = [4, 8] }\n'
    events = heard(model=model)
    of_phase1, of_losses = (event.chances for event in events if isinstance(event, SearchBegins))
    assert (of_phase1.is_phase1, of_phase1.all_trials, of_losses.is_phase1) == (True, 3, False)
    first = [event for event in events if isinstance(event, SearchGoesOn)][:4]
    assert [(event.done, event.total, event.standings[0].label) for event in first] == [
        (number, 3, "phase 1") for number in range(4)
    ]
    assert [each.space.label for each in events[-1].searched] == ["phase 1", "contrastive", "npairs"]


def test_who_waits_for_another_process_says_so_once(text_of, counter, score, tmp_path):
    events: list[Event] = []
    study = pipeline.loads(text_of(LOSSES), "x.toml")
    store = Store(tmp_path / "store")
    begun, may_end = threading.Event(), threading.Event()

    def hold(event):
        begun.set()
        may_end.wait(60)

    def run(on_event):
        tuned(study.candidates, study.resolved, store, score, on_event, None)

    def hear(event):
        events.append(event)
        if isinstance(event, Noted):
            may_end.set()

    first = threading.Thread(target=run, args=(lambda event: hold(event) if isinstance(event, SearchGoesOn) else None,))
    first.start()
    assert begun.wait(60)
    run(hear)
    first.join()
    (note,) = [event.note.text for event in events if isinstance(event, Noted)]
    assert note == "another process searches the same settings (contrastive, npairs); this one waits until it has ended"


def test_people_who_are_tested_and_took_part_are_told_before_anything_trains(heard):
    everybody = range(16)
    (note,) = [event.note for event in heard(tested=everybody)[:1] if isinstance(event, Noted)]
    # A fifth of 16 people is tested with each seed of the search, so that those of both seeds are not many.
    assert note.kind == "search"
    assert int(note.text.split()[0]) in range(10, 17)
    assert not [event for event in heard(tested=()) if isinstance(event, Noted)]


def test_what_keeps_people_apart_is_said_where_it_would():
    assert people_note(0, Protocol(kind="open_set")) is None
    assert "split_seed with one fold keeps people of the test out" in people_note(3, Protocol(kind="open_set")).text
    assert "keeps photos of the test out" in people_note(3, Protocol(kind="closed_set")).text
    assert people_note(3, Protocol(kind="closed_set", split_seed=1)) is None, "its photos are not the same"
    assert "split_seed" not in people_note(3, Protocol(kind="pairs_file")).text


def test_with_one_split_for_all_seeds_nobody_who_is_tested_takes_part(heard, text_of, tmp_path):
    base = text_of("").partition("[model]")[0].replace('kind = "open_set"', 'kind = "open_set"\nsplit_seed = 4')
    study = pipeline.loads(text_of(LOSSES, base=base), "x.toml")
    plan = study.plan(Store(tmp_path / "store"))
    tested = {int(plan.labels[image]) for split in plan.splits for image in split.test}
    assert tested
    assert not [event for event in heard(base=base, tested=tested) if isinstance(event, Noted)]


def test_what_is_left_of_a_search_is_known_before_it_begins_and_goes_on(heard, text_of, counter, score, tmp_path):
    study = pipeline.loads(text_of(LOSSES), "x.toml")
    store = Store(tmp_path / "store")

    def left():
        return prospect(study.candidates, study.resolved, store, score)

    assert (left().trainings, left().left) == (12, 12)
    counter.most = 7  # the first round has four trainings, the second is interrupted
    with pytest.raises(KeyboardInterrupt):
        heard()
    assert (left().trainings, left().left) == (12, 8)
    counter.most = float("inf")
    heard()
    assert left().left == 0


def test_the_outlook_counts_a_search_and_the_rows_at_default_settings(text_of, score, tmp_path):
    store = Store(tmp_path / "store")
    study = pipeline.loads(text_of(LOSSES), "x.toml")
    plan = study.plan(store)
    without = outlook(plan, store, 1)
    search = prospect(study.candidates, study.resolved, store, score)
    expected = outlook(plan, store, 1, search)
    assert (expected.search_trainings, expected.search_finished) == (12, 0)
    assert (without.trials, expected.trials, expected.rows) == (4, 8, 2), "two losses on two seeds, and their defaults"
    assert expected.minutes > without.minutes
    assert expected.megabytes > without.megabytes
