"""What trackers hear of a run, and that one which raises, hangs, exits or prints costs a warning and nothing else."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import TypeAdapter

import faceexp
from faceexp import pipeline
from faceexp.contract import TrackedEnd, TrackedModel, TrackedPoint, TrackedRun, TrackedTrial
from faceexp.data.splits import Split
from faceexp.errors import InputError
from faceexp.experiment.loss_part import LossPart
from faceexp.registry.installed import InstalledPlugin, Registry, discover
from faceexp.results.events import TrialEnded
from faceexp.results.folder import RunFolder
from faceexp.results.schema import TrialRecord
from faceexp.running import recorder, tracked_faces
from faceexp.running import tracking as watched
from faceexp.running.tracked import ended, settings_of
from faceexp.running.tracked_faces import TrackedFaces, faces_of
from faceexp.running.tracking import Recorder, Told, tracking
from faceexp.values import Event, Noted, TrainedTrial, Trial, ignore

MODULE = "trackers_of_the_tracking_tests"
PLUGINS = r'''
"""Trackers of the tests, in a module as an installed one would be."""

import json
import os
import random
import shutil
import sys
import time
from typing import ClassVar

from pydantic import TypeAdapter

from faceexp.contract import FacesTold, Tracker, TrackerPlugin, option
from faceexp.errors import InputError, Problem


class Heard(Tracker):
    def __init__(self, path, run):
        self.path = path
        self.write(run)

    def write(self, value):
        data = TypeAdapter(type(value)).dump_python(value, mode="json")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([type(value).__name__, data]) + "\n")

    def trial_ended(self, trial):
        self.write(trial)

    def run_ended(self, end):
        self.write(end)

    def close(self):
        self.write("closed")


class Writes(TrackerPlugin):
    """Writes down what it hears."""

    file: str = option("heard.txt", "Name of the file, beside the folder of the run.")

    def open(self, run):
        return Heard(run.folder.parent / self.file, run)


class Faces(Writes):
    """Keeps copies of what it is told of test images."""

    faces_option: ClassVar[str | None] = "faces"
    faces: FacesTold = option("photos", "What it keeps.")

    def open(self, run):
        class Keeping(Heard):
            def trial_ended(self, trial):
                super().trial_ended(trial)
                if trial.faces:
                    copies = self.path.with_suffix("")
                    copies.mkdir(exist_ok=True)
                    shutil.copy(trial.faces, copies / f"{trial.id}.npz")

        return Keeping(run.folder.parent / self.file, run)


class Refuses(Writes):
    """Cannot be opened."""

    def open(self, run):
        raise InputError(Problem("no server answers", "https://example.org"))


class Raises(Writes):
    """Fails at each trial."""

    def open(self, run):
        class Raising(Heard):
            def trial_ended(self, trial):
                raise RuntimeError("no space\nleft for " + trial.id)

        return Raising(run.folder.parent / self.file, run)


class Exits(Writes):
    """Takes its process with it."""

    def open(self, run):
        os._exit(3)


class Hangs(Writes):
    """Never returns."""

    def open(self, run):
        time.sleep(3600)


class Floods(Writes):
    """Prints more than any pipe holds, to both streams, and changes what belongs to the process."""

    def open(self, run):
        random.seed(0)
        os.environ["TF_DETERMINISTIC_OPS"] = "0"
        for stream in (sys.stdout, sys.stderr):
            stream.write("spam " * 300_000)
        os.system("echo spam")
        return super().open(run)
'''
NAMES = ("Writes", "Faces", "Refuses", "Raises", "Exits", "Hangs", "Floods")
# Six images of 128 x 64 pixels, each of one shade: Ann is on the first two and the last, Zoë on the others.
FACES = {
    "images": np.repeat(np.arange(0, 60, 10, dtype=np.uint8), 128 * 64).reshape(6, 128, 64, 1),
    "labels": np.array([0, 0, 1, 1, 1, 0]),
    "identities": ("Ann", "Zoë"),
}
METRICS = {"auc": 0.75, "eer": None}
RECORD = TrialRecord(
    id="made-s0-f0",
    label="made",
    kind="loss",
    seed=0,
    fold=0,
    status="ok",
    metrics=METRICS,
    sets={"abroad": {"auc": 0.5}},
    curve=[{"step": 5, "loss": 1.5, "validation": 0.625}, {"step": 10, "loss": None, "validation": 0.75}],
    best_step=10,
)


@pytest.fixture(scope="module", autouse=True)
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trackers")
    (folder / f"{MODULE}.py").write_text(PLUGINS, encoding="utf-8")
    own = [InstalledPlugin("tracker", name.lower(), "faceexp-tests", "1.0", MODULE, name) for name in NAMES]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        registry = Registry((*discover().plugins, *own))
        patch.setattr(pipeline, "discover", lambda: registry)
        yield registry


@pytest.fixture
def tracked(registry, tiny, tmp_path):
    """Tell the trackers of these names of one trial, or of what is given; return what was forwarded."""

    def tell(*names, trials=(RECORD,), trained=None, **options):
        plugins = tuple(registry.configure("tracker", name, {"file": f"{name}.txt", **options}) for name in names)
        plan = SimpleNamespace(resolved=SimpleNamespace(experiment=tiny(), trackers=plugins), trials=(), **FACES)
        folder = RunFolder(tmp_path / "tiny-0123")
        events: list[Event] = []
        folder.root.mkdir(exist_ok=True)
        with tracking(plan, folder, events.append) as begun:
            for trial in trials:
                begun.on_event(TrialEnded("trial", 1, len(trials), trial=trial, trained=trained))
        return events

    return tell


def said(events):
    return [event.note.text for event in events if isinstance(event, Noted)]


def heard(path):
    told = {cls.__name__: cls for cls in (TrackedRun, TrackedTrial, TrackedEnd, str)}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [TypeAdapter(told[name]).validate_json(json.dumps(value)) for name, value in lines]


def test_a_tracker_hears_of_the_run_and_of_each_trial_and_is_closed(tracked, tiny, tmp_path):
    events = tracked("writes", trials=(RECORD, RECORD.model_copy(update={"id": "made-s1-f0", "seed": 1})))
    assert [type(event) for event in events] == [TrialEnded, TrialEnded], "what passes is passed on, and nothing else"
    run, first, second, closed = heard(tmp_path / "writes.txt")
    assert run == TrackedRun("tiny", tmp_path / "tiny-0123", tiny().model_dump(mode="json"), ())
    points = (TrackedPoint(5, 1.5, 0.625), TrackedPoint(10, None, 0.75))
    assert first == TrackedTrial(
        "made-s0-f0", "made", "loss", 0, 0, metrics={"auc": 0.75, "abroad/auc": 0.5}, curve=points, best_step=10
    )
    assert second == dataclasses.replace(first, id="made-s1-f0", seed=1)
    assert closed == "closed"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refuses", "https://example.org: no server answers"),
        ("raises", "RuntimeError: no space left for made-s0-f0"),
        ("exits", "its process has ended"),
    ],
)
def test_one_that_fails_is_told_of_once_and_others_hear_all(tracked, tmp_path, name, reason):
    events = tracked(name, "writes", trials=(RECORD,) * 3)
    assert said(events) == [f"tracker {name!r} does not record everything: {reason}"]
    assert len(events) == 4
    assert len(heard(tmp_path / "writes.txt")) == 5


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (1000, "it takes too long, so that the rest was not recorded"),
        # The run itself and one trial are waiting, the others are lost.
        (2, "it is too slow, so that some of it is not recorded"),
    ],
)
def test_one_that_hangs_is_given_up(tracked, monkeypatch, waiting, reason):
    monkeypatch.setattr(watched, "MOST_WAITING", waiting)
    monkeypatch.setattr(watched, "PATIENCE_SECONDS", 0.5)
    events = tracked("hangs", trials=(RECORD,) * 9)
    assert said(events) == [f"tracker 'hangs' does not record everything: {reason}"]


def test_an_interrupted_run_is_closed_and_not_ended(registry, tiny, tmp_path, monkeypatch):
    plugin = registry.configure("tracker", "writes", {})
    plan = SimpleNamespace(resolved=SimpleNamespace(experiment=tiny(), trackers=(plugin,)), trials=())
    (tmp_path / "tiny").mkdir()
    # Starting Python may take longer than whoever interrupts a run wants to wait.
    monkeypatch.setattr(watched, "PATIENCE_AFTER_FAILURE_SECONDS", 60.0)
    with (
        pytest.raises(KeyboardInterrupt),
        tracking(plan, RunFolder(tmp_path / "tiny"), ignore),
    ):
        raise KeyboardInterrupt
    run, closed = heard(tmp_path / "heard.txt")
    assert (run.name, closed) == ("tiny", "closed")


def test_what_it_raises_when_it_is_closed_is_no_reason(registry, tmp_path):
    """Without a process: messages are read, and each is answered."""

    def closing(self):
        raise RuntimeError("too late")

    plugin = registry.find("tracker", "writes")
    module = __import__(plugin.load().__module__)
    run = TrackedRun("made", tmp_path / "made")
    end = TrackedEnd(run.folder, run.folder / "report.html", "Nothing.")
    lines = [
        recorder.message("run", run, plugin=dataclasses.asdict(plugin), options={"file": 5}),
        recorder.message("run", run, plugin=dataclasses.asdict(plugin), options={}),
        recorder.message("end", end),
    ]
    answers: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Heard, "close", closing)
        recorder.serve(iter(lines[:1]), answers.append)
        assert answers.pop().startswith("ValidationError: 1 validation error for Writes file")
        recorder.serve(iter(lines[1:]), answers.append)
    assert answers == ["", ""]
    assert heard(tmp_path / "heard.txt") == [run, end]


# Test images


@pytest.fixture
def trained():
    """A trial whose test images are 5, 0, 3 and 2."""
    split = Split(seed=0, fold=0, train=np.arange(0), validation=np.arange(0), test=np.array([5, 0, 3, 2]))
    rng = np.random.default_rng(0)
    embeddings = {"test": rng.normal(size=(4, 3)).astype(np.float32)}
    return TrainedTrial(Trial("made-s0-f0", "made", "loss", 0, 0), split, "ok", embeddings=embeddings)


def test_who_asks_is_told_of_test_images_and_of_small_photos(tracked, trained, tmp_path):
    other = RECORD.model_copy(update={"id": "made-s1-f0"})
    assert said(tracked("faces", "writes", trials=(RECORD, other), trained=trained)) == []
    told, nothing = (heard(tmp_path / f"{name}.txt")[1:3] for name in ("faces", "writes"))
    assert [trial.faces for trial in nothing] == [None, None]
    assert all(trial.faces.suffix == ".npz" and not trial.faces.parent.exists() for trial in told)
    for trial in told:
        with np.load(tmp_path / "faces" / f"{trial.id}.npz", allow_pickle=False) as file:
            # Ann is on the images 0 and 5, Zoë on 2 and 3; of each, the order is that of the test part.
            assert file["identities"].tolist() == ["Ann", "Ann", "Zoë", "Zoë"]
            np.testing.assert_array_equal(file["embeddings"], trained.embeddings["test"][[0, 1, 2, 3]])
            assert file["photos"].shape == (4, 48, 24, 1)
            assert [int(photo.mean()) for photo in file["photos"]] == [50, 0, 30, 20]


def test_embeddings_come_without_photos(tracked, trained, tmp_path):
    tracked("faces", trained=trained, faces="embeddings")
    with np.load(tmp_path / "faces" / "made-s0-f0.npz", allow_pickle=False) as file:
        assert sorted(file.files) == ["embeddings", "identities"]


def test_nothing_is_made_of_test_images_where_nobody_asks(tracked, trained, monkeypatch):
    def refuse(*args):
        raise AssertionError("nobody has asked")

    monkeypatch.setattr(watched, "faces_of", refuse)
    assert said(tracked("faces", trained=trained, faces="none")) == said(tracked("writes", trained=trained)) == []


def test_test_images_that_cannot_be_written_cost_a_warning(tracked, trained, tmp_path, monkeypatch):
    def full(self, path, *, photos):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(TrackedFaces, "write", full)
    reason = "the embeddings of made-s0-f0 cannot be written for it: No space left on device"
    assert said(tracked("faces", trained=trained)) == [f"tracker 'faces' does not record everything: {reason}"]
    _, trial, _ = heard(tmp_path / "faces.txt")
    assert (trial.id, trial.faces) == ("made-s0-f0", None)


def test_no_more_embeddings_wait_than_fit_into_memory(tracked, trained, tmp_path, monkeypatch):
    # Four embeddings of three float32 are 48 bytes; the tracker starts far more slowly than two trials are told.
    monkeypatch.setattr(watched, "MOST_BYTES_WAITING", 48)
    reason = "it is too slow, so that embeddings of some trials are not recorded"
    events = tracked("faces", trials=(RECORD, RECORD.model_copy(update={"id": "made-s1-f0"})), trained=trained)
    assert said(events) == [f"tracker 'faces' does not record everything: {reason}"]
    assert [trial.faces is None for trial in heard(tmp_path / "faces.txt")[1:3]] == [False, True]


def test_room_that_was_used_is_there_again(registry, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "MOST_BYTES_WAITING", 48)
    faces = faces_of(trained, SimpleNamespace(**FACES))
    recorder_of_faces = Recorder(registry.configure("tracker", "faces", {}), TrackedRun("made", tmp_path / "made"))
    trial = TrackedTrial("made-s0-f0", "made", "loss", 0, 0)
    for _ in range(3):
        recorder_of_faces.hear(Told("trial", trial, faces))
        until = time.monotonic() + 60
        while recorder_of_faces._bytes_waiting and time.monotonic() < until:
            time.sleep(0.01)
    recorder_of_faces.stop()
    recorder_of_faces.finish(time.monotonic() + 60)
    assert list(recorder_of_faces.reasons) == []
    assert all(told.faces for told in heard(tmp_path / "heard.txt")[1:4])


@pytest.mark.parametrize(("limit", "most"), [("MOST_IMAGES", 3), ("MOST_NUMBERS", 11)])
def test_of_many_images_those_of_the_first_people_are_told(trained, monkeypatch, limit, most):
    monkeypatch.setattr(tracked_faces, limit, most)
    faces = faces_of(trained, SimpleNamespace(**FACES))
    assert faces.identities == ("Ann", "Ann", "Zoë")
    np.testing.assert_array_equal(faces.embeddings, trained.embeddings["test"][:3])
    failed = dataclasses.replace(trained, embeddings={})
    assert faces_of(failed, SimpleNamespace(**FACES)) is faces_of(None, SimpleNamespace(**FACES)) is None


def test_one_that_hangs_ends_when_whoever_has_started_it_was_killed(registry, tmp_path):
    told = recorder.message(
        "run",
        TrackedRun("made", tmp_path / "made"),
        plugin=dataclasses.asdict(registry.find("tracker", "hangs")),
        options={},
    )
    code = "from faceexp.running import recorder; recorder.SECONDS_AFTER_THE_LAST = 0.1; recorder.main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], input=told, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("", "")


# What is told of settings


def test_settings_have_flat_names(resolved):
    loss = resolved({"npairs": faceexp.plugin("loss", "npairs")}).losses[0]
    settings = settings_of(Trial("npairs-s0-f0", "npairs", "loss", 0, 0, loss=loss))
    options = {f"loss.{key}": value for key, value in loss.loss.plugin.model_dump(mode="json").items()}
    assert {"loss.plugin": "npairs", **options}.items() <= settings.items()
    assert settings["finetune.steps"] == 10
    assert settings["finetune.sampler.plugin"] == "balanced"
    assert settings["finetune.sampler.classes_per_batch"] == 4
    assert all(isinstance(value, str | bool | int | float) for value in settings.values())


def test_parts_of_a_sum_are_counted(resolved):
    loss = resolved({"npairs": faceexp.plugin("loss", "npairs")}).losses[0]
    parts = (LossPart(plugin="npairs", weight=2.0), LossPart(plugin="npairs"))
    entry = loss.entry.model_copy(update={"plugin": "", "combine": parts})
    both = SimpleNamespace(parts=(loss.loss, loss.loss))
    settings = settings_of(Trial("s", "sum", "loss", 0, 0, loss=dataclasses.replace(loss, entry=entry, loss=both)))
    assert settings["loss.plugin"] == "npairs + npairs"
    assert {key: settings[key] for key in ("loss.1.plugin", "loss.1.weight", "loss.2.weight")} == {
        "loss.1.plugin": "npairs",
        "loss.1.weight": 2.0,
        "loss.2.weight": 1.0,
    }


def test_a_baseline_has_no_settings_and_a_trial_without_model_none(tiny, tmp_path):
    assert settings_of(Trial("p", "raw pixels", "baseline", 0, 0)) == {}
    plan = SimpleNamespace(resolved=SimpleNamespace(experiment=tiny()))
    assert ended(TrialEnded("trial", 1, 1, trial=RECORD), plan, {}, RunFolder(tmp_path)).model is None


def test_a_model_whose_network_is_not_kept_is_none(tiny, tmp_path):
    folder, resolved = RunFolder(tmp_path), SimpleNamespace(experiment=tiny())
    model = folder.model(RECORD.id)
    model.root.mkdir(parents=True)
    description = {"label": "made", "distance": "cosine", "threshold": 0.5, "preprocess": {"size": [16, 12]}}
    model.record.write_text(json.dumps(description), encoding="utf-8")

    def told():
        return ended(TrialEnded("trial", 1, 1, trial=RECORD), SimpleNamespace(resolved=resolved), {}, folder).model

    assert told() is None
    model.network("keras").write_bytes(b"a network")
    assert told() == TrackedModel(model.root, (16, 12, 1), tiny().trunk.embedding_dim, model.network("keras"))
    model.record.write_text(json.dumps(description | {"trunk": {"name": "made"}}), encoding="utf-8")
    assert told().network is None, "a plugin opens the first half of it"
    model.record.write_text("{", encoding="utf-8")
    assert told() is None


# Whole runs


@pytest.fixture(scope="module")
def file(tmp_path_factory, face_folder, small_spec):
    path = tmp_path_factory.mktemp("spec") / "small.toml"
    path.write_text(small_spec("small", face_folder, "npairs").replace("[0, 1]", "[0]"), encoding="utf-8")
    return path


def measured(run):
    left_out = {"seconds", "reused"}
    return [{key: value for key, value in trial.to_jsonable().items() if key not in left_out} for trial in run.trials]


def one_of(folder, name):
    (path,) = folder.glob(f"*/{name}")
    return path


def keys(store):
    return sorted(path.relative_to(store).as_posix() for path in store.glob("*/*") if path.is_dir())


def test_numbers_and_keys_are_the_same_with_trackers_of_every_kind(file, face_folder, tmp_path, capfd):
    plain = faceexp.load(file)
    text = ", ".join(f'{{plugin="{name.lower()}", file="{name}.txt"}}' for name in NAMES)
    study = faceexp.load(file, overrides=[f"trackers=[{text}]"])
    assert study.spec_hash == plain.spec_hash
    events: list[Event] = []
    run = study.run(tmp_path / "runs", store=tmp_path / "with", on_event=events.append)
    streams = capfd.readouterr()
    assert "spam" not in streams.out + streams.err
    other = plain.run(tmp_path / "other", store=tmp_path / "without")
    assert run.folder.name == other.folder.name
    assert measured(run) == measured(other)
    assert keys(tmp_path / "with") == keys(tmp_path / "without") != []
    assert sorted(text.split(":")[0] for text in said(events) if text.startswith("tracker")) == [
        f"tracker {name!r} does not record everything" for name in ("exits", "hangs", "raises", "refuses")
    ]

    for name in ("Writes", "Faces", "Floods"):
        first, *trials, end, closed = heard(tmp_path / "runs" / f"{name}.txt")
        assert (first.name, first.folder, closed) == ("small", run.folder, "closed")
        assert [trial.id for trial in trials] == [record.id for record in run.trials]
        for trial, record in zip(trials, run.trials, strict=True):
            assert trial.metrics == {key: value for key, value in record.metrics.items() if value is not None}
            assert [(p.step, p.loss, p.validation) for p in trial.curve] == [
                (p.step, p.loss, p.validation) for p in record.curve
            ]
        trained = trials[-1]
        folder = run.folder / "models" / trained.id
        assert trained.model is None, "a better one of its row may take its place"
        assert end.models == {trained.id: TrackedModel(folder, (16, 16, 1), 8, folder / "model.keras")}
        assert len(np.load(one_of(tmp_path / "with" / "finetune", "test.npy"))[0]) == 8
        assert (trained.faces is not None) == (name == "Faces")
        assert (trained.settings["loss.plugin"], trained.settings["finetune.steps"]) == ("npairs", 10)
        assert end.report.is_file()
        assert end.finding

    told = {path.stem: dict(np.load(path, allow_pickle=False)) for path in (tmp_path / "runs" / "Faces").iterdir()}
    assert set(told) == {record.id for record in run.trials}
    stored = np.load(one_of(tmp_path / "with" / "finetune", "test.npy"))
    assert sorted(map(tuple, told[trained.id]["embeddings"])) == sorted(map(tuple, stored))
    people = {path.name for path in face_folder.iterdir()}
    assert all(set(faces["identities"]) <= people for faces in told.values())
    assert all(len(faces["photos"]) == len(faces["embeddings"]) for faces in told.values())

    # What is kept of the file names the trackers, and everything of it is found in the store without them.
    again = faceexp.load(run.folder / "spec.toml")
    assert len(again.experiment.trackers) == len(NAMES)
    assert again.spec_hash == plain.spec_hash
    without = faceexp.load(run.folder / "spec.toml", overrides=["trackers=[]"])
    assert all(trial.reused for trial in without.run(tmp_path / "third", store=tmp_path / "with").trials)


def test_options_of_trackers_are_checked_at_their_lines(file, tmp_path):
    path = tmp_path / "wrong.toml"
    text = file.read_text(encoding="utf-8")
    path.write_text(text + '[[trackers]]\nplugin = "writs"\n[[trackers]]\nplugin = "writes"\nfil = "x"\n[[trackers]]\n')
    line = len(text.splitlines())
    with pytest.raises(InputError) as caught:
        faceexp.load(path)
    assert [str(problem).removeprefix(str(path)) for problem in caught.value.problems] == [
        f":{line + 2}: trackers[0].plugin: no tracker plugin 'writs' is installed; did you mean 'writes'?",
        f":{line + 5}: trackers[1].fil: unknown option of tracker 'writes' (faceexp-tests 1.0); did you mean 'file'?",
        f':{line + 6}: trackers[2]: names no plugin; add plugin = "..." (tracker); `faceexp list-plugins` shows the names',
    ]


def test_the_command_line_names_trackers_instead_of_the_file(file, command):
    code, out, err = command("run", file, "--tracker", "nowhere", "--tracker", "writes")
    assert (code, out) == (2, "")
    assert "trackers[0].plugin: no tracker plugin 'nowhere' is installed" in err
    assert "trackers[1]" not in err
