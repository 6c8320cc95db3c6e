"""What the tests of reports share: a run that the statistics judged, and one whose every number is written by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from faceexp.evaluation.catalogue import COLUMNS, METRICS
from faceexp.results.schema import RunRecord
from faceexp.statistics import comparisons as statistics
from faceexp.store import digest

DIRECTIONS = {metric.key: metric.higher_is_better for metric in METRICS if metric in COLUMNS}
SEEDS = range(4)
PHASE_1 = "phase-1 embedding"
BAD = "</script><b>&'quoted'"  # closes a script, opens a tag
BOLD = "<b>bold</b> & 'quoted' [red]"


@pytest.fixture(scope="session")
def bad_label() -> str:
    """A label that would break a page which took it for anything but text."""
    return BAD


@pytest.fixture(scope="session")
def bold_label() -> str:
    """A label that is full of markup."""
    return BOLD


@pytest.fixture(scope="session")
def changed() -> Callable[..., RunRecord]:
    """``changed(run, warnings=[...])``: the same run with other parts, given as JSON data or records."""
    return lambda run, **parts: RunRecord.model_validate(run.to_jsonable() | parts)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., str]:
    """``drawn(renderable, width)``: what a terminal would show."""

    def draw(renderable, width=120):
        output = io.StringIO()
        console = Console(width=width, file=output, color_system=None)
        console.print(renderable)
        return output.getvalue()

    return draw


# A run that the statistics judged


@pytest.fixture(scope="session")
def accuracies() -> dict[str, tuple[float, ...]]:
    """Accuracy by seed: two losses clearly better than the others, one of them and a baseline alike."""
    return {
        BAD: (0.90, 0.91, 0.92, 0.91),
        "twin": (0.91, 0.90, 0.92, 0.905),
        "weak": (0.70, 0.712, 0.719, 0.711),
        PHASE_1: (0.72, 0.70, 0.71, 0.725),
    }


@pytest.fixture(scope="session")
def made_trial() -> Callable[..., dict]:
    """``made_trial(label, seed, accuracy)``: a trial as JSON data."""

    def make(label, seed, accuracy):
        kind = "baseline" if label == PHASE_1 else "loss"
        metrics = dict.fromkeys(DIRECTIONS, 0.5 + seed / 100) | {"accuracy": accuracy, "eer": 1 - accuracy}
        return {
            "id": f"{digest(label)[:8]}-{seed}",
            "loss": label,
            "label": label,
            "kind": kind,
            "seed": seed,
            "fold": 0,
            "status": "ok",
            "reason": None,
            "metrics": metrics,
            "threshold": 1.0,
            "distance": "euclidean",
            "best_step": 20,
            "curve": [] if kind == "baseline" else [{"step": s, "loss": 1 / s, "validation": 0.9} for s in (10, 20)],
        }

    return make


@pytest.fixture(scope="session")
def judged(changed) -> Callable[..., RunRecord]:
    """``judged(run, trials)``: the same run of other trials, judged by the statistics that a run uses."""

    def judge(run, trials):
        run = changed(run, trials=trials)
        summary = tuple(statistics.summarise(run.trials, DIRECTIONS))
        return changed(run, summary=summary, comparisons=tuple(statistics.compare(run.trials, DIRECTIONS)))

    return judge


@pytest.fixture(scope="session")
def without(judged) -> Callable[..., RunRecord]:
    """``without(run, *labels)``: a run as it is without some rows."""
    return lambda run, *labels: judged(run, [trial for trial in run.trials if trial.label not in labels])


@pytest.fixture(scope="session")
def study(made_trial, accuracies, judged) -> RunRecord:
    """Four rows on four seeds, and a loss that fails on all of them."""
    failed: dict[str, Any] = {
        "status": "diverged",
        "reason": "<no luck> at step 7",
        "metrics": {},
        "threshold": None,
        "curve": [],
    }
    trials = [made_trial(label, seed, values[seed]) for label, values in accuracies.items() for seed in SEEDS]
    trials += [made_trial("dead", seed, 0) | failed for seed in SEEDS]
    part = {"images": 24, "people": 4, "pairs": 276, "similar": 60}
    budget = {"pretrain_images": 1000, "steps": 200, "images": 12800, "trainable_parameters": 5000, "settings_tried": 1}
    run = RunRecord.model_validate(
        {
            "schema": 1,
            "name": "study",
            "description": "What <is> it for?",
            "protocol": "open_set",
            "notes": ["12 people, 72 images; <somewhere>"],
            "warnings": ["unequal budgets, steps of phase 2: weak 300; the others 200"],
            "method": "Paired <t> tests.",
            "test_train_ratio": 0.25,
            "parts": [
                {"seed": seed, "fold": 0, "train": {"images": 30 + seed, "people": 5}, "validation": part, "test": part}
                for seed in SEEDS
            ],
            "budgets": [
                {"label": label, "loss": label} | budget | more
                for label, more in ((BAD, {"trainable_parameters": 5200}), ("twin", {}), ("weak", {"steps": 300}))
            ],
            "published": None,
            "trials": trials,
            "summary": [],
            "comparisons": [],
        }
    )
    return judged(run, trials)


# A run whose every number is written by hand


def written_trial(label, seed=0, status="ok", reason=None, kind="loss"):
    metrics = dict.fromkeys(DIRECTIONS, 0.5) | {"accuracy": 0.8} if status == "ok" else {}
    return {
        "id": f"{digest(label)[:8]}-{seed}",
        "label": label,
        "kind": kind,
        "seed": seed,
        "fold": 0,
        "status": status,
        "reason": reason,
        "metrics": metrics,
    }


def written_summary(label, kind="loss", ci95=True, **means):
    rows = []
    for metric in DIRECTIONS:
        mean = means.get(metric, 0.5)
        interval = [mean - 0.05, mean + 0.05] if ci95 and mean is not None else None
        group = "" if mean is None else "ab"
        rows.append(
            {"label": label, "kind": kind, "metric": metric, "mean": mean, "ci95": interval, "n": 2, "group": group}
        )
    return rows


@pytest.fixture(scope="session")
def comparison() -> Callable[..., dict]:
    """``comparison(metric, **values)``: two rows compared, as JSON data."""

    def make(metric="accuracy", **values):
        given = {"a": BOLD, "b": "other", "difference": 0.061, "ci95": [0.01, 0.112], "p_corrected": 0.0312}
        return {"metric": metric, "verdict": "a>b", "minimum_detectable_difference": 0.04} | given | values

    return make


@pytest.fixture(scope="session")
def written(comparison) -> RunRecord:
    """Three losses and a baseline on two seeds; one loss fails on one seed, one on both."""
    dead = dict.fromkeys(DIRECTIONS)
    return RunRecord.model_validate(
        {
            "schema": 1,
            "name": "study",
            "protocol": "open_set",
            "notes": ["12 people, 72 images; <somewhere>"],
            "trials": [
                *(written_trial(PHASE_1, seed, kind="baseline") for seed in (0, 1)),
                *(written_trial(BOLD, seed) for seed in (0, 1)),
                written_trial("other"),
                written_trial("other", 1, "diverged", "the loss is not finite at step 7"),
                *(written_trial("dead", seed, "failed", "RuntimeError: <no luck> [bold]") for seed in (0, 1)),
            ],
            "summary": [
                *written_summary(PHASE_1, "baseline", accuracy=0.80, eer=0.30, sim_diff_ratio=0.7),
                *written_summary(BOLD, accuracy=0.861, auc=0.9123, eer=0.141, sim_diff_ratio=0.449),
                *written_summary("other", ci95=False, accuracy=0.80, eer=0.25),
                *written_summary("dead", **dead),
            ],
            "comparisons": [
                comparison(),
                comparison(b="dead", difference=None, ci95=None, p_corrected=None, verdict="indistinguishable"),
                comparison("auc", difference=0.5),
            ],
        }
    )


# A run that has searched


def tried(number, score, state="ok", trainings=2, **values):
    return {"number": number, "values": values, "score": score, "state": state, "trainings": trainings}


@pytest.fixture(scope="session")
def search_data() -> dict[str, Any]:
    """A search of two losses, as JSON data: one gained and stands at an end of its range, one kept its defaults."""
    trials = [
        tried(0, 0.90, margin=1.0, pairs="all"),
        tried(1, 0.95, margin=9.99, pairs="halves"),
        tried(2, 0.92, margin=0.5, pairs="all"),
        tried(3, 0.70, "pruned", 1, margin=0.11, pairs="halves"),
        tried(4, None, "diverged", 0, margin=5.0, pairs="all"),
    ]
    twin = {
        "label": "twin",
        "ranges": {"margin": "0.1 to 10, by orders of magnitude", "pairs": 'one of "all", "halves"'},
        "logarithmic": ["margin"],
        "suggested": ["pairs"],
        "defaults": {"margin": 1.0, "pairs": "all"},
        "best": {"margin": 9.99, "pairs": "halves"},
        "score": 0.95,
        "default_score": 0.90,
        "at_edge": ["margin"],
        "importances": {"margin": 0.75, "pairs": 0.25},
        "reasons": ["step 7: the loss is <nan>"],
        "trainings": 7,
        "steps": 200,
        "images": 12800,
        "trials": trials,
    }
    weak = {
        "label": "weak",
        "ranges": {"reg_lambda": "0 to 1"},
        "suggested": [],
        "defaults": {"reg_lambda": 0.002},
        "best": {"reg_lambda": 0.002},
        "score": 0.8,
        "default_score": 0.8,
        "trainings": 10,
        "steps": 200,
        "images": 12800,
        "trials": [tried(0, 0.8, reg_lambda=0.002), *(tried(n, 0.8 - n / 100, reg_lambda=n / 5) for n in range(1, 5))],
    }
    gain = {"label": "twin", "reference": "twin (defaults)", "difference": 0.05, "interval": [0.02, 0.08]}
    return {
        "trials": 5,
        "sampler": "tpe",
        "pruner": "median",
        "seeds": [100, 101],
        "trainings": 2,
        "people_tested": 3,
        "losses": [twin, weak],
        "gains": [gain | {"p_corrected": 0.01, "verdict": "better", "trials": 4}],
    }


@pytest.fixture(scope="session")
def tuned_run(changed, study, search_data) -> RunRecord:
    """The four rows of the study after such a search; the losses that were searched have rows for their defaults."""
    settings = [
        {"label": "twin", "of": "twin", "chosen": True, "validation": 0.95},
        {"label": "twin (defaults)", "of": "twin", "chosen": False, "validation": 0.9},
    ]
    notes = {"notes": ["3 of the people who are tested took part"], "note_kinds": ["search"]}
    return changed(study, search=search_data, settings=settings, **notes)
