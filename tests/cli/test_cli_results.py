"""The commands ``report`` and ``compare``: what they print of finished runs, and where."""

from __future__ import annotations

import json
import shutil

import pytest


def test_a_report_shows_means_intervals_failures_and_what_is_no_number(faceexp, finished, trial, summary, row):
    folder = finished(
        [
            *(trial("pull", seed=seed) for seed in (0, 1)),
            trial("push"),
            trial("push", seed=1, status="diverged", reason="loss is nan at step [3]"),
            *(trial("phase-1 embedding", kind="baseline", seed=seed) for seed in (0, 1)),
        ],
        [
            summary("pull", "accuracy", 0.9, [0.85, 0.95]),
            summary("pull", "auc", None, None),
            summary("push", "accuracy", 0.8, None, group="b"),
            summary("push", "auc", None, None),
            summary("phase-1 embedding", "accuracy", 0.85, [0.8, 0.9], kind="baseline", group="ab"),
        ],
    )
    code, out, err = faceexp("report", folder)
    assert (code, err) == (0, "")
    assert "made: open set, 6 trials (2 losses and 1 baseline x 2 seeds x 1 fold)" in out
    assert row(out, "pull").startswith("pull 2/2 90.0 85.0–95.0 - ")
    assert row(out, "push").startswith("push 1/2 80.0 - ")
    assert row(out, "phase-1").startswith("phase-1 embedding 2/2 85.0 80.0–90.0 - ")
    assert "x push (seed 1, fold 0) diverged: loss is nan at step [3]" in out
    assert "12 people, 72 images" not in out, "what is no finding is asked for"
    out = faceexp("report", folder, "--notes")[1]
    assert "push does not beat the phase-1 embedding in accuracy" in out
    assert "12 people, 72 images" in out
    assert "nan" not in out.replace("loss is nan", "")


def test_brackets_and_control_characters_in_a_run_are_shown_and_not_obeyed(faceexp, finished, trial, summary):
    label = "[/b] [online] \x1b[31m\u202e"
    name = "[link=javascript:alert(1)]"
    folder = finished([trial(label)], [summary(label, "accuracy", 0.9, None)], name=name)
    code, out, _ = faceexp("report", folder, "--matrix")
    assert code == 0
    assert r"[/b] [online]" in out
    assert name in out
    assert not set("\x1b\u202e") & set(out)
    code, out, _ = faceexp("compare", folder, folder)
    assert (code, out) == (2, "")


