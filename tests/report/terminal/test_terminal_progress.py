"""What a run shows while it goes on."""

from __future__ import annotations

import dataclasses
import re
import time

import pytest

from faceexp.report.terminal import progress
from faceexp.report.terminal.outline import outline
from faceexp.results.events import TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.values import Event


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is told: ``clock(12)`` moves it on by 12 seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


@pytest.fixture
def wanted(tiny, chosen):
    """A resolved experiment of two losses on two seeds, for which nothing is built."""
    experiment = tiny(("contrastive", "npairs"), seeds=(0, 1))

    @dataclasses.dataclass(frozen=True)
    class Loss:
        entry: object

    @dataclasses.dataclass(frozen=True)
    class Wanted:
        experiment: object
        losses: tuple
        folds: int = 1

    return Wanted(experiment, tuple(Loss(entry) for entry in experiment.losses))


def ended_trial(label="npairs", status="ok", reason=None, reused=(), metrics=None, seconds=12.34, pretrain=0.0):
    metrics = {"accuracy": 0.8125, "auc": 0.91} if metrics is None else metrics
    return TrialRecord(
        id="x",
        loss="npairs",
        label=label,
        kind="loss",
        seed=3,
        fold=1,
        status=status,
        reason=reason,
        metrics=metrics,
        threshold=0.5,
        distance="euclidean",
        best_step=5,
        seconds={"pretrain": pretrain, "finetune": seconds},
        reused=reused,
    )


def ended_event(done, total, label, trial):
    return TrialEnded("trial", done, total, label, 0, 0, trial=trial)


def test_the_display_shows_phase_1_then_one_line_per_loss(wanted, clock, drawn):
    display = progress.Display(wanted)
    assert "phase 1" not in drawn(display)
    display.on_event(Event("images", 36, 72))
    assert re.search(r"decoding images .* 36/72", drawn(display))
    display.on_event(Event("pretrain", 0, 8, "", 1, 0, 2.5))
    clock(3)
    display.on_event(Event("pretrain", 4, 8, "", 1, 0, 1.25))
    text = drawn(display)
    assert re.search(r"phase 1, seed 1 fold 0 .* 4/8 +loss 1\.25", text)
    assert re.search(r"contrastive .* 0/20", text)
    display.on_event(Event("features", 72, 72, "", 1, 0))
    assert re.search(r"✓ trunk features, seed 1 fold 0 .* 72/72", drawn(display))


def test_the_display_shows_loss_value_and_time_left(wanted, clock, drawn):
    display = progress.Display(wanted)
    clock(10)  # phase 1, which belongs to no loss
    display.on_event(Event("features", 72, 72))
    clock(5)
    display.on_event(Event("finetune", 5, 10, "npairs", 0, 0, 0.123456))
    text = drawn(display)
    # Five of its twenty steps took five seconds.
    assert re.search(r"npairs .* 5/20 +loss 0\.1235 +0:15 left", text)
    assert re.search(r"contrastive .* 0/20 *$", text, re.MULTILINE)
    assert "0:15 elapsed" in text
    display.on_event(ended_event(1, 4, "npairs", ended_trial()))
    text = drawn(display)
    assert re.search(r"npairs .* 10/20 +loss 0\.1235", text)
    assert "trial 1 of 4, 0:15 elapsed, about 0:45 left" in text


def test_the_display_shows_seeds_that_train_side_by_side(wanted, clock, drawn):
    display = progress.Display(wanted)
    for done in (0, 4):
        clock(2)
        for seed in (0, 1):
            display.on_event(Event("pretrain", done + seed, 8, "", seed, 0, 2.5))
    text = drawn(display)
    assert re.search(r"phase 1, seed 0 fold 0 .* 4/8 +loss 2\.5 +0:02 left", text)
    assert re.search(r"phase 1, seed 1 fold 0 .* 5/8 +loss 2\.5 +0:02 left", text)
    for seed in (0, 1):
        display.on_event(Event("finetune", 3 + seed, 10, "npairs", seed, 0, 0.5))
    assert re.search(r"npairs .* 7/20", drawn(display))
    # A bar that is done with serves the next seed.
    display.on_event(Event("pretrain", 8, 8, "", 1, 0, 0.5))
    display.on_event(Event("pretrain", 1, 8, "", 2, 0, 0.5))
    text = drawn(display)
    assert "seed 1 fold 0" not in text
    assert re.search(r"phase 1, seed 2 fold 0 .* 1/8", text)


def test_the_display_shows_failures_and_the_end(wanted, clock, drawn):
    display = progress.Display(wanted)
    for number, label in enumerate(("npairs", "contrastive", "npairs", "contrastive"), 1):
        clock(2)
        display.on_event(Event("finetune", 10, 10, label, 0, 0, 0.5))
        status = "diverged" if label == "npairs" else "ok"
        display.on_event(ended_event(number, 4, label, ended_trial(label, status, "why")))
    text = drawn(display)
    assert re.search(r"✓ npairs .* 20/20 +diverged", text)
    assert re.search(r"✓ contrastive .* 20/20 +loss 0\.5", text)
    assert "trial 4 of 4, 0:08 elapsed" in text
    assert "left" not in text


def test_the_display_hears_of_baselines_and_of_what_it_does_not_know(wanted, clock, drawn):
    display = progress.Display(wanted)
    display.on_event(ended_event(1, 6, "raw pixels", ended_trial("raw pixels")))
    display.on_event(Event("something new", 1, 2))
    assert "trial 1 of 6" in drawn(display)


def test_markup_in_a_label_is_text(tiny, wanted, clock, drawn):
    first, _ = wanted.experiment.losses
    label = "[bold]x[/bold]"
    odd = dataclasses.replace(wanted.losses[0], entry=first.model_copy(update={"label": label}))
    display = progress.Display(dataclasses.replace(wanted, losses=(odd,)))
    display.on_event(Event("finetune", 1, 10, label, 0, 0, 0.5))
    assert label in drawn(display)


def test_a_line_about_a_trial_that_has_ended():
    line = progress.ended(ended_trial(), 3, 12)
    assert line == "[3/12] npairs (seed 3, fold 1): accuracy 0.812, AUC 0.910, 12.3 s"
    assert progress.ended(ended_trial(reused=("pretrain", "finetune")), 3, 12).endswith("AUC 0.910, from the store")
    assert progress.ended(ended_trial(metrics={"accuracy": None}), 3, 12).endswith("(seed 3, fold 1): ok, 12.3 s")
    shared = ended_trial(seconds=2.5, pretrain=9.0, reused=("pretrain",))
    assert progress.ended(shared, 3, 12).endswith("AUC 0.910, 2.5 s"), "phase 1 was paid for by another trial"
    failed = progress.ended(ended_trial(status="diverged", reason="step 7"), 4, 12)
    assert failed == "[4/12] npairs (seed 3, fold 1): diverged: step 7"


def test_outline(wanted):
    assert outline(wanted) == ("tiny: 2 losses x 2 seeds x 1 fold = 4 trials on made, open set, trunk thin_vgg")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (65, "1:05"), (7200, "2:00:00")]
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text
