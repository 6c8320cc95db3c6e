"""Which model a path means: runs, labels with colons, and what results.json says of the folders in ``models/``."""

from __future__ import annotations

import json

import pytest

from faceexp.errors import InputError
from faceexp.serving.find import choose, find


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Make a run: ``run("r", {"a": ("label", 0.9)}, {"a": "ok"})``: folder, models with scores, results."""
    monkeypatch.chdir(tmp_path)

    def make(name, models, trials=None):
        for trial_id, (label, score) in models.items():
            folder = tmp_path / name / "models" / trial_id
            folder.mkdir(parents=True)
            description = {"label": label, "validation_auc": score, "distance": "cosine", "threshold": 0.5}
            (folder / "calibration.json").write_text(json.dumps(description | {"preprocess": {}}))
        if trials is not None:
            records = [
                {
                    "id": trial_id,
                    "label": models[trial_id][0],
                    "kind": "loss",
                    "seed": seed,
                    "fold": 0,
                    "status": status,
                }
                for seed, (trial_id, status) in enumerate(trials.items())
            ]
            content = {"schema": 1, "name": "r", "trials": records, "summary": [], "comparisons": []}
            (tmp_path / name / "results.json").write_text(json.dumps(content))
        return tmp_path / name

    return make


@pytest.mark.parametrize("label", ["margin: 1", "a:b:c", ":", "contrastive"])
def test_a_label_may_hold_colons(run, label):
    run("r", {"x": (label, 0.9), "y": ("other", 0.95)})
    assert find(f"r:{label}").root.name == "x"


def test_a_run_may_hold_a_colon(run):
    run("r: second", {"x": ("a", 0.9)})
    assert find("r: second").root.name == find("r: second:a").root.name == "x"


def test_a_path_that_may_mean_two_models_says_so(run):
    run("r", {"x": ("a:b", 0.9)})
    run("r:a", {"y": ("b", 0.9)})
    with pytest.raises(InputError, match="may mean the loss 'a:b' of r or the loss 'b' of r:a; name the folder"):
        find("r:a:b")
    run("r:a:b", {"z": ("c", 0.9)})
    with pytest.raises(InputError, match="may mean the folder 'r:a:b' or the loss"):
        find("r:a:b")


def test_a_drive_of_windows_is_no_run(run):
    run("C", {"x": ("a", 0.9)})
    assert find("C:a").root.name == "x"
    with pytest.raises(InputError, match="no such folder"):
        find("C:\\runs\\some")


def test_a_name_that_no_folder_can_have_is_refused_in_one_line(run):
    for name in ("a\0b", "x" * 5000, "r:\0"):
        with pytest.raises(InputError, match="no such folder"):
            find(name)


def test_only_trials_that_ended_well_count(run):
    models = {"good": ("a", 0.7), "failed": ("a", 0.9), "stale": ("b", 0.99)}
    run("r", models, {"good": "ok", "failed": "diverged"})
    assert find("r").root.name == find("r:a").root.name == "good"
    with pytest.raises(InputError, match="has no loss 'b'"):
        find("r:b")


def test_an_interrupted_run_has_every_model(run):
    run("r", {"first": ("a", 0.7), "second": ("a", 0.9)})
    assert find("r").root.name == "second"


def test_a_run_with_damaged_results_is_not_believed(run):
    (run("r", {"x": ("a", 0.7)}) / "results.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as results"):
        find("r")


def test_a_link_out_of_the_run_is_no_model_of_it(run, tmp_path):
    run("elsewhere", {"y": ("b", 0.99)})
    folder = run("r", {"x": ("a", 0.7)})
    (folder / "models" / "y").symlink_to(tmp_path / "elsewhere" / "models" / "y")
    (folder / "models" / "loop").symlink_to(folder / "models" / "loop")
    assert find("r").root.name == "x"
    # The folder of all models may be a link, to a larger disk for example.
    (folder / "models").rename(tmp_path / "large")
    (folder / "models").symlink_to(tmp_path / "large")
    assert find("r").root.name == "x"


# Which of several losses and seeds


@pytest.fixture
def scored(run):
    """``scored({"label": {seed: score}})``: a run with a model of each loss and seed that is given."""

    def make(scores):
        models, trials = {}, {}
        for label, of_label in scores.items():
            for seed, score in of_label.items():
                models[f"{label}-{seed}"] = (label, score, seed)
                trials[f"{label}-{seed}"] = "ok"
        folder = run("r", {name: (label, score) for name, (label, score, _) in models.items()}, trials)
        for name, (_, _, seed) in models.items():
            path = folder / "models" / name / "calibration.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": seed, "fold": 0}))
        results = json.loads((folder / "results.json").read_text())
        for trial in results["trials"]:
            trial["seed"] = models[trial["id"]][2]
        (folder / "results.json").write_text(json.dumps(results))
        return folder

    return make


def test_losses_are_compared_on_the_seeds_that_all_of_them_have(scored):
    """The third seed has easy people: a loss that failed on the hard ones would win by its mean of all."""
    scored({"good": {0: 0.80, 1: 0.82, 2: 0.99}, "lucky": {2: 0.96}})
    assert find("r").root.name.startswith("good-")


def test_a_loss_of_which_the_easy_seeds_failed_may_still_be_the_best(scored):
    scored({"steady": {0: 0.99, 1: 0.90, 2: 0.91}, "better": {1: 0.95, 2: 0.96}})
    assert find("r").root.name.startswith("better-")


def test_without_a_common_seed_the_losses_with_the_most_models_are_compared(scored):
    scored({"a": {0: 0.7, 1: 0.8}, "b": {0: 0.75, 1: 0.85}, "once": {2: 0.99}})
    assert find("r").root.name.startswith("b-")


def test_the_seed_with_the_easiest_people_does_not_win(scored):
    """On seed 1 every loss has a higher score; of the chosen loss, the model of seed 0 is the one that stands out."""
    scored({"chosen": {0: 0.90, 1: 0.99}, "other": {0: 0.70, 1: 0.98}})
    assert find("r").root.name == find("r:chosen").root.name == "chosen-0"


def test_of_a_single_loss_the_first_seed_is_taken(scored):
    scored({"alone": {3: 0.7, 5: 0.99}})
    assert find("r").root.name == "alone-3"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (
            "r",
            "chosen was the best of 2 losses on validation (mean AUC 0.945), which may be luck; of its 2 models, that of "
            "seed 0 and fold 0 was the furthest above the other losses",
        ),
        ("r:chosen", "of its 2 models, that of seed 0 and fold 0 was the furthest above the other losses"),
        ("r/models/chosen-1", ""),
    ],
)
def test_why_it_is_this_model_is_said(scored, path, why):
    scored({"chosen": {0: 0.90, 1: 0.99}, "other": {0: 0.70, 1: 0.98}})
    assert choose(path)[1] == why


def test_a_tie_is_said_to_be_one_and_by_what_it_was_broken(scored):
    """With few people on validation, several losses often make no mistake there."""
    scored({"b": {0: 1.0, 1: 1.0}, "a": {0: 1.0, 1: 1.0}, "worse": {0: 0.9, 1: 0.9}})
    model, why = choose("r")
    assert model.root.name == "a-0"
    assert why == (
        "2 of 3 losses were equally good on validation (mean AUC 1.000); of these a is the first by name, and any other may "
        "be as good; of its 2 models, that of seed 0 and fold 0 is the first of 2 that were equally far above the other "
        "losses"
    )


def test_why_it_is_a_model_of_a_single_loss_is_said_too(scored):
    scored({"alone": {3: 0.7, 5: 0.99}})
    assert choose("r")[1] == "of its 2 models, that of seed 3 and fold 0 is the first"


def test_the_models_of_a_network_that_is_only_measured_are_one(run, tmp_path):
    """Which seed has the easiest people says nothing: the first one's thresholds are taken, and that is said."""
    run("r", {"x": ("net", 0.7), "y": ("net", 0.9), "z": ("net", 0.8)})
    for seed, name in enumerate("xyz"):
        record = tmp_path / "r" / "models" / name / "calibration.json"
        more = {"seed": seed, "fold": 0, "trunk": {"name": "onnx_file", "options": {"path": "net.onnx"}}}
        record.write_text(json.dumps(json.loads(record.read_text()) | more))
    model, why = choose("r")
    assert model.root.name == "x"
    assert why == (
        "its 3 models are one network, of which nothing was trained; the thresholds of seed 0 and fold 0 are taken, other "
        "trials have others"
    )
    run("two", {"a": ("net", 0.7), "b": ("other", 0.9)})
    for name in "ab":
        record = tmp_path / "two" / "models" / name / "calibration.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"trunk": more["trunk"]}))
    assert choose("two")[1] == "other was the best of 2 embeddings on validation (mean AUC 0.900), which may be luck"


def test_a_loss_is_chosen_by_all_of_its_trials_also_those_whose_model_is_not_kept(run, tmp_path):
    """Seed 1 has easy people: of a the model of that seed was kept, and of b that of the other one."""
    folder = run("r", {"a-1": ("a", 0.9), "b-0": ("b", 0.6)})
    scores = {"a-0": 0.5, "a-1": 0.9, "b-0": 0.6, "b-1": 0.95}
    of_model = {"a-1": {"seed": 1, "fold": 0}, "b-0": {"seed": 0, "fold": 0}}
    for name, cell in of_model.items():
        file = folder / "models" / name / "calibration.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | cell))
    trials = [
        {"id": name, "label": name[0], "kind": "loss", "seed": int(name[-1]), "fold": 0, "status": "ok"}
        | {"validation_auc": score}
        for name, score in scores.items()
    ]
    results = {"schema": 1, "name": "r", "trials": trials, "summary": [], "comparisons": []}
    (tmp_path / "r" / "results.json").write_text(json.dumps(results))
    model, why = choose("r")
    assert model.root.name == "b-0"
    assert "b was the best of 2 losses on validation (mean AUC 0.775)" in why
    assert why.endswith("of its 2 models, the run kept that of seed 0 and fold 0, the best on validation")
