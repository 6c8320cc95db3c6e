"""FTA, FTE, FRR and FAR, against counts by hand and against attempts that are made one by one."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.data.lost import Lost, LostOfList
from faceexp.data.splits import Split
from faceexp.evaluation.acquisition import Acquisition, acquisition

LABELS = np.repeat(np.arange(10), 4)


def split(people, fold=0):
    test = np.flatnonzero(np.isin(LABELS, people))
    return Split(0, fold, np.empty(0, int), np.empty(0, int), test)


def test_lost_images_belong_to_the_part_of_their_person():
    lost = Lost(np.array([0, 0, 1, 7]), people=0)
    made = acquisition(lost, LABELS, split([0, 1]), by_person=True)
    assert made == Acquisition(3 / 11, 0.0, 3 / 11, 3 / 11)
    assert acquisition(lost, LABELS, split([2, 3]), by_person=True).fta == 0


def test_people_who_take_no_part_count_in_every_part_by_its_share():
    """So that parts together lose what was lost in all, and no part loses it all."""
    lost = Lost(np.array([-1, -1, -1, -1, -1, 3]), people=2)
    parts = [
        acquisition(lost, LABELS, split(people), by_person=True) for people in ([0, 1], [2, 3, 4], [5, 6, 7, 8, 9])
    ]
    assert [part.fte for part in parts] == [2 / 12] * 3
    gone = [part.fta / (1 - part.fta) * images for part, images in zip(parts, (8, 12, 20), strict=True)]
    assert gone == pytest.approx([5 * 0.2, 5 * 0.3 + 1, 5 * 0.5])
    assert sum(gone) == pytest.approx(6)


def test_where_images_are_dealt_the_share_of_all_stands_for_that_of_the_test():
    lost = Lost(np.array([-1, 3, 3]), people=1)
    made = acquisition(lost, LABELS, split([0, 1]), by_person=False)
    assert made == Acquisition(3 / 43, 1 / 11, 3 / 43, 3 / 43)


def test_lost_pairs_of_a_list_count_as_rejected():
    tested = (
        LostOfList(images=5, lost_images=0, people=3, lost_people=0, similar=4, different=6),
        LostOfList(
            images=8, lost_images=2, people=4, lost_people=1, similar=10, lost_similar=4, different=20, lost_different=5
        ),
    )
    lost = Lost(np.array([0, -1]), 1, tested)
    made = acquisition(lost, LABELS, split([0], fold=1), by_person=False)
    assert (made.fta, made.fte) == (2 / 8, 1 / 4)
    # Of 6 similar pairs that are left, 3 are rejected; of 15 different ones, 6 are accepted.
    assert made.frr(3 / 6) == pytest.approx((4 + 3) / 10)
    assert made.far(6 / 15) == pytest.approx(6 / 20)
    assert acquisition(lost, LABELS, split([0], fold=0), by_person=False) == Acquisition(0, 0, 0, 0)


def test_the_rates_of_a_system_are_those_of_attempts_one_by_one():
    """Somebody comes with one photo; without a crop of it they are rejected, else the distance decides."""
    random = np.random.default_rng(0)
    attempts = 200_000
    fta, fmr, fnmr = 0.07, 0.03, 0.2
    acquired = random.random(attempts) >= fta
    made = Acquisition(fta, 0.0, fta, fta)
    rejected = ~acquired | (random.random(attempts) < fnmr)
    accepted = acquired & (random.random(attempts) < fmr)
    assert made.frr(fnmr) == pytest.approx(rejected.mean(), abs=0.004)
    assert made.far(fmr) == pytest.approx(accepted.mean(), abs=0.002)
