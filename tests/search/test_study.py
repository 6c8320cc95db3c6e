"""One search: proposals, and what becomes of them when a process is killed at any moment."""

from __future__ import annotations

import contextlib
import math
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.experiment.search import Between, OneOf, Search
from faceexp.planning.dimensions import Dimension, Varied
from faceexp.search.study import JOURNAL, Study

MARGIN = Dimension(("margin",), ("losses", 0, "margin"), Between(low=0.1, high=10.0, log=True), 1.0)
WIDTH = Dimension(("width",), ("losses", 0, "width"), Between(low=1, high=9, step=4), 5)
KIND = Dimension(("kind",), ("losses", 0, "kind"), OneOf(choices=["a", {"b": [1, 2], "a": 0}, None]), "a")
SPACE = Varied("mine", (MARGIN, WIDTH, KIND))
CELLS = 3


def search(**options):
    return Search.model_validate({"trials": 12, **options})


def score(values, cell):
    """Scores with a single best place, another one for each seed."""
    off = abs(math.log(values["margin"] / 3.0)) + 0.1 * abs(values["width"] - 5)
    return 1.0 / (1.0 + off) + 0.01 * cell + (0.05 if values["kind"] == "a" else 0.0)


class StopError(Exception):
    """A process is killed here."""


def finish(folder, asked, stop=None):
    """Carry a search on; ``stop`` is called before each step, and may end it."""
    step = stop or (lambda: None)
    step()
    study = Study(SPACE, asked, folder, CELLS)
    while True:
        step()
        proposed = study.next()
        if proposed is None:
            return study
        _, values = proposed
        scores = []
        is_pruned = False
        for cell in range(CELLS):
            scores.append(score(values, cell))
            step()
            if study.report(scores):
                is_pruned = True
                break
        step()
        study.tell("pruned" if is_pruned else "ok", scores)


SAMPLERS = st.sampled_from(["tpe", "random", "grid"])
PRUNERS = st.sampled_from(["none", "median", "hyperband"])


@settings(max_examples=12, deadline=None)
@given(sampler=SAMPLERS, pruner=PRUNERS, waits=st.lists(st.integers(1, 25), min_size=1, max_size=4))
def test_a_search_that_is_killed_at_any_step_ends_with_the_same_trials(tmp_path_factory, sampler, pruner, waits):
    asked = search(sampler=sampler, pruner=pruner)
    whole = finish(tmp_path_factory.mktemp("whole"), asked).tried()
    folder = tmp_path_factory.mktemp("killed")
    for wait in waits:
        left = wait

        def stop():
            nonlocal left
            left -= 1
            if left < 0:
                raise StopError

        with contextlib.suppress(StopError):
            finish(folder, asked, stop)
    assert finish(folder, asked).tried() == whole
    assert len(whole) == asked.trials


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_journal_that_is_cut_off_anywhere_is_carried_on_to_the_same_trials(tmp_path_factory, data):
    """A killed process or a full disk leaves a part of a line; what was cut off before its last whole trial is gone."""
    asked = search(pruner="hyperband", trials=6)
    folder = tmp_path_factory.mktemp("cut")
    whole = finish(folder, asked).tried()
    journal = folder / JOURNAL
    kept = data.draw(st.integers(0, journal.stat().st_size), label="bytes that are kept")
    rest = data.draw(st.sampled_from([b"", b"{", b"\x00\x00\x00", b"not JSON\n"]), label="what stands behind them")
    journal.write_bytes(journal.read_bytes()[:kept] + rest)
    # The lock of a process that is gone must not keep anybody out.
    (folder / f"{JOURNAL}.lock").symlink_to(journal)
    assert finish(folder, asked).tried() == whole


def test_what_was_finished_is_not_tried_again(tmp_path):
    whole = finish(tmp_path, search()).tried()
    again = Study(SPACE, search(), tmp_path, CELLS)
    assert again.next() is None
    assert again.tried() == whole


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_the_defaults_come_first_and_every_value_is_one_of_its_range(tmp_path, sampler):
    tried = finish(tmp_path, search(sampler=sampler, trials=20)).tried()
    assert tried[0].values == {"margin": 1.0, "width": 5, "kind": "a"}
    for each in tried:
        for dimension in SPACE.dimensions:
            value = each.values[dimension.name]
            space = dimension.space
            assert space.holds(value) if isinstance(space, Between) else value in space.choices
    assert {each.values["width"] for each in tried} == {1, 5, 9}
    assert [each.number for each in tried] == list(range(20))


def test_another_seed_proposes_other_values(tmp_path):
    values = {}
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        tried = finish(folder, search(sampler="random", seeds=[seed])).tried()
        values[seed] = [each.values for each in tried if each.number > 0]
    assert not any(each in values[2] for each in values[1])


def test_tpe_learns_where_random_does_not(tmp_path):
    """The mean score of the last trials, over several searches: chance alone makes it no better."""
    means = {}
    for sampler in ("tpe", "random"):
        late = []
        for seed in range(3):
            folder = tmp_path / f"{sampler}-{seed}"
            folder.mkdir()
            tried = finish(folder, search(sampler=sampler, trials=40, seeds=[seed])).tried()
            late += [each.score for each in tried[25:]]
        means[sampler] = sum(late) / len(late)
    assert means["tpe"] > means["random"] + 0.1


def test_a_pruned_trial_has_fewer_trainings_and_is_never_the_best(tmp_path):
    for pruner in ("median", "hyperband"):
        folder = tmp_path / pruner
        folder.mkdir()
        tried = finish(folder, search(pruner=pruner, trials=20)).tried()
        pruned = [each for each in tried if each.state == "pruned"]
        assert pruned
        assert all(each.trainings < CELLS for each in pruned)
        assert all(each.trainings == CELLS for each in tried if each.state == "ok")
    assert all(each.state == "ok" for each in finish(tmp_path, search()).tried())


def test_importances_are_shares_and_the_option_that_decides_has_most(tmp_path):
    shares = finish(tmp_path, search(trials=40, sampler="random")).importances()
    assert set(shares) == {"margin", "width", "kind"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=shares.get) == "margin"


def test_nothing_is_said_of_importances_where_nothing_differs(tmp_path):
    study = Study(SPACE, search(trials=6), tmp_path, CELLS)
    while study.next():
        study.tell("ok", [0.5])
    assert study.importances() == {}


def test_trials_that_end_badly_are_kept_with_their_reasons_and_have_no_score(tmp_path):
    study = Study(SPACE, search(trials=3), tmp_path, CELLS)
    for state, scores, reason in (("failed", [], "it broke"), ("diverged", [0.7], "not finite"), ("ok", [0.5], "")):
        study.next()
        study.tell(state, scores, reason)
    again = Study(SPACE, search(trials=3), tmp_path, CELLS).tried()
    assert [(each.state, each.score, each.reason) for each in again] == [
        ("failed", None, "it broke"),
        ("diverged", None, "not finite"),
        ("ok", 0.5, ""),
    ]


def test_a_new_journal_of_a_process_that_was_killed_is_no_obstacle(tmp_path):
    folders = tmp_path / "whole", tmp_path / "killed"
    for each in folders:
        each.mkdir()
    whole, folder = finish(folders[0], search()).tried(), folders[1]
    study = Study(SPACE, search(), folder, CELLS)
    study.next()
    shutil.copy(folder / JOURNAL, (folder / JOURNAL).with_suffix(".new"))
    assert finish(folder, search()).tried() == whole
