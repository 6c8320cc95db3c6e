"""Results as people read them."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
from faceexp.report.plugin_list import plugin_description, plugin_list
from rich.console import Console

from faceexp.evaluation.metrics import HIGHER_IS_BETTER
from faceexp.report import columns as numbers
from faceexp.report.columns import COLUMNS
from faceexp.report.terminal import progress
from faceexp.report.terminal import run as terminal
from faceexp.results.jsonable import to_jsonable
from faceexp.statistics import power
from faceexp.values import Event, TrialResult

METRICS = tuple(HIGHER_IS_BETTER)
BOLD = "<b>bold</b> & 'quoted' [red]"


def trial(label, seed=0, status="ok", reason=None, kind="loss", accuracy=0.8):
    metrics = dict.fromkeys(METRICS, 0.5) | {"accuracy": accuracy} if status == "ok" else {}
    return {
        "id": f"{label}-{seed}",
        "label": label,
        "kind": kind,
        "seed": seed,
        "fold": 0,
        "status": status,
        "reason": reason,
        "metrics": metrics,
    }


def summary(label, kind="loss", ci95=True, **means):
    found = []
    for metric in METRICS:
        mean = means.get(metric, 0.5)
        interval = [mean - 0.05, mean + 0.05] if ci95 and mean is not None else None
        group = "" if mean is None else "ab"
        found.append(
            {"label": label, "kind": kind, "metric": metric, "mean": mean, "ci95": interval, "n": 2, "group": group}
        )
    return found


def comparison(metric="accuracy", **values):
    given = {"a": BOLD, "b": "other", "difference": 0.061, "ci95": [0.01, 0.112], "p_corrected": 0.0312}
    return {"metric": metric, "verdict": "a>b", "minimum_detectable_difference": 0.04} | given | values


@pytest.fixture
def document():
    """Three losses and a baseline on two seeds; one loss fails on one seed, one on both."""
    dead = dict.fromkeys(METRICS)
    return {
        "schema": 1,
        "name": "study",
        "protocol": "open_set",
        "notes": ["12 people, 72 images; <somewhere>"],
        "trials": [
            *(trial("phase-1 embedding", seed, kind="baseline") for seed in (0, 1)),
            *(trial(BOLD, seed) for seed in (0, 1)),
            trial("other"),
            trial("other", 1, "diverged", "the loss is not finite at step 7"),
            *(trial("dead", seed, "failed", "RuntimeError: <no luck> [bold]") for seed in (0, 1)),
        ],
        "summary": [
            *summary("phase-1 embedding", "baseline", accuracy=0.80, eer=0.30, sim_diff_ratio=0.7),
            *summary(BOLD, accuracy=0.861, auc=0.9123, eer=0.141, sim_diff_ratio=0.449),
            *summary("other", ci95=False, accuracy=0.80, eer=0.25),
            *summary("dead", **dead),
        ],
        "comparisons": [
            comparison(),
            comparison(b="dead", difference=None, ci95=None, p_corrected=None, verdict="indistinguishable"),
            comparison("auc", difference=0.5),
        ],
    }


def drawn(renderable, width=120):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def single(document):
    """Return the same with one seed alone, as it is then written: without intervals."""
    trials = [t for t in document["trials"] if t["seed"] == 0]
    return document | {"trials": trials, "summary": [item | {"ci95": None} for item in document["summary"]]}


# The table ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "columns"), [(40, 1), (60, 2), (80, 3), (100, 4), (120, 5), (140, 7), (200, 10)])
def test_a_narrow_screen_shows_the_most_important_metrics(document, width, columns):
    text = drawn(terminal.run_table(document, width), width)
    assert all(len(line) <= width for line in text.splitlines())
    head = next(line for line in text.splitlines() if "ok" in line.split())
    shown = [column.heading for column in COLUMNS if column.heading.split()[0] in head]
    assert shown == [column.heading for column in COLUMNS[:columns]]
    row = next(line for line in text.splitlines() if " 2/2 " in line)
    assert row.count("±") == columns  # no number is cut
    assert row.rstrip().endswith(" ab")


def test_the_table_has_a_row_a_label_the_best_first(document):
    text = drawn(terminal.run_table(document, 140), 140)
    rows = [line for line in text.splitlines() if re.search(r" \d/\d ", line)]
    assert [re.split(r"\s{2,}", row)[0].strip() for row in rows] == [BOLD, "phase-1 embedding", "other", "dead"]
    assert [re.search(r"(\d/\d)", row).group() for row in rows] == ["2/2", "2/2", "1/2", "0/2"]
    assert "study: open set, 2 seeds x 1 fold" in text
    assert rows[0].split()[-1] == "ab"


def test_the_best_of_each_column_is_marked_in_its_direction(document):
    text = drawn(terminal.run_table(document, 140), 140)
    best, baseline, other, dead = (line for line in text.splitlines() if re.search(r" \d/\d ", line))
    assert "*86.1 ±5.0" in best
    assert "*0.912 ±0.050" in best
    assert "*14.1 ±5.0" in best  # of errors, the smallest
    assert "*0.45 ±0.05" in best
    assert "80.0 ±5.0" in baseline
    assert "*80.0" not in baseline + other
    assert "±" not in other  # without an interval, none is shown
    assert "*" not in dead
    assert dead.split()[2:] == ["-"] * 7


def test_another_metric_decides_the_order_and_is_shown_however_narrow_the_screen(document):
    eer = next(column for column in COLUMNS if column.metric == "eer")
    lines = drawn(terminal.run_table(document, 60, eer), 60).splitlines()
    order = [line.split()[0] for line in lines if re.search(r" \d/2 ", line)]
    assert order == ["<b>bold</b>", "other", "phase-1", "dead"]
    head = next(line for line in lines if "ok" in line.split())
    assert "accuracy %" in head
    assert "EER %" in head


def test_metrics_that_a_protocol_does_not_give_are_no_columns(document):
    fewer = [item for item in document["summary"] if item["metric"] != "rank_1"]
    assert "rank-1" in drawn(terminal.run_table(document, 250), 250)
    assert "rank-1" not in drawn(terminal.run_table(document | {"summary": fewer}, 250), 250)


def test_warnings_and_the_verdict_are_said(document):
    text = drawn(terminal.run_table(document | {"warnings": ["unequal budgets, steps: x 5; the others 9"]}, 120))
    assert "! unequal budgets, steps: x 5; the others 9" in text
    assert text.rstrip().endswith("1 of the 2 pairs of rows can be told apart in accuracy")
    assert "none of the 1 pairs" in drawn(
        terminal.run_table(document | {"comparisons": [comparison(verdict="indistinguishable")]}, 120)
    )


def test_the_matrix_says_who_beats_whom(document):
    eer = next(column for column in COLUMNS if column.metric == "eer")
    told = [
        comparison("eer", a="other", b=BOLD, verdict="b>a"),
        comparison("eer", a="phase-1 embedding", b=BOLD, verdict="indistinguishable"),
        comparison("eer", a="other", b="phase-1 embedding", verdict="a>b"),
    ]
    lines = drawn(terminal.matrix(document | {"comparisons": told}, eer), 120).splitlines()
    assert [line.split()[-3:] for line in lines[1:5]] == [
        ["1", "2", "3"],
        ["·", ">", "="],
        ["<", "·", ">"],
        ["=", "<", "·"],
    ]
    assert [line[0] for line in lines[2:5]] == ["1", "2", "3"]
    assert lines[-1] == "2 of the 3 pairs of rows can be told apart in EER"


def test_the_usual_budget_is_said_in_a_line(document):
    own = {"pretrain_images": 1000, "steps": 10, "images": 640, "trainable_parameters": 12345, "settings_tried": 1}
    given = [{"label": label, "loss": "x", **own} for label in "ab"] + [{"label": "c", "loss": "x", **own, "steps": 99}]
    text = drawn(terminal.run_table(document | {"budgets": given}, 160), 160)
    assert (
        "each loss: 1,000 images seen in phase 1, 10 steps of phase 2, 640 images seen in them, 12,345 trainable"
        in text
    )


def test_published_results_stand_in_their_own_layout_and_are_judged(document):
    rows_ = [("balanced_l2", 111, 0.44), ("contrastive", 110, 0.45), ("npairs", 114, 0.28), ("cluster", 112, None)]
    published = {
        "source": "a study",
        "pairs": 134,
        "results": [{"label": label, "right": right, "sim_diff_ratio": ratio} for label, right, ratio in rows_],
        "power": to_jsonable(power.from_counts({label: right for label, right, _ in rows_}, 134)),
    }
    text = " ".join(drawn(terminal.run_table(document | {"published": published}, 120)).split())
    assert "published: a study" in text
    assert "npairs 114 85.1 0.28" in text
    assert "cluster 112 83.6 -" in text
    assert "With 134 pairs each published accuracy is uncertain by ±6.0 points or more (95 %)" in text
    assert "the losses differ by at most 3.0 points: no winner can be called" in text
    assert "None of the 6 pairs of published losses can be told apart" in text


def test_budgets_are_a_table(document):
    own = {"pretrain_images": 1000, "steps": 10, "images": 640, "trainable_parameters": 12345, "settings_tried": 1}
    text = drawn(terminal.budgets(document | {"budgets": [{"label": BOLD, "loss": "x", **own}]}))
    assert re.search(r"1,000 +10 +640 +12,345 +1", text)
    assert "[red]" in text


def test_failures_are_shown_with_their_reason_as_it_is(document):
    text = drawn(terminal.run_table(document, 120))
    assert "x other (seed 1, fold 0) diverged: the loss is not finite at step 7" in text
    assert text.count("failed: RuntimeError: <no luck> [bold]") == 2


def test_losses_no_better_than_phase_1_are_named(document):
    text = drawn(terminal.run_table(document, 120))
    assert "! other does not beat the phase-1 embedding in accuracy" in text
    assert f"{BOLD} does not beat" not in text
    assert "dead does not beat" not in text
    assert "12 people, 72 images; <somewhere>" in text


def test_one_trial_has_no_interval(document):
    text = drawn(terminal.run_table(single(document), 140), 140)
    assert "±" not in text
    assert "One seed and fold: no interval, and no difference can be called real." in text
    assert "1 seed x 1 fold" in text
    assert "Holm-corrected" in drawn(terminal.run_table(document, 300), 300)


def test_a_run_of_failures_alone_is_drawn(document):
    dead = [t for t in document["trials"] if t["label"] == "dead"]
    alone = document | {"trials": dead, "summary": [s for s in document["summary"] if s["label"] == "dead"]}
    text = drawn(terminal.run_table(alone, 120))
    assert "0/2" in text
    assert "*" not in text.split("* best")[0]


def test_a_trial_that_is_in_no_summary_is_a_row(document):
    text = drawn(terminal.run_table(document | {"summary": []}, 120))
    assert BOLD in text
    assert "0/2" in text


# Numbers --------------------------------------------------------------------------------------------------------------------


def test_columns_cover_every_metric_in_its_direction():
    assert {column.metric: column.higher for column in COLUMNS} == HIGHER_IS_BETTER


@pytest.mark.parametrize(
    ("mean", "ci95", "column", "text"),
    [
        (0.9512, [0.92, 0.98], 0, "95.1 ±3.0"),
        (0.9512, None, 0, "95.1"),
        (0.98765, [0.98, 1.0], 1, "0.988 ±0.010"),
        (0.4449, None, 3, "0.44"),
        (0.0, [0.0, 0.0], 0, "0.0 ±0.0"),
        (None, None, 0, "-"),
    ],
)
def test_written(mean, ci95, column, text):
    assert numbers.written({"mean": mean, "ci95": ci95}, COLUMNS[column]) == text


def test_nothing_is_a_hyphen():
    assert numbers.written(None, COLUMNS[0]) == "-"


def test_best_of_nothing_is_none(document):
    dead = document | {"summary": [s for s in document["summary"] if s["label"] == "dead"]}
    assert numbers.best(numbers.rows(dead), COLUMNS[0]) is None
    assert numbers.best(numbers.rows(document), COLUMNS[0]) == 0.861
    assert numbers.best(numbers.rows(document), COLUMNS[2]) == 0.141


def test_rows_count_and_give_the_first_reason(document):
    found = {row.label: row for row in numbers.rows(document)}
    assert (found["other"].ok, found["other"].total) == (1, 2)
    assert found["other"].reason == "diverged: the loss is not finite at step 7"
    assert found[BOLD].reason is None
    assert found["phase-1 embedding"].kind == "baseline"


def test_without_a_phase_1_baseline_there_is_no_note(document):
    assert numbers.baseline_note(document) == ["other does not beat the phase-1 embedding in accuracy"]
    rest = document | {"trials": [t for t in document["trials"] if t["kind"] == "loss"]}
    assert numbers.baseline_note(rest) == []


# Other tables ---------------------------------------------------------------------------------------------------------------


def test_plugins_are_listed_by_kind_and_broken_ones_say_why():
    item = {"name": "tidy", "distribution": "faceexp-loss-tidy", "version": "0.1", "module": "m", "error": ""}
    broken = item | {"name": "torn", "error": "ImportError: no [m]"}
    text = drawn(plugin_list({"loss": [item, broken], "model": []}))
    assert "loss plugins" in text
    assert "x torn (faceexp-loss-tidy 0.1) is broken: ImportError: no [m]" in text
    assert "x tidy" not in text
    assert "none installed" in text


def test_a_description_has_facts_text_and_options():
    option = {
        "name": "margin",
        "type": "list[int]",
        "default": "[1]",
        "bounds": "> 0",
        "unit": "distance",
        "description": "How far.",
    }
    info = {
        "kind": "loss",
        "name": "x",
        "summary": "Short [bold].",
        "facts": {"reference": "[1] a paper"},
        "text": "Long.",
        "options": [option],
    }
    text = drawn(plugin_description(info))
    for part in ("loss x  Short [bold].", "[1] a paper", "Long.", "list[int]", "How far."):
        assert part in text
    assert "no options" in drawn(plugin_description(info | {"options": [], "text": ""}))


# While it goes on -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is told: ``clock(12)`` moves it on by 12 seconds."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

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
    return TrialResult(
        "x",
        "npairs",
        label,
        "loss",
        3,
        1,
        status,
        reason,
        metrics,
        0.5,
        "euclidean",
        5,
        {"pretrain": pretrain, "finetune": seconds},
        reused,
    )


def test_the_display_shows_phase_1_then_a_line_a_loss(wanted, clock):
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


def test_the_display_shows_loss_value_and_time_left(wanted, clock):
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
    display.on_event(Event("trial", 1, 4, "npairs", 0, 0, finished=ended_trial()))
    text = drawn(display)
    assert re.search(r"npairs .* 10/20 +loss 0\.1235", text)
    assert "trial 1 of 4, 0:15 elapsed, about 0:45 left" in text


def test_the_display_shows_seeds_that_train_side_by_side(wanted, clock):
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


def test_the_display_shows_failures_and_the_end(wanted, clock):
    display = progress.Display(wanted)
    for number, label in enumerate(("npairs", "contrastive", "npairs", "contrastive"), 1):
        clock(2)
        display.on_event(Event("finetune", 10, 10, label, 0, 0, 0.5))
        status = "diverged" if label == "npairs" else "ok"
        display.on_event(Event("trial", number, 4, label, 0, 0, finished=ended_trial(label, status, "why")))
    text = drawn(display)
    assert re.search(r"✓ npairs .* 20/20 +diverged", text)
    assert re.search(r"✓ contrastive .* 20/20 +loss 0\.5", text)
    assert "trial 4 of 4, 0:08 elapsed" in text
    assert "left" not in text


def test_the_display_hears_of_baselines_and_of_what_it_does_not_know(wanted, clock):
    display = progress.Display(wanted)
    display.on_event(Event("trial", 1, 6, "raw pixels", 0, 0, finished=ended_trial("raw pixels")))
    display.on_event(Event("something new", 1, 2))
    assert "trial 1 of 6" in drawn(display)


def test_markup_in_a_label_is_text(tiny, wanted, clock):
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
    assert progress.outline(wanted) == (
        "tiny: 2 losses x 2 seeds x 1 fold = 4 trials on made, open set, trunk thin_vgg"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (65, "1:05"), (7200, "2:00:00")]
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_notes_are_lines():
    assert drawn(progress.notes(["a", "b [c]"])).split("\n")[:2] == ["a", "b [c]"]


def test_a_picture_of_the_table_asks_for_nothing_from_elsewhere():
    assert "http" not in terminal.SVG_FORMAT.replace("http://www.w3.org/2000/svg", "").replace(
        "https://www.textualize.io", ""
    ), "but for the name space and a comment"
    assert "font-face" not in terminal.SVG_FORMAT
