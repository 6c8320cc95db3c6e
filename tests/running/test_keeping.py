"""Which models a run leaves in its folder and in the store, and what happens where one is asked for later."""

from __future__ import annotations

import json
import shutil

import pytest

import faceexp
from faceexp import pipeline
from faceexp.errors import InputError
from faceexp.results.events import TrialEnded
from faceexp.results.kept import kept
from faceexp.running.parts import Shard
from faceexp.serving.find import choose
from faceexp.store import Store
from faceexp.values import Event, Noted

FOLDS = 'kind = "open_set"\nfolds = 2'


@pytest.fixture(scope="module")
def load(tmp_path_factory, small_spec, face_folder):
    """``load("all", ...)``: an experiment of two losses on two seeds and two folds that keeps such models."""
    file = tmp_path_factory.mktemp("spec") / "keeping.toml"
    text = small_spec("keeping", face_folder, "npairs", "contrastive").replace('kind = "open_set"', FOLDS)
    file.write_text(text, encoding="utf-8")
    return lambda models=None, *overrides: faceexp.load(
        file, overrides=[*([f"keep.models={models}"] if models else []), *overrides]
    )


@pytest.fixture(scope="module")
def everything(load, tmp_path_factory):
    """A run that keeps all models, in a store of its own."""
    home = tmp_path_factory.mktemp("all")
    return load("all").run(home / "runs", store=home / "store")


def models(run):
    return {path.name for path in (run.folder / "models").glob("*")}


def networks(store):
    """Return the files of all networks in a store, as the system numbers them."""
    return {path.stat().st_ino for path in (store / "network").glob("*/model.keras")}


def linked(run):
    return {path.stat().st_ino for path in run.folder.glob("models/*/model.keras")}


def embeddings(run, face_folder):
    photos = sorted(face_folder.glob("p00/*.png"))
    return {name: faceexp.load_model(run.folder / "models" / name).embed(photos).tolist() for name in models(run)}


def trained_anew(run):
    return {trial.id for trial in run.trials if trial.kind == "loss" and "finetune" not in trial.reused}


def without_times(run):
    return [trial.model_copy(update={"seconds": {}, "reused": ()}) for trial in run.trials]


def test_the_best_of_each_row_is_kept_and_the_store_keeps_no_more(load, everything, face_folder, tmp_path):
    most = []

    def count(event):
        if isinstance(event, TrialEnded):
            most.append(len(networks(tmp_path / "store")))

    run = load().run(tmp_path / "runs", store=tmp_path / "store", on_event=count)
    assert models(run) == kept("best", run.trials)
    assert len(models(run)) == 2 < len(models(everything)) == 8
    assert networks(tmp_path / "store") == linked(run), "each is there once"
    assert max(most) == 2, "worse ones go while the run goes on"
    # The table changes neither a number nor the name of the folder.
    assert run.folder.name == everything.folder.name
    assert without_times(run) == without_times(everything)
    of_all = embeddings(everything, face_folder)
    assert embeddings(run, face_folder) == {name: of_all[name] for name in models(run)}
    # Which loss is taken does not depend on which of its models were kept.
    assert run.model_to_use() == everything.model_to_use()
    assert choose(f"{run.folder}:npairs")[1].startswith("of its 4 models, the run kept that of seed ")

    again = load().run(tmp_path / "runs", store=tmp_path / "store")
    assert (models(again), trained_anew(again)) == (models(run), set())


