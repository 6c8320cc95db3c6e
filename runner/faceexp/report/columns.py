"""How metrics are called and written, the same in every report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faceexp.experiment.baselines import PHASE1


@dataclass(frozen=True)
class Column:
    """One metric as a column: its heading, what it is multiplied by, its digits, and which end is better."""

    metric: str
    heading: str
    scale: float
    digits: int
    higher: bool
    meaning: str

    @property
    def name(self) -> str:
        """The heading without its unit."""
        return self.heading.removesuffix(" %")


# In order of importance: a narrow screen shows the first ones.
COLUMNS = (
    Column("accuracy", "accuracy %", 100, 1, True, "pairs judged right at the validation threshold, both kinds alike"),
    Column("auc", "AUC", 1, 3, True, "probability that a similar pair is nearer than a different one"),
    Column("eer", "EER %", 100, 1, False, "error where as many different pairs are accepted as similar ones rejected"),
    Column("sim_diff_ratio", "sim/diff", 1, 2, False, "mean distance of similar over that of different pairs"),
    Column("tar@far=0.01", "TAR@1%", 100, 1, True, "similar pairs accepted when 1 % of different ones are"),
    Column("map_at_r", "MAP@R %", 100, 1, True, "mean average precision at R of retrieval"),
    Column("precision_at_1", "P@1 %", 100, 1, True, "how often the nearest other image shows the same person"),
    Column("r_precision", "R-prec. %", 100, 1, True, "share of the R nearest images that show the same person"),
    Column("tar@far=0.001", "TAR@0.1%", 100, 1, True, "similar pairs accepted when 0.1 % of different ones are"),
    Column("rank_1", "rank-1 %", 100, 1, True, "test images whose nearest enrolled image is of their person"),
)


def columns(document: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of the metrics that a run has (not every protocol gives all), all where it has none."""
    present = {item["metric"] for item in document["summary"]}
    return tuple(column for column in COLUMNS if column.metric in present) or COLUMNS


def column_of(document: Mapping[str, Any], metric: str) -> Column:
    """Return the column of a metric.

    Raises:
        KeyError: The run has no such metric; carries the names of those it has.
    """
    known = columns(document)
    for column in known:
        if column.metric == metric:
            return column
    raise KeyError(*(column.metric for column in known))


BUDGETS = {
    "pretrain_images": "images seen in phase 1",
    "steps": "steps of phase 2",
    "images": "images seen in them",
    "trainable_parameters": "trainable parameters",
    "settings_tried": "setting(s) tried",
}


@dataclass(frozen=True)
class Row:
    """One label of a run: its summaries by metric, and how many of its trials ended well."""

    label: str
    kind: str
    summaries: Mapping[str, Mapping[str, Any]]
    ok: int
    total: int
    reason: str | None


def rows(document: Mapping[str, Any], sort: Column = COLUMNS[0]) -> list[Row]:
    """Return the rows of a run, the best of a metric first, losses and baselines alike; those without it at the end."""
    found: dict[str, dict[str, Any]] = {}
    kinds: dict[str, str] = {}
    for item in document["summary"]:
        found.setdefault(item["label"], {})[item["metric"]] = item
        kinds[item["label"]] = item["kind"]
    trials: dict[str, list[Mapping[str, Any]]] = {}
    for trial in document["trials"]:
        trials.setdefault(trial["label"], []).append(trial)
        kinds.setdefault(trial["label"], trial["kind"])
    listed = []
    for label, own in trials.items():
        failed = [trial for trial in own if trial["status"] != "ok"]
        reason = f"{failed[0]['status']}: {failed[0]['reason']}" if failed else None
        listed.append(Row(label, kinds[label], found.get(label, {}), len(own) - len(failed), len(own), reason))
    return sorted(listed, key=lambda row: (not row.ok, -_goodness(row, sort)))


def _goodness(row: Row, column: Column) -> float:
    value = row.summaries.get(column.metric, {}).get("mean")
    if value is None:
        return float("-inf")
    return float(value) if column.higher else -float(value)


