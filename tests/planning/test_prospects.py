"""What a run cannot answer is said before it trains, with what it would take."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from faceexp.data.splits import Split, splits
from faceexp.experiment.protocol import Protocol
from faceexp.planning.prospects import LEVEL, PEOPLE, enough_people, prospects, seeds_line

LISTS = {"train": "a", "validation": "b", "test": "c"}


def notes(people, seeds=(0,), images=4, **options):
    """Return what is noted of people with so many images each, by kind."""
    labels = np.repeat(np.arange(people), images)
    protocol = Protocol(**{"kind": "open_set"} | options)
    parts = [part for seed in seeds for part in splits(labels, protocol, seed)]
    return [(note.kind, note.text) for note in prospects(labels, protocol, parts)]


def test_so_many_people_are_the_fewest_of_whom_a_sign_test_can_be_sure():
    assert binomtest(PEOPLE, PEOPLE).pvalue <= LEVEL < binomtest(PEOPLE - 1, PEOPLE - 1).pvalue


def test_too_few_people_in_one_split():
    of_test, of_validation = (text for kind, text in notes(12, seeds=range(1)) if kind == "few_people")
    assert of_test == (
        "only 2 people are tested in all: a row that only guesses is right about all of them, or wrong about all, in 1 of "
        "2 runs, so not even a perfect row can be shown to beat guessing at 5 %; it takes 6 people with two images or more "
        "in test; 28 people in the data, cut in this way, give so many"
    )
    assert of_validation.startswith("only 2 people are in validation, by whom threshold and checkpoint are chosen")


def test_folds_and_seeds_test_more_people_and_tune_on_as_few():
    for options in ({"folds": 5}, {"seeds": range(8)}):
        texts = [text for kind, text in notes(12, **options) if kind == "few_people"]
        assert len(texts) == 1
        assert "in validation" in texts[0]
    # With the people cut the same way for every seed, more seeds test nobody else.
    assert len([kind for kind, _ in notes(12, seeds=range(8), split_seed=0) if kind == "few_people"]) == 2


def test_people_with_one_image_are_no_people_to_be_right_about():
    labels = np.concatenate([np.repeat(np.arange(12), 4), np.arange(12, 40)])
    part = Split(0, 0, np.arange(24), np.r_[24:40, 48:60], np.r_[40:48, 60:76])
    texts = [note.text for note in prospects(labels, Protocol(kind="open_set"), [part])]
    assert [text.partition(" people")[0] for text in texts[:2]] == ["only 2", "only 4"]


@pytest.mark.parametrize(
    "options", [{}, {"folds": 5}, {"folds": 2}, {"test_fraction": 0.5, "validation_fraction": 0.1}]
)
def test_as_many_people_as_it_says_are_enough_and_one_less_is_not(options):
    enough = enough_people(Protocol(kind="open_set", **options))
    assert enough is not None
    for people, is_enough in ((enough, True), (enough - 1, False)):
        assert (not [kind for kind, _ in notes(people, **options) if kind == "few_people"]) is is_enough


def test_nobody_is_told_to_find_people_without_end():
    assert enough_people(Protocol(kind="open_set", validation_fraction=1e-4)) is None


@pytest.mark.parametrize(
    ("seeds", "folds", "expected"),
    [
        (
            1,
            1,
            "1 trial of each row (1 seed x 1 fold): no interval and no comparison will come out; which losses help takes 3 "
            "trials at least, and which may be the best takes 5: write seeds = [0, 1, 2, 3, 4], or cut more folds",
        ),
        (
            2,
            1,
            "2 trials of each row (2 seeds x 1 fold): no verdict will come out; which losses help takes 3 trials at least, "
            "and which may be the best takes 5: write seeds = [0, 1, 2, 3, 4], or cut more folds",
        ),
        (
            1,
            4,
            "4 trials of each row (1 seed x 4 folds) can show which losses help; which may be the best takes 5: write "
            "seeds = [0, 1], or cut more folds",
        ),
        (5, 1, None),
        (1, 5, None),
        (3, 2, None),
    ],
)
def test_too_few_trials(seeds, folds, expected):
    texts = [text for kind, text in notes(40, seeds=range(seeds), folds=folds) if kind == "few_trials"]
    assert texts == ([expected] if expected else [])


@pytest.mark.parametrize("seeds", [1, 4])
def test_where_nothing_is_trained_nothing_can_help(seeds):
    labels, protocol = np.repeat(np.arange(40), 4), Protocol(kind="open_set")
    parts = [part for seed in range(seeds) for part in splits(labels, protocol, seed)]
    (note,) = prospects(labels, protocol, parts, trains=False)
    assert note.text.endswith(
        ": whether an embedding that is only measured beats guessing is judged by people; which may be the best takes 5 "
        "trials at least: write seeds = [0, 1, 2, 3, 4], or cut more folds"
    )


def test_folds_of_a_list_are_what_counts_however_many_seeds_there_are():
    labels = np.repeat(np.arange(40), 4)
    part = [np.arange(60), np.arange(60, 100), np.arange(100, 160)]
    pairs, lists = Protocol(kind="pairs_file", path="x"), Protocol(kind="listed", **LISTS)
    four = [Split(seed, fold, *part) for seed in range(9) for fold in range(4)]
    (note,) = prospects(labels, pairs, four)
    assert note.text.startswith("4 trials of each row (4 folds, within each of which seeds are averaged) can show")
    assert note.text.endswith("take a list of 5 folds")
    (note,) = prospects(labels, lists, [Split(seed, 0, *part) for seed in range(3)])
    assert note.text.endswith("takes 5: write seeds = [0, 1, 2, 3, 4]")
    # A list without folds is one, whose people every seed tests.
    (note,) = prospects(labels, pairs, [Split(seed, 0, *part) for seed in range(3)])
    assert note.text.endswith("takes 5: write seeds = [0, 1, 2, 3, 4]")
    # The same people are dealt to the folds of every seed, which then say nothing more of people.
    (note,) = prospects(labels, Protocol(kind="open_set", split_seed=0, folds=4, validation_fraction=0.3), four)
    assert note.text.endswith("takes 5: cut 5 folds")


def test_the_seeds_that_a_file_has_come_first_and_many_are_counted():
    assert seeds_line(5, (1, 7)) == "seeds = [1, 7, 0, 2, 3]"
    assert seeds_line(11, (0,)) == "11 seeds"
