"""The commands ``run`` and ``validate``: what they refuse, what they show on the way, and how they end."""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from faceexp import pipeline
from faceexp.cli import watching
from faceexp.engine import training
from faceexp.errors import InputError, Problem
from faceexp.registry.installed import InstalledPlugin
from faceexp.results.events import TrialEnded
from faceexp.results.schema import TrialRecord
from faceexp.run import open_run
from faceexp.values import Event, Note, Noted, Refused


@pytest.fixture
def no_training(monkeypatch):
    """Fail the test if TensorFlow is imported or training begins."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("training began"))


# What is shown on the way


def test_a_log_has_a_line_a_trial_even_where_colours_are_forced(monkeypatch, trial):
    monkeypatch.setenv("FORCE_COLOR", "1")
    written = io.StringIO()
    log = Console(file=written)
    assert log.is_terminal  # so Rich believes
    ended = TrialRecord.model_validate(trial("[bold] loss"))
    with watching.displaying(None, log, set()) as on_event:
        on_event(Event("finetune", 1, 10, "[bold] loss"))
        on_event(TrialEnded("trial", 1, 2, "[bold] loss", trial=ended))
    assert written.getvalue() == "[1/2] [bold] loss (seed 0, fold 0): ok, 0.0 s\n"


@pytest.mark.parametrize("screen", [False, True])
def test_what_is_noted_before_training_is_a_line_of_its_own(screen, monkeypatch, resolved):
    monkeypatch.setattr(watching, "is_screen", lambda console: screen)
    written = io.StringIO()
    with watching.displaying(
        SimpleNamespace(resolved=resolved({})), Console(file=written, width=80), set()
    ) as on_event:
        on_event(Noted("note", 1, 1, note=Note("few_trials", "1 trial of each [row] " + "so " * 40)))
    assert written.getvalue().startswith("1 trial of each [row] so so")


@pytest.mark.parametrize("tracebacks", [False, True])
def test_a_plugin_that_fails_its_first_call_is_told_at_once(tracebacks):
    written = io.StringIO()
    with watching.displaying(None, Console(file=written, width=80), set(), tracebacks=tracebacks) as on_event:
        on_event(Refused("refused", 1, 1, "mine", reason="loss 'mine' gives [None]", traceback="Traceback:\n  here"))
    told = ["not trained: loss 'mine' gives [None]"]
    assert written.getvalue().splitlines() == ([*told, "Traceback:", "  here"] if tracebacks else told)


@pytest.mark.parametrize("asked", [False, True])
def test_a_run_without_a_loss_that_can_be_called_ends_with_a_line(faceexp, spec, monkeypatch, asked):
    def refused(*arguments):
        error = InputError(Problem("loss 'contrastive' gives None; faceexp_loss_contrastive.py:3"))
        error.add_note("Traceback:\n  here\n")
        raise error

    monkeypatch.setattr(training, "train", refused)
    code, out, err = faceexp("run", spec(), *(["--traceback"] if asked else []))
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[-1] == "error: loss 'contrastive' gives None; faceexp_loss_contrastive.py:3"
    assert (lines[-3:-1] == ["Traceback:", "  here"]) is asked


# What a run would take


def test_a_dry_run_trains_nothing_and_makes_no_run(faceexp, spec, tmp_path, no_training):
    code, out, err = faceexp("run", spec(), "--dry-run", "--out", tmp_path / "runs")
    assert code == 0
    trials, time, *_ = (line.rstrip() for line in out.splitlines())
    assert trials == "trials  5; 5 rows in the table"
    assert time.startswith("time    about ")
    assert "source  a rule of thumb for small trunks on two cores" in out
    assert out.endswith("Nothing was trained.\n")
    assert "only 2 people are tested in all" in err  # what a run would note of the data
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_for_programs(faceexp, spec, no_training):
    code, out, _ = faceexp("run", spec(), "--dry-run", "--json")
    expected = json.loads(out)
    assert code == 0
    assert {key: expected[key] for key in ("trials", "finished", "rows", "basis")} == {
        "trials": 5,
        "finished": 0,
        "rows": 5,
        "basis": "rule of thumb",
    }
    assert expected["minutes"] > 0
    assert expected["megabytes"] > 0


def test_a_dry_run_finds_what_would_be_impossible(faceexp, spec, no_training):
    code, _, err = faceexp("run", spec(("classes_per_batch = 4", "classes_per_batch = 40")), "--dry-run")
    assert code == 2
    assert "wants 40 people with 2 images or more in each batch" in err


# Validation


def test_a_valid_experiment(faceexp, spec):
    outline = "example: 5 trials (1 loss and 4 baselines x 1 seed x 1 fold) on image_folder, open set, trunk thin_vgg"
    assert faceexp("validate", spec()) == (0, f"valid  {outline}; the data were not looked at\n", "")
    _, out, _ = faceexp("validate", spec(), "--json")
    assert json.loads(out) == {"valid": True, "problems": [], "remarks": [], "outline": outline}


def test_what_the_author_of_a_plugin_should_know_is_a_line_each(faceexp, spec, monkeypatch):
    remark = "has an attribute 'need' that nobody reads; did you mean 'needs'?"
    monkeypatch.setattr(InstalledPlugin, "remarks", property(lambda it: (remark,) if it.kind == "loss" else ()))
    code, _, err = faceexp("validate", spec())
    assert (code, err) == (0, f"loss 'contrastive' (faceexp-loss-contrastive 0.1.0) {remark}\n")
    assert json.loads(faceexp("validate", spec(), "--json")[1])["remarks"] == [err.strip()]


def test_mistakes_are_listed_one_a_line(faceexp, spec):
    path = spec(
        ("size = [16, 16]", 'colour = "gray"'),
        ("widths = [4]", "widths = 4"),
        ('plugin = "contrastive"', 'plugin = "contrastiv"'),
    )
    code, out, err = faceexp("validate", path)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: {path}:6: preprocess.colour: unknown key; did you mean 'color'?",
        (
            f"error: {path}:11: model.widths: must be a list, not 4; option of model 'thin_vgg' "
            "(faceexp-model-thin-vgg 0.1.0)"
        ),
        f"error: {path}:24: losses[0].plugin: no loss plugin 'contrastiv' is installed; did you mean 'contrastive'?",
    ]
    code, out, _ = faceexp("validate", path, "--json")
    assert code == 2
    assert json.loads(out) == {
        "valid": False,
        "problems": [line.removeprefix("error: ") for line in err.splitlines()],
    }


def test_overrides_are_validated_too(faceexp, spec):
    code, _, err = faceexp("validate", spec(), "--set", "finetune.stepz=3", "--set", "losses[0].margin=2.0")
    assert code == 2
    assert err == "error: --set finetune.stepz=3: finetune.stepz: unknown key; did you mean 'steps'?\n"


# Wrong input to a run: one line, with place and hint, before anything trains


@pytest.mark.usefixtures("no_training")
class TestRefused:
    @pytest.fixture
    def refused(self, faceexp, tmp_path):
        """Run an experiment that cannot work; return the one line about it."""

        def run(path, *arguments):
            code, out, err = faceexp("run", path, "--out", tmp_path / "out", "--store", tmp_path / "store", *arguments)
            assert (code, out) == (2, "")
            assert "Traceback" not in err
            (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
            assert err.endswith(f"{line}\n")
            assert not (tmp_path / "out" / "results.json").exists()
            return line.removeprefix("error: ")

        return run

    @pytest.mark.parametrize(
        ("old", "new", "line", "message"),
        [
            (
                'plugin = "thin_vgg"',
                'plugin = "thin_vg"',
                10,
                "model.plugin: no model plugin 'thin_vg' is installed; did you mean 'thin_vgg'?",
            ),
            (
                "margin = 1.0",
                "margn = 1.0",
                25,
                (
                    "losses[0].margn: unknown option of loss 'contrastive' (faceexp-loss-contrastive 0.1.0); "
                    "did you mean 'margin'?"
                ),
            ),
            (
                "margin = 1.0",
                'margin = "wide"',
                25,
                (
                    "losses[0].margin: must be a number, not 'wide'; option of loss 'contrastive' "
                    "(faceexp-loss-contrastive 0.1.0)"
                ),
            ),
            (
                "margin = 1.0",
                "margin = -1.0",
                25,
                (
                    "losses[0].margin: must be greater than 0, not -1.0; option of loss 'contrastive' "
                    "(faceexp-loss-contrastive 0.1.0)"
                ),
            ),
            (
                "steps = 4",
                "stepz = 4",
                18,
                "finetune.stepz: unknown key; did you mean 'steps'?",
            ),
            ("epochs = 1", "epochs = one", 15, "is not valid TOML: Invalid value; text must stand in quotes"),
        ],
    )
    def test_a_mistake_in_the_file(self, refused, spec, old, new, line, message):
        path = spec((old, new))
        assert refused(path) == f"{path}:{line}: {message}"

    def test_a_missing_table(self, refused, spec):
        path = spec(('[protocol]\nkind = "open_set"\n', ""))
        assert refused(path) == f"{path}: protocol: is missing; add [protocol]"

    def test_a_missing_file(self, refused, tmp_path):
        path = tmp_path / "missing.toml"
        assert refused(path) == f"{path}: no such file; an experiment is a TOML file"

    def test_a_loss_that_its_sampler_cannot_serve(self, refused, spec):
        path = spec(
            (
                'plugin = "balanced"\nclasses_per_batch = 4\nimages_per_class = 2\n',
                'plugin = "random"\nbatch_size = 8\n',
            )
        )
        line = refused(path)
        assert line.startswith(f"{path}:22: losses[0]: loss 'contrastive' needs 2 identities in every batch")
        assert line.endswith("choose another sampler or other options for it")

    def test_a_label_that_does_not_exist(self, refused, spec):
        hint = "did you mean 'contrastive(margin=1)'?"
        assert refused(spec(), "--only", "contrastive") == f"--only: no row has the label 'contrastive'; {hint}"

    def test_a_missing_folder(self, refused, spec, folder):
        path = spec(("FOLDER", f"{folder}s"))
        assert refused(path) == f"{path}:4: dataset.path: no such folder: {folder}s; did you mean 'faces'?"

    def test_an_empty_folder(self, refused, spec, folder):
        shutil.rmtree(folder)
        folder.mkdir()
        hint = "make one folder of images per person"
        assert refused(spec()) == f"{folder}: no identity folders in it; {hint}"

    def test_a_person_with_one_image_where_two_are_needed(self, refused, spec, folder):
        for number in range(1, 6):
            (folder / "p03" / f"{number}.png").unlink()
        path = spec()
        assert refused(path) == (
            f"{path}:7: protocol: 'p03' has 1 image, open_set needs 2 of each person; add images or set "
            "min_images = 2 to leave such people out"
        )

    def test_an_image_that_is_none(self, refused, spec, folder):
        (folder / "p03" / "notes.jpg").write_text("Remember to replace this by the photo.")
        line = refused(spec())
        assert line.startswith(f"{folder / 'p03' / 'notes.jpg'}: cannot be decoded (cannot identify image file")
        assert line.endswith('replace or remove it, or set on_unreadable = "skip" in [preprocess]')

    def test_a_batch_of_more_people_than_there_are(self, refused, spec):
        path = spec(("classes_per_batch = 4", "classes_per_batch = 40"))
        line = refused(path)
        assert line.startswith(f"{path}:19: finetune.sampler: sampler 'balanced' wants 40 people with 2 images or more")
        assert line.endswith("ask for fewer, or for fewer images of each")

    def test_a_batch_of_more_images_than_there_are(self, refused, spec):
        path = spec(("batch_size = 8", "batch_size = 1000"))
        line = refused(path)
        assert line.startswith(f"{path}:16: pretrain.batch_size: 1000 is more than the ")
        assert " images of the smallest training part; use " in line

    def test_places_that_cannot_be_written(self, faceexp, spec, tmp_path):
        file = tmp_path / "file"
        file.write_text("not a folder")
        code, out, err = faceexp("run", spec(), "--out", file, "--store", file / "store")
        assert (code, out) == (2, "")
        assert err.splitlines() == [
            f"error: --out {file}: nothing can be written there: File exists; name a folder of yours",
            f"error: --store {file / 'store'}: nothing can be written there: Not a directory; name a folder of yours",
        ]

    def test_a_store_of_the_user_that_cannot_be_written(self, faceexp, spec, tmp_path, monkeypatch):
        """Nobody has named it, but it is used; so it is looked at, too, before any image is decoded."""
        (tmp_path / "cache").write_text("not a folder")
        monkeypatch.delenv("FACEEXP_STORE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        code, out, err = faceexp("run", spec(), "--out", tmp_path / "runs")
        assert (code, out) == (2, "")
        assert err == (
            f"error: {tmp_path / 'cache' / 'faceexp' / 'store'}: nothing can be written there: Not a directory; "
            "name a store with --store or FACEEXP_STORE\n"
        )

    def test_a_full_disk(self, faceexp, spec, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: io.FileIO("/dev/full", "w"))
        code, out, err = faceexp("run", spec(), "--out", tmp_path / "runs", "--store", tmp_path / "store")
        assert (code, out) == (2, "")
        assert err.splitlines()[0] == (
            f"error: --out {tmp_path / 'runs'}: nothing can be written there: No space left on device; "
            "name a folder of yours"
        )


# Runs: what is shown on the way, and how they end; the training itself is tested elsewhere


@pytest.fixture
def running(faceexp, spec, finished, tmp_path, monkeypatch):
    """Run an experiment whose training is replaced: ``running(act, trials)``."""

    def run(act, trials, *arguments):
        ended = open_run(finished(trials, []))

        def study_run(study, out, *, store, on_event, jobs):
            act(on_event)
            return ended

        monkeypatch.setattr(pipeline.Study, "run", study_run)
        return faceexp("run", spec(), "--out", tmp_path / "out", "--store", tmp_path / "store", *arguments)

    return run


def greet(on_event):
    """Write to standard error as TensorFlow does, past Python."""
    os.write(2, b"could not find cuda drivers\n")


def test_a_run_that_ends_well(running, trial, row):
    def act(on_event):
        greet(on_event)
        more = {"metrics": {"accuracy": 0.9, "auc": 0.95}, "seconds": {"finetune": 2.0}}
        ended = TrialRecord.model_validate(trial("pull") | more)
        on_event(Event("finetune", 1, 4, "pull", value=0.5))
        on_event(TrialEnded("trial", 1, 1, "pull", trial=ended))

    code, out, err = running(act, [trial("pull")])
    assert code == 0
    assert row(out, "pull").startswith("pull 1/1")
    outline, ended, place, notes = err.splitlines()
    assert (
        outline
        == "example: 5 trials (1 loss and 4 baselines x 1 seed x 1 fold) on image_folder, open set, trunk thin_vgg"
    )
    assert ended == "[1/1] pull (seed 0, fold 0): accuracy 0.900, AUC 0.950, 2.0 s"
    folder = place.removeprefix("results in ")
    assert folder.endswith("made-12345678")
    assert notes == f"data, sources and method: faceexp report {folder} --notes"


def test_a_run_as_json_is_one_document_on_standard_output(running, trial):
    code, out, err = running(greet, [trial("pull")], "--json")
    assert code == 0
    assert json.loads(out)["trials"] == [trial("pull")]
    assert "results in" in err


def test_a_run_with_a_failed_trial_ends_with_code_1(running, trial):
    code, out, _ = running(greet, [trial("pull"), trial("push", status="failed", reason="ValueError: no")])
    assert code == 1
    assert "x push (seed 0, fold 0) failed: ValueError: no" in out


def test_a_mistake_of_a_plugin_is_told_once(running, trial):
    fault = "loss 'push' gives None, not a tensor; faceexp_loss_push.py:7"
    lost = [trial("push", seed=seed, status="failed", reason=fault) for seed in (0, 1)]

    def act(on_event):
        on_event(Refused("refused", 1, 1, "push", reason=fault, traceback=""))
        for number, each in enumerate(lost, 1):
            record = TrialRecord.model_validate(each)
            on_event(TrialEnded("trial", number, 2, "push", trial=record))

    code, out, err = running(act, lost)
    assert code == 1
    assert (out + err).count(fault) == 1
    assert "x push was not trained: its first call failed, as was said when the run began" in out


def test_garbage_is_looked_for_as_usual_once_tensorflow_is_there_and_afterwards(running, trial):
    usual, seen = gc.get_threshold(), []

    def act(on_event):
        for done in (0, 1):
            seen.append(gc.get_threshold())
            on_event(Event("backend", done, 1))
        seen.append(gc.get_threshold())

    code, _, _ = running(act, [trial("pull")])
    gc.unfreeze()
    assert code == 0
    assert seen[0] == seen[1]
    assert seen[0][0] > usual[0]
    assert seen[2] == gc.get_threshold() == usual


def test_an_interrupted_run_says_how_to_go_on(running, trial):
    def act(on_event):
        raise KeyboardInterrupt

    code, out, err = running(act, [trial("pull")])
    assert (code, out) == (130, "")
    assert err.endswith("interrupted; finished trials are kept, the same command goes on from there\n")


def test_data_that_turn_out_wrong_end_the_run_with_code_2(running, trial):
    def act(on_event):
        greet(on_event)
        raise InputError([Problem("is empty; add images", "faces/a"), Problem("is empty; add images", "faces/b")])

    code, out, err = running(act, [trial("pull")])
    assert (code, out) == (2, "")
    assert err.splitlines()[1:] == [f"error: faces/{name}: is empty; add images" for name in "ab"]


def test_an_error_of_ours_is_not_hidden_nor_what_libraries_said_before(running, capfd, trial):
    def act(on_event):
        greet(on_event)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        running(act, [trial("pull")])
    assert "could not find cuda drivers" in capfd.readouterr().err


def test_an_optimizer_that_keras_refuses_ends_a_run_before_anything_trains(command, small_spec, face_folder, tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(small_spec("small", face_folder, "npairs"))
    given = ("--set", "finetune.optimizer={ name = 'sgd', momentum = 2 }")
    assert command("validate", spec, *given)[0] == 0  # only Keras knows which numbers it takes
    code, out, err = command("run", spec, "--out", tmp_path / "runs", "--store", tmp_path / "store", *given)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "error: optimizer 'sgd' (momentum = 2.0): `momentum` must be a float between [0, 1]."
    )
    assert not (tmp_path / "store" / "pretrain").exists()
