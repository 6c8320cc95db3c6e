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


def test_what_is_shown_of_a_model_is_the_same_wherever_it_is_said(evaluated, command, face_folder, tmp_path):
    """The trials are one network on other people: `verify` and exported folders say what the finding of the run says."""
    run, results = evaluated
    claims = {claim["label"]: claim for claim in results["verdict"]["guessing"]}
    claim = claims["projection.onnx"]
    assert (claim["trials"], claim["people"] <= 12) == (5, True)
    photo = face_folder / "p00" / "0.png"
    exported = tmp_path / "exported"
    assert command("export", run, exported)[0] == 0
    for model in (run, *sorted((run / "models").iterdir()), exported):
        said = json.loads(command("verify", model, photo, photo, "--json")[1])["model"]["tested"]
        assert said["beats_guessing"] == (claim["verdict"] == "better")
        assert said["measured"]["auc"] == pytest.approx(0.5 + claim["difference"])
        assert said["measured"]["people"] == claim["people"]
    of_trials = [trial["metrics"]["auc"] for trial in results["trials"] if trial["kind"] == "pretrained"]
    sentence = f"In all 5 trials of its run, on {claim['people']} people, who may have been among those whom it was "
    sentence += f"trained on, its AUC was {np.mean(of_trials):.3f}"
    for file in ("README.md", "MODEL_CARD.md"):
        assert sentence in (exported / file).read_text("utf-8")


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


def test_a_network_for_other_images_is_told_at_its_line_when_the_file_is_read(command, onnx_network, tmp_path):
    """Nothing is decoded or measured for it: the data set need not even exist as such."""
    spec = tmp_path / "rows.toml"
    spec.write_text(
        f'name = "rows"\nseeds = [0]\ndataset = {{ plugin = "orl" }}\nprotocol = {{ kind = "open_set" }}\npreprocess = {{ size = [8, 8] }}\n'
        f'[[pretrained]]\nplugin = "onnx_file"\npath = "{onnx_network}"\n',
        encoding="utf-8",
    )
    code, _, err = command("validate", spec)
    assert code == 2
    (line,) = err.strip().splitlines()
    assert line.startswith(f"error: {spec}:6: pretrained[0]: ")
    assert line.endswith('takes 16 x 16 grey; set size = [16, 16] and color = "gray" in [preprocess]')


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


@pytest.fixture
def measured(command, face_folder, tmp_path):
    """Measure a model on the made faces: what was said on standard error, the results and the folder of the run."""

    def measure(model, *words):
        out = tmp_path / "measured"
        before = set(out.glob("*")) if out.is_dir() else set()
        arguments = ["--dataset", "image_folder", "--path", face_folder, "--out", out, "--json", *words]
        code, said, err = command("evaluate", model, *arguments)
        assert code == 0, err
        (run,) = set(out.iterdir()) - before
        return err, json.loads(said), run

    return measure


def test_the_distance_is_named_and_can_be_changed(measured, onnx_network):
    err, results, run = measured(onnx_network)
    assert "projection.onnx is compared by cosine distance; --distance euclidean changes that" in err
    note = "projection.onnx is compared by cosine distance; `distance` in its table [[pretrained]] changes that"
    assert note in results["notes"]
    assert "compared by cosine distance" in (run / "report.html").read_text("utf-8")
    err, results, run = measured(onnx_network, "--distance", "euclidean")
    assert "projection.onnx is compared by euclidean distance; --distance cosine changes that" in err
    assert {trial["distance"] for trial in results["trials"] if trial["kind"] == "pretrained"} == {"euclidean"}
    assert 'distance = "euclidean"' in (run / "spec.toml").read_text("utf-8")


def metrics_of(results):
    return [trial["metrics"] for trial in results["trials"] if trial["kind"] == "pretrained"]


def test_a_model_that_embeds_mirror_images_does_so_when_it_is_measured_again(measured, command, onnx_network, tmp_path):
    """Of its run and of its exported folder, whether the network is opened by its own plugin or as a model of faceexp."""
    _, flipped, run = measured(onnx_network, "--set", "evaluation.flip=true")
    _, plain, _ = measured(onnx_network)
    assert metrics_of(flipped) != metrics_of(plain)
    exported = tmp_path / "exported"
    assert command("export", run, exported)[0] == 0
    _, again, _ = measured(exported, "--set", 'name="again"')
    assert metrics_of(again) == metrics_of(flipped)
    whole = tmp_path / "whole.toml"
    text = (run / "spec.toml").read_text("utf-8").replace("flip = true", "flip = false")
    table = f'[[pretrained]]\nplugin = "faceexp_model"\npath = "{exported}"\nlabel = "whole"\n'
    whole.write_text(text.partition("[[pretrained]]")[0] + table, encoding="utf-8")
    code, said, err = command("run", whole, "--out", tmp_path / "whole", "--json")
    assert code == 0, err
    results = json.loads(said)
    for of_whole, of_run in zip(metrics_of(results), metrics_of(flipped), strict=True):
        assert of_whole == pytest.approx(of_run, nan_ok=True)
    assert "embeds each photo together with its mirror image, as it was measured" in " ".join(err.split())


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
