"""``faceexp evaluate``: a model that exists is measured on photos, and serves as every model does."""

from __future__ import annotations

import io
import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceexp.experiment.detect import Detect
from faceexp.experiment.schema import Preprocess
from faceexp.serving import evaluated as evaluated_file

SIDE = 16


@pytest.fixture
def evaluated(command, onnx_network, face_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    out = tmp_path / "runs"
    code, said, err = command(
        "evaluate", onnx_network, "--dataset", "image_folder", "--path", face_folder, "--out", out, "--json"
    )
    assert code == 0, err
    (run,) = out.iterdir()
    return run, json.loads(said)


def embedding(path: Path, weights: np.ndarray) -> np.ndarray:
    with Image.open(path) as photo:
        return np.asarray(photo.convert("L"), np.float32).reshape(-1) @ weights


def test_a_model_is_measured_verified_and_exported(evaluated, command, face_folder, onnx_weights, tmp_path):
    run, results = evaluated
    (row,) = {(trial["label"], trial["loss"]) for trial in results["trials"] if trial["kind"] == "pretrained"}
    assert row == ("projection.onnx", "onnx_file")
    assert all(trial["status"] == "ok" for trial in results["trials"])
    # What the file says of images decides how photos become pixels.
    spec = tomllib.loads((run / "spec.toml").read_text(encoding="utf-8"))
    assert (spec["preprocess"]["size"], spec["preprocess"]["color"]) == ([SIDE, SIDE], "gray")
    # A photo is embedded in use as it was when the model was measured.
    a, b = face_folder / "p00" / "0.png", face_folder / "p01" / "0.png"
    first, second = embedding(a, onnx_weights), embedding(b, onnx_weights)
    expected = 1 - first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    exported = tmp_path / "exported"
    code, _, err = command("export", run, exported)
    assert code == 0, err
    assert {path.name for path in exported.iterdir()} >= {"calibration.json", "README.md", "MODEL_CARD.md", "trunk"}
    record = json.loads((exported / "calibration.json").read_text(encoding="utf-8"))
    assert record["trunk"]["options"]["path"] == "trunk/projection.onnx"
    for model in (run, exported):
        code, said, err = command("verify", model, a, b, "--json")
        assert code == 0, err
        assert json.loads(said)["distance"] == pytest.approx(expected, abs=1e-5)
    # What it was trained on is not known, so nothing is claimed of people whom it had not seen.
    assert "who may have been among those whom it was trained on" in (exported / "README.md").read_text("utf-8")


def test_its_metrics_are_those_of_an_experiment_file(evaluated, command, tmp_path):
    run, results = evaluated
    code, said, err = command("run", run / "spec.toml", "--out", tmp_path / "again", "--json")
    assert code == 0, err
    again = json.loads(said)
    metrics = [{trial["id"]: trial["metrics"] for trial in each["trials"]} for each in (results, again)]
    assert metrics[0] == metrics[1]


def test_a_path_out_of_the_exported_folder_is_refused(evaluated, command, face_folder, tmp_path):
    run, _ = evaluated
    exported = tmp_path / "exported"
    assert command("export", run, exported)[0] == 0
    record = json.loads((exported / "calibration.json").read_text(encoding="utf-8"))
    record["trunk"]["options"]["path"] = "../other.onnx"
    (exported / "calibration.json").write_text(json.dumps(record), encoding="utf-8")
    photo = face_folder / "p00" / "0.png"
    code, _, err = command("verify", exported, photo, photo)
    assert code == 2
    assert err.strip().endswith("leads out of the folder of the model")


@pytest.fixture
def verification_set(faces, tmp_path):
    """A set as InsightFace keeps it: 10 folds of 8 pairs of PNG images, whose people are in one fold each."""
    random = np.random.default_rng(2)
    pixels, labels = faces(20, 6)
    pixels = np.clip(pixels.astype(int) + random.integers(-60, 60, pixels.shape), 0, 255).astype(np.uint8)
    photos, same = [], []
    for fold in range(10):
        first, second = (np.flatnonzero(labels == 2 * fold + person) for person in (0, 1))
        for _ in range(4):
            for pair in (random.choice(first, 2, replace=False), (random.choice(first), random.choice(second))):
                photos += [png(pixels[number]) for number in pair]
            same += [True, False]
    path = tmp_path / "faces.bin"
    path.write_bytes(pickle.dumps((photos, same), protocol=2))
    return path, photos, np.array(same)


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def test_a_verification_set_gives_what_the_usual_script_gives(
    command, onnx_network, onnx_weights, verification_set, tmp_path
):
    """Ten folds, image and mirror image, thresholds from the other folds: to the last digit."""
    path, photos, same = verification_set
    arguments = ["--dataset", "insightface_bin", "--path", path, "--pairs", "own", "--out", tmp_path / "runs", "--json"]
    code, said, err = command("evaluate", onnx_network, *arguments, "--set", "evaluation.flip=true")
    assert code == 0, err
    trials = [trial for trial in json.loads(said)["trials"] if trial["kind"] == "pretrained"]
    # The script.
    images = np.stack([np.asarray(Image.open(io.BytesIO(photo)).convert("L"), np.float32) for photo in photos])
    rows = images.reshape(len(images), -1) @ onnx_weights + images[:, :, ::-1].reshape(len(images), -1) @ onnx_weights
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    distance = np.square(rows[0::2] - rows[1::2]).sum(axis=1)
    thresholds = np.arange(0, 4, 0.01)
    accuracies = []
    for fold in range(10):
        test = np.arange(len(same)) // (len(same) // 10) == fold
        rest = [((distance[~test] < threshold) == same[~test]).mean() for threshold in thresholds]
        accuracies.append(((distance[test] < thresholds[int(np.argmax(rest))]) == same[test]).mean())
    assert 0.5 < np.mean(accuracies) < 1
    assert [trial["metrics"]["fold_accuracy"] for trial in trials] == accuracies


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("nothing.onnx", "nothing.onnx: no such file or folder; name a file, or a run"),
        ("notes.txt", "notes.txt: is no model that an installed plugin opens; see `faceexp list-plugins model`"),
    ],
)
def test_what_is_no_model_is_refused(command, tmp_path, monkeypatch, model, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no network", encoding="utf-8")
    code, _, err = command("evaluate", model, "--dataset", "orl")
    assert (code, err.strip()) == (2, f"error: {reason}")


def test_images_of_another_size_are_told_before_anything_is_measured(command, onnx_network, face_folder, tmp_path):
    arguments = [
        "--dataset",
        "image_folder",
        "--path",
        face_folder,
        "--out",
        tmp_path,
        "--set",
        "preprocess.size=[8,8]",
    ]
    code, _, err = command("evaluate", onnx_network, *arguments)
    assert code == 2
    assert (
        err.strip()
        .splitlines()[-1]
        .endswith('takes 16 x 16 grey; set size = [16, 16] and color = "gray" in [preprocess]')
    )


def test_a_search_for_people_who_are_not_known_has_no_result(command, onnx_network, verification_set, tmp_path):
    """In a set of pairs one person may be several; only what is judged by pairs is measured."""
    path, _, _ = verification_set
    code, said, err = command(
        *("evaluate", onnx_network, "--dataset", "insightface_bin", "--path", path, "--pairs", "own"),
        *("--out", tmp_path / "runs", "--json"),
    )
    assert code == 0, err
    for trial in json.loads(said)["trials"]:
        assert trial["metrics"]["map_at_r"] is None
        assert trial["metrics"]["precision_at_1_pooled"] is None
        assert trial["metrics"]["accuracy"] is not None


DETECTION = Detect(plugin="scrfd", options={"path": "/models/det.onnx"}, align="five_points", margin=0.2)


@pytest.mark.parametrize(
    ("given", "detector", "expected"),
    [
        (None, None, None),
        (None, "none", None),
        (None, "mtcnn", {"plugin": "mtcnn"}),
        (DETECTION, "none", None),
        (DETECTION, None, {"plugin": "scrfd", "path": "/models/det.onnx", "align": "five_points", "margin": 0.2}),
        # Another detector has no such file, and takes the place of the first one.
        (DETECTION, "mtcnn", {"plugin": "mtcnn", "align": "five_points", "margin": 0.2}),
    ],
)
def test_faces_are_found_as_in_the_photos_of_the_model_unless_told_otherwise(given, detector, expected):
    table: Any = evaluated_file._as_file_says(Preprocess(size=(112, 112), detect=given), detector)
    assert table["size"] == [112, 112]
    written = table.get("detect")
    assert (written and {key: written[key] for key in written if key in expected}) == expected


def test_a_detector_is_named_in_the_experiment_file(command, onnx_network, face_folder, tmp_path):
    arguments = ["evaluate", onnx_network, "--dataset", "image_folder", "--path", face_folder, "--out", tmp_path]
    code, _, err = command(*arguments, "--detect", "landmarks", "--set", "preprocess.detect.align=five_points")
    assert code == 2
    assert "takes the column 'landmarks' of the data set, which has none" in err
    code, _, err = command(*arguments, "--detect", "nobody")
    assert code == 2
    assert "nobody" in err
    assert "list-plugins" in err or "known:" in err
