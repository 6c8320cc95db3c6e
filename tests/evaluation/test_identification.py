"""Searches in galleries with strangers, against loops that follow the definitions word by word."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.evaluation import identification
from faceexp.evaluation.catalogue import IDENTIFICATION, METRIC_OF
from faceexp.evaluation.identification import Supply, draw_searches, identify, supply_of, tpir_at_fpir, tpir_key


def people(count=30, images=6, noise=0.5, seed=0, dim=8, uneven=False):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), random.integers(2, 2 * images, count) if uneven else images)
    random.shuffle(labels)
    return random.normal(size=(count, dim))[labels] + noise * random.normal(size=(len(labels), dim)), labels


def by_loops(x, labels, searches, fpirs, ranks, *, by_person):
    """Return TPIR at each FPIR, the FPIR met, and CMC, by going through thresholds and searches one by one."""
    distance = np.linalg.norm(x[:, None] - x[None, :], axis=-1)
    gallery = searches.gallery.tolist()
    enrolled = [labels[row] for row in gallery]
    probes = [row for row in range(len(labels)) if row not in gallery]
    assert len(set(enrolled)) == len(gallery)

    def share(values):
        """Average truth values by search: over all of them, or within each person first."""
        if not by_person:
            return np.mean([value for _, value in values])
        return np.mean([np.mean([v for who, v in values if who == each]) for each in {who for who, _ in values}])

    mated = [row for row in probes if labels[row] in enrolled]
    strangers = [row for row in probes if labels[row] not in enrolled]
    nearest_first = {row: sorted(range(len(gallery)), key=lambda g: distance[row, gallery[g]]) for row in mated}
    place = {row: 1 + [enrolled[g] for g in nearest_first[row]].index(labels[row]) for row in mated}
    closest = {row: min(distance[row, g] for g in gallery) for row in probes}
    thresholds = [-1.0, *sorted(closest.values())]
    tpirs, mets = [], []
    for fpir in fpirs:
        best = (0.0, 0.0)
        for threshold in thresholds:
            false = share([(labels[row], closest[row] <= threshold) for row in strangers])
            true = share([(labels[row], place[row] == 1 and closest[row] <= threshold) for row in mated])
            if false <= fpir + 1e-12 and (true > best[0] + 1e-12):
                best = (true, false)
        tpirs.append(best[0])
        mets.append(best[1])
    cmc = [share([(labels[row], place[row] <= k) for row in mated]) for k in range(1, ranks + 1)]
    return tpirs, mets, cmc


@pytest.mark.parametrize("uneven", [False, True])
def test_rates_are_those_of_loops_over_searches_and_thresholds(uneven):
    x, labels = people(count=30, images=7, noise=0.9, uneven=uneven)
    drawn = draw_searches(labels, [0, 0], draws=4)
    found = identify(x, labels, "euclidean", drawn)
    assert supply_of(labels, drawn).refusal_at(0.1) is None
    for ending, by_person in (("", True), ("_pooled", False)):
        loops = [by_loops(x, labels, each, [0.1], 15, by_person=by_person) for each in drawn]
        tpir, met, *cmc = np.mean([[*tpirs, *mets, *ranks] for tpirs, mets, ranks in loops], axis=0)
        assert found.metrics[f"tpir@fpir=0.1{ending}"] == pytest.approx(tpir, abs=1e-9)
        assert found.metrics[f"cmc_rank_1{ending}"] == pytest.approx(cmc[0], abs=1e-9)
        assert found.metrics[f"cmc_rank_5{ending}"] == pytest.approx(cmc[4], abs=1e-9)
        if by_person:
            assert found.met["tpir@fpir=0.1"] == pytest.approx(met, abs=1e-9)
            assert found.cmc == pytest.approx(cmc, abs=1e-9)
            assert 0.05 < met <= 0.1
    # A hundredth of so few strangers is nobody.
    assert math.isnan(found.metrics["tpir@fpir=0.01"])
    assert {key.removesuffix("_pooled") for key in found.metrics} == set(IDENTIFICATION)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    x, labels = people(count=24, images=9, noise=0.9)
    drawn = draw_searches(labels, [3, 1], draws=2)
    whole = identify(x, labels, "cosine", drawn)
    monkeypatch.setattr(identification, "blocks", lambda total, _: ((i, min(i + 7, total)) for i in range(0, total, 7)))
    assert identify(x, labels, "cosine", drawn) == whole


def test_whoever_is_as_near_as_the_mate_comes_first_and_one_point_for_all_finds_nobody():
    labels = np.repeat(np.arange(20), 10)
    found = identify(np.ones((200, 3)), labels, "euclidean", draw_searches(labels, [0, 0]))
    assert found.metrics["tpir@fpir=0.1"] == found.metrics["cmc_rank_1"] == found.metrics["cmc_rank_5"] == 0
    assert found.cmc == (0,) * 9 + (1,)


def test_who_is_told_apart_is_always_found():
    x, labels = people(count=220, images=10, noise=0.01)
    found = identify(x, labels, "euclidean", draw_searches(labels, [0, 0], draws=2))
    assert found.metrics == {key + ending: 1 for ending in ("", "_pooled") for key in IDENTIFICATION}
    assert len(found.cmc) == 20


def test_embeddings_that_know_nothing_find_by_chance():
    labels = np.repeat(np.arange(40), 8)
    x = np.random.default_rng(0).normal(size=(320, 16))
    found = identify(x, labels, "euclidean", draw_searches(labels, [0, 0]))
    assert found.cmc[0] == pytest.approx(1 / 20, abs=0.02)
    assert found.cmc[-1] == 1
    assert list(found.cmc) == sorted(found.cmc)
    assert found.metrics["tpir@fpir=0.1"] < 0.03


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_true_rate_at_a_false_rate_is_that_of_the_best_allowed_threshold(data):
    number = st.integers(0, 8).map(float)
    hit = np.array(data.draw(st.lists(st.one_of(number, st.just(math.inf)), min_size=1, max_size=12)))
    nearest = np.array(data.draw(st.lists(number, min_size=1, max_size=12)))
    fpir = data.draw(st.sampled_from([0.01, 0.1, 0.25, 0.5]))
    mated, strangers = (np.full(len(values), 1 / len(values)) for values in (hit, nearest))
    tries = [(-1.0 if t is None else t) for t in [None, *range(9)]]
    allowed = [(np.mean((hit <= t) & (hit < math.inf)), np.mean(nearest <= t)) for t in tries]
    best = max(true for true, false in allowed if false <= fpir)
    tpir, met = tpir_at_fpir(hit, mated, nearest, strangers, fpir)
    assert tpir == pytest.approx(best)
    assert met == pytest.approx(min(false for true, false in allowed if true == best))


def test_everybody_is_enrolled_in_some_draw_and_half_in_each():
    _, labels = people(count=21, images=3)
    labels[labels == 20] = np.arange(100, 100 + np.count_nonzero(labels == 20))  # three people with one image
    drawn = draw_searches(labels, [7, 0])
    assert len(drawn) == identification.DRAWS
    for each in drawn:
        enrolled = labels[each.gallery]
        assert len(set(enrolled)) == len(enrolled) == 11
        assert not set(enrolled) & set(labels[each.strangers])
        assert (labels[each.mated] == enrolled[each.mates]).all()
        assert sorted([*each.gallery, *each.mated, *each.strangers]) == list(range(len(labels)))
    assert set().union(*(labels[each.gallery] for each in drawn)) == set(range(20))


def test_draws_follow_the_seed_and_the_fold_alone():
    _, labels = people()
    first = [each.gallery.tolist() for each in draw_searches(labels, [0, 0])]
    assert first == [each.gallery.tolist() for each in draw_searches(labels, [0, 0])]
    assert len({str(draw) for draw in first}) == len(first)
    for other in ([1, 0], [0, 1]):
        assert first != [each.gallery.tolist() for each in draw_searches(labels, other)]


def test_too_few_people_are_refused_in_words():
    assert Supply(6, 6, 60).refusal() is None
    assert Supply(4, 4, 40).refusal() == (
        "4 people can be enrolled and 4 be strangers, and it takes 6 of each: 12 test people with two images or more"
    )
    assert Supply(10, 10, 100).refusal_at(0.1) is None
    assert Supply(10, 10, 100).refusal_at(0.01) == (
        "1 of 100 photos of 10 strangers would be taken for somebody, and a rate takes 10, of 1,000 photos of 100 strangers"
    )
    # Many photos of few strangers say as little.
    assert Supply(9, 9, 5000).refusal_at(0.1) is not None


def test_every_rate_and_rank_is_in_the_catalogue():
    assert {*map(tpir_key, identification.FPIRS)} | {f"cmc_rank_{k}" for k in identification.CMC_RANKS} == set(
        IDENTIFICATION
    )
    for fpir in identification.FPIRS:
        assert re.fullmatch(rf"TPIR@{fpir * 100:g}%", METRIC_OF[tpir_key(fpir)].heading)
