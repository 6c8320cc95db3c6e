"""The processor or a GPU: what TensorFlow is told, what is refused, and what the results say. No GPU is needed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import faceexp
from faceexp.engine import backend
from faceexp.errors import InputError
from faceexp.planning.issues import UnplannableError
from faceexp.report.findings import notes

FIRST, SECOND = "NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 4090"


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs, as far as their names go."""
    monkeypatch.setattr(backend, "gpus", lambda: (FIRST, SECOND))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(backend, "gpus", lambda: ())


class FakeConfig:
    """``tf.config`` of a machine with two GPUs; once TensorFlow has begun to compute, it lets nobody change them."""

    def __init__(self, *, has_begun: bool = False) -> None:
        self.has_begun, self.visible = has_begun, ["first", "second"]
        self.calls: list[str] = []
        self.experimental = SimpleNamespace(enable_op_determinism=lambda: self.calls.append("deterministic"))

    def list_physical_devices(self, kind: str) -> list[str]:
        assert kind == "GPU"
        return ["first", "second"]

    def get_visible_devices(self, kind: str) -> list[str]:
        assert kind == "GPU"
        return self.visible

    def set_visible_devices(self, devices: list[str], kind: str) -> None:
        assert kind == "GPU"
        if self.has_begun:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        self.visible = devices


@pytest.fixture
def asked(monkeypatch):
    """``asked("cpu", config)``: what a process does that was asked for a device, when it imports TensorFlow."""

    def ask(device: str, config: FakeConfig) -> FakeConfig:
        monkeypatch.setattr(backend, "_wanted", backend._Wanted(device))
        backend._set_up(SimpleNamespace(config=config))
        return config

    return ask


@pytest.mark.parametrize(
    ("device", "visible"),
    [("auto", ["first", "second"]), ("cpu", []), ("gpu:0", ["first"]), ("gpu:1", ["second"])],
)
def test_only_the_device_that_is_asked_for_is_visible(asked, device, visible) -> None:
    config = asked(device, FakeConfig())
    assert (config.visible, config.calls) == (visible, ["deterministic"])


def test_what_cannot_be_changed_any_more_is_said(asked) -> None:
    with pytest.raises(InputError, match="device = 'cpu': TensorFlow already computes on another device in this proc"):
        asked("cpu", FakeConfig(has_begun=True))
    assert asked("auto", FakeConfig(has_begun=True)).visible == ["first", "second"]  # nothing has to be changed


def test_a_new_process_sees_no_gpu_on_the_processor_and_shares_the_memory_of_one() -> None:
    program = (
        "import os; from faceexp.engine import backend; backend.begin('cpu')\n"
        "tf = backend.tensorflow(); from tensorflow.python.framework import config\n"
        "print(tf.config.get_visible_devices('GPU'), config.is_op_determinism_enabled(), "
        "os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"
    )
    free = program.replace("begin('cpu')", "begin('cpu', deterministic=False)")
    clean = {key: value for key, value in os.environ.items() if key != "TF_FORCE_GPU_ALLOW_GROWTH"}
    printed = [
        subprocess.run([sys.executable, "-c", each], env=clean, text=True, capture_output=True, check=True).stdout
        for each in (program, free)
    ]
    assert printed == ["[] True true\n", "[] False true\n"]


@pytest.mark.parametrize(
    ("device", "name"), [("auto", FIRST), ("cpu", ""), ("gpu:0", FIRST), ("gpu:1", SECOND), ("gpu:2", "")]
)
def test_which_gpu_trains(two_gpus, device, name) -> None:
    assert backend.gpu_of(device) == name
    assert backend.versions(device) == backend.versions("cpu") | ({"device": name} if name else {})


def test_without_a_gpu_all_share_their_results(no_gpu) -> None:
    assert backend.versions() == backend.versions("auto") == backend.versions("cpu")
    assert set(backend.versions()) == {"tensorflow", "keras", "numpy", "scikit-learn", "threads", "onednn", "engine"}


def test_a_gpu_that_is_not_there_is_refused(two_gpus) -> None:
    for device in ("auto", "cpu", "gpu:0", "gpu:1"):
        backend.refuse_absent(device)
    with pytest.raises(UnplannableError) as raised:
        backend.refuse_absent("gpu:2")
    (issue,) = raised.value.issues
    assert issue.path == ("device",)
    assert issue.message == f"there is no gpu:2: there is gpu:0 ({FIRST}), gpu:1 ({SECOND})"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_without_any_gpu_a_run_says_so_before_it_trains(
    no_gpu, tmp_path, small_spec, face_folder, command, more
) -> None:
    file = tmp_path / "x.toml"
    file.write_text('device = "gpu:1"\n' + small_spec("absent", face_folder, "npairs"), encoding="utf-8")
    code, out, err = command("run", file, "--out", tmp_path / "runs", "--store", tmp_path / "store", *more)
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert (
        'x.toml:1: device: there is no gpu:1: TensorFlow finds no GPU on this machine; "auto" trains on its processor'
    ) in " ".join(err.split())
    assert not list((tmp_path / "store").rglob("*.npy"))  # no image was decoded


def test_results_name_the_gpu_that_trained(two_gpus, monkeypatch, tmp_path, small_spec, face_folder) -> None:
    """Only its name is made up here: the processor trains."""
    file = tmp_path / "x.toml"
    file.write_text(small_spec("named", face_folder, "npairs"), encoding="utf-8")
    run = faceexp.load(file, overrides=["seeds=[0]"]).run(tmp_path / "runs", store=tmp_path / "store")
    assert json.loads((run.folder / "environment.json").read_text(encoding="utf-8"))["gpu"] == FIRST
    (said,) = [note.text for note in run.results.remarks if note.kind == "device"]
    assert said.startswith(f"trained on a GPU, {FIRST}; ")
    assert said in notes(run.results)
    assert f"trained on a GPU, {FIRST}" in (run.folder / "report.html").read_text(encoding="utf-8")

    # Without a GPU the same file finds nothing of that in the store, and says nothing of a device.
    monkeypatch.setattr(backend, "gpus", lambda: ())
    other = faceexp.load(file, overrides=["seeds=[0]"]).run(tmp_path / "others", store=tmp_path / "store")
    assert ["finetune" in trial.reused for trial in other.trials if trial.label == "npairs"] == [False]
    assert "device" not in other.results.note_kinds
    again = faceexp.load(file, overrides=["seeds=[0]", "device=cpu"]).run(tmp_path / "cpu", store=tmp_path / "store")
    assert ["finetune" in trial.reused for trial in again.trials if trial.label == "npairs"] == [True]
    assert json.loads((other.folder / "environment.json").read_text(encoding="utf-8"))["gpu"] == ""
