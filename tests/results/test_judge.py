"""From trials to what a run answers: how trials sample people, and what is judged of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from faceexp.data.splits import Split, splits
from faceexp.experiment.asked import Asked
from faceexp.experiment.protocol import Protocol
from faceexp.results.judge import Sampling, judge, sampling_of
from faceexp.results.schema import TrialRecord
from faceexp.statistics.effort import Seen

PHASE_1 = "phase-1 embedding"
PEOPLE, IMAGES = 40, 10
OPEN = Sampling(ratio=0.25, average_seeds=False, same_people=False, people=PEOPLE, tested=PEOPLE)


# How trials sample people and trainings


def plan(cut, labels, kind="open_set"):
    """What the function reads of a plan."""
    identities = tuple(map(str, np.unique(labels)))
    experiment = SimpleNamespace(protocol=SimpleNamespace(kind=kind))
    resolved = SimpleNamespace(experiment=experiment)
    return SimpleNamespace(splits=tuple(cut), labels=labels, identities=identities, resolved=resolved)


def dealt(protocol, seeds, labels=None):
    labels = np.repeat(np.arange(PEOPLE, dtype=np.int32), IMAGES) if labels is None else labels
    return sampling_of(plan([split for seed in range(seeds) for split in splits(labels, protocol, seed)], labels))


def test_an_open_set_counts_people():
    assert dealt(Protocol(kind="open_set", folds=5), 3) == OPEN  # 8 people are tested, 32 are not
    # A person with very many images is one person.
    counts = [100, *[4] * (PEOPLE - 1)]
    labels = np.repeat(np.arange(PEOPLE, dtype=np.int32), counts)
    assert dealt(Protocol(kind="open_set", folds=5), 1, labels).ratio == pytest.approx(0.25)


def test_the_people_whom_trials_test_are_counted_once():
    few = dealt(Protocol(kind="open_set", test_fraction=0.2), 2)
    assert (few.people, 8 < few.tested <= 16) == (PEOPLE, True)
    assert dealt(Protocol(kind="open_set", split_seed=3, test_fraction=0.2), 4).tested == 8


def test_a_closed_set_counts_images():
    sampling = dealt(Protocol(kind="closed_set", folds=5), 2)
    assert sampling.ratio == pytest.approx(1 / 4)  # two images of ten
    assert not sampling.average_seeds
    uneven = np.repeat(np.arange(4, dtype=np.int32), [8, 16, 24, 32])
    cut = splits(uneven, Protocol(kind="closed_set", test_fraction=0.25), 0)
    assert sampling_of(plan(cut, uneven)).ratio == pytest.approx(20 / 60)


def test_a_list_of_pairs_is_a_plain_t_test_over_its_folds():
    labels = np.repeat(np.arange(6, dtype=np.int32), 2)
    folds = [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7]), np.array([8, 9, 10, 11])]
    cut = [
        Split(seed, fold, np.array([0]), np.array([11]), test) for seed in range(3) for fold, test in enumerate(folds)
    ]
    assert sampling_of(plan(cut, labels, "pairs_file")) == Sampling(0.0, True, False, 6, tested=6)
    one_fold = sampling_of(plan(cut[::3], labels, "pairs_file"))
    assert (one_fold.ratio, one_fold.average_seeds, one_fold.same_people) == (0.0, False, True)


def test_seeds_that_share_their_people_say_nothing_of_other_people():
    """``split_seed`` with one fold, and listed parts: only training varies, and trainings are unrelated."""
    same = dealt(Protocol(kind="open_set", split_seed=3), 4)
    assert (same.ratio, same.average_seeds, same.same_people) == (0.0, False, True)
    # With folds, the folds test different people, and seeds are averaged within each.
    folds = dealt(Protocol(kind="open_set", split_seed=3, folds=5), 4)
    assert (folds.ratio, folds.average_seeds, folds.same_people) == (pytest.approx(0.25), True, False)


def test_one_seed_is_not_the_same_people_again_and_again():
    assert dealt(Protocol(kind="open_set", folds=5), 1) == OPEN
    assert dealt(Protocol(kind="open_set", split_seed=3, folds=5), 1) == OPEN


# What is judged


def trial(label, seed, map_at_r=0.5, auc=0.8, fold=0, status="ok", kind="loss", **metrics):
    return TrialRecord(
        id=f"{label}-{seed}-{fold}".replace(" ", "_"),
        loss=label,
        label=label,
        kind=kind,
        seed=seed,
        fold=fold,
        status=status,
        metrics={"map_at_r": map_at_r, "auc": auc} | metrics if status == "ok" else {},
        seconds={"pretrain": 40.0, "features": 2.0, "finetune": 18.0},
    )


def study(seeds=6, spread=0.01, seed=0, baselines=(PHASE_1, "raw pixels", "PCA"), **means):
    rng = np.random.default_rng(seed)
    level = {PHASE_1: 0.5, "raw pixels": 0.3, "PCA": 0.35} | means
    return [
        trial(
            label,
            s,
            float(rng.normal(level[label], spread)),
            float(rng.normal(0.8, 0.01)),
            kind="baseline" if label in baselines else "loss",
        )
        for label in (*means, *baselines)
        for s in range(seeds)
    ]


def verdicts(claims):
    return {claim.label: claim.verdict for claim in claims}


def test_each_question_is_answered_of_the_losses_alone():
    verdict = judge(study(good=0.7, bad=0.4, weak=0.2), Asked(), OPEN)
    assert (verdict.metric, verdict.questions, verdict.equivalence) == ("map_at_r", ("helps", "best"), 0.01)
    assert verdicts(verdict.helps) == {"good": "better", "bad": "worse", "weak": "worse"}
    assert {claim.reference for claim in verdict.helps} == {PHASE_1}
    assert verdicts(verdict.simplest) == {"good": "better", "bad": "better", "weak": "undecided"}
    assert {each.label: each.may_be_best for each in verdict.best} == {"good": True, "bad": False, "weak": False}
    # Guessing is asked of every row, in AUC, whatever the primary metric.
    assert verdicts(verdict.guessing) == dict.fromkeys(("good", "bad", "weak", PHASE_1, "raw pixels", "PCA"), "better")
    assert not verdict.same_people


def test_only_what_is_asked_is_answered():
    trials = study(good=0.7, bad=0.4)
    helps = judge(trials, Asked(questions=("helps",)), OPEN)
    assert (len(helps.helps), helps.best) == (2, ())
    best = judge(trials, Asked(questions=("best",)), OPEN)
    assert (best.helps, len(best.best), best.needed) == ((), 2, None)


def test_the_metric_that_is_declared_is_judged_in_its_direction():
    trials = study(good=0.7, bad=0.4)
    for each in trials:
        object.__setattr__(each, "metrics", dict(each.metrics) | {"eer": 1 - each.metrics["map_at_r"]})
    up, down = judge(trials, Asked(), OPEN), judge(trials, Asked(metric="eer"), OPEN)
    assert verdicts(up.helps) == verdicts(down.helps) == {"good": "better", "bad": "worse"}
    assert [claim.difference for claim in down.helps] == pytest.approx([-claim.difference for claim in up.helps])
    assert [each.may_be_best for each in down.best] == [True, False]


def test_the_ratio_widens_every_interval():
    trials = study(a=0.55, b=0.52)
    plain = judge(trials, Asked(), Sampling(0.0, False, False, PEOPLE))
    shared = judge(trials, Asked(), OPEN)
    factor = np.sqrt((1 / 6 + 0.25) / (1 / 6))
    # All five rows are shown to beat guessing either way, so that Holm's steps are the same.
    for one, other in zip(plain.guessing, shared.guessing, strict=True):
        assert np.ptp(other.interval) == pytest.approx(factor * np.ptp(one.interval))


def test_failed_trials_leave_the_rest():
    trials = study(a=0.7, b=0.4)
    trials = [
        trial(each.label, each.seed, status="diverged") if (each.label, each.seed) in (("a", 0), ("a", 1)) else each
        for each in trials
    ]
    verdict = judge(trials, Asked(), OPEN)
    assert [claim.trials for claim in verdict.helps] == [4, 6]
    assert verdicts(verdict.helps) == {"a": "better", "b": "worse"}
    # Four trials of a loss are too few to say which is the best.
    assert [each.interval for each in verdict.best] == [None, None]
    dead = [trial("dead", seed, status="failed") for seed in range(6)]
    with_dead = judge([*study(a=0.7, b=0.4), *dead], Asked(), OPEN)
    assert verdicts(with_dead.helps)["dead"] == verdicts(with_dead.guessing)["dead"] == "undecided"
    assert {each.label: each.may_be_best for each in with_dead.best} == {"a": True, "b": False, "dead": True}


def test_without_baselines_what_they_are_the_reference_of_is_not_answered():
    verdict = judge(study(a=0.7, b=0.4, baselines=()), Asked(), OPEN)
    assert (verdict.helps, verdict.simplest, verdict.needed) == ((), (), None)
    assert len(verdict.guessing) == len(verdict.best) == 2
    only_pixels = judge(study(a=0.7, b=0.4, baselines=("raw pixels",)), Asked(), OPEN)
    assert {claim.reference for claim in only_pixels.simplest} == {"raw pixels"}


def test_one_trial_answers_nothing():
    verdict = judge(study(seeds=1, a=0.7, b=0.4), Asked(), OPEN)
    for claim in (*verdict.guessing, *verdict.simplest, *verdict.helps):
        assert (claim.interval, claim.p_corrected, claim.verdict) == (None, None, "undecided")
    assert [each.interval for each in verdict.best] == [None, None]
    assert verdict.needed is None


def test_nothing_is_answered_of_no_trials():
    verdict = judge([], Asked(), OPEN)
    assert (verdict.guessing, verdict.helps, verdict.best, verdict.needed) == ((), (), (), None)


# What it would take


def test_what_it_would_take_follows_from_the_median_of_the_undecided_losses():
    trials = study(a=0.51, b=0.5, c=0.505, spread=0.02)
    verdict = judge(trials, Asked(), OPEN)
    needed = verdict.needed
    assert needed.undecided == 3
    rows = {
        label: np.array([t.metrics["map_at_r"] for t in trials if t.label == label])
        for label in ("a", "b", "c", PHASE_1)
    }
    spreads = {label: np.std(rows[label] - rows[PHASE_1], ddof=1) for label in "abc"}
    seen = Seen(float(np.median(list(spreads.values()))), 6, 5, 0.25, 0.05 / 3)
    assert (needed.now.seeds, needed.now.trials) == (6, 6)
    assert needed.now.detectable == pytest.approx(seen.detectable(6))
    assert (needed.more.seeds, needed.more.trials) == (12, 12)
    assert needed.more.detectable == pytest.approx(seen.detectable(12))
    assert needed.limit == pytest.approx(seen.limit)
    # Phase 1 and features are shared by the rows of a seed: 42 s for each of 6 seeds, and 18 s for each of 36 trials.
    assert needed.now.minutes == pytest.approx((6 * 42 + 36 * 18) / 60)
    assert needed.more.minutes == pytest.approx(2 * needed.now.minutes)


def test_what_the_leading_loss_would_take_follows_from_its_own_spread():
    """A loss that varies far more than the others is not decided by as many seeds as there are."""
    shifts = {"noisy": (0.2, -0.2, 0.05, 0.3), "a": (0.001, 0.0, -0.001, 0.002), "b": (0.0, 0.001, 0.002, -0.001)}
    trials = [trial(PHASE_1, seed, 0.5, kind="baseline") for seed in range(4)]
    trials += [trial(label, seed, 0.5 + shift) for label, row in shifts.items() for seed, shift in enumerate(row)]
    needed = judge(trials, Asked(equivalence=0.0001), OPEN).needed
    assert needed.label == "noisy"
    assert needed.seeds is None or needed.seeds > 4
    own = Seen(float(np.std(shifts["noisy"], ddof=1)), 4, 3, 0.25, 0.05 / 3)
    assert needed.people == int(np.ceil(PEOPLE * own.times_people(abs(needed.difference))))
    assert needed.people > PEOPLE


def test_seeds_are_not_offered_where_they_would_test_the_same_people():
    rng = np.random.default_rng(0)
    trials = [
        trial(label, seed, float(rng.normal(0.5, 0.02)), fold=fold, kind="baseline" if label == PHASE_1 else "loss")
        for label in (PHASE_1, "a", "b")
        for seed in range(3)
        for fold in range(5)
    ]
    needed = judge(trials, Asked(), Sampling(0.0, True, False, PEOPLE)).needed
    assert (needed.more, needed.limit, needed.seeds) == (None, None, None)
    assert needed.now.trials == 5
    same_people = judge(trials, Asked(), Sampling(0.0, False, True, PEOPLE))
    assert same_people.same_people
    assert same_people.needed.people is None


def test_nothing_is_needed_where_all_is_decided():
    assert judge(study(a=0.7, b=0.4), Asked(), OPEN).needed is None


def test_the_claims_of_helps_are_t_tests_with_the_error_of_nadeau_and_bengio():
    trials = study(a=0.52)
    (claim,) = judge(trials, Asked(), OPEN).helps
    rows = [np.array([t.metrics["map_at_r"] for t in trials if t.label == label]) for label in ("a", PHASE_1)]
    difference = rows[0] - rows[1]
    t = difference.mean() / (difference.std(ddof=1) * np.sqrt(1 / 6 + 0.25))
    assert claim.p_corrected == pytest.approx(2 * stats.t.sf(abs(t), 5))


# Embeddings that are only measured


def measured(aucs, without, label="net.onnx"):
    """The trials of a network that nobody trains: the area of each, and the area without each group of people."""
    return [
        trial(label, seed, auc=auc, kind="pretrained").model_copy(update={"auc_without": left})
        for seed, (auc, left) in enumerate(zip(aucs, without, strict=True))
    ]


def test_a_network_that_nobody_trains_is_judged_by_people_over_all_trials():
    """Also by one trial alone, since people are the unit: Student's t of the jackknife, by hand."""
    areas = [0.80, 0.70, 0.75, 0.78, 0.72, 0.76, 0.74]
    (claim,) = judge(measured([0.75], [dict(enumerate(areas))]), Asked(), OPEN).guessing
    error = np.sqrt(6 / 7 * np.square(np.array(areas) - np.mean(areas)).sum())
    expected = 2 * stats.t.sf(0.25 / error, 6)
    assert claim.p_corrected == pytest.approx(expected)
    half = stats.t.ppf(0.975, 6) * error
    assert claim.interval == pytest.approx((0.25 - half, 0.25 + half))
    assert (claim.verdict, claim.trials, claim.people) == ("better" if expected <= 0.05 else "undecided", 1, PEOPLE)
    # What it does on people who are tested twice is no further evidence: the spread between seeds has no say.
    twice = judge(measured([0.75, 0.75], [dict(enumerate(areas))] * 2), Asked(), OPEN).guessing[0]
    assert twice.p_corrected == pytest.approx(expected)
    assert twice.interval == pytest.approx(claim.interval)


