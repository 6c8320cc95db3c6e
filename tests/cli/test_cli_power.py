"""The command ``power``: what it reads of a run, what it prints, and which questions have no answer."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from faceexp.results.design import design_of, losses_of, values_of
from faceexp.results.published_tables import judge_table
from faceexp.results.schema import RunRecord
from faceexp.statistics.power import Design, UnanswerableError, from_counts, from_run


def trials(seeds=3, folds=5, **means):
    """Return means with noise, trials of one seed and fold alike in part."""
    rng = np.random.default_rng(0)
    cells = [(seed, fold) for seed in range(seeds) for fold in range(folds)]
    common = rng.normal(scale=0.05, size=len(cells))
    return {
        label: dict(zip(cells, map(float, mean + common + rng.normal(scale=0.02, size=len(cells))), strict=True))
        for label, mean in means.items()
    }


def document(table, protocol="open_set", baselines=("pixels",)):
    """Return the results of a run as a file of JSON data holds them."""
    part = {
        "train": {"images": 120, "people": 12},
        "validation": {"images": 40, "people": 4, "pairs": 780, "similar": 180},
        "test": {"images": 40, "people": 4, "pairs": 780, "similar": 180},
    }
    cells = sorted({cell for row in table.values() for cell in row})
    records = [
        {
            "id": f"{label}-{seed}-{fold}",
            "label": label,
            "kind": "baseline" if label in baselines else "loss",
            "seed": seed,
            "fold": fold,
            "status": "ok",
            "reason": None,
            "metrics": {"accuracy": value, "sim_diff_ratio": 1 - value, "auc": None},
        }
        for label, row in table.items()
        for (seed, fold), value in row.items()
    ]
    return {
        "schema": 1,
        "name": "made",
        "protocol": protocol,
        "test_train_ratio": 1 / 3,
        "parts": [{"seed": seed, "fold": fold, **part} for seed, fold in cells],
        "trials": records,
        "summary": [
            {"label": label, "kind": "loss", "metric": metric, "mean": 0.5}
            for label in table
            for metric in ("accuracy", "sim_diff_ratio", "auc")
        ],
        "comparisons": [],
    }


def test_trials_and_cut_are_read_from_the_results():
    table = trials(a=0.9, pixels=0.8)
    results = document(table)
    results["trials"][0] |= {"status": "diverged", "metrics": {}}
    results["parts"][0]["test"] = {"images": 40, "people": 19, "pairs": 1530}
    run = RunRecord.model_validate(results)
    assert values_of(run, "accuracy") == {
        "a": {cell: value for cell, value in table["a"].items() if cell != (0, 0)},
        "pixels": table["pixels"],
    }
    assert losses_of(run) == {"a"}
    assert design_of(run) == Design(1 / 3, 0.2, 0.25, test_people=5, test_pairs=830, listed=False, most_folds=10)
    assert values_of(run, "auc") == {"a": {}, "pixels": {}}


def test_folds_are_limited_by_the_protocol():
    table = trials(a=0.9, pixels=0.8)
    assert design_of(RunRecord.model_validate(document(table))).most_folds == 10  # 20 people, two per fold
    assert design_of(RunRecord.model_validate(document(table, "closed_set"))).most_folds == 50  # 200 images of 4 people
    assert design_of(RunRecord.model_validate(document(table, "pairs_file"))).listed


@pytest.mark.parametrize("missing", ["parts", "test_train_ratio"])
def test_results_that_do_not_tell_how_the_data_were_cut(missing):
    results = document(trials(a=0.9, pixels=0.8))
    del results[missing]
    with pytest.raises(UnanswerableError, match="run the experiment again"):
        design_of(RunRecord.model_validate(results))


@pytest.fixture
def faceexp(command, monkeypatch):
    """Run a command on a narrow screen; return exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "100")
    return command


@pytest.fixture
def folder(tmp_path):
    """A finished run of two losses and a baseline."""
    run = tmp_path / "runs" / "made-12345678"
    run.mkdir(parents=True)
    (run / "results.json").write_text(json.dumps(document(trials(x=0.9, y=0.85, pixels=0.7))))
    return run


def test_power_of_counts(faceexp):
    code, out, err = faceexp("power", 111, 110, 114, 112, "--of", 134)
    assert (code, err) == (0, "")
    assert out.startswith("No two of the four can be told apart at 5 %")
    assert "114/134 - 110/134" in out
    assert faceexp("power", "111/134", "110/134", "114/134", 112) == (code, out, err)
    code, out, err = faceexp("power", 111, 110, 110, "--of", 134, "--difference", 2, "--power", 0.9, "--json")
    assert (code, err) == (0, "")
    right = {"111/134": 111, "110/134": 110, "110/134 (2)": 110}
    assert json.loads(out) == json.loads(json.dumps(asdict(from_counts(right, 134, 0.05, 0.9, 0.02))))