def test_a_report_of_one_seed_claims_no_difference(faceexp, finished, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, out, _ = faceexp("report", folder)
    assert code == 0
    assert "1 trial (1 loss x 1 seed x 1 fold)" in out
    assert "–" not in out
    assert "no difference can be called real" in out


def test_a_report_of_failures_alone(faceexp, finished, trial, row):
    folder = finished([trial("pull", status="failed", reason="ValueError: no")], [])
    code, out, _ = faceexp("report", folder)
    assert code == 0
    assert row(out, "pull").startswith("pull 0/1")
    assert "x pull (seed 0, fold 0) failed: ValueError: no" in out


def test_a_report_as_json_is_the_file(faceexp, finished, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "auc", None, None)])
    code, out, err = faceexp("report", folder, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((folder / "results.json").read_text())


def test_a_report_is_drawn_from_the_file_as_well(faceexp, finished, trial):
    folder = finished([trial("pull")], [])
    assert faceexp("report", folder / "results.json") == faceexp("report", folder)


def test_a_report_as_a_picture(faceexp, finished, tmp_path, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, _, _ = faceexp("report", folder, "--svg", tmp_path / "table.svg")
    assert code == 0
    assert "<svg" in (tmp_path / "table.svg").read_text()
    file = tmp_path / "missing" / "table.svg"
    error = f"error: --svg {file}: cannot be written: No such file or directory; name another file\n"
    assert faceexp("report", folder, "--svg", file) == (2, "", error)


def test_a_report_sorted_by_another_metric(faceexp, finished, trial, summary):
    folder = finished(
        [trial("pull"), trial("push")],
        [
            *(summary("pull", metric, value, None) for metric, value in (("accuracy", 0.9), ("eer", 0.3))),
            *(summary("push", metric, value, None) for metric, value in (("accuracy", 0.8), ("eer", 0.1))),
        ],
    )
    _, out, _ = faceexp("report", folder)
    assert out.index("pull") < out.index("push")
    _, out, _ = faceexp("report", folder, "--sort", "eer")
    assert out.index("push") < out.index("pull")
    error = "error: --sort err: the run has no metric 'err'; did you mean 'eer'?\n"
    assert faceexp("report", folder, "--sort", "err") == (2, "", error)


def test_a_report_with_chosen_columns(faceexp, finished, trial, summary):
    metrics = ("accuracy", "auc", "eer", "map_at_r")
    folder = finished([trial("pull")], [summary("pull", metric, 0.5, None) for metric in metrics])
    _, out, _ = faceexp("report", folder, "--columns", "eer, auc")
    (heading,) = [line for line in out.splitlines() if "loss or baseline" in line]
    assert heading.split() == ["loss", "or", "baseline", "ok", "EER", "%", "AUC", "group"]
    for form in ("markdown", "latex", "csv"):
        _, out, _ = faceexp("report", folder, "--columns", "eer,auc", "--format", form)
        (heading,) = [line for line in out.splitlines() if "AUC" in line or ",auc," in line]
        assert heading.lower().index("eer") < heading.lower().index("auc")
        assert "accuracy" not in heading
        assert "MAP" not in heading
    error = "error: --columns acuracy: the run has no metric 'acuracy'; did you mean 'accuracy'?\n"
    assert faceexp("report", folder, "--columns", "eer,acuracy") == (2, "", error)


@pytest.mark.parametrize(("form", "sign"), [("markdown", "| --- |"), ("latex", r"\toprule"), ("csv", "label,kind,ok")])
def test_a_report_in_another_format_is_that_text_alone(faceexp, finished, form, sign, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, out, err = faceexp("report", folder, "--format", form)
    assert (code, err) == (0, "")
    assert sign in out
    assert "pull" in out
    assert json.loads(faceexp("report", folder, "--format", "json")[1]) == json.loads(
        (folder / "results.json").read_text()
    )


def test_a_report_with_verdicts_and_budgets(faceexp, finished, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    _, out, _ = faceexp("report", folder, "--matrix")
    assert "verdicts in accuracy" in out
    assert "phase-1 images" in out


def test_a_report_on_a_test_set(faceexp, finished, trial, summary):
    rows = {"pull": (0.9, 0.6), "push": (0.8, 0.7), "turn": (0.7, 0.5)}
    trials = [trial(label) | {"metrics": {"accuracy": own}, "sets": {"b": {"accuracy": other}}}
              for label, (own, other) in rows.items()]  # fmt: skip
    means = {label: {"test": own, "b": other} for label, (own, other) in rows.items()}
    ranks = {"pull": 1.5, "push": 1.5, "turn": 3}
    over_sets = {"metric": "accuracy", "means": means, "sets": 2, "mean_rank": ranks, "fewest_sets": 3}
    held = {"images": 30, "people": 10, "pairs": 435, "similar": 30}
    summaries = [summary(label, "accuracy", own, None) for label, (own, _) in rows.items()]
    folder = finished(trials, summaries, test_sets=[{"name": "b", "measured": held}], over_sets=over_sets)
    _, out, _ = faceexp("report", folder)
    side_by_side = out[out.index("accuracy % on each set") :]
    assert ["pull", "*90.0", "60.0", "1.5"] in [line.split() for line in side_by_side.splitlines()]
    assert "2 sets can decide nothing by ranks, whatever the numbers: it takes 3 sets at least" in side_by_side
    _, out, _ = faceexp("report", folder, "--set", "b")
    assert "made on b: test set, 3 trials" in out
    assert out.index("push") < out.index("pull") < out.index("turn")
    assert "on each set" not in out
    _, out, _ = faceexp("report", folder, "--set", "b", "--format", "csv")
    assert [line.split(",")[0] for line in out.splitlines()[1:]] == ["push", "pull", "turn"]
    assert json.loads(faceexp("report", folder, "--set", "b", "--json")[1])["measured_on"] == "b"
    error = f"error: {folder}: the run was not measured on a test set 'a'; known: b\n"
    assert faceexp("report", folder, "--set", "a") == (2, "", error)


def test_a_report_by_group_needs_groups(faceexp, finished, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    code, out, err = faceexp("report", folder, "--groups")
    assert (code, out) == (2, "")
    assert "--groups: the run has no groups; name columns of its data, as in [evaluation] groups" in err
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    of_row = {"label": "pull", "kind": "loss", "column": "sex", "threshold": "0.01", "group": "f[b]", "people": 7}
    results["groups"] = {
        "columns": [{"column": "sex", "groups": ["f[b]"], "of_people": True}],
        "rates": [{**of_row, "rate": "fmr", "value": 0.02, "ci95": [0.01, 0.04]}, {**of_row, "rate": "fnmr"}],
    }
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    code, out, _ = faceexp("report", folder, "--groups")
    assert code == 0
    assert "by sex, at the threshold for FAR 1 %" in out
    assert "f[b]" in out
    assert "2.0 1.0–4.0" in out
    assert "by sex: --groups" in faceexp("report", folder)[1]


def test_runs_side_by_side(faceexp, finished, tmp_path, row, trial, summary):
    folder = finished([trial("pull")], [summary("pull", "accuracy", 0.9, None)])
    (folder / "spec.toml").write_text('name = "made"\n[[losses]]\nlabel = "pull"\nmargin = 1.0\n')
    other = tmp_path / "runs" / "other-12345678"
    shutil.copytree(folder, other)
    (other / "spec.toml").write_text('name = "made"\n[[losses]]\nlabel = "pull"\nmargin = 2.0\n')
    code, out, _ = faceexp("compare", folder, other)
    assert code == 0
    assert row(out, "losses[pull].margin") == "losses[pull].margin 1.0 2.0"
    assert row(out, "pull").startswith("pull 90.0 90.0")
    assert "nothing is tested" in out
    found = json.loads(faceexp("compare", folder, other, "--json")[1])
    assert found["names"] == ["made-12345678", "other-12345678"]
    assert faceexp("compare", folder) == (2, "", "error: one run alone cannot be compared; name two or more\n")
    code, _, err = faceexp("compare", folder, tmp_path / "none", tmp_path / "gone")
    assert (code, err.count("error: "), err.count("no such run")) == (2, 2, 2)
    (other / "spec.toml").unlink()
    assert "no such file" in faceexp("compare", folder, other)[2]
    assert "no metric 'eer'" in faceexp("compare", folder, other, "--metric", "eer")[2]


def test_a_folder_without_results_says_where_some_are(faceexp, finished, tmp_path, trial):
    missing = tmp_path / "missing"
    hint = "name the folder of a run; `faceexp runs` lists them"
    assert faceexp("report", missing) == (2, "", f"error: {missing}: no such run; {hint}\n")
    folder = finished([trial("pull")], [])
    misspelt = folder.with_name("mede-12345678")
    message = f"no such run; did you mean {folder.name!r}?"
    assert faceexp("report", misspelt) == (2, "", f"error: {misspelt}: {message}\n")
    spec = folder / "spec.toml"
    spec.touch()
    assert faceexp("report", spec) == (2, "", f"error: {spec}: is no run; {hint}\n")
    (folder / "empty").mkdir()
    empty = folder / "empty"
    assert faceexp("report", empty) == (2, "", f"error: {empty}: holds no results.json; {hint}\n")
    hint = f"it holds the runs {folder}"
    assert faceexp("report", folder.parent) == (2, "", f"error: {folder.parent}: holds no results.json; {hint}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as results: it is not JSON: Expecting property name"),
        ("[]", "is not results of schema 1; run the experiment again"),
        ('{"schema": 2}', "is not results of schema 1; run the experiment again"),
    ],
)
def test_a_file_that_holds_no_results(faceexp, tmp_path, content, message):
    file = tmp_path / "results.json"
    file.write_text(content)
    code, out, err = faceexp("report", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {file}: {message}")
    assert len(err.splitlines()) == 1
