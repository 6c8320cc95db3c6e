"""Exported models: every format gives the trained network's embeddings, and the folder says what it is."""

from __future__ import annotations

import builtins
import dataclasses
import dis
import importlib.util
import itertools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import faceexp
from faceexp.errors import InputError
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import discover
from faceexp.results.folder import NETWORK_FILES as FILES
from faceexp.serving import conversion
from faceexp.serving.export import export_model
from faceexp.serving.program import program
from faceexp.store import new_folder

SPEC = """\
name = "little"
description = "Made faces."
seeds = [0, 1]
baselines = []

[dataset]
plugin = "image_folder"
path = "{folder}"

[preprocess]
size = [16, 16]

[protocol]
kind = "open_set"

[keep]
models = "all"
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8

[pretrain]
epochs = 6
batch_size = 12

[finetune]
steps = 20
validate_every = 10
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2

[[losses]]
plugin = "contrastive"
margin = 3.0

[[losses]]
plugin = "arcface"
finetune = {{ steps = 10 }}
"""
BESIDE = {"README.md", "MODEL_CARD.md", "calibration.json", "compare.py"}


@pytest.fixture(scope="module")
def run(tmp_path_factory, face_folder):
    home = tmp_path_factory.mktemp("export")
    (home / "little.toml").write_text(SPEC.format(folder=face_folder), encoding="utf-8")
    return faceexp.load(home / "little.toml").run(home / "runs", store=home / "store")