def test_what_was_not_kept_is_trained_again_when_it_is_asked_for(load, everything, face_folder, tmp_path):
    store = tmp_path / "store"
    heard: list[Event] = []
    run = load("none").run(tmp_path / "runs", store=store)
    assert (models(run), networks(store)) == (set(), set())
    for meant in (str(run.folder), f"{run.folder}:npairs", str(run.folder / "models" / "npairs-s0-f0")):
        with pytest.raises(InputError, match=r'the run kept no models, as keep.models = "none" asks; set it to "best"'):
            choose(meant)
    assert run.model_to_use() == ""

    study = load("best")
    outlook = study.outlook(Store(store), 1)
    assert (outlook.trials - outlook.finished, outlook.megabytes > 0) == (2, True)
    best = study.run(tmp_path / "runs", store=store, on_event=heard.append)
    assert models(best) == kept("best", everything.trials)
    notes = [event.note.text for event in heard if isinstance(event, Noted) and event.note.kind == "networks"]
    assert notes == ["keep.models asks for 2 networks that are not in the store; they are trained again"]
    (dropped, *_) = sorted(models(everything) - models(best))
    with pytest.raises(InputError, match=r'only the model of each row .* keep.models = "best" asks; set it to "all"'):
        choose(str(best.folder / "models" / dropped))
    # What somebody has put beside a model stays, and is no model.
    beside = best.folder / "models" / dropped / "own_threshold.json"
    beside.parent.mkdir()
    beside.touch()
    with pytest.raises(InputError, match=r'keep.models = "best" asks; set it to "all"'):
        choose(str(best.folder / "models" / dropped))
    assert choose(str(best.folder))[0].root.name in kept("best", everything.trials)
    shutil.rmtree(beside.parent)

    assert load("all").outlook(Store(store), 1).finished == len(everything.trials) - 6
    whole = load("all").run(tmp_path / "runs", store=store)
    assert embeddings(whole, face_folder) == embeddings(everything, face_folder)
    assert without_times(whole) == without_times(everything)
    assert load("all").outlook(Store(store), 1).finished == len(everything.trials)

    # The same run keeps less again: nothing is trained, and the disk is free.
    less = load("best").run(tmp_path / "runs", store=store)
    assert (models(less), trained_anew(less)) == (kept("best", everything.trials), set())
    assert networks(store) == linked(less)
    none = load("none").run(tmp_path / "runs", store=store)
    assert not (none.folder / "models").exists()
    assert networks(store) == set()


class StoppedError(BaseException):
    """Somebody ends the process."""


@pytest.mark.parametrize("after", [4, 9])
def test_an_interrupted_run_ends_with_the_same_models(load, everything, tmp_path, after):
    def stop(event):
        if isinstance(event, TrialEnded) and event.done == after:
            raise StoppedError

    place = (tmp_path / "runs", tmp_path / "store")
    with pytest.raises(StoppedError):
        load().run(place[0], store=place[1], on_event=stop)
    heard: list[Event] = []
    run = load().run(place[0], store=place[1], on_event=heard.append)
    assert models(run) == kept("best", everything.trials)
    assert not [event for event in heard if isinstance(event, Noted) and event.note.kind == "networks"]


def test_processes_keep_the_same_models(load, everything, tmp_path):
    run = load().run(tmp_path / "runs", store=tmp_path / "store", jobs=1)
    assert models(run) == kept("best", everything.trials)
    assert networks(tmp_path / "store") == linked(run)


def test_shares_keep_their_best_and_the_whole_the_best_of_these(load, everything, tmp_path):
    place = (tmp_path / "runs", tmp_path / "store")
    shares = [load().run(place[0], store=place[1], shard=Shard(number, 2)) for number in (1, 2)]
    for share in shares:
        assert models(share) == kept("best", share.trials)
    so_far = load().run(place[0], store=place[1], collect=True)
    assert models(so_far) == kept("best", everything.trials)
    assert networks(place[1]) == linked(shares[0]) | linked(shares[1]), "a look removes nothing from the store"
    joined, missing = pipeline.merge([share.folder for share in shares], tmp_path / "joined", store=place[1])
    assert (missing, models(joined)) == (0, kept("best", everything.trials))
    whole = load().run(tmp_path / "whole", store=place[1])
    assert (models(whole), trained_anew(whole)) == (models(joined), set())


def test_what_another_run_has_linked_stays_in_the_store(load, everything, tmp_path):
    """Otherwise the next look at that run would train it again, and to remove it would free nothing."""
    store = tmp_path / "store"
    run = load("all").run(tmp_path / "all", store=store)
    load("best").run(tmp_path / "best", store=store)
    assert networks(store) == linked(run)
    assert len(linked(run)) == 8


def test_a_wrong_value_is_named(load):
    with pytest.raises(InputError, match="keep.models: must be"):
        load("some")


def test_the_record_names_the_score_by_which_a_model_is_chosen(everything):
    for trial in everything.trials:
        file = everything.folder / "models" / trial.id / "calibration.json"
        score = json.loads(file.read_text(encoding="utf-8"))["validation_auc"] if trial.kind == "loss" else None
        assert trial.validation_auc == score