def test_power_of_a_run(faceexp, folder):
    code, out, err = faceexp("power", folder, "--difference", 1)
    assert (code, err) == (0, "")
    assert out.startswith("x has the best accuracy of the losses")
    code, out, err = faceexp(
        "power", folder, "--metric", "sim_diff_ratio", "--difference", 0.1, "--alpha", 0.1, "--json"
    )
    assert (code, err) == (0, "")
    run = RunRecord.model_validate_json((folder / "results.json").read_text())
    expected = from_run(
        values_of(run, "sim_diff_ratio"),
        design_of(run),
        "sim_diff_ratio",
        higher_is_better=False,
        losses=losses_of(run),
        difference=0.1,
        alpha=0.1,
    )
    assert json.loads(out) == json.loads(json.dumps(asdict(expected)))
    assert json.loads(out)["best"] == "x"


def test_power_asks_what_the_run_asks_and_all_pairs_on_demand(faceexp, folder):
    results = document(
        trials(**{"x": 0.9, "y": 0.85, "phase-1 embedding": 0.8, "pixels": 0.7}),
        baselines=("pixels", "phase-1 embedding"),
    )
    results["verdict"] = {"metric": "accuracy", "questions": ["helps"], "equivalence": 0.01}
    (folder / "results.json").write_text(json.dumps(results))
    own, pairs = (json.loads(faceexp("power", folder, "--json", *more)[1]) for more in ((), ("--all-pairs",)))
    assert (own["against"], own["comparisons"], [row["label"] for row in own["rows"]]) == (
        "phase-1 embedding",
        2,
        ["x", "y"],
    )
    assert (pairs["against"], pairs["comparisons"], len(pairs["rows"])) == (None, 6, 3)
    # A run that asks only which may be the best, and one of an older version, compare with no such row.
    results["verdict"]["questions"] = ["best"]
    (folder / "results.json").write_text(json.dumps(results))
    assert json.loads(faceexp("power", folder, "--json")[1]) == pairs


@pytest.fixture
def table(tmp_path):
    """A published table of two test sets, one of which everybody knows."""
    path = tmp_path / "table.csv"
    path.write_text("# A paper\nloss,LFW,ours\na,99.50,91.0\nb,99.45,90.5\nc,98.20,60.5\n")
    return path


def test_power_of_a_published_table(faceexp, table):
    code, out, err = faceexp("power", table, "--of", 200)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert said.startswith("A paper LFW: 6,000 pairs")
    assert "ours: 200 pairs" in said
    assert "b 99.45 ±0.19 5,967 0.05 no 16,000 to 330,000" in said
    assert "c 60.50 ±6.71 121 30.50 yes 25 to 36" in said
    assert "A published accuracy is that of one network, trained once." in said
    code, out, err = faceexp("power", table, "--of", 200, "--alpha", 0.01, "--difference", 2, "--json")
    assert (code, err) == (0, "")
    expected = asdict(judge_table(table, 200, 0.01, 0.8, 0.02))
    assert json.loads(out) == json.loads(json.dumps(expected))
    assert [judged["name"] for judged in json.loads(out)["sets"]] == ["LFW", "ours"]


