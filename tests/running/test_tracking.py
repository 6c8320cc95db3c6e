"""What trackers hear of a run, and that one which raises, hangs, exits or prints costs a warning and nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

import faceexp
from faceexp import pipeline
from faceexp.contract import TrackedEnd, TrackedPoint, TrackedRun, TrackedTrial
from faceexp.errors import InputError
from faceexp.experiment.loss_part import LossPart
from faceexp.registry.installed import InstalledPlugin, Registry, discover
from faceexp.results.events import TrialEnded
from faceexp.results.folder import RunFolder
from faceexp.results.schema import TrialRecord
from faceexp.running import recorder
from faceexp.running import tracking as watched
from faceexp.running.tracked import ended, settings_of
from faceexp.running.tracking import tracking
from faceexp.values import Event, Noted, Trial, ignore

MODULE = "trackers_of_the_tracking_tests"
PLUGINS = r'''
"""Trackers of the tests, in a module as an installed one would be."""

import json
import os
import random
import sys
import time

from pydantic import TypeAdapter

from faceexp.contract import Tracker, TrackerPlugin, option
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
NAMES = ("Writes", "Refuses", "Raises", "Exits", "Hangs", "Floods")
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

    def tell(*names, trials=(RECORD,)):
        plugins = tuple(registry.configure("tracker", name, {"file": f"{name}.txt"}) for name in names)
        plan = SimpleNamespace(resolved=SimpleNamespace(experiment=tiny(), trackers=plugins), trials=())
        folder = RunFolder(tmp_path / "tiny-0123")
        events: list[Event] = []
        folder.root.mkdir(exist_ok=True)
        with tracking(plan, folder, events.append) as begun:
            for trial in trials:
                begun.on_event(TrialEnded("trial", 1, len(trials), trial=trial))
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


def test_a_baseline_has_no_settings_and_a_trial_without_model_none(tmp_path):
    assert settings_of(Trial("p", "raw pixels", "baseline", 0, 0)) == {}
    assert ended(RECORD, {}, RunFolder(tmp_path)).model is None


# Whole runs


@pytest.fixture(scope="module")
def file(tmp_path_factory, face_folder, small_spec):
    path = tmp_path_factory.mktemp("spec") / "small.toml"
    path.write_text(small_spec("small", face_folder, "npairs").replace("[0, 1]", "[0]"), encoding="utf-8")
    return path


def measured(run):
    left_out = {"seconds", "reused"}
    return [{key: value for key, value in trial.to_jsonable().items() if key not in left_out} for trial in run.trials]


def keys(store):
    return sorted(path.relative_to(store).as_posix() for path in store.glob("*/*") if path.is_dir())


def test_numbers_and_keys_are_the_same_with_trackers_of_every_kind(file, tmp_path, capfd):
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

    for name in ("Writes", "Floods"):
        first, *trials, end, closed = heard(tmp_path / "runs" / f"{name}.txt")
        assert (first.name, first.folder, closed) == ("small", run.folder, "closed")
        assert [trial.id for trial in trials] == [record.id for record in run.trials]
        for trial, record in zip(trials, run.trials, strict=True):
            assert trial.metrics == {key: value for key, value in record.metrics.items() if value is not None}
            assert [(p.step, p.loss, p.validation) for p in trial.curve] == [
                (p.step, p.loss, p.validation) for p in record.curve
            ]
        trained = trials[-1]
        assert trained.model is None, "a better one of its row may take its place"
        assert end.models == {folder.name: folder for folder in (run.folder / "models").iterdir()} != {}
        assert (trained.settings["loss.plugin"], trained.settings["finetune.steps"]) == ("npairs", 10)
        assert end.report.is_file()
        assert end.finding

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