def test_rows_that_are_judged_by_trials_and_by_people_share_one_correction():
    rows = study(seeds=6, good=0.7)
    alone = {claim.label: claim for claim in judge(rows, Asked(), OPEN).guessing}
    areas = dict(enumerate(np.random.default_rng(3).normal(0.53, 0.01, 20).tolist()))
    network = measured([0.53], [areas])
    together = {claim.label: claim for claim in judge([*rows, *network], Asked(), OPEN).guessing}
    assert together["net.onnx"].people == PEOPLE
    assert together["good"].people is None
    # Holm's procedure: the smallest of five p-values is multiplied by 5, and no longer by 4.
    smallest, corrected = (
        min(claim.p_corrected for claim in claims.values() if claim.p_corrected is not None)
        for claims in (alone, together)
    )
    assert corrected == pytest.approx(smallest * 5 / 4, rel=1e-6, abs=0)


@pytest.mark.parametrize(("people", "verdict"), [(5, "undecided"), (6, "better")])
def test_so_few_people_cannot_show_anything_of_a_network(people, verdict):
    sampling = Sampling(0.25, average_seeds=False, same_people=False, people=people, tested=people)
    (perfect,) = judge(measured([1.0], [dict.fromkeys(range(people), 1.0)]), Asked(), sampling).guessing
    assert (perfect.verdict, perfect.p_corrected) == (verdict, None)
    good = judge(measured([0.95], [dict(enumerate(np.linspace(0.94, 0.96, people).tolist()))]), Asked(), sampling)
    assert good.guessing[0].verdict == verdict


def test_a_group_without_which_no_pair_is_left_gives_no_test():
    (claim,) = judge(measured([0.8], [{0: None, 1: 0.8, 2: 0.7}]), Asked(), OPEN).guessing
    assert (claim.verdict, claim.p_corrected) == ("undecided", None)
