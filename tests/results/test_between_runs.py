"""Runs side by side: what differs, and tests only where the same data were cut alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.results.between_runs import Difference, compare_records, differences
from faceexp.results.schema import RunRecord

RANDOM = np.random.default_rng(3)
COMMON = RANDOM.normal(0.8, 0.1, size=6)
FIRST = {"x": COMMON, "y": COMMON + RANDOM.normal(0.02, 0.01, size=6)}
OTHER = {
    "x": COMMON + 0.3 + RANDOM.normal(0, 0.01, size=6),
    "y": FIRST["y"] + RANDOM.normal(0, 0.05, size=6),
    "z": COMMON,
}


def part():
    return {"images": 1, "people": 1}


def document(values, key="same", ratio=0.0, seeds=range(6)):
    """Return the results of a run as JSON data: label -> accuracy by seed."""
    return {
        "schema": 1,
        "name": "made",
        "test_train_ratio": ratio,
        "parts": [
            {"seed": seed, "fold": 0, "key": f"{key} {seed}", "train": part(), "validation": part(), "test": part()}
            for seed in seeds
        ],
        "trials": [
            {
                "id": f"{label}-{seed}",
                "label": label,
                "kind": "loss",
                "seed": seed,
                "fold": 0,
                "status": "ok",
                "metrics": {"accuracy": value},
            }
            for label, row in values.items()
            for seed, value in zip(seeds, row, strict=False)
        ],
        "summary": [
            {"label": label, "kind": "loss", "metric": "accuracy", "mean": float(np.mean(row))}
            for label, row in values.items()
        ],
        "comparisons": [],
    }


def run(values, **rest):
    return RunRecord.model_validate(document(values, **rest))


def beside(*runs):
    names = tuple("abc"[: len(runs)])
    return compare_records(names, [{}] * len(runs), runs, METRIC_OF["accuracy"])


def test_differences_name_keys_of_tables_and_losses_by_label():
    one = {
        "seeds": [0, 1],
        "protocol": {"kind": "open_set"},
        "finetune": {"steps": 100, "sampler": {"plugin": "balanced"}},
        "losses": [{"label": "x", "margin": 1.0}, {"label": "y", "pretrain": {"enabled": False}}],
    }
    other = {
        "seeds": [0, 1],
        "protocol": {"kind": "open_set", "min_images": 2},
        "finetune": {"steps": 50, "sampler": {"plugin": "balanced"}},
        "losses": [{"label": "y", "pretrain": {"enabled": True}}, {"label": "x", "margin": 2.0}, {"label": "z"}],
    }
    assert list(differences([one, other])) == [
        Difference("finetune.steps", (100, 50)),
        Difference("losses[x].margin", (1.0, 2.0)),
        Difference("losses[y].pretrain.enabled", (False, True)),
        Difference("protocol.min_images", (None, 2)),
        Difference("losses[z]", (None, True)),
    ]
    assert list(differences([one, one])) == []


def test_a_part_of_a_sum_is_named_by_its_place():
    parts = [[{"plugin": "x", "weight": 1.0}, {"plugin": "y", "weight": weight}] for weight in (0.1, 0.2)]
    files = [{"losses": [{"label": "both", "combine": each}]} for each in (*parts, parts[0][:1])]
    assert list(differences(files)) == [
        Difference("losses[both].combine[1].plugin", ("y", "y", None)),
        Difference("losses[both].combine[1].weight", (0.1, 0.2, None)),
    ]


def test_the_same_label_is_compared_across_runs_as_scipy_does():
    comparison = beside(run(FIRST), run(OTHER))
    assert [line.label for line in comparison.lines] == ["x", "y", "z"]
    tests = {label: stats.ttest_rel(FIRST[label], OTHER[label]) for label in "xy"}
    corrected = multipletests([tests[label].pvalue for label in "xy"], method="holm")[1]
    for line, p in zip(comparison.lines[:2], corrected, strict=True):
        (test,) = line.tests
        assert test.difference == pytest.approx(np.mean(FIRST[line.label] - OTHER[line.label]))
        assert test.p_corrected == pytest.approx(p)
    assert [line.tests[0].verdict for line in comparison.lines[:2]] == ["b>a", "indistinguishable"]
    assert comparison.lines[2].tests == (None,)
    assert comparison.lines[2].summaries[0] is None
    assert comparison.remarks == ()


def test_the_correction_is_that_of_the_run_with_the_larger_overlap():
    plain = beside(run(FIRST), run(OTHER)).lines[0].tests[0]
    corrected = beside(run(FIRST), run(OTHER, ratio=0.5)).lines[0].tests[0]
    widths = [np.diff(test.ci95)[0] for test in (plain, corrected)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((1 / 6 + 0.5) / (1 / 6)))


def test_rows_with_the_very_same_trials_are_known_and_ask_nothing():
    """Only rows that were trained anew are tested, so that p is corrected for these alone."""
    (x, y) = beside(run(FIRST), run(FIRST | {"y": OTHER["y"]})).lines
    assert (x.same, y.same) == ((True,), (False,))
    assert x.tests[0].difference == 0
    assert y.tests[0].p_corrected == pytest.approx(stats.ttest_rel(FIRST["y"], OTHER["y"]).pvalue)
    # Further seeds of one run are paired with nothing.
    longer = beside(run(FIRST), run({"x": FIRST["x"][2:]}, seeds=range(2, 6))).lines[0]
    assert longer.same == (True,)


def with_code(**digests):
    plugins = [
        {"kind": "loss", "name": name, "distribution": name, "version": "1", "digest": digest}
        for name, digest in digests.items()
    ]
    return RunRecord.model_validate(document(FIRST) | {"plugins": plugins})


def test_other_code_of_a_plugin_is_a_difference_where_both_runs_say_what_they_had():
    assert beside(with_code(x="a", y="b"), with_code(x="a", y="c")).code == (Difference("loss 'y'", ("b", "c")),)
    assert beside(with_code(x="a"), with_code(x="a", y="c")).code == ()
    assert beside(with_code(x="a"), with_code(x="")).code == ()
    assert beside(with_code(x="a"), run(FIRST)).code == ()


def test_versions_of_packages_are_compared():
    versions = [{"numpy": "1.26", "keras": "3.1"}, {"numpy": "2.0", "keras": "3.1", "more": "1"}]
    compared = compare_records(("a", "b"), [{}] * 2, [run(FIRST)] * 2, METRIC_OF["accuracy"], versions)
    assert compared.packages == (Difference("numpy", ("1.26", "2.0")), Difference("more", (None, "1")))


def test_other_data_are_not_tested():
    comparison = beside(run(FIRST), run(OTHER, key="elsewhere"), run(FIRST))
    assert comparison.remarks == ("b: cut other data, or cut them otherwise, than the first run, so nothing is tested",)
    assert [line.tests[0] for line in comparison.lines] == [None] * 3
    assert comparison.lines[0].tests[1].p_corrected == 1.0
    nothing = beside(run(FIRST), run(OTHER, seeds=range(10, 16)))
    assert nothing.remarks == ("b: has no seed and fold in common with the first run, so nothing is tested",)


def test_only_common_seeds_are_paired():
    comparison = beside(run(FIRST), run({label: row[2:] for label, row in OTHER.items()}, seeds=range(2, 6)))
    expected = stats.ttest_rel(FIRST["x"][2:], OTHER["x"][2:]).confidence_interval()
    assert comparison.lines[0].tests[0].ci95 == pytest.approx((expected.low, expected.high))


def test_a_run_of_an_older_version_without_keys_is_not_tested():
    old = document(OTHER)
    for split in old["parts"]:
        del split["key"]
    nothing = "b: cut other data, or cut them otherwise, than the first run, so nothing is tested"
    assert beside(run(FIRST), RunRecord.model_validate(old)).remarks == (nothing,)
    nothing = "b: has no seed and fold in common with the first run, so nothing is tested"
    assert beside(run(FIRST), RunRecord.model_validate(document(OTHER) | {"parts": []})).remarks == (nothing,)