def best(listed: Sequence[Row], column: Column) -> float | None:
    """Return the best mean of a metric, or ``None`` where no row has one."""
    means = [row.summaries[column.metric]["mean"] for row in listed if column.metric in row.summaries]
    present = [mean for mean in means if mean is not None]
    if not present:
        return None
    return float(max(present) if column.higher else min(present))


def written(summary: Mapping[str, Any] | None, column: Column) -> str:
    """Return ``95.1 ±2.3``, or a hyphen where there is no value."""
    if not summary or summary["mean"] is None:
        return "-"
    text = f"{summary['mean'] * column.scale:.{column.digits}f}"
    if summary["ci95"]:
        low, high = summary["ci95"]
        text += f" ±{(high - low) / 2 * column.scale:.{column.digits}f}"
    return text


def heading(document: Mapping[str, Any]) -> str:
    """Return the title of a run: its name, its protocol, its size."""
    trials = document["trials"]
    seeds, folds = len({t["seed"] for t in trials}), len({t["fold"] for t in trials})
    protocol = str(document.get("protocol", "")).replace("_", " ")
    return f"{document['name']}: {protocol}, {_count(seeds, 'seed')} x {_count(folds, 'fold')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def group(row: Row, column: Column) -> str:
    """Return the letters of a row in a metric."""
    return str(row.summaries.get(column.metric, {}).get("group") or "")


def legend(document: Mapping[str, Any], column: Column = COLUMNS[0]) -> str:
    """Return what the marks of a table mean, its letters being those of a metric."""
    trials = document["trials"]
    n = len({(t["seed"], t["fold"]) for t in trials})
    if n < 2:
        return "* best of its column. One seed and fold: no interval, and no difference can be called real."
    return (
        "* best of its column. ± 95 % interval of the mean over seeds and folds, Student t with the Nadeau-Bengio "
        f"correction. Rows that share a letter cannot be told apart in {column.name} (paired t-test, Holm-corrected, "
        "5 %)."
    )


def baseline_note(document: Mapping[str, Any]) -> list[str]:
    """Return the losses that do not beat the phase-1 embedding in accuracy: often the finding."""
    listed = {row.label: row for row in rows(document)}
    reference = listed.get(PHASE1.label)
    if reference is None:
        return []
    return [
        f"{row.label} does not beat the {PHASE1.label} in accuracy"
        for row in listed.values()
        if row.kind == "loss" and row.ok and _goodness(row, COLUMNS[0]) <= _goodness(reference, COLUMNS[0])
    ]


def budget(document: Mapping[str, Any]) -> str:
    """Return in one line what most losses were given; those that were given something else are among the warnings."""
    budgets = document.get("budgets") or []
    if not budgets:
        return ""
    usual = {key: Counter(each[key] for each in budgets).most_common(1)[0][0] for key in budgets[0] if key in BUDGETS}
    return "each loss: " + ", ".join(f"{value:,} {BUDGETS[key]}" for key, value in usual.items())


def told_apart(document: Mapping[str, Any], metric: str = "accuracy") -> str:
    """Return the verdict of a run in one sentence: how many pairs of rows can be told apart."""
    compared = [item for item in document["comparisons"] if item["metric"] == metric]
    real = sum(item["verdict"] != "indistinguishable" for item in compared)
    if not compared:
        return ""
    name = next(column.name for column in COLUMNS if column.metric == metric)
    return f"{real or 'none'} of the {len(compared)} pairs of rows can be told apart in {name}"


def verdicts(document: Mapping[str, Any], metric: str) -> dict[tuple[str, str], str]:
    """Return ``>`` (the first is better), ``<`` or ``=`` (cannot be told apart) for every ordered pair of labels."""
    found = {}
    signs = {"a>b": (">", "<"), "b>a": ("<", ">"), "indistinguishable": ("=", "=")}
    for item in document["comparisons"]:
        if item["metric"] == metric:
            found[item["a"], item["b"]], found[item["b"], item["a"]] = signs[item["verdict"]]
    return found
