"""Models and data sets that misbehave: a model fails its trials with a reason, data are refused in lines."""

from __future__ import annotations

import json

import pytest

import faceexp
from faceexp.errors import InputError

MODEL = '''
"""A model of the tests."""

import sys
from typing import ClassVar

from faceexp.contract import ModelPlugin, option


class Plugin(ModelPlugin):
    """Is a trunk, or something else."""

    reference: ClassVar[str] = "here"
    what: str = option("nothing", "What it does.")

    def build(self, input_shape):
        import tensorflow as tf

        keras = tf.keras
        given = keras.Input(input_shape)
        flat = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, strides=4)(given))
        return {
            "nothing": lambda: keras.Model(given, flat),
            "policy": lambda: (keras.Model(given, flat), keras.config.set_dtype_policy("float64"))[0],
            "raises": lambda: {}["weights"],
            "exits": lambda: sys.exit("no licence"),
            "none": lambda: None,
            "layer": lambda: keras.layers.Flatten(),
            "two outputs": lambda: keras.Model(given, [flat, flat]),
            "not flat": lambda: keras.Model(given, keras.layers.Conv2D(2, 3)(given)),
            "code": lambda: keras.Model(given, keras.layers.Lambda(lambda x: x * 2)(flat)),
            "other size": lambda: keras.Sequential([keras.Input((7, 7, 1)), keras.layers.Flatten()]),
            "late infinity": lambda: keras.Model(given, keras.layers.Rescaling(1e38)(flat)),
            "huge": lambda: keras.Model(given, keras.layers.Rescaling(1e25)(flat)),
            "no number": lambda: keras.Model(given, keras.layers.Rescaling(float("inf"))(flat)),
        }[self.what]()
'''
FAULTS_OF_MODELS = {
    "raises": "KeyError: 'weights'",
    "exits": "SystemExit: no licence",
    "none": "the model plugin gives None, not a keras.Model",
    "layer": "the model plugin gives a Flatten, not a keras.Model",
    "two outputs": "the trunk has 1 inputs and 2 outputs",
    "not flat": "not one flat feature vector per image",
    "code": "the network cannot be saved and opened again",
    "other size": "",
    "no number": "not finite",
}
DATA = '''
"""A data set of the tests."""

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np

from faceexp.contract import DatasetPlugin, FaceData, option


class Plugin(DatasetPlugin):
    """Gives faces, or something else."""

    licence: ClassVar[str] = "none"
    source: ClassVar[str] = "arithmetic"
    what: str = option("nothing", "What it does.")

    def build(self, seed):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (72, 16, 16)).astype(np.uint8)
        labels = np.repeat(np.arange(12, dtype=np.int32), 6)
        names = tuple(f"p{number}" for number in range(12))
        whole = dict(images=images, labels=labels, identities=names, fingerprint="0", licence="none", source="here")
        wrong = {
            "numbers of images": dict(images=images[:70]),
            "float images": dict(images=images / 255),
            "flat images": dict(images=images.reshape(72, -1)),
            "no images": dict(images=images[:0], labels=labels[:0]),
            "files that are not there": dict(images=[Path(f"nowhere-{number}.png") for number in range(72)]),
            "devices": dict(images=[Path("/dev/zero")] * 72),
            "text for paths": dict(images=["x.png"] * 72),
            "float labels": dict(labels=labels + 0.5),
            "labels below zero": dict(labels=labels - 1),
            "labels outside": dict(labels=labels + 1),
            "labels as a list": dict(labels=labels.tolist()),
            "one person": dict(labels=labels * 0),
            "names twice": dict(identities=("p",) * 12),
            "names that are numbers": dict(identities=tuple(range(12))),
            "no fingerprint": dict(fingerprint=None),
            "licence that is none": dict(licence=None),
            "notes of numbers": dict(notes=(1, 2)),
        }
        if self.what == "raises":
            raise ValueError("no faces")
        if self.what == "exits":
            sys.exit(3)
        if self.what == "none":
            return None
        return FaceData(**whole | wrong.get(self.what, {}))
'''
FAULTS_OF_DATA = (
    *("numbers of images", "float images", "flat images", "no images", "files that are not there", "devices"),
    *("text for paths", "float labels", "labels below zero", "labels outside", "one person", "names twice"),
    *("names that are numbers", "no fingerprint", "raises", "exits", "none"),
)
MODEL_LINES = ('plugin = "thin_vgg"\nwidths = [4]\nkernel_sizes = [3]', 'plugin = "mine"\nwhat = "{}"')
ONE_SEED = ("seeds = [0, 1]", "seeds = [0]")


def trials(run):
    return {trial["id"]: trial for trial in json.loads((run.folder / "results.json").read_text("utf-8"))["trials"]}


def test_a_model_that_misbehaves_fails_its_trials_and_names_the_fault(form, spec, install, undisturbed, tmp_path):
    install("mine-model", "model", "mine", MODEL)
    pixels = trials(faceexp.load(spec()).run(tmp_path / "whole", store=undisturbed().store))["raw-pixels-s0-f0"]

    def ran(what):
        file = spec((MODEL_LINES[0], MODEL_LINES[1].format(what)), ONE_SEED)
        return trials(faceexp.load(file).run(tmp_path / what, store=tmp_path / "store"))

    whole, changed = ran("nothing"), ran("policy")
    for name, trial in whole.items():
        assert trial["status"] == "ok", trial
        assert (changed[name]["metrics"], changed[name]["curve"]) == (trial["metrics"], trial["curve"])
    for what, reason in list(FAULTS_OF_MODELS.items())[:: -2 * form.stride + 1]:
        for name, trial in ran(what).items():
            if name.startswith("raw-pixels"):
                assert (trial["status"], trial["metrics"]) == ("ok", pixels["metrics"]), what
            else:
                assert trial["status"] in ("failed", "diverged"), (what, trial)
                assert reason in trial["reason"], what
    for what in (
        ("late infinity", "huge") if form.name == "full" else ()
    ):  # whatever comes of them, the run goes on to its end
        for name, trial in ran(what).items():
            assert trial["status"] != "ok" or not name.startswith("phase-1") or trial["metrics"], what


@pytest.mark.parametrize("what", FAULTS_OF_DATA)
def test_data_that_are_not_as_promised_are_refused_in_lines(what, spec, install, tmp_path):
    install("mine-data", "dataset", "mine", DATA)
    text = spec().read_text(encoding="utf-8")
    file = tmp_path / "x.toml"
    line = next(line for line in text.splitlines() if line.startswith("path = "))
    file.write_text(
        text.replace('plugin = "image_folder"', 'plugin = "mine"').replace(line, f'what = "{what}"'), encoding="utf-8"
    )
    with pytest.raises(InputError) as refused:
        faceexp.load(file).run(tmp_path / "runs", store=tmp_path / "store")
    lines = str(refused.value).splitlines()
    assert 1 <= len(lines) <= 21
    assert len(lines) == len(refused.value.problems)
