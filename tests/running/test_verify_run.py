"""A trial that is trained anew from a published run, and compared with what the run says of it."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faceexp
from faceexp import pipeline
from faceexp.engine.backend import cores
from faceexp.errors import InputError
from faceexp.report.terminal.repeated import repeated
from faceexp.results.repeated import compared, other_environment, outcome_of
from faceexp.results.schema import EnvironmentRecord, InstalledPluginRecord, TrialRecord
from faceexp.running.publish import publish
from faceexp.running.repeat import Claim

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("verified")


@pytest.fixture(scope="module")
def run(home, small_spec, face_folder):
    file = home / "small.toml"
    file.write_text(small_spec("small", face_folder, "npairs", "contrastive"), encoding="utf-8")
    return faceexp.load(file).run(home / "runs", store=home / "store").folder


@pytest.fixture(scope="module")
def public(run, home):
    return publish(run, home / "public").folder


@pytest.fixture(scope="module")
def here(home, face_folder):
    """Where the data lie on the other machine, with which everything begins."""
    return (f"dataset.path={shutil.copytree(face_folder, home / 'copied faces')}",)


@pytest.fixture(scope="module")
def verified(home):
    """``verified(folder, overrides, trial=None)``: the answer, with a store in which nothing of the run is."""

    def verify(folder, overrides=(), trial=None, tolerance=TOLERANCE):
        return pipeline.verify_run(Claim.read(folder, tolerance, trial, overrides), store=home / "other store")

    return verify


@pytest.fixture
def changed(tmp_path):
    """``changed(folder, file, change)``: a copy without checksums in which a JSON file was changed."""

    def copy(folder, name, change):
        changed = tmp_path / "changed"
        shutil.copytree(folder, changed, ignore=shutil.ignore_patterns("SHA256SUMS"))
        document = json.loads((changed / name).read_text(encoding="utf-8"))
        change(document)
        (changed / name).write_text(json.dumps(document), encoding="utf-8")
        return changed

    return copy


def text(answer):
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as capture:
        console.print(repeated(answer))
    return capture.get()


def refused(*arguments):
    with pytest.raises(InputError) as caught:
        Claim.read(*arguments)
    return [str(problem) for problem in caught.value.problems]


def test_the_first_loss_of_a_published_run_comes_out_the_same_to_the_last_bit(public, here, verified, home):
    answer = verified(public, here)
    assert (answer.trial, answer.label, answer.seed, answer.fold) == ("npairs-s0-f0", "npairs", 0, 0)
    assert (answer.outcome, answer.largest, answer.different, answer.environment) == ("identical", None, (), ())
    metrics = next(trial.metrics for trial in faceexp.open_run(public).trials if trial.id == answer.trial)
    assert answer.metrics == len(metrics) > 10
    assert answer.checked == len((public / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    assert answer.holds
    assert text(answer).startswith(f"npairs-s0-f0: the same to the last bit, in {answer.metrics} metrics")
    # What was trained is kept nowhere: the store has the images and the digests of their files alone.
    assert {path.name for path in (home / "other store").iterdir() if path.is_dir()} == {"files", "images", "locks"}


def test_a_run_of_a_cluster_is_verified_where_there_is_none(run, verified, tmp_path):
    """Its executor need not be installed, and the trial has as many threads as it had there."""
    folder = shutil.copytree(run, tmp_path / "of a cluster")
    with (folder / "spec.toml").open("a", encoding="utf-8") as spec:
        spec.write('[executor]\nplugin = "cluster_of_the_institute"\naccount = "faces"\n')
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    environment |= {"executor": "cluster_of_the_institute", "threads": cores(), "cores": 4096}
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    answer = verified(folder)
    assert answer.outcome == "identical"
    assert Claim.read(folder, TOLERANCE)._other_threads(1) is None


def test_metrics_of_another_kind_of_machine_are_within_the_tolerance_or_not(run, verified, changed):
    def other_machine(document):
        trial = next(trial for trial in document["trials"] if trial["id"] == "contrastive-s1-f0")
        trial["metrics"]["auc"] += 0.0005
        trial["metrics"]["eer"] -= 0.0001

    folder = changed(run, "results.json", other_machine)
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    environment["processor"] = "another processor"
    environment["packages"]["numpy"] = "1.26.4"
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    answer = verified(folder, trial="contrastive-s1-f0")
    assert (answer.outcome, answer.largest.metric, answer.different) == ("within", "auc", ())
    assert answer.largest.difference == pytest.approx(0.0005)
    assert answer.checked is None
    assert {(other.what, other.claimed) for other in answer.environment} == {
        ("numpy", "1.26.4"),
        ("processor", "another processor"),
    }
    assert "the same within 0.001" in text(answer)
    assert "the largest difference is 0.0005, of auc" in text(answer)
    assert "another processor" in text(answer)

    answer = verified(folder, trial="contrastive-s1-f0", tolerance=0.0002)
    assert [metric.metric for metric in answer.different] == ["auc"]
    assert not answer.holds
    assert f"1 of {answer.metrics} metrics differ by more than 0.0002" in text(answer)


def test_a_seed_that_was_added_until_questions_were_decided_is_trained_as_well(run, verified, changed):
    folder = changed(run, "environment.json", lambda document: None)
    spec = (folder / "spec.toml").read_text(encoding="utf-8")
    (folder / "spec.toml").write_text(spec.replace("seeds = [\n    0,\n    1,\n]", "seeds = [0]"), encoding="utf-8")
    answer = verified(folder, trial="raw-pixels-s1-f0")
    assert (answer.outcome, answer.seed) == ("identical", 1)


def test_after_a_search_the_chosen_settings_are_trained(home, small_spec, face_folder, here, verified):
    pytest.importorskip("optuna")
    file = home / "searched.toml"
    text = small_spec("searched", face_folder, "contrastive").replace("seeds = [0, 1]", "seeds = [0]")
    text = text.replace("steps = 10", "steps = 10\nlearning_rate = { low = 1e-4, high = 1e-1, log = true }")
    file.write_text(text + '[search]\ntrials = 2\nsampler = "random"\nseeds = [100]\n', encoding="utf-8")
    run = faceexp.load(file).run(home / "runs", store=home / "store").folder
    public = publish(run, home / "searched").folder
    for name in ("spec.toml", "tuned.toml"):
        assert 'path = "DATASET_PATH"' in (public / name).read_text(encoding="utf-8")
    answer = verified(public, here)
    assert (answer.trial, answer.outcome) == ("contrastive-s0-f0", "identical")
    with pytest.raises(InputError, match=r"tuned.toml: has no trial contrastive-defaults-s0-f0"):
        verified(public, here, "contrastive-defaults-s0-f0")


def test_a_trial_that_fails_here_is_not_the_same(run, verified, monkeypatch):
    from faceexp_loss_npairs import NPairs

    def build(self, context):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(NPairs, "build", build)
    answer = verified(run)
    assert not answer.holds
    assert "no such operation" in answer.reason
    assert "it did not end well here" in text(answer)


def test_other_data_are_refused(public, here, verified, face_folder, tmp_path):
    other = tmp_path / "other faces"
    shutil.copytree(face_folder, other)
    (other / "p00" / "0.png").unlink()
    with pytest.raises(InputError, match="its data, or how they are cut for seed 0, fold 0, are not those that are"):
        verified(public, (f"dataset.path={other}",))


def test_files_that_were_changed_are_named_before_anything_else(public, here, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(public, folder)
    for name in ("results.json", "trials/npairs-s0-f0.json"):
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(" ")
    (folder / "tuned.toml").write_text("", encoding="utf-8")
    assert refused(folder, TOLERANCE, None, here) == [
        f"{folder / 'results.json'}: differs from what SHA256SUMS says",
        f"{folder / 'trials' / 'npairs-s0-f0.json'}: differs from what SHA256SUMS says",
        f"{folder / 'tuned.toml'}: is not named in SHA256SUMS",
    ]


def test_what_cannot_be_trained_anew_is_refused(run, public, changed):
    (reason,) = refused(public, TOLERANCE)
    assert reason.endswith("dataset.path: it lay on another machine; say where it is here: --set dataset.path=PATH")
    assert refused(run, math.nan) == ["--tolerance nan: must be 0 or more"]
    (reason,) = refused(run, TOLERANCE, "npair-s0-f0")
    assert reason.startswith("--trial npair-s0-f0: the run has no such trial; did you mean")

    def fail(document):
        for trial in document["trials"]:
            trial |= {"status": "failed", "reason": "no memory"}

    folder = changed(run, "results.json", fail)
    assert refused(folder, TOLERANCE) == [f"{folder}: no trial of this run ended well"]
    assert refused(folder, TOLERANCE, "npairs-s0-f0") == [
        "--trial npairs-s0-f0: this trial did not end well: no memory"
    ]


@pytest.mark.parametrize(
    ("of_machine", "jobs", "cells", "threads"),
    [
        (4, 1, 6, None),  # as here
        (4, 2, 6, 2),
        (4, 8, 6, 1),
        (4, 8, 1, None),  # with one seed and fold there was nothing to divide
        (16, 2, 6, 8),
        (8, 2, 6, None),
        (None, 1, 6, None),  # an older version did not write it
    ],
)
def test_a_trial_has_as_many_threads_as_in_the_run(of_machine, jobs, cells, threads, monkeypatch, run):
    monkeypatch.setattr("faceexp.running.repeat.cores", lambda: 4)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    environment = EnvironmentRecord(cores=of_machine, jobs=jobs)
    claim = dataclasses.replace(Claim.read(run, TOLERANCE), environment=environment)
    assert claim._other_threads(cells) == threads


# Numbers --------------------------------------------------------------------------------------------------------------


def trial(metrics, **sets):
    return TrialRecord(id="a", label="a", kind="loss", seed=0, fold=0, status="ok", metrics=metrics, sets=sets)


@given(
    one=st.floats(0, 1),
    other=st.floats(0, 1),
    tolerance=st.floats(0, 0.5),
)
def test_the_outcome_is_that_of_the_largest_difference(one, other, tolerance):
    metrics = compared(trial({"auc": one, "eer": 0.5}, lfw={"auc": other}), trial({"auc": other, "eer": 0.5}))
    assert [each.metric for each in metrics] == ["auc", "eer", "auc on lfw"]
    assert metrics[0].difference == abs(one - other)
    assert metrics[2].difference == math.inf, "there is none here"
    expected = "identical" if one == other else "within" if abs(one - other) <= tolerance else "different"
    assert outcome_of(metrics[:2], tolerance) == expected
    assert outcome_of(metrics, tolerance) == "different"


def test_what_is_defined_on_one_side_alone_differs_and_what_is_on_neither_is_the_same():
    assert outcome_of(compared(trial({"auc": None}), trial({"auc": None})), 0) == "identical"
    assert outcome_of(compared(trial({"auc": None}), trial({"auc": 0.5})), 1) == "different"


def test_other_code_of_a_plugin_is_named():
    plugins = [InstalledPluginRecord(kind="loss", name="x", distribution="x", version="1", digest=d * 64) for d in "ab"]
    one, two = (EnvironmentRecord(python="3.12", cores=2, plugins=(plugin,)) for plugin in plugins)
    (other,) = other_environment(one, two, ("numpy",))
    assert (other.what, other.claimed, other.here) == ("code of loss x", "a" * 8, "b" * 8)
    assert other_environment(one, one, ("numpy",)) == ()
