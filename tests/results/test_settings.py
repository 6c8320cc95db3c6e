"""Of several settings of a loss, one is judged: the one that is best on validation images, whatever test says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from faceexp.results.schema import CheckpointRecord, TrialRecord
from faceexp.results.settings import hidden, judged, settings_of


def trial(label, seed, validation, test=0.5, status="ok"):
    """A trial whose best checkpoint has a validation score, and whose accuracy on test is another number."""
    curve = tuple(
        CheckpointRecord(step=step, loss=1.0, validation=score) for step, score in ((1, 0.1), (2, validation))
    )
    return TrialRecord(
        id=f"{label}-{seed}",
        label=label,
        kind="loss",
        seed=seed,
        fold=0,
        status=status,
        curve=curve if status == "ok" else (),
        metrics={"accuracy": test},
    )


def resolved(*labels, search=None):
    """An experiment whose losses of these labels are settings of one loss."""
    entries = [SimpleNamespace(entry=SimpleNamespace(label=label, setting_of="a loss")) for label in labels]
    other = SimpleNamespace(entry=SimpleNamespace(label="another", setting_of=""))
    return SimpleNamespace(losses=(*entries, other), experiment=SimpleNamespace(search=search))


def test_validation_decides_even_where_test_says_the_contrary():
    trials = [
        *(trial("one", seed, validation=0.8, test=0.9) for seed in (0, 1)),
        *(trial("two", seed, validation=0.9, test=0.6) for seed in (0, 1)),
        trial("another", 0, validation=0.2),
    ]
    settings = settings_of(resolved("one", "two"), trials)
    assert [(each.label, each.of, each.chosen) for each in settings] == [
        ("one", "a loss", False),
        ("two", "a loss", True),
    ]
    assert [each.validation for each in settings] == pytest.approx([0.8, 0.9])
    assert hidden(settings) == {"one"}
    assert {each.label for each in judged(trials, settings)} == {"two", "another"}


def test_settings_are_compared_by_the_seeds_that_all_of_them_have():
    """The second one has failed with the hard seed, which must not make it look better."""
    trials = [
        trial("one", 0, validation=0.9),
        trial("one", 1, validation=0.5),
        trial("two", 0, validation=0.8),
        trial("two", 1, validation=0.0, status="failed"),
    ]
    chosen = [each.label for each in settings_of(resolved("one", "two"), trials) if each.chosen]
    assert chosen == ["one"]


def test_one_without_a_score_is_not_chosen_and_of_equals_the_first_is():
    trials = [trial("none", 0, 0.0, status="diverged"), trial("one", 0, 0.7), trial("two", 0, 0.7)]
    settings = settings_of(resolved("none", "one", "two"), trials)
    assert [each.label for each in settings if each.chosen] == ["one"]
    assert settings[0].validation is None


def test_after_a_search_what_it_has_chosen_is_judged():
    """The comparison's own validation people do not choose a second time."""
    trials = [trial("a loss", 0, 0.6), trial("a loss (defaults)", 0, 0.9)]
    settings = settings_of(resolved("a loss", "a loss (defaults)", search=object()), trials)
    assert [each.label for each in settings if each.chosen] == ["a loss"]
