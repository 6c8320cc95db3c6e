"""Runs in parts, on machines of their own, and what comes of joining them."""

from __future__ import annotations

import json
import os
import shutil

import pytest

import faceexp
from faceexp import pipeline
from faceexp.errors import InputError
from faceexp.running.parts import Shard
from faceexp.values import Event, Noted

FOLDS = 'kind = "open_set"\nfolds = 2'


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def load(home, small_spec, face_folder):
    """``load(name="parts", losses=(...), old=new)``: a small experiment of two seeds and two folds, changed."""

    def loaded(*losses, overrides=()):
        file = home / "parts.toml"
        text = small_spec("parts", face_folder, *(losses or ("npairs", "contrastive")))
        file.write_text(text.replace('kind = "open_set"', FOLDS), encoding="utf-8")
        return faceexp.load(file, overrides=overrides)

    return loaded


@pytest.fixture(scope="module")
def whole(load, home):
    return load().run(home / "whole", store=home / "store")


@pytest.fixture(scope="module")
def shares(load, home, whole):
    """The folders of three shares; each machine has a store of its own, which has no trial of another one."""
    study, parts = load(), home / "parts"
    return [study.run(parts, store=home / f"store {number}", shard=Shard(number, 3)).folder for number in (1, 2, 3)]


def numbers(run):
    """What a run says, but for the time that it took."""
    document = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))
    for trial in document["trials"]:
        trial.pop("seconds")
        trial.pop("reused")
    document.pop("seconds")
    document["verdict"].pop("needed")
    return document


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_shares_that_are_joined_are_the_whole_run(whole, shares, home):
    assert [folder.name.removeprefix(whole.folder.name) for folder in shares] == [
        f"-shard-{number}-of-3" for number in (1, 2, 3)
    ]
    joined, missing = pipeline.merge(shares[::-1], home / "joined", store=home / "store")
    assert missing == 0
    assert joined.folder.name == whole.folder.name
    assert numbers(joined) == numbers(whole)
    assert files(joined.folder) == files(whole.folder)
    for trial in whole.trials:
        path = f"trials/{trial.id}.json"
        one, other = (json.loads((run.folder / path).read_text(encoding="utf-8")) for run in (whole, joined))
        assert one["evidence"] == other["evidence"]
    assert faceexp.load_model(joined.folder).label == faceexp.load_model(whole.folder).label