@pytest.fixture(scope="module")
def command(run, tmp_path_factory):
    """One command that exports all four formats; gives the folder and what the command printed."""
    folder = tmp_path_factory.mktemp("exported") / "my model"
    formats = [word for name in FILES for word in ("--to", name)]
    done = subprocess.run(
        [sys.executable, "-m", "faceexp", "export", f"{run.folder}:arcface", folder, *formats, "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="module")
def exported(command):
    return command[0]


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """A model without its run, of the layers that converters find hardest, for colour images that are not square."""
    import keras

    folder = tmp_path_factory.mktemp("lone")
    keras.utils.set_random_seed(1)
    pixels = x = keras.Input((24, 20, 3))
    x = keras.layers.Rescaling(1 / 64, -2)(x)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.BatchNormalization()(x))
    inner = keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.DepthwiseConv2D(3, padding="same")(x))
    x = keras.layers.Add()([x, keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 1)(inner))])
    x = keras.layers.Flatten()(keras.layers.DepthwiseConv2D((12, 10))(x))
    model = keras.Model(pixels, keras.layers.Dense(6)(keras.layers.Dropout(0.5)(x)))
    random = np.random.default_rng(2)
    # As if trained: no slope, mean or variance at the value where an error would not show.
    model.set_weights([w + random.uniform(0.1, 0.3, w.shape) for w in model.get_weights()])
    model.save(folder / "model.keras")
    calibration = {
        "label": "somebody's",
        "distance": "cosine",
        "threshold": 0.001,
        "preprocess": {"size": [24, 20], "color": "rgb"},
    }
    (folder / "calibration.json").write_text(json.dumps(calibration), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def lone_exported(lone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lone_exported")
    export_model(lone, folder, list(FILES))
    return folder


@pytest.fixture
def alone(tmp_path):
    """Copy one format of an exported folder, so that it is this that is opened."""

    def copy(folder, name):
        target = tmp_path / name
        target.mkdir()
        shutil.copy(folder / "calibration.json", target)
        whole = folder / FILES[name]
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, target / FILES[name])
        return target

    return copy


@pytest.fixture(params=["exported", "lone_exported"])
def folder(request):
    """The exported folder of a trained model, and that of one with harder layers."""
    return request.getfixturevalue(request.param)


def photos(face_folder, model):
    """Return every made face as the network wants it."""
    return np.stack([picture.pixels for picture in model.read(sorted(face_folder.rglob("*.png")))])


def embeddings(folder, pixels):
    """Return what Keras alone makes of pixels."""
    import keras

    network = keras.saving.load_model(folder / "model.keras", compile=False)
    return network.predict(pixels.astype(np.float32), batch_size=len(pixels), verbose=0)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_embeddings_of_the_keras_model(name, folder, alone, face_folder):
    model = faceexp.load_model(alone(folder, name), trust_saved_model=True)
    pixels = photos(face_folder, model)
    expected = embeddings(folder, pixels)
    assert expected.std(axis=0).min() > 0.01, "the embeddings differ, so that agreement means something"
    scale = np.abs(expected).max()
    for size in (1, 5, len(pixels)):
        assert np.abs(model.embed_pictures(pixels[:size]) - expected[:size]).max() < 1e-4 * scale


def test_onnx_runtime_runs_batches_of_any_size(folder, face_folder):
    import onnxruntime

    pixels = photos(face_folder, faceexp.load_model(folder))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    ((name, form, kind),) = [(i.name, i.shape, i.type) for i in session.get_inputs()]
    assert (form[1:], kind) == (list(pixels.shape[1:]), "tensor(float)")
    expected = embeddings(folder, pixels)
    for size in (1, 2, 7):
        (found,) = session.run(None, {name: pixels[:size].astype(np.float32)})
        np.testing.assert_allclose(found, expected[:size], atol=1e-4 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_the_interpreter_of_tensorflow_lite_runs_batches_of_any_size(folder, face_folder):
    import tensorflow as tf

    pixels = photos(face_folder, faceexp.load_model(folder))
    interpreter = tf.lite.Interpreter(str(folder / "model.tflite"))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert list(given["shape_signature"]) == [-1, *pixels.shape[1:]]
    expected = embeddings(folder, pixels)
    for size in (1, 2, 7):
        interpreter.resize_tensor_input(given["index"], pixels[:size].shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], pixels[:size].astype(np.float32))
        interpreter.invoke()
        found = interpreter.get_tensor(result["index"])
        np.testing.assert_allclose(found, expected[:size], atol=1e-4 * np.abs(expected).max())


def test_an_onnx_model_decides_without_tensorflow(exported, alone, face_folder):
    code = """
import sys
import faceexp
print(faceexp.load_model(sys.argv[1]).verify(*sys.argv[2:]).distance)
sys.exit("TensorFlow was imported" if {"tensorflow", "keras"} & set(sys.modules) else 0)
"""
    pair = [face_folder / "p03" / "0.png", face_folder / "p03" / "1.png"]
    done = subprocess.run(
        [sys.executable, "-c", code, alone(exported, "onnx"), *pair], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) == pytest.approx(faceexp.load_model(exported).verify(*pair).distance, rel=1e-5)


def test_the_interpreter_that_needs_no_tensorflow_is_preferred(exported, alone, face_folder, monkeypatch):
    interpreter = pytest.importorskip("tensorflow").lite.Interpreter
    opened = []

    def other(file, num_threads=None):
        opened.append(file)
        return interpreter(file)

    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", types.SimpleNamespace(Interpreter=other))
    model = faceexp.load_model(alone(exported, "tflite"))
    model.embed([face_folder / "p00" / "0.png"])
    assert opened == [str(model.folder / "model.tflite")]


# What lies beside the network -----------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote_and_no_library_says_anything(command):
    folder, done = command
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert found["folder"] == str(folder)
    assert set(found["bytes"]) == {path.name for path in folder.iterdir()} == {*FILES.values(), *BESIDE, "spec.toml"}
    assert all(size == (folder / name).stat().st_size for name, size in found["bytes"].items() if name != "saved_model")
    assert set(found["deviations"]) == set(FILES)
    assert max(found["deviations"].values()) < 1e-4
    assert list(folder.parent.iterdir()) == [folder]


def test_the_calibration_is_that_of_the_run_and_names_it(run, exported):
    content = read(exported / "calibration.json")
    origin, own = content.pop("origin"), content.pop("exported")
    of_run = read(run.folder / "models" / origin["trial"] / "calibration.json")
    # Which photos were used stays with the run.
    assert of_run.pop("seen_photos")["count"] > 0
    assert content.pop("seen_photos") is None
    assert content == of_run
    assert (origin["run"], origin["spec_hash"]) == ("little", run.document["spec_hash"])
    assert own["faceexp"] == origin["packages"]["faceexp"]
    (trial,) = [trial for trial in run.trials if trial.id == origin["trial"]]
    assert (trial.label, trial.metrics) == ("arcface", origin["metrics"])
    assert (exported / "spec.toml").read_bytes() == (run.folder / "spec.toml").read_bytes()
    # Nobody's name or face leaves with a model.
    written = [file.read_text(encoding="utf-8") for file in exported.iterdir() if file.name in {*BESIDE, "spec.toml"}]
    assert len(written) == 5
    assert not [text for text in written if re.search(r"\bp\d\d\b", text)]


def test_the_card_has_the_numbers_of_the_run(run, exported):
    card = (exported / "MODEL_CARD.md").read_text(encoding="utf-8")
    content = read(exported / "calibration.json")
    trial = next(trial for trial in run.trials if trial.id == content["origin"]["trial"])
    summary = {row.metric: row for row in run.summary if row.label == "arcface"}
    rows = {cells[1]: cells[2:4] for line in card.splitlines() if len(cells := re.split(r" *\| *", line)) == 7}
    assert rows["accuracy %"][0] == f"{trial.metrics['accuracy'] * 100:.1f}"
    low, high = summary["accuracy"].ci95
    assert rows["accuracy %"][1] == f"{summary['accuracy'].mean * 100:.1f} {low * 100:.1f}–{high * 100:.1f}"
    assert rows["AUC"][0] == f"{trial.metrics['auc']:.3f}"
    # Whom it was trained on, what for, and what nobody can know.
    assert "- Loss: `arcface` (faceexp-loss-arcface " in card
    assert "- Trunk: `thin_vgg` (faceexp-model-thin-vgg 0.1.0), with `widths = [4]`, `kernel_sizes = [3]`" in card
    assert "\n- Precision: float32\n" in card
    assert "- Licence: Whatever the owner of the images grants; faceexp does not know" in card
    split = next(split for split in run.results.parts if (split.seed, split.fold) == (trial.seed, trial.fold))
    train, test = split.train, split.test
    assert f"- train: {train.people} people, {train.images} images\n" in card
    assert f"- test: {test.people} people, {test.images} images; {test.pairs} pairs, " in card
    assert "\n- unequal budgets, steps of phase 2: " in card
    known = content["calibration"]
    assert f"From {known['n_similar']} similar and {known['n_different']} different pairs of validation." in card
    assert f"| {content['threshold']:.6g} |" in card
    assert known["thresholds"]["0.001"] is None
    assert "| 0.001 | none: too few different pairs | 0 of " in card
    accuracy = trial.metrics["accuracy"] * 100
    not_shown = f"On {test.people} people whom it had not seen it was right about {accuracy:.1f} % of pairs; guessing"
    assert f"**This model was not shown to be better than guessing. {not_shown} is right about 50 %." in card
    for heading in ("Limits", "Intended use", "Misuse", "Reproduce and cite"):
        assert f"\n## {heading}\n" in card
    assert "Closed set" not in card
    assert "not known: " not in card
    assert max(card.count(blank) for blank in ("\n\n\n", " \n", "None", "Undefined")) == 0


def test_the_card_of_a_lone_model_says_what_it_does_not_know(lone_exported):
    card = (lone_exported / "MODEL_CARD.md").read_text(encoding="utf-8")
    unknown = "not known: the model was exported without its run's results"
    assert f"- Loss: `somebody's`; plugin and options are {unknown}" in card
    assert f"- Trunk: {unknown}" in card
    assert f"- Data set: {unknown}" in card
    assert "- Licence: not known; find out before you pass the model on" in card
    assert f"Metrics on test are {unknown}." in card
    assert "0.001; on which pairs it rests is not known." in card
    assert "- Input: 20 x 24 pixels (width x height), RGB, photos taken whole" in card
    assert not (lone_exported / "spec.toml").exists()
    assert max(card.count(blank) for blank in ("\n\n\n", " \n", "None", "Undefined")) == 0


def test_the_card_of_an_interrupted_run_knows_its_experiment(run, tmp_path):
    (model,) = (run.folder / "models").glob("arcface-s1-*")
    unfinished = tmp_path / "runs" / "unfinished"
    shutil.copytree(model, unfinished / "models" / model.name)
    shutil.copy(run.folder / "spec.toml", unfinished)
    export_model(f"{unfinished}:arcface", tmp_path / "out", ["keras"])
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- Loss: `arcface`\n" in card
    assert "\n- kind: open_set\n" in card
    assert "Metrics on test are not known" in card
    assert "`faceexp run spec.toml` trains it again" in card
    assert (tmp_path / "out" / "spec.toml").is_file()


def test_a_closed_set_and_a_face_detector_are_pointed_out(exported, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(exported / "model.keras", source)
    content = read(exported / "calibration.json")
    content["origin"]["protocol"]["kind"] = "closed_set"
    content["preprocess"]["detect"] = {"margin": 0.25}
    (source / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    export_model(source, tmp_path / "out", ["keras"])
    card, readme = ((tmp_path / "out" / name).read_text(encoding="utf-8") for name in ("MODEL_CARD.md", "README.md"))
    assert "**Closed set: the people of the test were seen in training." in card
    assert "cropped to the face by a detector" in card
    assert "2. It crops the photo to its largest face" in readme
    assert "pip install numpy pillow keras tensorflow 'opencv-python-headless<5'" in readme
    assert "0.25 of the face's side, turned so that the eyes are level." in readme


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_the_program_in_the_folder_decides_as_the_model_does(
    name, folder, alone, face_folder, tmp_path, monkeypatch, capsys
):
    program = alone(folder, name) / "compare.py"
    shutil.copy(folder / "compare.py", program)
    assert "import faceexp" not in program.read_text(encoding="utf-8")
    if name == "tflite":
        # The package's interpreter is TensorFlow's own one, under another name.
        import tensorflow as tf

        monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
        own = types.SimpleNamespace(Interpreter=tf.lite.Interpreter)
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", own)
    # A photo as cameras write it: larger, in colour, lying on its side.
    photo = Image.open(face_folder / "p03" / "1.png").convert("RGB").resize((61, 47)).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "lying.jpg", exif=exif)
    model = faceexp.load_model(folder)
    first = str(face_folder / "p03" / "0.png")
    farthest = max(face_folder.glob("p*/4.png"), key=lambda file: model.verify(first, file).distance)
    others = [face_folder / "p03" / "0.png", tmp_path / "lying.jpg", farthest]
    decisions = set()
    for other in others:
        monkeypatch.setattr(sys, "argv", ["compare.py", first, str(other)])
        runpy.run_path(str(program), run_name="__main__")
        decision, distance = capsys.readouterr().out.split()
        expected = model.verify(first, other)
        assert decision == ("same" if expected.same else "different")
        assert float(distance) == pytest.approx(expected.distance, rel=1e-3, abs=1e-5)
        decisions.add(decision)
    assert decisions == {"same", "different"}


@pytest.fixture(scope="module")
def detecting(tmp_path_factory):
    """An exported model that crops photos to the face, and photos of scenes: tilted faces, a large one, none, two."""
    import keras

    source = tmp_path_factory.mktemp("detecting")
    keras.utils.set_random_seed(3)
    pixels = keras.Input((32, 24, 1))
    x = keras.layers.Conv2D(4, 5, strides=2, activation="relu")(keras.layers.Rescaling(1 / 255)(pixels))
    keras.Model(pixels, keras.layers.Dense(8)(keras.layers.Flatten()(x))).save(source / "model.keras")
    calibration = {
        "label": "crops",
        "distance": "euclidean",
        "threshold": 0.5,
        "preprocess": {"size": [32, 24], "color": "gray", "detect": {"margin": 0.15, "several": "error"}},
    }
    (source / "calibration.json").write_text(json.dumps(calibration), encoding="utf-8")
    export_model(source, source / "out", ["onnx"])
    dataset: Any = faceexp.plugin("dataset", "orl")
    orl = [Image.open(path) for path in dataset.build(0).images[:50:20]]

    def scene(name, *faces, size=(500, 400)):
        photo = Image.new("L", size, 120)
        for face, place, width, tilt in faces:
            photo.paste(face.resize((width, width * 112 // 92)).rotate(tilt, fillcolor=120), place)
        photo.save(source / name)
        return source / name

    scenes = {
        "faces": [
            scene("straight.png", (orl[0], (60, 50), 200, 0)),
            scene("tilted.png", (orl[1], (200, 90), 180, 8)),
            scene("large.jpg", (orl[2], (300, 200), 800, -8), size=(1600, 1400)),
        ],
        "none": scene("none.png"),
        "two": scene("two.png", (orl[0], (20, 50), 160, 0), (orl[1], (280, 60), 180, 0)),
    }
    return source / "out", scenes


def test_the_program_crops_faces_exactly_as_faceexp_does(detecting):
    folder, scenes = detecting
    model = faceexp.load_model(folder)
    crops = model.read(scenes["faces"])
    whole = dataclasses.replace(
        model, record=model.record.model_copy(update={"preprocess": Preprocess(size=(32, 24), color="gray")})
    )
    assert not np.array_equal(crops[0].pixels, whole.read(scenes["faces"][:1])[0].pixels), "something is cropped"
    for first, second in itertools.combinations(scenes["faces"], 2):
        done = subprocess.run(
            [sys.executable, folder / "compare.py", first, second],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder.parent,
        )
        decision, distance = done.stdout.split()
        expected = model.verify(first, second)
        assert float(distance) == pytest.approx(expected.distance, rel=1e-9)
        assert decision == expected.decision
        assert done.stderr == f"{model.worth.sentence} MODEL_CARD.md says more.\n"
        # Without the crops, it is another distance by far.
        assert whole.verify(first, second).distance != pytest.approx(expected.distance, rel=0.05)


def test_the_program_refuses_in_one_line_what_it_cannot_do(detecting, tmp_path):
    folder, scenes = detecting
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    face = scenes["faces"][0]

    def refused(program, *photos, **rest):
        done = subprocess.run([sys.executable, program, *photos], capture_output=True, text=True, check=False, **rest)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        return done.stderr

    assert f"{scenes['none']}: shows no face that the detector finds" in refused(
        folder / "compare.py", face, scenes["none"]
    )
    assert "shows 2 faces, and one is wanted" in refused(folder / "compare.py", scenes["two"], face)
    assert "nowhere.png: does not exist" in refused(folder / "compare.py", face, "nowhere.png")
    assert "name two photos" in refused(folder / "compare.py", face)
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "cv2.py").write_text("raise ImportError")
    without = {**os.environ, "PYTHONPATH": str(tmp_path / "no")}
    assert "pip install 'opencv-python-headless<5'" in refused(folder / "compare.py", face, face, env=without)
    (other / "model.onnx").unlink()
    assert "holds no network" in refused(other / "compare.py", face, face)
    (other / "calibration.json").write_text("{}")
    assert "calibration.json beside this program cannot be used" in refused(other / "compare.py", face, face)


FROM_A_FILE = '''
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from faceexp.contract import ByteArray, DetectorPlugin, Face, Hint, InputFile, Points, option


class Plugin(DetectorPlugin):
    """The middle of the photo, as large as a file says."""

    reference: ClassVar[str] = "this test"
    points: ClassVar[Points] = "none"
    requirements: ClassVar[tuple[str, ...]] = ("nothing-at-all>=1",)

    path: InputFile = option(..., "The file.")
    factor: float = option(1.0, "Of the share.", gt=0)

    def detect(self, photo: ByteArray, hint: Hint) -> Sequence[Face]:
        height, width = photo.shape[:2]
        side = self.factor * {name}(self.path) * min(height, width)
        return [Face((width - side) / 2, (height - side) / 2, side, side)]


@cache
def {name}(path: str) -> float:
    return float(Path(path).read_text())
'''


def test_a_file_of_the_detector_goes_with_the_model(detecting, install, tmp_path):
    folder, scenes = detecting
    install("outside-detector", "detector", "from_a_file", FROM_A_FILE.replace("{name}", "share_in"))
    source, out, elsewhere = tmp_path / "source", tmp_path / "out", tmp_path / "elsewhere"
    source.mkdir()
    shutil.copy(folder.parent / "model.keras", source)
    (tmp_path / "share.txt").write_text("0.8")
    content = read(folder / "calibration.json")
    content["preprocess"]["detect"] = {
        "plugin": "from_a_file",
        "align": "none",
        "options": {"path": str(tmp_path / "share.txt"), "factor": 0.5},
    }
    (source / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    expected = faceexp.load_model(source).verify(*scenes["faces"][:2])
    export_model(source, out, ["onnx"])
    (tmp_path / "share.txt").unlink()
    out.rename(elsewhere)
    assert read(elsewhere / "calibration.json")["preprocess"]["detect"]["options"]["path"] == "detector-share.txt"
    assert faceexp.load_model(elsewhere).verify(*scenes["faces"][:2]).distance == pytest.approx(
        expected.distance, rel=1e-4
    )
    readme = (elsewhere / "README.md").read_text(encoding="utf-8")
    assert "pip install numpy pillow onnxruntime 'nothing-at-all>=1'" in readme
    assert "| `detector-share.txt` | what the detector of faces needs |" in readme
    done = subprocess.run(
        [sys.executable, "-I", elsewhere / "compare.py", *scenes["faces"][:2]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout.split()[1]) == pytest.approx(expected.distance, rel=1e-4)
    # Where it was trained, the file is missing now.
    with pytest.raises(InputError, match=r"'from_a_file' needs the file .*share\.txt, which is not there"):
        faceexp.load_model(source)


def test_a_detector_that_is_not_installed_is_told_in_one_line(detecting, tmp_path):
    shutil.copytree(detecting[0], tmp_path / "model")
    content = read(tmp_path / "model" / "calibration.json")
    content["preprocess"]["detect"] = {"plugin": "nowhere", "align": "five_points"}
    (tmp_path / "model" / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        faceexp.load_model(tmp_path / "model")
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / "model")
    assert problem.message.startswith(
        "the photos of this model are cropped to the face; no detector plugin 'nowhere' is installed; install its package"
    )


def test_a_model_by_landmarks_of_its_data_says_that_a_photo_has_none(detecting, tmp_path):
    folder, scenes = detecting
    shutil.copytree(folder, tmp_path / "model")
    content = read(tmp_path / "model" / "calibration.json")
    content["preprocess"]["detect"] = {"plugin": "landmarks", "align": "five_points"}
    (tmp_path / "model" / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        InputError, match="shows a face whose landmarks nobody knows: the photos of this model are cropped"
    ):
        faceexp.load_model(tmp_path / "model").verify(*scenes["faces"][:2])


def test_a_detector_that_calls_something_as_the_program_does_is_refused(install):
    install("outside-clash", "detector", "clashing", FROM_A_FILE.replace("{name}", "settings"))
    detector: Any = discover().find("detector", "clashing").load()
    with pytest.raises(InputError, match="outside_clash calls something 'settings', as the program in the folder does"):
        program(detector)


@pytest.mark.parametrize("name", ["haar", "landmarks", "mtcnn", "scrfd", "yunet"])
def test_the_program_has_all_that_a_detector_uses(name, tmp_path):
    detector: Any = discover().find("detector", name).load()
    text = program(detector)
    (tmp_path / "compare.py").write_text(text, encoding="utf-8")
    there = runpy.run_path(str(tmp_path / "compare.py"))
    assert there["DETECTOR"].__name__ == detector.__name__
    known = {*there, *vars(builtins)}
    code = [compile(text, "compare.py", "exec")]
    while code:
        inside = code.pop()
        code += [each for each in inside.co_consts if isinstance(each, types.CodeType)]
        # What stands at the top was found when the program was opened; this is what its functions use.
        assert {each.argval for each in dis.get_instructions(inside) if each.opname == "LOAD_GLOBAL"} <= known


def test_a_threshold_of_ones_own_goes_with_the_model_and_its_program_uses_it(detecting, tmp_path):
    folder, scenes = detecting
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    shutil.copy(folder.parent / "model.keras", source)
    first, second = scenes["faces"][:2]
    distance = faceexp.load_model(source).verify(first, second).distance
    own = {
        "pairs": "mine.csv",
        "sha256": "0",
        "label": "crops",
        "model_threshold": 0.5,
        "calibration": {"threshold": distance * 1.01, "n_similar": 30, "n_different": 40},
    }
    for factor, decision in ((1.01, "same"), (0.99, "different")):
        own["calibration"]["threshold"] = distance * factor
        (source / "own_threshold.json").write_text(json.dumps(own), encoding="utf-8")
        export_model(source, tmp_path / decision, ["onnx"])
        done = subprocess.run(
            [sys.executable, tmp_path / decision / "compare.py", first, second],
            capture_output=True,
            text=True,
            check=True,
        )
        assert (
            done.stdout.split()[0] == decision == faceexp.load_model(tmp_path / decision).verify(first, second).decision
        )
    card = (tmp_path / "same" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "mine.csv" in (tmp_path / "same" / "README.md").read_text(encoding="utf-8")
    assert "How often this model is right about people whom it has not seen is not known." in card


def test_the_readme_names_its_folder_so_that_a_shell_and_python_understand(exported):
    readme = (exported / "README.md").read_text(encoding="utf-8")
    assert "\nfaceexp verify 'my model' a.jpg b.jpg\n" in readme
    assert '\nmodel = faceexp.load_model("my model")\n' in readme
    assert "`saved_model/` is a program: TensorFlow runs whatever operations are in it." in readme
    assert "`saved_model/` is a program" in (exported / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_saved_model_alone_is_refused_until_it_is_trusted(exported, alone):
    folder = alone(exported, "saved_model")
    with pytest.raises(InputError, match="is a program, which could do anything on this computer"):
        faceexp.load_model(folder)


def test_what_appeared_meanwhile_is_not_overwritten(tmp_path):
    made, target = tmp_path / "made", tmp_path / "target"
    for folder in (made, target):
        folder.mkdir()
        (folder / "calibration.json").write_text(folder.name)
    (made / "README.md").touch()
    with pytest.raises(FileExistsError):
        new_folder.place(made, target, "calibration.json")
    assert {file.name: file.read_text() for file in target.iterdir()} == {"calibration.json": "target"}


# Where it goes, where it comes from ------------------------------------------------------------------------------------


def test_an_exported_folder_is_exported_again_with_all_that_is_known(exported, tmp_path):
    done = export_model(exported, tmp_path / "a" / "b", ["keras"])
    assert set(done.files) == {"model.keras", "spec.toml", *BESIDE}
    first, second = (read(folder / "calibration.json") for folder in (exported, done.folder))
    assert (second["origin"], second["threshold"]) == (first["origin"], first["threshold"])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_without_the_keras_file_nothing_is_exported(exported, alone, tmp_path):
    source = alone(exported, "onnx")
    with pytest.raises(InputError, match="holds no model.keras, which every other format is made from"):
        export_model(source, tmp_path / "out", ["tflite"])
    assert not (tmp_path / "out").exists()


def test_an_origin_that_is_none_is_not_believed(lone, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(lone, source)
    content = read(source / "calibration.json") | {"origin": {"run": ["no", "name"], "parts": 3}}
    (source / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    export_model(source, tmp_path / "out", ["keras"])
    assert read(tmp_path / "out" / "calibration.json")["origin"]["run"] is None


def test_what_an_older_version_did_not_know_is_not_made_up(exported, tmp_path):
    """An exported folder without counts of pairs and of trials, and with an empty budget, as older versions wrote it."""
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(exported / "model.keras", source)
    content = read(exported / "calibration.json")
    for key in ("n_similar", "n_different"):
        del content["calibration"][key]
    content["origin"] |= {"trials": None, "budget": {}}
    (source / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    export_model(source, tmp_path / "out", ["keras"])
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    unknown = "not known: the model was exported without its run's results"
    assert f"Metrics on test are {unknown}." in card
    assert f"The budget is {unknown}." in card
    assert f"{content['threshold']:.6g}; on which pairs it rests is not known." in card
    assert "- train: 8 people, 48 images\n" in card
    origin = read(tmp_path / "out" / "calibration.json")["origin"]
    assert (origin["budget"], origin["parts"]) == (None, content["origin"]["parts"])


def test_a_folder_that_exists_stays_the_same_folder(lone, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = Path().stat().st_ino
    export_model(lone, ".", ["keras"])
    assert Path().stat().st_ino == before
    assert {path.name for path in Path().iterdir()} == {"model.keras", *BESIDE}
    assert '"here"' in Path("README.md").read_text(encoding="utf-8")


def test_every_mistake_is_named_at_once_and_nothing_is_written(lone, tmp_path, monkeypatch):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "kept.txt").touch()
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name))
    with pytest.raises(InputError) as caught:
        export_model(lone, tmp_path / "used", ["onnx", "onyx"])
    assert str(caught.value).splitlines() == [
        "there is no format 'onyx'; did you mean 'onnx'?",
        "the format onnx needs tf2onnx, which is not installed; run: pip install 'faceexp[export]'",
        f"{tmp_path / 'used'}: is not empty, and nothing is overwritten; name a new or an empty folder",
    ]
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["kept.txt"]


def test_a_folder_that_cannot_be_written_is_named(lone, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file; name a new or an empty folder"):
        export_model(lone, tmp_path / "file", ["keras"])
    with pytest.raises(InputError, match="file/out: nothing can be written there: Not a directory; name a folder of"):
        export_model(lone, tmp_path / "file" / "out", ["keras"])


def test_an_unknown_label_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="the run has no loss 'arcfase'; did you mean 'arcface'?"):
        export_model(f"{run.folder}:arcfase", tmp_path / "out")


@pytest.mark.parametrize("existing", [False, True], ids=["a new folder", "an empty folder"])
@pytest.mark.parametrize("failure", ["damaged", "raises", "deviates"])
def test_an_export_that_fails_leaves_nothing(failure, existing, lone, tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "new" / "out"
    shutil.copytree(lone, source)
    if existing:
        target.mkdir(parents=True)
    if failure == "damaged":
        (source / "model.keras").write_bytes(b"PK no more")
        message = r"model.keras: cannot be loaded: \w+"
    elif failure == "raises":
        monkeypatch.setattr(shutil, "copyfile", lambda *_: 1 / 0)
        message = r"cannot be converted to keras: division by zero; export it to keras or saved_model"
    else:
        monkeypatch.setattr(conversion, "network_of", lambda folder, **_: lambda pixels: np.ones((len(pixels), 6)))
        message = r"keras gives embeddings that deviate by [\d.]+; export it to keras"
    with pytest.raises(InputError, match=message):
        export_model(source, target, ["keras"])
    assert {path.name for path in tmp_path.rglob("*")} == {
        *("source", "model.keras", "calibration.json"),
        *(["new", "out"] if existing else []),
    }
