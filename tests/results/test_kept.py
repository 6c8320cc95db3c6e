"""Which models are kept: of each row that with the highest validation score, whatever the order in which trials end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp.results.kept import Held, KeptModels, kept
from faceexp.results.schema import CheckpointRecord, TrialRecord
from faceexp.values import Trial


def record(label: str, seed: int, score: float | None, *, fold: int = 0, **other: object) -> TrialRecord:
    """Return a trial whose step 5 is kept, which has a score; step 10 has a higher one that does not count."""
    curve = tuple(CheckpointRecord(step=step, loss=1.0, validation=value) for step, value in ((5, score), (10, 2.0)))
    given = {"loss": label, "kind": "loss", "status": "ok", "curve": curve, "best_step": 5} | other
    return TrialRecord(id=f"{label}-s{seed}-f{fold}", label=label, seed=seed, fold=fold, **given)


TRIALS = (
    record("a", 0, 0.8),
    record("a", 1, 0.9),
    record("a", 2, 0.85),
    record("b", 0, 0.7, fold=1),
    record("b", 0, 0.7),
    record("b", 1, 0.7),
    record("c", 0, 0.99, status="diverged"),
    record("c", 1, None),
    record("pixels", 0, None, kind="baseline", curve=()),
    record("network", 1, None, kind="pretrained", curve=()),
    record("network", 0, None, kind="pretrained", curve=()),
)


@pytest.mark.parametrize(
    ("models", "ids"),
    [
        # Of equals the first seed and fold; a trial without a score is better than none.
        ("best", {"a-s1-f0", "b-s0-f0", "c-s1-f0", "network-s0-f0"}),
        ("all", {trial.id for trial in TRIALS} - {"c-s0-f0", "pixels-s0-f0"}),
        ("none", set()),
    ],
)
def test_each_row_keeps_what_is_asked(models, ids):
    assert kept(models, TRIALS) == ids


def while_they_end(models, trials):
    """Return what is there after all trials have ended, and the most that were there at any time."""
    state, there, most = KeptModels(models), set(), 0
    for each in trials:
        held = Held(Trial(each.id, each.label, "loss", each.seed, each.fold), each, "key")
        dropped = state.add(held)
        there.add(each.id)
        most = max(most, len(there))
        there -= {dropped.record.id} if dropped else set()
    return there, most


@given(
    models=st.sampled_from(["best", "all", "none"]),
    rows=st.lists(
        st.tuples(st.sampled_from("xyz"), st.integers(0, 4), st.integers(0, 2), st.sampled_from([None, 0.5, 0.6])),
        unique_by=lambda row: row[:3],
    ),
    random=st.randoms(use_true_random=False),
)
def test_whatever_the_order_in_which_they_end_the_same_models_are_left(models, rows, random):
    trials = [record(label, seed, score, fold=fold) for label, seed, fold, score in rows]
    ended = random.sample(trials, len(trials))
    there, most = while_they_end(models, ended)
    assert there == kept(models, trials)
    if models == "best":
        assert most <= len({trial.label for trial in trials}) + 1, "worse ones go at once"


@given(rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([None, 0.5, 0.6, 0.7])), unique_by=lambda r: r[0]))
def test_the_best_of_parts_is_among_the_best_of_each(rows):
    """So shares that keep their best models have together that of the whole run."""
    trials = [record("x", seed, score) for seed, score in rows]
    parts = [trials[start : start + 3] for start in range(0, len(trials), 3)]
    of_parts = [trial for part in parts for trial in part if trial.id in kept("best", part)]
    assert kept("best", of_parts) == kept("best", trials)


def test_what_has_no_network_is_to_be_trained_again_unless_nothing_is_trained():
    missing = Held(Trial("a", "a", "loss", 0, 0), TRIALS[0], "key", lacks_network=True)
    for only_reads, lacking in ((False, [missing]), (True, [])):
        state = KeptModels("best", only_reads)
        assert state.add(missing) is None
        assert state.lacking == lacking