@pytest.mark.parametrize(
    ("content", "arguments", "messages"),
    [
        (
            "loss,LFW\na,x\nb,101",
            "TABLE",
            [
                "TABLE:2: 'x' is no accuracy, such as 99.53; write - where none was published",
                "TABLE:3: '101' is no accuracy, such as 99.53; write - where none was published",
            ],
        ),
        (
            "loss,LFW\na,99\nb,98",
            "TABLE --of 5",
            ["TABLE: LFW has 6,000 pairs, not 5; if yours has others, say so in a row: pairs,5"],
        ),
        ("loss,x\na,99\nb,98", "TABLE --of 0", ["--of 0: a test has 1 to 1,000,000,000 pairs; say how many"]),
        (
            "loss,x\na,99\nb,98",
            "TABLE --of 10000000000000000000",
            ["--of 10,000,000,000,000,000,000: a test has 1 to 1,000,000,000 pairs; say how many"],
        ),
        (
            "loss,LFW\na,99\nb,98",
            "TABLE --alpha 1e-300",
            ["TABLE: LFW: alpha must be 1e-09 or more and power 0.9999 or less, not alpha 1e-300 and power 0.8"],
        ),
        (
            "loss,LFW\na,99\nb,98",
            "TABLE --metric auc",
            ["--metric auc: a table of accuracies has an accuracy and nothing else; leave it out"],
        ),
        ("", "TABLE", ["TABLE: is empty; name a CSV file with a row for each loss and a column for each test set"]),
        (
            "",
            "missing.csv",
            ["missing.csv: no such file; name a CSV file with a row for each loss and a column for each test set"],
        ),
        (
            "",
            "/dev/zero",
            [
                "/dev/zero: is a device, not an ordinary file; name a CSV file with a row for each loss and a column for each test set"
            ],
        ),
        ("", "TABLE TABLE", ["'TABLE' is no count of right answers; name one run, or counts such as 114 110 --of 134"]),
    ],
)
def test_a_wrong_table_ends_with_a_line_for_each_mistake(faceexp, table, content, arguments, messages):
    table.write_text(content)
    given = [str(table) if part == "TABLE" else part for part in arguments.split()]
    expected = "".join(f"error: {message}\n" for message in messages).replace("TABLE", str(table))
    assert faceexp("power", *given) == (2, "", expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("135 110 --of 134", "135/134: 135 right of 134 pairs is not possible"),
        ("111 110", "of how many pairs? say so: 111 110 --of PAIRS"),
        ("111/134 110/130", "the losses must have judged the same pairs, not 130 and 134 of them"),
        ("111 --of 134", "one count has nothing to be compared with; give the counts of two losses or more"),
        ("111", "of how many pairs? say so: 111 --of PAIRS"),
        ("111 x --of 134", "'x' is no count of right answers; name one run, or counts such as 114 110 --of 134"),
        ("RUN RUN", "'RUN' is no count of right answers; name one run, or counts such as 114 110 --of 134"),
        ("111 110 --of 134 --difference 0", "the difference must be above 0"),
        ("111 110 --of 134 --power 1.5", "it must be 0 < alpha < power < 1, not alpha 0.05 and power 1.5"),
        (
            "5 4 --of 10 --alpha 1e-300",
            "alpha must be 1e-09 or more and power 0.9999 or less, not alpha 1e-300 and power 0.8",
        ),
        ("5 4 --of 10000000000000000000", "a test has 1,000,000,000 pairs at most, not 10,000,000,000,000,000,000"),
        (
            "9999999999995 9999999999900 --of 10000000000000",
            "a test has 1,000,000,000 pairs at most, not 10,000,000,000,000",
        ),
        (f"1 {'9' * 5000} --of 10", f"'{'9' * 40}...' is no number of pairs; there are a billion at most"),
        ("1 2/" + "9" * 5000, f"'2/{'9' * 38}...' is no number of pairs; there are a billion at most"),
        ("111 110 --of 134 --difference 1e-300", "the difference is too small to be of any use"),
        (" ".join(["1"] * 51) + " --of 2", "51 losses are too many to compare; give 50 at most"),
        ("RUN --difference 101", "RUN: no two values of accuracy differ by as much as was asked for"),
        (
            "RUN --alpha 1e-300",
            "RUN: alpha must be 1e-09 or more and power 0.9999 or less, not alpha 1e-300 and power 0.8",
        ),
        ("111 110 --of 134 --metric auc", "--metric auc: counts give an accuracy and nothing else; leave it out"),
        ("missing", "missing: no such run; name the folder of a run; `faceexp runs` lists them"),
        ("RUN --metric acuracy", "--metric acuracy: the run has no metric 'acuracy'; did you mean 'accuracy'?"),
        ("RUN --metric auc", "RUN: no loss has a trial with a value of auc"),
        ("RUN --difference -1", "RUN: the difference must be above 0"),
    ],
)
def test_a_question_without_an_answer_ends_with_one_line(faceexp, folder, arguments, message):
    given = [str(folder) if part == "RUN" else part for part in arguments.split()]
    assert faceexp("power", *given) == (2, "", f"error: {message.replace('RUN', str(folder))}\n")


def test_a_run_of_one_trial_has_no_variance(faceexp, folder):
    (folder / "results.json").write_text(json.dumps(document(trials(1, 1, x=0.9, y=0.85))))
    code, out, err = faceexp("power", folder)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {folder}: there is no variance to judge by: x and another row need two trials at least whose difference "
        "in accuracy varies; run with more seeds or folds\n"
    )
