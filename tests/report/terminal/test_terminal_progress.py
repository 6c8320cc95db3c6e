"""What a run shows while it goes on."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from types import SimpleNamespace

import pytest

from faceexp.experiment.protocol import Protocol
from faceexp.experiment.search import Search
from faceexp.report.terminal import progress, time_left
from faceexp.report.terminal.outline import outline
from faceexp.results.events import Looked, TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.results.verdict import VerdictRecord
from faceexp.search.chances import Chance, Chances
from faceexp.search.events import ROUND, STAGE, SearchEnds, SearchGoesOn, Standing, begins
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
        pretrained: tuple = ()
        baselines: tuple = ()

    losses = tuple(Loss(entry) for entry in experiment.losses)
    return Wanted(experiment, losses, baselines=experiment.used_baselines)


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


def lines_of(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def many_losses(wanted, tiny):
    """Forty losses with long names and two baselines, on two seeds and three folds: 252 trials."""
    experiment = tiny(
        tuple(f"soft_nearest_neighbour_{place}" for place in range(40)),
        seeds=(0, 1),
        protocol=wanted.experiment.protocol.model_copy(update={"folds": 3}),
        baselines=("pixels", "pca"),
    )
    losses = tuple(dataclasses.replace(wanted.losses[0], entry=entry) for entry in experiment.losses)
    baselines = experiment.used_baselines
    return dataclasses.replace(wanted, experiment=experiment, losses=losses, folds=3, baselines=baselines)


def test_the_display_shows_the_stages_that_come_before_the_losses(wanted, clock, drawn):
    display = progress.Display(wanted)
    assert lines_of(drawn(display))[1].endswith("preparing"), "something moves from the start"
    assert lines_of(drawn(display))[-1] == "4 trials wait"
    assert max(len(line.rstrip()) for line in drawn(display, 200).splitlines()) == 100
    display.on_event(Event("images", 36, 72))
    assert "decoding images 36/72" in lines_of(drawn(display))[1]
    display.on_event(Event("images", 72, 72))
    assert "decoding" not in drawn(display)
    display.on_event(Event("pretrain", 0, 8, "", 1, 0, 2.5))
    clock(3)
    display.on_event(Event("pretrain", 4, 8, "", 1, 0, 1.25))
    assert lines_of(drawn(display))[1].endswith("phase 1, seed 1 fold 0 4/8, loss 1.25, 0:03 left")
    display.on_event(Event("features", 72, 72, "", 1, 0))
    assert lines_of(drawn(display))[1].endswith("trunk features, seed 1 fold 0 72/72")


@pytest.mark.parametrize("width", [80, 140])
def test_the_display_fits_a_small_screen_whatever_the_number_of_losses(many_losses, clock, drawn, width):
    display = progress.Display(many_losses)
    done = 0
    for place in range(10):
        for fold in range(2):  # two processes
            label = f"soft_nearest_neighbour_{place}"
            display.on_event(Event("finetune", 10, 1000, label, 0, fold, 0.1234567))
            clock(1)
            if place < 9:
                done += 1
                trial = ended_trial(label).model_copy(update={"fold": fold, "seed": 0})
                display.on_event(TrialEnded("trial", done, 252, label, 0, fold, trial=trial))
    text = drawn(display, width)
    lines = lines_of(text)
    assert len(lines) == 1 + 2 + 5 + 1
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert re.match(r"18 of 252 trials done .* 0:20 elapsed", lines[0])
    for fold, line in enumerate(lines[1:3]):
        assert line.endswith(f"phase 2: soft_nearest_neighbour_9, seed 0 fold {fold} 10/1,000, loss 0.123")
    assert lines[7] == "✓ soft_nearest_neighbour_8, seed 0 fold 1 accuracy 0.812, AUC 0.910, 12.3 s"
    assert lines[8] == "232 trials wait"


def test_more_processes_than_lines_are_counted(many_losses, clock, drawn):
    display = progress.Display(many_losses)
    for seed in range(2):
        for fold in range(6):
            display.on_event(Event("pretrain", 1, 8, "", seed, fold, 2.5))
    lines = lines_of(drawn(display))
    assert len(lines) == 1 + 6 + 1 + 1
    assert lines[7] == "and 6 more run"


def test_between_two_trials_the_next_one_is_named(wanted, clock, drawn):
    display = progress.Display(wanted)
    display.on_event(Event("finetune", 10, 10, "contrastive", 1, 0, 0.5))
    trial = ended_trial("contrastive").model_copy(update={"seed": 1, "fold": 0})
    display.on_event(TrialEnded("trial", 1, 4, "contrastive", 1, 0, trial=trial))
    assert lines_of(drawn(display))[1].endswith("starting: npairs, seed 1 fold 0")
    assert lines_of(drawn(display))[-1] == "2 trials wait"
    display.on_event(TrialEnded("trial", 2, 4, "npairs", 1, 0, trial=trial.model_copy(update={"label": "npairs"})))
    assert "starting" not in drawn(display)


def test_the_time_left_is_that_of_the_trials_that_wait(wanted, clock, drawn):
    baseline = ended_trial("raw pixels", seconds=10.0).model_copy(update={"kind": "baseline"})
    experiment = wanted.experiment.model_copy(update={"baselines": ("pixels",)})
    display = progress.Display(dataclasses.replace(wanted, experiment=experiment))
    clock(200)
    display.on_event(TrialEnded("trial", 1, 6, "raw pixels", 0, 0, trial=baseline))
    assert "left" not in drawn(display), "a baseline tells nothing about losses"
    clock(80)
    display.on_event(TrialEnded("trial", 2, 6, "npairs", 0, 0, trial=ended_trial(seconds=60.0)))
    # A baseline of ten seconds and three losses of sixty wait; what it took to start comes no second time.
    assert "4:40 elapsed, about 3 minutes left" in drawn(display)
    stored = ended_trial("contrastive", reused=("pretrain", "finetune"))
    display.on_event(TrialEnded("trial", 3, 6, "contrastive", 0, 0, trial=stored))
    assert "about 2 minutes left" in drawn(display)
    assert "AUC 0.910, stored" in drawn(display)


def test_the_time_to_compile_a_loss_is_not_taken_for_its_usual_time(wanted, clock):
    """Two losses on two seeds: each trains in 20 s, and is compiled in 30 s before that."""
    display = progress.Display(wanted)

    def train(label, seed, compiling):
        display.on_event(Event("features", 10, 10, "", seed, 0))
        clock(compiling)
        for step in range(0, 101, 10):  # with the first event, a loss is compiled
            display.on_event(Event("finetune", step, 100, label, seed, 0, 0.5))
            clock(0 if step == 100 else 2)
            yield display.left(time.monotonic())
        trial = ended_trial(label, seconds=compiling + 20.0).model_copy(update={"seed": seed, "fold": 0})
        display.on_event(TrialEnded("trial", 1, 4, label, seed, 0, trial=trial))

    first, *others = train("contrastive", 0, 30)
    assert first is None, "one event shows no speed"
    # What is left of this trial, the other loss with its compiling, and both on the other seed.
    assert others == pytest.approx([16 + 50 + 40, *(left + 50 + 40 for left in (14, 12, 10, 8, 6, 4, 2, 0, 0))])
    assert display.left(time.monotonic()) == pytest.approx(90)
    *_, last = train("npairs", 0, 30)
    assert last == pytest.approx(40)
    display.on_event(Event("pretrain", 1, 8, "", 1, 0, 2.5))
    clock(5)
    assert display.left(time.monotonic()) == pytest.approx(35), "it falls while a trial runs"


def test_processes_share_the_time_that_is_left_by_seeds_and_folds(many_losses, clock):
    display = progress.Display(many_losses)
    for fold in range(2):
        display.on_event(Event("pretrain", 1, 8, "", 0, fold, 2.5))
        trial = ended_trial("soft_nearest_neighbour_0", seconds=10.0).model_copy(update={"seed": 0, "fold": fold})
        display.on_event(TrialEnded("trial", 1, 252, trial.label, 0, fold, trial=trial))
    # Two have 39 losses left in the seed and fold on which they are, and 40 in each of two more.
    assert display.left(time.monotonic()) == pytest.approx(10 * (39 + 40 + 40))


def test_trials_that_an_executor_runs_are_counted_together(wanted, clock, drawn):
    """Nobody hears of their stages, so that the time left is judged by how fast they end."""
    display = progress.Display(wanted)
    display.on_event(Event("jobs", 0, 4))
    assert display.left(time.monotonic()) is None
    clock(30)
    display.on_event(Event("jobs", 1, 4))
    display.on_event(ended_event(1, 4, "npairs", ended_trial()))
    assert display.left(time.monotonic()) == 90
    text = drawn(display, 100)
    assert re.search(r"trials that the executor runs +1/4, 1:30 left", text)
    assert "about 2 minutes left" in text
    clock(90)
    display.on_event(Event("jobs", 4, 4))
    assert "trials that the executor runs" not in drawn(display, 100)


def test_the_display_counts_the_first_calls_of_losses(wanted, clock, drawn):
    display = progress.Display(wanted)
    display.on_event(Event("rehearsal", 1, 3))
    assert re.match(r". calling trunk and losses once +1/3", lines_of(drawn(display))[1])
    display.on_event(Event("rehearsal", 3, 3))
    assert "calling" not in drawn(display)


def test_the_display_shows_failures_and_what_comes_after_the_last_trial(wanted, clock, drawn):
    display = progress.Display(wanted)
    for number, (seed, label) in enumerate(itertools.product((0, 1), ("contrastive", "npairs")), 1):
        clock(2)
        display.on_event(Event("finetune", 10, 10, label, seed, 0, 0.5))
        status = "diverged" if label == "npairs" else "ok"
        trial = ended_trial(label, status, "why").model_copy(update={"seed": seed, "fold": 0})
        display.on_event(TrialEnded("trial", number, 4, label, seed, 0, trial=trial))
    display.on_event(Event("compare", 0, 1))
    lines = lines_of(drawn(display))
    assert lines[1].endswith("comparing the rows, writing results and page")
    assert lines[-1] == "x npairs, seed 1 fold 0 diverged"
    assert "left" not in drawn(display)
    display.end()
    (line,) = lines_of(drawn(display))
    assert re.match(r"4 of 4 trials done .* 0:08 elapsed", line)


def test_a_look_adds_the_trials_of_losses_that_are_in_question(wanted, clock, drawn):
    display = progress.Display(wanted)
    verdict = VerdictRecord(metric="accuracy", questions=(), equivalence=0.01, in_question=("npairs",))
    display.on_event(Looked("look", 1, 5, verdict=verdict))
    assert "0 of 9 trials done" in drawn(display)  # a look adds five trials


def test_the_display_hears_of_what_it_does_not_know(wanted, clock, drawn):
    display = progress.Display(wanted)
    display.on_event(ended_event(1, 6, "raw pixels", ended_trial("raw pixels")))
    display.on_event(Event("something new", 1, 2))
    assert "1 of 6 trials done" in drawn(display)


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
    baseline = ended_trial(reused=("evaluate",)).model_copy(update={"kind": "baseline"})
    assert progress.ended(baseline, 3, 12).endswith("AUC 0.910, from the store"), (
        "the dry run counts it as finished, too"
    )
    assert progress.ended(ended_trial(metrics={"accuracy": None}), 3, 12).endswith("(seed 3, fold 1): ok, 12.3 s")
    shared = ended_trial(seconds=2.5, pretrain=9.0, reused=("pretrain",))
    assert progress.ended(shared, 3, 12).endswith("AUC 0.910, 2.5 s"), "phase 1 was paid for by another trial"
    failed = progress.ended(ended_trial(status="diverged", reason="step 7"), 4, 12)
    assert failed == "[4/12] npairs (seed 3, fold 1): diverged: step 7"
    told = progress.ended(ended_trial(status="failed", reason="it gives None"), 4, 12, is_told=True)
    assert told == "[4/12] npairs (seed 3, fold 1): not trained, see above"


def test_the_display_shows_a_search_and_then_the_trials_that_came_of_it(wanted, clock, drawn):
    display = progress.Display(wanted)
    losses = tuple(Chance(label, {"margin": "0 to 1"}, (), 40, 1280) for label in ("contrastive", "npairs"))
    display.on_event(begins(Chances(10, 2, 1, False, losses)))

    def goes_on(done, score):
        standings = tuple(Standing(each.label, done // 2, score) for each in losses)
        display.on_event(SearchGoesOn(STAGE, done, 20, standings=standings))

    goes_on(0, None)
    display.on_event(Event("pretrain", 1, 3, seed=100))
    assert lines_of(drawn(display))[0].startswith("search: 0 of 20 trials done")
    assert any("phase 1, seed 100 fold 0" in line for line in lines_of(drawn(display)))
    display.on_event(Event("pretrain", 3, 3, seed=100))
    display.on_event(Event(ROUND, 1, 4))
    assert any("round 1 of 10, a trial of each loss 1/4 trainings" in line for line in lines_of(drawn(display)))
    clock(60)
    goes_on(2, 0.9)
    clock(10)
    goes_on(4, 0.95)
    text = " ".join(lines_of(drawn(display)))
    assert "about a minute left of the search" in text, "16 trials of 5 seconds each"
    assert "contrastive 2/10, best validation score 0.9500" in text
    more = dataclasses.replace(wanted, losses=(*wanted.losses, wanted.losses[0]))
    display.on_event(SearchEnds(STAGE, 1, 1, searched=(), resolved=more))
    assert lines_of(drawn(display))[0].startswith("0 of 6 trials done"), "three losses on two seeds"


def test_the_outline_counts_the_trainings_of_a_search(wanted):
    search = Search(trials=4, seeds=(100, 101))
    searched = dataclasses.replace(wanted, experiment=wanted.experiment.model_copy(update={"search": search}))

    class Both:
        def spaces(self):
            return [SimpleNamespace(dimensions=("margin",)), SimpleNamespace(dimensions=())]

        def phase1(self):
            return None

    assert outline(searched, Both()).endswith(
        "trunk thin_vgg; before that, settings are searched for: 8 trainings (1 loss x 4 trials x 2 seeds x 1 fold), and up "
        "to 2 trials more at default settings"
    )


def test_the_outline_does_not_count_folds_that_only_the_data_set_knows(wanted):
    paired = dataclasses.replace(
        wanted, experiment=wanted.experiment.model_copy(update={"protocol": Protocol(kind="pairs_file")})
    )
    assert outline(paired) == (
        "tiny: 4 trials (2 losses x 2 seeds x 1 fold), and as many for each further fold of the data set's pairs, on made, "
        "pairs file, trunk thin_vgg"
    )


def test_outline(wanted):
    assert outline(wanted) == "tiny: 4 trials (2 losses x 2 seeds x 1 fold) on made, open set, trunk thin_vgg"


def test_the_outline_counts_baselines_as_the_log_does(many_losses):
    counted = "252 trials (40 losses and 2 baselines x 2 seeds x 3 folds)"
    assert outline(many_losses) == f"tiny: {counted} on made, open set, trunk thin_vgg"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (65, "1:05"), (7200, "2:00:00")]
)
def test_clock(seconds, text):
    assert time_left.clock(seconds) == text
