"""From an experiment file to a run directory, and back."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import textwrap
import tomllib

import numpy as np
import pytest
import tomli_w
from sklearn.metrics import roc_auc_score

import faceexp
from faceexp import pipeline
from faceexp.engine.training import train
from faceexp.errors import InputError
from faceexp.evaluation.catalogue import COLUMNS
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.registry.installed import InstalledPlugin, Registry, discover
from faceexp.store import Store, digest
from faceexp.values import Noted

SPEC = """\
name = "tiny"
description = "Made faces, four losses, two of which go wrong."
seeds = [0, 1]
baselines = ["pixels", "phase1"]

[dataset]
plugin = "image_folder"
path = "{folder}"

[preprocess]
size = [16, 16]

[protocol]
kind = "open_set"

[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8

[pretrain]
epochs = 2
batch_size = 12

[finetune]
steps = 10
validate_every = 5
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2

[keep]
models = "all"

[[losses]]
plugin = "contrastive"
margin = 3.0

[[losses]]
plugin = "apart"
grid = {{ strength = [0.5, 2.0] }}

[[losses]]
plugin = "no_number"

[[losses]]
plugin = "raises"
label = "out of order"
"""

PLUGINS = '''\
"""Losses of the tests, in a module as an installed one would be."""

from typing import ClassVar

from faceexp.contract import LossPlugin, option


class Apart(LossPlugin):
    """Pushes all apart, by angle."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "cosine"
    xla: ClassVar[bool] = False
    strength: float = option(1.0, "How hard.", gt=0)

    def build(self, ctx):
        import tensorflow as tf  # noqa: F401 - the true one, before there is another

        def loss(labels, embeddings):
            unit = tf.math.l2_normalize(embeddings, axis=1)
            sign = tf.where(labels[:, None] == labels[None, :], -1.0, 1.0)
            return self.strength * tf.reduce_mean(sign * tf.matmul(unit, unit, transpose_b=True))

        return loss


class NoNumber(LossPlugin):
    """Is no number from the first step on."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"
    xla: ClassVar[bool] = False

    def build(self, ctx):
        import tensorflow as tf  # noqa: F401 - the true one, before there is another

        return lambda labels, embeddings: tf.reduce_mean(embeddings) * float("nan")


class Raises(LossPlugin):
    """Is out of order."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[str] = "euclidean"

    def build(self, ctx):
        raise RuntimeError("<out of order>")
'''
ATTRIBUTES = {"apart": "Apart", "no_number": "NoNumber", "raises": "Raises"}
MODULE = "losses_of_the_pipeline_tests"
METRIC_NAMES = {metric.key for metric in COLUMNS}
RANK_1 = {"rank_1", "rank_1_pooled"}
METRIC_KEYS = METRIC_NAMES | {f"{name}_pooled" for name in METRIC_NAMES}

TRIAL_KEYS = {
    "id",
    "met",
    "identification",
    "loss",
    "label",
    "kind",
    "seed",
    "fold",
    "status",
    "reason",
    "metrics",
    "sets",
    "rates_of_sets",
    "fold_accuracies",
    "auc_without",
    "validation_auc",
    "threshold",
    "distance",
    "budget",
    "best_step",
    "seconds",
    "reused",
    "unseeded",
    "nondeterministic",
    "curve",
}
SUMMARY_KEYS = {"standard_error", "folds", "met", "label", "kind", "metric", "mean", "ci95", "n", "comparable", "group"}
COMPARISON_KEYS = {
    "metric",
    "a",
    "b",
    "difference",
    "ci95",
    "p_corrected",
    "verdict",
    "effect_size",
    "minimum_detectable_difference",
}


def with_test_plugins() -> Registry:
    own = [InstalledPlugin("loss", name, "faceexp-tests", "0.1", MODULE, ATTRIBUTES[name]) for name in ATTRIBUTES]
    return Registry((*discover().plugins, *own))


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """The losses of this file, as if they were installed; gives the folder that holds their module."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / f"{MODULE}.py").write_text(PLUGINS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(pipeline, "discover", with_test_plugins)
        yield folder
    sys.modules.pop(MODULE, None)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def file(home, face_folder):
    path = home / "tiny.toml"
    path.write_text(SPEC.format(folder=face_folder), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def study(plugins, file):
    return faceexp.load(file)


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def run(study, home, events):
    """The whole experiment, run once for all tests."""
    return study.run(home / "runs", store=home / "store", on_event=events.append)


@pytest.fixture(scope="module")
def trained(study, run, home):
    """The embeddings behind the run, from the store."""
    store = Store(home / "store")
    trials = train(study.plan(store), store, ValidationAuc(), lambda event: None)
    return {trial.trial.id: trial for trial in trials}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


# The run directory ------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_it_should(run, study, home):
    assert run.folder == home / "runs" / f"tiny-{study.spec_hash[:8]}"
    found = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    ids = [trial.id for trial in run.trials]
    models = [trial.id for trial in run.trials if trial.kind == "loss" and trial.status == "ok"]
    # The images of the hardest pairs of the first seed and fold.
    hardest = [read(run.folder / "trials" / f"{t.id}.json")["evidence"] for t in run.trials if t.seed == 0]
    pictures = {image for evidence in hardest if evidence for pair in evidence["hardest"] for image in pair["images"]}
    assert len(pictures) > 2
    assert len(ids) == 14
    assert len(models) == 6
    assert found == {
        "spec.toml",
        "environment.json",
        "results.json",
        "report.html",
        *(f"trials/{name}.json" for name in ids),
        *(f"pictures/{image}.png" for image in pictures),
        *(
            f"models/{name}/{file}"
            for name in models
            for file in ("model.keras", "calibration.json", "seen_photos.bin")
        ),
    }


def test_a_run_of_other_code_gets_a_folder_of_its_own_and_says_so(run, study, tmp_path):
    heard: list[Noted] = []
    assert study.folder_in(run.folder.parent, heard.append).root == run.folder
    assert heard == []
    before = tmp_path / run.folder.name
    before.mkdir()
    document = read(run.folder / "results.json")
    document["plugins"][0]["digest"] = "what it was"
    (before / "results.json").write_text(json.dumps(document), encoding="utf-8")
    assert study.folder_in(tmp_path, heard.append).root == tmp_path / f"{run.folder.name}-2"
    (event,) = heard
    assert event.note.text == f"the code of loss 'apart' has changed since {before}: this run goes to {before}-2"


def test_results_hold_exactly_what_is_documented(run, study):
    document = read(run.folder / "results.json")
    assert set(document) == {
        *(
            "schema",
            "name",
            "description",
            "spec_hash",
            "plugins",
            "protocol",
            "notes",
            "note_kinds",
            "people_enough",
            "warnings",
            "method",
        ),
        *("test_train_ratio", "parts", "budgets", "published", "trials", "summary", "comparisons", "seconds"),
        *("variance_ratio", "average_seeds", "verdict", "groups", "failures", "measured_on", "test_sets", "over_sets"),
        *("settings", "search", "chosen_by"),
    }
    assert (document["schema"], document["name"], document["spec_hash"]) == (1, "tiny", study.spec_hash)
    for trial in document["trials"]:
        assert set(trial) == TRIAL_KEYS
        assert set(trial["metrics"]) == (METRIC_KEYS - RANK_1 if trial["status"] == "ok" else set())
        assert set(trial["seconds"]) == {"pretrain", "features", "finetune", "evaluate"}
    (apart,) = [setting["label"] for setting in document["settings"] if setting["chosen"]]
    labels = ["raw pixels", "phase-1 embedding", "contrastive(margin=3)", apart]
    assert {tuple(sorted(item)) for item in document["summary"]} == {tuple(sorted(SUMMARY_KEYS))}
    assert {tuple(sorted(item)) for item in document["comparisons"]} == {tuple(sorted(COMPARISON_KEYS))}
    assert len(document["summary"]) == 6 * 9
    assert len(document["comparisons"]) == 15 * 9
    assert [item["label"] for item in document["summary"]][:6] == [*labels, "no_number", "out of order"]
    assert {item["verdict"] for item in document["comparisons"]} <= {"a>b", "b>a", "indistinguishable"}
    assert document["notes"][0].startswith("12 people, 72 images; folder ")


def test_each_trial_has_its_own_file(run):
    for trial in run.trials:
        found = read(run.folder / "trials" / f"{trial.id}.json")
        evidence = found.pop("evidence")
        calibration = found.pop("calibration")
        assert found.pop("evidence_of_sets") == {}
        assert found == trial.to_jsonable()
        assert (evidence is None) == (calibration is None) == (trial.status != "ok")


def test_the_spec_in_the_run_is_the_experiment(run, study, file, plugins):
    assert tomllib.loads((run.folder / "spec.toml").read_text(encoding="utf-8"))["losses"][2]["strength"] == 2.0
    again = faceexp.load(run.folder / "spec.toml")
    assert again.spec_hash == study.spec_hash
    assert [entry.label for entry in again.experiment.losses] == [entry.label for entry in study.experiment.losses]


def test_the_environment_names_machine_packages_and_plugins(run):
    found = read(run.folder / "environment.json")
    machine = {"python", "platform", "processor", "cores", "gpu", "jobs", "executor", "threads"}
    assert set(found) == {*machine, "plugins", "packages"}
    assert {"tensorflow", "keras", "numpy", "faceexp"} <= set(found["packages"])
    named = [(plugin["kind"], plugin["name"]) for plugin in found["plugins"]]
    losses = [("loss", name) for name in ("apart", "contrastive", "no_number", "raises")]
    others = [("model", "thin_vgg"), ("dataset", "image_folder"), ("sampler", "balanced")]
    assert named == [*losses, *others]
    apart = found["plugins"][0]
    assert apart.pop("digest") == with_test_plugins().find("loss", "apart").digest
    assert apart == {"kind": "loss", "name": "apart", "distribution": "faceexp-tests", "version": "0.1"}


def test_the_page_is_there(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "contrastive(margin=3)" in page
    assert "&lt;out of order&gt;" in page


def test_models_come_with_their_threshold(run, trained):
    import keras

    for trial in run.trials:
        if trial.kind == "baseline" or trial.status != "ok":
            continue
        folder = run.folder / "models" / trial.id
        calibration = read(folder / "calibration.json")
        assert calibration["threshold"] == trial.threshold
        assert calibration["distance"] == trial.distance
        assert calibration["label"] == trial.label
        assert calibration["preprocess"] == {
            "size": [16, 16],
            "color": "gray",
            "on_unreadable": "error",
            "detect": None,
        }
        assert calibration["calibration"]["threshold"] == trial.threshold
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    assert model.output_shape == (None, 8)


# Failing trials ---------------------------------------------------------------------------------------------------------


def test_trials_that_go_wrong_are_listed_and_the_others_are_not_touched(run):
    line = next(n for n, text in enumerate(PLUGINS.splitlines(), 1) if 'RuntimeError("<out' in text)
    place = f"; losses_of_the_pipeline_tests.py:{line}"
    assert [(t.label, t.seed, t.status, t.reason) for t in run.failed] == [
        (label, seed, status, reason)
        for seed in (0, 1)
        for label, status, reason in (
            ("no_number", "diverged", "the loss is not finite at step 1"),
            ("out of order", "failed", f"RuntimeError: <out of order>{place}"),
        )
    ]
    for trial in run.failed:
        assert trial.metrics == {}
        assert trial.threshold is None
    assert {t.status for t in run.trials if t not in run.failed} == {"ok"}
    dead = [item for item in run.summary if item.label in ("no_number", "out of order")]
    assert {(item.mean, item.ci95, item.n, item.group) for item in dead} == {(None, None, 0, "")}


# The numbers ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def part_of(study, run, home):
    """``part_of(trained trial, part)``: its embeddings of a part, and their labels."""
    labels = study.plan(Store(home / "store")).labels
    return lambda trained, part: (trained.embeddings[part], labels[getattr(trained.split, part)])


def all_distances(part, distance):
    """Return the distance of every pair of a part and whether it is similar, one pair at a time."""
    rows, labels = part
    if rows.dtype == np.uint8:  # pixels count in 255ths
        rows = rows.astype(np.float32) / np.float32(255)
    rows = rows.astype(np.float64)
    found, similar = [], []
    for i, j in itertools.combinations(range(len(rows)), 2):
        if distance == "cosine":
            found.append(1 - rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j]))
        else:
            found.append(np.linalg.norm(rows[i] - rows[j]))
        similar.append(labels[i] == labels[j])
    return np.array(found), np.array(similar)


def balanced_accuracy(distances, similar, threshold):
    accepted = distances <= threshold
    return (accepted[similar].mean() + (~accepted)[~similar].mean()) / 2


def test_the_threshold_comes_from_validation_and_the_accuracy_from_test(run, trained, part_of):
    for trial in run.trials:
        if trial.status != "ok":
            continue
        found = trained[trial.id]
        assert trial.distance == found.distance
        distances, similar = all_distances(part_of(found, "validation"), found.distance)
        reached = balanced_accuracy(distances, similar, trial.threshold)
        assert reached == max(balanced_accuracy(distances, similar, t) for t in (-1, *distances))
        distances, similar = all_distances(part_of(found, "test"), found.distance)
        expected = balanced_accuracy(distances, similar, trial.threshold)
        assert trial.metrics["accuracy"] == pytest.approx(expected, abs=1e-12)


def test_other_metrics_agree_with_scikit_learn_and_loops(run, trained, part_of):
    for trial in run.trials:
        if trial.status != "ok":
            continue
        found = trained[trial.id]
        distances, similar = all_distances(part_of(found, "test"), found.distance)
        assert trial.metrics["auc"] == pytest.approx(roc_auc_score(similar, -distances), abs=1e-9)
        rows, labels = part_of(found, "test")
        unit = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        distances, similar = all_distances((unit, labels), "euclidean")
        ratio = distances[similar].mean() / distances[~similar].mean()
        assert trial.metrics["sim_diff_ratio"] == pytest.approx(ratio, rel=1e-6)


def test_the_best_checkpoint_is_that_of_the_highest_validation_auc(run, trained, part_of):
    for trial in run.trials:
        if not trial.curve:
            continue
        best = max(trial.curve, key=lambda point: point.validation)
        assert trial.best_step == best.step
        found = trained[trial.id]
        distances, similar = all_distances(part_of(found, "validation"), found.distance)
        assert best.validation == pytest.approx(roc_auc_score(similar, -distances), abs=1e-9)


def test_map_at_r_may_choose_checkpoints(run, file, plugins, home):
    chosen_by = ['evaluation.choose_by="map_at_r"']
    study = faceexp.load(file, overrides=chosen_by, only=["apart(strength=0.5)"])
    other = study.run(home / "chosen", store=home / "store")
    assert (run.results.chosen_by, other.results.chosen_by) == ("auc", "map_at_r")
    for trial in (trial for trial in other.trials if trial.curve):
        (kept,) = (point for point in trial.curve if point.step == trial.best_step)
        assert all(kept.validation >= point.validation for point in trial.curve)
        (twin,) = (each for each in run.trials if each.id == trial.id)
        # The same trainings, whose checkpoints are judged by something else.
        assert [point.loss for point in trial.curve] == [point.loss for point in twin.curve]
        assert [point.validation for point in trial.curve] != [point.validation for point in twin.curve]


def test_summaries_are_means_of_trials(run):
    for item in run.summary:
        values = [t.metrics.get(item.metric) for t in run.trials if t.label == item.label]
        values = [value for value in values if value is not None]
        assert item.n == len(values)
        assert item.mean == (pytest.approx(np.mean(values)) if values else None)
        assert (item.ci95 is None) == (len(values) < 2)


def test_intervals_are_widened_by_what_trials_share(run, study, home):
    """Nadeau and Bengio, with the images of this plan: 12 for test, 48 for training."""
    item = next(i for i in run.summary if (i.label, i.metric) == ("contrastive(margin=3)", "auc"))
    values = [t.metrics["auc"] for t in run.trials if t.label == item.label]
    half = 12.706204736 * np.std(values, ddof=1) * np.sqrt(1 / 2 + 12 / 48)
    assert (item.ci95[1] - item.ci95[0]) / 2 == pytest.approx(half, rel=1e-6)


# Watching, and again ----------------------------------------------------------------------------------------------------


def test_listeners_hear_of_every_trial(run, events):
    ended = [event for event in events if event.stage == "trial"]
    assert [(event.done, event.total) for event in ended] == [(k, 14) for k in range(1, 15)]
    assert [event.trial.id for event in ended] == [trial.id for trial in run.trials]
    assert {"images", "pretrain", "features", "finetune"} <= {event.stage for event in events}


def test_reuse_is_told(run):
    reused = {trial.id: trial.reused for trial in run.trials}
    assert reused["contrastive-margin-3-s0-f0"] == ("pretrain", "features")  # the baseline before it made them
    assert reused["phase-1-embedding-s0-f0"] == ()


ALONE = """\
import json, sys
sys.path.insert(0, {plugins!r})
import faceexp
from faceexp import pipeline
from faceexp.registry.installed import InstalledPlugin, Registry, discover

own = InstalledPlugin("loss", "apart", "faceexp-tests", "0.1", {module!r}, "Apart")
pipeline.discover = lambda: Registry((*discover().plugins, own))
run = faceexp.load({spec!r}, only=["apart(strength=0.5)"]).run({out!r}, store={store!r})
print(json.dumps([run.document["trials"], "tensorflow" in sys.modules]))
"""


@pytest.fixture
def elsewhere(file, plugins, tmp_path):
    """Run a part of the experiment in another process: gives its trials, and whether it imported TensorFlow."""
    text = tomllib.loads(file.read_text(encoding="utf-8"))
    text["losses"] = [loss for loss in text["losses"] if loss["plugin"] == "apart"]
    part = tmp_path / "part.toml"
    part.write_text(tomli_w.dumps(text), encoding="utf-8")

    def start(store):
        paths = {"plugins": str(plugins), "spec": str(part), "out": str(tmp_path / "runs"), "store": str(store)}
        code = ALONE.format(module=MODULE, **paths)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        trials, imported = json.loads(done.stdout)
        return {trial["id"]: trial for trial in trials}, imported

    return start


def test_another_process_finds_everything_in_the_store(run, elsewhere, home):
    trials, imported = elsewhere(home / "store")
    assert not imported
    assert len(trials) == 6
    for trial in run.document["trials"]:
        if trial["id"] not in trials:
            continue
        again = trials[trial["id"]]
        for key in TRIAL_KEYS - {"seconds", "reused"}:
            assert again[key] == trial[key]
        if trial["kind"] == "loss":
            assert again["reused"] == ["pretrain", "features", "finetune", "evaluate"]


def test_another_process_with_an_empty_store_finds_the_same_numbers(run, elsewhere, tmp_path):
    trials, imported = elsewhere(tmp_path / "empty")
    assert imported
    for trial in run.document["trials"]:
        if trial["id"] in trials:
            for key in TRIAL_KEYS - {"seconds", "reused"}:
                assert trials[trial["id"]][key] == trial[key], key


def test_the_same_process_with_the_store_emptied_finds_the_same_numbers(run, file, plugins, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    again = faceexp.load(file, only=["contrastive(margin=3)"]).run()
    assert again.folder.parent.resolve() == (tmp_path / "runs").resolve()
    assert (tmp_path / "store" / "finetune").is_dir()
    kept = {trial.id: trial for trial in run.trials}
    assert len(again.trials) == 6
    for trial in again.trials:
        assert trial.metrics == kept[trial.id].metrics
        assert trial.threshold == kept[trial.id].threshold
    assert {item.label for item in again.summary} == {"raw pixels", "phase-1 embedding", "contrastive(margin=3)"}


# What Python gives ------------------------------------------------------------------------------------------------------


def test_a_frame_has_a_row_a_trial(run):
    frame = run.to_frame()
    assert len(frame) == 14
    assert METRIC_NAMES - {"rank_1"} <= set(frame.columns)
    row = frame[frame["id"] == "contrastive-margin-3-s1-f0"].iloc[0]
    assert (row["label"], row["seed"], row["status"]) == ("contrastive(margin=3)", 1, "ok")
    trial = next(t for t in run.trials if t.id == row["id"])
    assert row["accuracy"] == trial.metrics["accuracy"]
    assert frame[frame["status"] != "ok"]["accuracy"].isna().all()


def test_comparisons_are_of_every_pair(run):
    pairs = {(item.a, item.b) for item in run.comparisons if item.metric == "accuracy"}
    # Of the two settings of apart, one is judged.
    assert len(pairs) == 15
    item = next(i for i in run.comparisons if i.metric == "auc" and i.b == "contrastive(margin=3)")
    means = {i.label: i.mean for i in run.summary if i.metric == "auc"}
    assert item.difference == pytest.approx(means[item.a] - means[item.b])


def test_a_run_is_read_again(run):
    for path in (run.folder, str(run.folder), run.folder / "results.json"):
        again = faceexp.open_run(path)
        assert again.folder == run.folder
        assert again.trials == run.trials
        assert again.to_frame().equals(run.to_frame())


def test_only_names_its_losses(file, plugins):
    study = faceexp.load(file, only=["apart(strength=2)"])
    assert [loss.entry.label for loss in study.resolved.losses] == ["apart(strength=2)"]
    with pytest.raises(InputError) as caught:
        faceexp.load(file, only=["apart(strength=3)", "contrastive(margin=3)", "nothing like it"])
    assert [str(problem) for problem in caught.value.problems] == [
        "--only: no row has the label 'apart(strength=3)'; did you mean 'apart(strength=2)' or 'apart(strength=0.5)'?",
        "--only: no row has the label 'nothing like it'; known: apart(strength=0.5), apart(strength=2), "
        "contrastive(margin=3), no_number, out of order",
    ]


def test_overrides_are_another_experiment(file, study, plugins):
    other = faceexp.load(file, overrides=["finetune.steps=20"])
    assert other.experiment.finetune.steps == 20
    assert other.spec_hash != study.spec_hash


# Runs that are none -----------------------------------------------------------------------------------------------------


def test_a_folder_of_runs_names_them(run):
    with pytest.raises(InputError, match=f"holds no results.json; it holds the runs .*{run.folder.name}"):
        faceexp.open_run(run.folder.parent)


def test_no_run(tmp_path):
    with pytest.raises(InputError, match="no such run; name the folder of a run; `faceexp runs` lists them"):
        faceexp.open_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as results: it is not JSON: Expecting"),
        ('{"schema": 2}', "is not results of schema 1; run the experiment again"),
        ("[]", "is not results of schema 1"),
    ],
)
def test_results_that_are_none(tmp_path, content, message):
    (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        faceexp.open_run(tmp_path)
    assert caught.value.problems[0].where == str(tmp_path / "results.json")


# Mistakes -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mistakes(tmp_path, face_folder, plugins):
    """``mistakes((old, new), ...)``: change the file, load it, plan it, and give every problem as text."""

    def load(*changes):
        text = SPEC.format(folder=face_folder)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "x.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            faceexp.load(path).plan(Store(tmp_path / "store"))
        return [str(problem).replace(str(tmp_path), "") for problem in caught.value.problems]

    return load


TRUNK, FIRST_LOSS = 'plugin = "thin_vgg"', 'plugin = "contrastive"'


def line_of(text):
    return SPEC.splitlines().index(text) + 1


def test_every_mistake_is_told_at_once(mistakes):
    found = mistakes(
        ("margin = 3.0", "margn = 3.0"),
        ("strength = [0.5, 2.0]", "strength = [0.5, -2.0]"),
        ('plugin = "thin_vgg"', 'plugin = "thin_vg"'),
        ("steps = 10", "steps = 0"),
        ('plugin = "no_number"', 'plugin = "no_number"\nstrength = 1.0'),
    )
    assert len(found) == 5
    assert found[0].startswith(f"/x.toml:{line_of(TRUNK)}: model.plugin: no model plugin 'thin_vg'")
    assert "finetune.steps: must be greater than or equal to 1, not 0" in found[1]
    assert f":{line_of('margin = 3.0')}: losses[0].margn: unknown option of loss 'contrastive' (" in found[2]
    assert "losses[1].grid.strength: must be greater than 0, not -2.0; option of loss 'apart' (" in found[3]
    assert found[4].endswith("losses[2].strength: unknown option of loss 'no_number' (faceexp-tests 0.1); it has none")


def test_an_unknown_option_in_a_grid_is_told_there(mistakes):
    (found,) = {*mistakes(("grid = { strength = [0.5, 2.0] }", "grid = { strenth = [0.5, 2.0] }"))}
    assert "losses[1].grid.strenth: unknown option of loss 'apart'" in found
    assert found.endswith("did you mean 'strength'?")


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ('metric = "map_at_R"', "there is no metric 'map_at_R'; did you mean 'map_at_r'?"),
        ('questions = ["helps"]\nmetric = "accuracy %"', "there is no metric 'accuracy %'; did you mean 'accuracy'?"),
        (
            'metric = "rank_1"',
            "is measured under closed_set alone, where the people who are tested are enrolled; name another metric",
        ),
        ('metric = "fold_accuracy"', "is measured under pairs_file alone, where a list has folds; name another metric"),
        (
            'metric = "tpir@fpir=0.1"',
            "is measured with `identification = true` in [evaluation]; add it, or name another metric",
        ),
        ('metric = "tar@far=1e-2"', "is written tar@far=0.01"),
        (
            'metric = "tar@far=0.0001"',
            "is measured where fars in [evaluation] has 0.0001; it has [0.01, 0.001]",
        ),
    ],
)
def test_a_metric_that_cannot_be_judged_is_one_problem_at_its_line(mistakes, verdict, message):
    line = line_of("[model]") + 1 + verdict.count("\n")
    assert mistakes(("[model]", f"[verdict]\n{verdict}\n[model]")) == [f"/x.toml:{line}: verdict.metric: {message}"]


@pytest.mark.parametrize(
    ("asked", "metric"),
    [("fars = [1e-4, 0.1]", "tar@far=0.0001"), ("identification = true", "cmc_rank_1"), ("", "tar@far=0.001")],
)
def test_a_metric_that_is_asked_for_can_be_judged(tmp_path, face_folder, asked, metric):
    path = tmp_path / "x.toml"
    tables = f'[evaluation]\n{asked}\n[verdict]\nmetric = "{metric}"\n[model]'
    path.write_text(SPEC.format(folder=face_folder).replace("[model]", tables), encoding="utf-8")
    assert faceexp.load(path).experiment.verdict.metric == metric


def test_rates_that_are_none_are_problems_of_the_file(mistakes):
    assert mistakes(("[model]", "[evaluation]\nfars = [1e-3, 0.0, 1.0]\nidentification = 1\n[model]")) == [
        f"/x.toml:{line_of('[model]') + 1}: evaluation.fars[1]: must be greater than 0, not 0.0",
        f"/x.toml:{line_of('[model]') + 1}: evaluation.fars[2]: must be less than 1, not 1.0",
        f"/x.toml:{line_of('[model]') + 2}: evaluation.identification: must be true or false, not 1",
    ]


def test_a_metric_that_is_no_text_is_one_problem_too(mistakes):
    (found,) = mistakes(("[model]", "[verdict]\nmetric = 3\n[model]"))
    assert found == f"/x.toml:{line_of('[model]') + 1}: verdict.metric: must be text in quotes, not 3"


def test_a_loss_that_its_sampler_cannot_serve(mistakes):
    (found,) = mistakes(("images_per_class = 2", "images_per_class = 1"))
    assert f":{line_of(FIRST_LOSS) - 1}: losses[0]: loss 'contrastive' needs 2 images" in found


def test_data_that_cannot_serve_the_protocol(mistakes):
    (found,) = mistakes(('kind = "open_set"', 'kind = "open_set"\ntest_fraction = 0.9'))
    assert f":{line_of('[protocol]')}: protocol: 12 people leave" in found


def test_data_that_are_not_there_say_where(mistakes, face_folder):
    (found,) = mistakes((str(face_folder), str(face_folder) + "s"))
    line = line_of("[dataset]") + 2
    assert found.startswith(f"/x.toml:{line}: dataset.path: no such folder: {face_folder}s")


def test_a_mistake_of_the_data_without_a_place_is_that_of_the_table(study, monkeypatch, home):
    def refuse(*_):
        raise InputError("nothing to be had")

    monkeypatch.setattr("faceexp.planning.prepare.prepare", refuse)
    with pytest.raises(InputError) as caught:
        study.plan(Store(home / "store"))
    assert str(caught.value) == f"{home / 'tiny.toml'}:{line_of('[dataset]')}: dataset: nothing to be had"


def test_the_hash_is_that_of_the_experiment_without_its_limits(study):
    """How long a trial may take changes no number, so it is the same run; so does a question that nobody has changed."""
    assert study.spec_hash == digest(study.experiment.model_dump(mode="json", exclude={"limits", "keep", "verdict"}))
    assert "index" not in json.dumps(study.experiment.model_dump(mode="json"))


def test_loading_and_planning_do_not_import_tensorflow(tmp_path, face_folder):
    path = tmp_path / "x.toml"
    text = SPEC.format(folder=face_folder)
    path.write_text(text[: text.index('[[losses]]\nplugin = "apart"')], encoding="utf-8")
    code = textwrap.dedent(f"""
        import sys, faceexp
        from faceexp.store import Store
        from pathlib import Path
        faceexp.load({str(path)!r}).plan(Store(Path({str(tmp_path / "store")!r})))
        sys.exit(bool({{"tensorflow", "keras", "sklearn", "pandas"}} & set(sys.modules)))
    """)
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
