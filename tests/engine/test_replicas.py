"""Phase 1 on two devices, against phase 1 on one and against a batch that plain Keras divides by hand."""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from faceexp.engine import backend
from faceexp.errors import InputError
from faceexp.experiment.schema import Pretrain
from faceexp.planning.issues import UnplannableError

# Sums of float32 that are added in another order.
ROUNDING: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-6}
SGD: dict[str, Any] = {"optimizer": {"name": "sgd"}, "learning_rate": 0.1, "dropout": 0.0}


@pytest.fixture(scope="module")
def on_two_devices() -> Iterator[Callable[..., Any]]:
    """``on_two_devices("trained", ...)``: a function of ``phase1_on_devices``, where TensorFlow has two devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        module = importlib.import_module("phase1_on_devices")
        context = multiprocessing.get_context("spawn")
        begin = functools.partial(backend.begin, "cpu", replicas=2)
        with ProcessPoolExecutor(1, context, initializer=begin) as pool:
            yield lambda name, *rest, **named: pool.submit(getattr(module, name), *rest, **named).result()


CASES: dict[str, dict[str, Any]] = {
    "softmax": {"settings": SGD},
    "dropout before the classifier": {"settings": {**SGD, "dropout": 0.5}},
    "random changes to images": {"settings": SGD, "augment": {"crop": 0.1, "color": 0.2, "blur": 1.0, "cutout": 0.3}},
    "the norm of all gradients": {"settings": {**SGD, "clip_norm": 0.05}},
    "the size of each number of a gradient": {"settings": {**SGD, "clip_value": 0.002}},
    "the head alone": {"settings": {**SGD, "trainable": "head"}},
    "proxies": {"settings": SGD, "loss": "arcface"},
    "a sample of identities": {
        "settings": {"optimizer": {"name": "sgd", "momentum": 0.5}, "dropout": 0.0, "sampled_classes": 6},
        "loss": "arcface",
    },
    "a loss that compares images": {"settings": SGD, "loss": "contrasts"},
    "batch normalisation over all devices": {"settings": SGD, "layer": "BatchNormalization", "synchronized": True},
}


@pytest.mark.parametrize("case", CASES)
def test_two_devices_train_as_one_does(on_two_devices, case) -> None:
    one, two = (on_two_devices("trained", replicas, **CASES[case]) for replicas in (1, 2))
    np.testing.assert_allclose(two[0], one[0], **ROUNDING)
    for divided, whole in zip(two[1], one[1], strict=True):
        np.testing.assert_allclose(divided, whole, **ROUNDING)
    assert any(np.ptp(weights) for weights in one[1])
    assert one[0][0] != one[0][-1]


def test_mixed_precision_scales_the_loss_of_the_whole_batch(on_two_devices) -> None:
    """Numbers of 16 bits round to some 1e-3, and the scale is the same: no gradient of it is lost or counted twice."""
    case = {"settings": SGD, "precision": "mixed_float16"}
    one, two = (on_two_devices("trained", replicas, **case) for replicas in (1, 2))
    np.testing.assert_allclose(two[0], one[0], rtol=2e-3)
    for divided, whole in zip(two[1], one[1], strict=True):
        np.testing.assert_allclose(divided, whole, atol=2e-3)


@pytest.mark.parametrize("layer", ["", "BatchNormalization"])
def test_each_device_has_the_gradients_of_its_part(on_two_devices, layer) -> None:
    """Batch normalisation sees a part of the batch on each device, and its running means are averaged."""
    found = on_two_devices("trained", 2, SGD, layer=layer)[1]
    expected = on_two_devices("by_hand", 2, layer)
    assert len(found) == len(expected) == (6 if layer == "" else 10)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **ROUNDING)
    if layer:
        whole = on_two_devices("trained", 1, SGD, layer=layer)[1]
        assert any(np.abs(one - two).max() > 1e-4 for one, two in zip(whole, found, strict=True))


@pytest.mark.parametrize("layer", ["BatchNormalization", "Dropout"])
def test_the_same_replicas_give_the_same_bits(on_two_devices, layer) -> None:
    options = {"rate": 0.3, "seed": 1} if layer == "Dropout" else {}
    settings, changes = {"dropout": 0.5}, {"crop": 0.1, "cutout": 0.2}
    first, second = (on_two_devices("trained", 2, settings, layer=layer, augment=changes, **options) for _ in range(2))
    assert first[0] == second[0]
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_device_draws_random_numbers_of_its_own(on_two_devices) -> None:
    steps = on_two_devices("embeddings_of_equal_images", 2)
    assert len(np.unique(steps.reshape(-1, steps.shape[-1]), axis=0)) == 2 * 8  # two steps, eight images: none alike
    np.testing.assert_array_equal(steps, on_two_devices("embeddings_of_equal_images", 2))


def test_both_devices_compute(on_two_devices) -> None:
    names = [name.rpartition("/")[2] for name in on_two_devices("devices_of", 2)]
    assert names == ["device:CPU:0", "device:CPU:1"]
    assert len(on_two_devices("devices_of", 1)) == 1


@pytest.mark.parametrize("before", [True, False])
def test_a_trunk_that_sets_trained_weights_is_refused(on_two_devices, before) -> None:
    said = on_two_devices("refused", "SpectralNormalization", before=before)
    assert said.startswith("a layer of the trunk sets ")
    assert said.endswith("which is trained, at each step; set pretrain.replicas to 1")
    assert not on_two_devices("refused", "BatchNormalization", before=before)


class FakeConfig:
    """``tf.config`` of a machine without a GPU, whose processor is one device until it is divided."""

    def __init__(self, *, has_begun: bool = False) -> None:
        self.has_begun = has_begun
        self.parts: list[str] | None = None
        self.experimental = SimpleNamespace(enable_op_determinism=lambda: None)

    def list_physical_devices(self, kind: str) -> list[str]:
        return ["processor"] if kind == "CPU" else []

    def get_visible_devices(self, kind: str) -> list[str]:
        return []

    def LogicalDeviceConfiguration(self) -> str:  # noqa: N802 - as TensorFlow calls it
        return "a part"

    def get_logical_device_configuration(self, device: str) -> list[str] | None:
        return self.parts

    def set_logical_device_configuration(self, device: str, parts: list[str]) -> None:
        assert device == "processor"
        if self.has_begun:
            raise RuntimeError("Virtual devices cannot be modified after being initialized")
        self.parts = parts


@pytest.fixture
def asked(monkeypatch) -> Callable[[int, FakeConfig], FakeConfig]:
    """``asked(2, config)``: what a process does that was asked for so many replicas, when it imports TensorFlow."""

    def ask(replicas: int, config: FakeConfig) -> FakeConfig:
        monkeypatch.setattr(backend, "_wanted", backend._Wanted("auto", replicas=replicas))
        backend._set_up(SimpleNamespace(config=config))
        return config

    return ask


def test_the_processor_is_divided_where_no_gpu_trains(asked) -> None:
    assert asked(1, FakeConfig()).parts is None
    divided = asked(3, FakeConfig())
    assert divided.parts == ["a part"] * 3
    # Fewer need no change, and more are refused, once TensorFlow computes.
    divided.has_begun = True
    assert asked(2, divided).parts == ["a part"] * 3
    with pytest.raises(InputError, match="replicas = 4: TensorFlow already computes on fewer devices in this process;"):
        asked(4, divided)


@pytest.mark.parametrize(
    ("device", "replicas", "there", "message"),
    [
        ("auto", 2, ["A", "B"], ""),
        ("auto", 2, [], ""),
        ("cpu", 8, ["A"], ""),
        ("gpu:1", 1, ["A", "B"], ""),
        ("auto", 3, ["A", "B"], "there are no 3 GPUs: there is gpu:0 (A), gpu:1 (B); use 2 at most, or device = "),
        ("gpu:0", 2, ["A", "B"], 'device = "gpu:0" is one GPU, for one replica; "auto" takes as many as there are rep'),
    ],
)
def test_more_replicas_than_gpus_are_refused(monkeypatch, device, replicas, there, message) -> None:
    monkeypatch.setattr(backend, "gpus", lambda: tuple(there))
    if not message:
        backend.refuse_absent(device, replicas)
        return
    with pytest.raises(UnplannableError) as raised:
        backend.refuse_absent(device, replicas)
    (issue,) = raised.value.issues
    assert issue.path == ("pretrain", "replicas")
    assert issue.message.startswith(message)


@pytest.mark.parametrize(
    ("written", "line", "message"),
    [
        (
            "replicas = 5",
            16,
            "12 images of a batch cannot be shared evenly among 5 replicas; use a batch_size of 10 or 15",
        ),
        ("replicas = 24", 16, "12 images of a batch cannot be shared evenly among 24 replicas; use a batch_size of 24"),
        ("replicas = 0", 17, "pretrain.replicas: "),
        ("replicas = 65", 17, "pretrain.replicas: "),
        ("replicas = 1.5", 17, "pretrain.replicas: "),
    ],
)
def test_a_batch_that_cannot_be_divided_is_one_line(
    tmp_path, small_spec, face_folder, command, written, line, message
) -> None:
    file = tmp_path / "x.toml"
    text = small_spec("divided", face_folder, "npairs").replace("[pretrain]\n", f"[pretrain]\n{written}\n")
    file.write_text(text, encoding="utf-8")
    code, out, err = command("validate", file)
    assert (code, out, err.count("error: ")) == (2, "", 1)
    assert f"x.toml:{line}: " in err
    assert message in " ".join(err.split())


def test_every_loss_has_the_same_replicas(tmp_path, small_spec, face_folder, command) -> None:
    file = tmp_path / "x.toml"
    text = small_spec("alike", face_folder, "npairs").replace("[pretrain]\n", "[pretrain]\nreplicas = 2\n")
    file.write_text(text + "[losses.pretrain]\nreplicas = 3\n", encoding="utf-8")
    code, out, err = command("validate", file)
    assert (code, out, err.count("error: ")) == (2, "", 1)
    assert "losses[0].pretrain.replicas: is the same for every loss; write it in [pretrain]" in " ".join(err.split())
    file.write_text(text + "[losses.pretrain]\nreplicas = 2\nepochs = 2\n", encoding="utf-8")
    assert command("validate", file)[0] == 0


def test_one_replica_is_what_files_without_replicas_have() -> None:
    assert Pretrain(replicas=1).model_dump() == Pretrain().model_dump()
    assert "replicas" not in Pretrain().model_dump()
    assert Pretrain(replicas=2).model_dump() == {**Pretrain().model_dump(), "replicas": 2}


def test_a_whole_run_trains_on_two_devices_in_worker_processes(tmp_path, small_spec, face_folder, command) -> None:
    """Phase 1 of it is that of one device up to rounding, and has the same bits each time."""
    file = tmp_path / "x.toml"
    file.write_text(small_spec("both", face_folder, "npairs"), encoding="utf-8")
    losses = {}
    for name, replicas in (("one", 1), ("two", 2), ("again", 2)):
        place = tmp_path / name
        arguments = ["--out", place / "runs", "--store", place / "store", "--jobs", 2, "--json"]
        values = (f"replicas={replicas}", "dropout=0.0", "epochs=2", "patience=2")
        sets = [part for value in values for part in ("--set", f"pretrain.{value}")]
        code, out, err = command("run", file, *arguments, *sets)
        assert code == 0, err
        assert {trial["status"] for trial in json.loads(out)["trials"]} == {"ok"}
        found = sorted((place / "store").rglob("pretrain/*/history.json"))
        losses[name] = sorted(json.loads(each.read_text(encoding="utf-8"))["loss"] for each in found)
        assert len(found) == 2  # one for each seed
    np.testing.assert_allclose(losses["two"], losses["one"], rtol=1e-3)
    assert losses["two"] == losses["again"]
