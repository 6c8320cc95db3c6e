"""Networks that a run has only measured are exported: converted where the libraries can do it, else copied or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import faceexp
from faceexp.errors import InputError
from faceexp.quiet import silence
from faceexp.results.folder import NETWORK_FILES as FILES
from faceexp.serving.export import export_model

SIDE = 16
PLUGINS = {"keras_file": "net.keras", "saved_model": "net", "tflite_file": "net.tflite", "onnx_file": "net.onnx"}
MORE = {
    "keras_file": {"pixels": True, "scale": 1 / 128, "offset": -1.0},
    "saved_model": {"trust": True, "mean": 127.5, "scale": 128.0},
    "tflite_file": {"mean": 127.5, "scale": 128.0},
    "onnx_file": {"mean": 127.5, "scale": 128.0},
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Path:
    """One network in all four formats; it takes numbers from -1 to 1 and gives a map, as many trunks do."""
    import keras

    from faceexp.engine.backend import tensorflow

    home = tmp_path_factory.mktemp("networks")
    keras.utils.set_random_seed(1)
    images = keras.Input((SIDE, SIDE, 1))
    maps = keras.layers.Conv2D(12, 5, strides=3, activation="relu", bias_initializer="random_normal")(images)
    network = keras.Model(images, maps)
    with silence():
        network.save(home / "net.keras")
        network.export(home / "net", format="tf_saved_model", verbose=False)
        network.export(home / "net.onnx", format="onnx", verbose=False)
        converter = tensorflow().lite.TFLiteConverter.from_saved_model(str(home / "net"))
        (home / "net.tflite").write_bytes(converter.convert())
    return home


@pytest.fixture(scope="module")
def run(networks, face_folder, tmp_path_factory):
    """Every format is a row of its own; a loss is trained behind the ONNX file."""
    rows = [
        {"plugin": name, "path": str(networks / file), "label": name} | MORE[name] for name, file in PLUGINS.items()
    ]
    document = {
        "name": "existing",
        "seeds": [0, 1],
        "baselines": [],
        "dataset": {"plugin": "image_folder", "path": str(face_folder)},
        "preprocess": {"size": [SIDE, SIDE]},
        "protocol": {"kind": "open_set", "test_fraction": 0.5},
        "evaluation": {"flip": True},
        "pretrained": rows,
        "model": {"plugin": "onnx_file", "path": str(networks / "net.onnx"), "embedding_dim": 4} | MORE["onnx_file"],
        "finetune": {"steps": 5, "sampler": {"plugin": "balanced", "classes_per_batch": 2, "images_per_class": 2}},
        "losses": [{"plugin": "contrastive"}],
    }
    home = tmp_path_factory.mktemp("existing")
    (home / "spec.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    return faceexp.load(home / "spec.toml").run(home / "runs", store=home / "store")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)


def embedded(folder, pixels, **trust):
    return faceexp.load_model(folder, **trust).embed(list(pixels))


@pytest.mark.parametrize(
    ("row", "form"),
    [*(("keras_file", form) for form in FILES), *(("saved_model", form) for form in ("onnx", "tflite"))],
)
def test_a_network_is_really_converted_and_needs_its_plugin_no_longer(row, form, run, tmp_path, pixels):
    folder = tmp_path / "out"
    written = export_model(f"{run.folder}:{row}", folder, [form], trust_saved_model=True)
    assert (written.copied, set(written.deviations)) == ((), {form})
    assert written.deviations[form] < 1e-4
    assert {path.name for path in folder.iterdir()} == {
        *(FILES[form], "calibration.json", "README.md", "MODEL_CARD.md", "spec.toml", "compare.py")
    }
    record = json.loads((folder / "calibration.json").read_text("utf-8"))
    assert (record["trunk"], record["existed"], record["flip"]) == (None, True, True)
    expected = embedded(f"{run.folder}:{row}", pixels, trust_saved_model=True)
    trust = {"trust_saved_model": True} if form == "saved_model" else {}
    np.testing.assert_allclose(embedded(folder, pixels, **trust), expected, rtol=1e-3, atol=1e-4)
    assert (
        faceexp.load_model(folder, **trust).worth.sentence
        == faceexp.load_model(f"{run.folder}:{row}", trust_saved_model=True).worth.sentence
    )


def test_what_was_converted_is_compared_by_a_program_without_faceexp(run, tmp_path, face_folder):
    export_model(f"{run.folder}:keras_file", tmp_path / "out")
    a, b = (face_folder / person / "0.png" for person in ("p00", "p01"))
    done = subprocess.run(
        [sys.executable, tmp_path / "out" / "compare.py", a, b], capture_output=True, text=True, check=True, timeout=100
    )
    answer = faceexp.load_model(tmp_path / "out").verify(a, b)
    decision, distance = done.stdout.split()
    assert decision == ("same" if answer.same else "different")
    assert float(distance) == pytest.approx(answer.distance)


@pytest.mark.parametrize(
    ("row", "form"), [("onnx_file", "onnx"), ("tflite_file", "tflite"), ("saved_model", "saved_model")]
)
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "by default"])
def test_a_file_that_is_only_run_is_copied_and_that_is_said(row, form, asked, run, tmp_path, pixels):
    written = export_model(f"{run.folder}:{row}", tmp_path / "out", [form] if asked else [])
    assert (written.copied, written.deviations) == ((f"trunk/{PLUGINS[row]}",), {})
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert f"copied as it was ({PLUGINS[row]}); the plugin `{row}` opens it" in readme
    expected = embedded(f"{run.folder}:{row}", pixels, trust_saved_model=True)
    np.testing.assert_array_equal(embedded(tmp_path / "out", pixels, trust_saved_model=True), expected)


@pytest.mark.parametrize(
    ("row", "asked", "reason"),
    [
        (
            "onnx_file",
            ["tflite", "onnx", "keras"],
            "its network, which 'onnx_file' opens, is not converted to tflite or keras; leave out --to or give --to onnx, "
            "and its files are copied",
        ),
        (
            "tflite_file",
            ["onnx"],
            "its network, which 'tflite_file' opens, is not converted to onnx; leave out --to or give --to tflite, and "
            "its files are copied",
        ),
        (
            "saved_model",
            ["keras"],
            "its network, which 'saved_model' opens, is not converted to keras; leave out --to or give --to saved_model, "
            "and its files are copied; --to onnx and --to tflite convert it",
        ),
        (
            "contrastive",
            ["tflite"],
            "its network, which 'onnx_file' opens, is not converted to tflite; leave out --to or give --to onnx, and its "
            "files are copied",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused_with_what_can_be_done(row, asked, reason, run, tmp_path):
    with pytest.raises(InputError) as caught:
        export_model(f"{run.folder}:{row}", tmp_path / "out", asked, trust_saved_model=True)
    (problem,) = caught.value.problems
    assert problem.message == reason
    assert not (tmp_path / "out").exists()


def test_a_program_is_not_run_to_convert_it_unless_it_is_trusted(run, tmp_path):
    with pytest.raises(InputError, match="'saved_model' opens a program, .* say so with --trust-saved-model"):
        export_model(f"{run.folder}:saved_model", tmp_path / "out", ["onnx"])


@pytest.mark.parametrize(("asked", "file"), [([], "model.keras"), (["onnx"], "model.onnx")])
def test_the_layer_behind_a_copied_network_goes_with_it(asked, file, run, tmp_path, pixels):
    written = export_model(f"{run.folder}:contrastive", tmp_path / "out", asked)
    assert written.copied == ("trunk/net.onnx",)
    assert {"trunk", file} <= set(written.files)
    assert f"| `{file}` (" in (tmp_path / "out" / "README.md").read_text("utf-8")
    expected = embedded(f"{run.folder}:contrastive", pixels)
    np.testing.assert_allclose(embedded(tmp_path / "out", pixels), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("row", "asked"), [("onnx_file", []), ("keras_file", ["onnx"])], ids=["copied", "converted"])
def test_the_card_says_what_is_true_of_a_network_that_was_only_measured(row, asked, run, tmp_path):
    export_model(f"{run.folder}:{row}", tmp_path / "out", asked)
    card, readme = ((tmp_path / "out" / name).read_text("utf-8") for name in ("MODEL_CARD.md", "README.md"))
    for untrue in (
        "exported without its run's results",
        "phase 2",
        "not known: the model",
        "of the loss",
        "trains it again",
    ):
        assert untrue not in card
    for untrue in ("what it was trained on", "that trained it", "in training"):
        assert untrue not in readme
    origin = json.loads((tmp_path / "out" / "calibration.json").read_text("utf-8"))["origin"]
    name = PLUGINS[row]
    assert f"- File: `{name}`, SHA-256 `{origin['files'][name]}`" in card
    assert len(origin["files"][name]) == 64
    for true in (
        "nothing of it was trained here",
        "- Data set: `image_folder`",
        "Nothing: no weight of it was trained in the run.",
        "its thresholds are of this trial",
        "mean over 2 trials of the network",
        "`faceexp run spec.toml` measures it again.",
        "- test: 6 people, 36 images",
        "each photo together with its mirror image",
    ):
        assert true in card
    assert "- train:" not in card


def test_a_copy_that_is_exported_again_says_the_same(run, tmp_path):
    export_model(f"{run.folder}:onnx_file", tmp_path / "out")
    export_model(tmp_path / "out", tmp_path / "again")
    cards = [(tmp_path / name / "MODEL_CARD.md").read_text("utf-8") for name in ("out", "again")]
    assert cards[0] == cards[1]