def test_trackers_of_the_first_share_hear_of_the_whole(whole, shares, home):
    first = shutil.copytree(shares[0], home / "tracked" / shares[0].name)
    with (first / "spec.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[trackers]]\nplugin = "tensorboard"\n')
    notes: list[Event] = []
    joined, _ = pipeline.merge([first, *shares[1:]], home / "told", store=home / "store", on_event=notes.append)
    assert not [event for event in notes if isinstance(event, Noted) and event.note.kind == "tracker"]
    assert {path.name for path in (joined.folder / "tensorboard").iterdir() if path.is_dir()} == {
        trial.id for trial in whole.trials
    }
    assert [path for path in (joined.folder / "tensorboard").iterdir() if path.is_file()], "the end was told, too"


def test_a_share_that_is_missing_is_counted(whole, shares, home):
    joined, missing = pipeline.merge(shares[:2], home / "two", store=home / "store")
    assert missing == len(whole.trials) - len(joined.trials) > 0


def test_seeds_and_losses_are_joined(load, home, whole):
    store = home / "store"  # all of it is there
    one = load("npairs", overrides=["seeds=[0]"]).run(home / "a", store=store)
    two = load("contrastive", overrides=["seeds=[0]"]).run(home / "b", store=store)
    rest = load(overrides=["seeds=[1]"]).run(home / "c", store=store)
    joined, missing = pipeline.merge([one.folder, two.folder, rest.folder], home / "d", store=store)
    assert missing == 0
    assert {trial.id: trial.metrics for trial in joined.trials} == {trial.id: trial.metrics for trial in whole.trials}
    assert joined.folder.name == whole.folder.name


def refused(*folders, home):
    with pytest.raises(InputError) as caught:
        pipeline.merge(folders, home / "refused", store=home / "store")
    assert not (home / "refused").exists(), "nothing is written"
    return [str(problem) for problem in caught.value.problems]


def test_another_experiment_is_refused_with_what_differs(load, home, whole, shares):
    other = load(overrides=["finetune.steps=20", "protocol.test_fraction=0.5"]).run(home / "e", store=home / "store")
    reasons = refused(whole.folder, other.folder, home=home)
    assert f"{other.folder}: protocol.test_fraction is 0.5, and 0.2 in {whole.folder}" in reasons
    assert any("row 'npairs' has other settings than in" in reason for reason in reasons)


def changed(folder, home, name, change):
    copy = home / name
    shutil.copytree(folder, copy)
    file = copy / "results.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    return copy


def test_other_splits_code_and_outcomes_are_refused(whole, shares, home):
    def cut(document):
        document["parts"][1]["key"] = "0" * 64

    def code(document):
        next(plugin for plugin in document["plugins"] if plugin["name"] == "npairs")["digest"] = "0" * 64

    def outcome(document):
        document["trials"][0]["metrics"]["auc"] += 0.01

    first = shares[0]
    copy = changed(first, home, "cut", cut)
    (reason,) = refused(whole.folder, copy, home=home)
    assert reason == f"{copy}: its data, or how they are cut for seed 0, fold 1, are not those that are here"
    copy = changed(first, home, "code", code)
    assert refused(whole.folder, copy, home=home) == [
        f"{copy}: the code of loss 'npairs' is not that of {whole.folder}"
    ]
    copy = changed(first, home, "outcome", outcome)
    (reason,) = refused(whole.folder, copy, home=home)
    assert reason.endswith(f"came out otherwise than in {whole.folder}")


def test_what_a_test_set_shares_is_listed_and_other_photos_of_it_are_refused(home, small_spec, face_folder):
    """Its rows would be means over trials that were measured on different people."""
    spec = home / "sets.toml"
    other = f"""
[[test_sets]]
name = "other"
overlap = "warn"
[test_sets.dataset]
plugin = "image_folder"
path = {str(face_folder)!r}
"""
    spec.write_text(small_spec("sets", face_folder, "npairs") + other, encoding="utf-8")
    run = faceexp.load(spec, overrides=["seeds=[0]"]).run(home / "sets", store=home / "store")

    def photos(document):
        document["test_sets"][0]["key"] = "0" * 64

    assert (run.folder / "overlap.csv").is_file()
    joined, _ = pipeline.merge([run.folder, run.folder], home / "same photos", store=home / "store")
    assert files(joined.folder) == files(run.folder)
    copy = changed(run.folder, home, "other photos", photos)
    assert refused(run.folder, copy, home=home) == [
        f"{copy}: the data of its test set 'other' are not those that are here"
    ]


def test_code_that_is_not_here_is_refused(whole, shares, home):
    """The whole run names the code of its plugins, which is that of the machine that merges."""

    def code(document):
        next(plugin for plugin in document["plugins"] if plugin["name"] == "npairs")["digest"] = "1" * 64

    copies = [changed(folder, home, f"old code {number}", code) for number, folder in enumerate(shares)]
    reasons = refused(*copies, home=home)
    assert reasons == [f"{copy}: the code of loss 'npairs' is not that which is installed here" for copy in copies]


def test_a_run_that_has_added_seeds_is_no_part(load, home, shares):
    decided = home / "decided"
    shutil.copytree(shares[0], decided)
    spec = (decided / "spec.toml").read_text(encoding="utf-8")
    assert 'until = "seeds"' in spec
    (decided / "spec.toml").write_text(spec.replace('until = "seeds"', 'until = "decided"'), encoding="utf-8")
    (reason,) = refused(decided, shares[1], home=home)
    assert reason.startswith(f'{decided}: verdict.until = "decided" has added seeds')


def test_trials_that_no_part_has_are_not_overwritten(whole, shares, home):
    """The folder of two shares would be that of the whole run, which has more."""
    out = home / "complete"
    shutil.copytree(whole.folder, out / whole.folder.name)
    before = files(out)
    lost = sum(trial.cell == (1, 0) for trial in whole.trials)
    with pytest.raises(InputError, match=rf"holds {lost} trials that none of these runs has"):
        pipeline.merge(shares[:2], out, store=home / "store")
    assert files(out) == before
    joined, missing = pipeline.merge([*shares[:2], out / whole.folder.name], out, store=home / "store")
    assert missing == 0
    assert files(out) == before
    assert numbers(joined) == numbers(whole)


def test_a_model_comes_from_a_part_that_has_it(whole, shares, home):
    """Somebody may have copied the results of a machine without the networks."""
    bare = home / "bare"
    shutil.copytree(whole.folder, bare, ignore=shutil.ignore_patterns("models"))
    joined, _ = pipeline.merge([bare, shares[0]], home / "some models", store=home / "store")
    best, there, models = (
        {folder.name for folder in (run / "models").iterdir()} for run in (whole.folder, shares[0], joined.folder)
    )
    assert models == best & there
    assert numbers(joined)["trials"] == numbers(whole)["trials"]


def test_a_picture_that_is_no_file_is_left(shares, home):
    strange = home / "strange"
    shutil.copytree(shares[0], strange)
    os.mkfifo(strange / "pictures" / "99999.png")  # whoever opens it waits for ever
    joined, _ = pipeline.merge([strange, shares[1]], home / "no pipe", store=home / "store")
    assert not (joined.folder / "pictures" / "99999.png").exists()


def test_what_is_finished_is_collected_while_others_work(load, home, whole, shares):
    store = home / "store 2"  # of the second machine
    so_far = load().run(home / "so far", store=store, collect=True)
    assert so_far.folder.name == f"{whole.folder.name}-so-far"
    trained = [trial.id for trial in so_far.trials if trial.kind == "loss"]
    assert trained == [trial.id for trial in whole.trials if trial.kind == "loss" and trial.cell == (0, 1)]
    everything = load().run(home / "so far", store=home / "store", collect=True)
    assert numbers(everything) == numbers(whole)
