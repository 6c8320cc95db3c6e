"""A network that exists is measured on the pairs of a verification set, with thresholds from other people."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from faceexp.data.detection import TEMPLATE

SIDE, FOLDS = 16, 10


@pytest.fixture(scope="module")
def pairs():
    """Return the images of 50 pairs, two for each, uint8 (100, H, W), and whether each shows one person."""
    random = np.random.default_rng(5)
    people = random.integers(0, 256, (51, SIDE, SIDE))
    same = np.arange(50) % 2 == 0
    shown = np.array([(pair, pair if is_same else pair + 1) for pair, is_same in enumerate(same)])
    images = people[shown.ravel()] + random.normal(0, 60, (100, SIDE, SIDE))
    return np.clip(images, 0, 255).astype(np.uint8), same


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def verification_set(pairs, tmp_path_factory):
    """A file as InsightFace hands them out."""
    images, same = pairs
    path = tmp_path_factory.mktemp("bin") / "made.bin"
    path.write_bytes(pickle.dumps(([png(image) for image in images], same.tolist())))
    return path


SPEC = """
name = "measured"
baselines = []
dataset = {{ plugin = "image_folder", path = "{folder}" }}
preprocess = {{ size = [16, 16] }}
protocol = {{ kind = "open_set" }}
evaluation = {{ flip = true, fars = [0.5, 1e-6] }}

[[test_sets]]
name = "lfw"
dataset = {{ plugin = "insightface_bin", path = "{pairs}" }}
protocol = {{ kind = "{kind}" }}

[[pretrained]]
plugin = "onnx_file"
path = "{network}"
"""


def test_a_verification_set_is_judged_on_its_own_pairs_in_its_own_folds(
    onnx_network, onnx_weights, pairs, verification_set, face_folder, command, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    spec = tmp_path / "spec.toml"
    files = {"folder": face_folder.as_posix(), "pairs": verification_set.as_posix(), "network": onnx_network.as_posix()}
    spec.write_text(SPEC.format(kind="pairs_file", **files), encoding="utf-8")
    code, said, err = command("run", spec, "--out", tmp_path / "runs", "--json")
    assert code == 0, err
    results = json.loads(said)
    (trial,) = results["trials"]

    # By hand: embeddings of image and mirror image, and ten folds with the threshold that is best on the other nine.
    images, same = pairs
    x = sum(turned.reshape(100, -1).astype(np.float64) @ onnx_weights for turned in (images, images[:, :, ::-1]))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    squared = ((x[::2] - x[1::2]) ** 2).sum(axis=1)
    thresholds = np.arange(0, 4, 0.01)
    expected = []
    for fold in np.array_split(np.arange(50), FOLDS):
        rest = np.setdiff1d(np.arange(50), fold)
        right = [np.mean((squared[rest] < threshold) == same[rest]) for threshold in thresholds]
        expected.append(np.mean((squared[fold] < thresholds[np.argmax(right)]) == same[fold]))
    assert trial["rates_of_sets"]["lfw"]["fold_accuracies"] == pytest.approx(expected, abs=1e-12)
    on_set = trial["sets"]["lfw"]
    assert on_set["fold_accuracy"] == pytest.approx(np.mean(expected), abs=1e-12)
    # Beside it, the accuracy at the threshold of the validation people of the other data set.
    accepted = squared / 2 <= trial["threshold"]
    assert on_set["accuracy"] == pytest.approx((accepted[same].mean() + (~accepted[~same]).mean()) / 2, abs=1e-12)
    assert trial["rates_of_sets"]["lfw"]["met"]["tar@far=0.5"] <= 0.5
    assert on_set["tar@far=1e-06"] is None
    assert "fold_accuracy" not in trial["metrics"]
    (faces,) = results["test_sets"]
    assert (faces["measured"]["pairs"], faces["measured"]["similar"]) == (50, 25)
    assert [note for note in results["notes"] if note.startswith("test set lfw: TAR@1e-6 ")]
    assert [note for note in results["notes"] if "100 images, 50 listed pairs in 10 folds" in note]

    (run,) = (tmp_path / "runs").iterdir()
    _, said, _ = command("report", run, "--set", "lfw", "--json")
    (mean,) = [row for row in json.loads(said)["summary"] if row["metric"] == "fold_accuracy"]
    assert (mean["mean"], mean["folds"]) == (pytest.approx(np.mean(expected)), 10)
    assert mean["standard_error"] == pytest.approx(np.std(expected, ddof=1) / np.sqrt(10))

    spec.write_text(SPEC.format(kind="all_pairs", **files), encoding="utf-8")
    code, _, err = command("run", spec, "--out", tmp_path / "runs")
    assert code == 2
    assert 'knows no people, only its own pairs; write kind = "pairs_file" without path' in err


def test_pairs_that_are_lost_are_in_the_numbers_and_beside_them(
    onnx_network, onnx_weights, pairs, face_folder, command, tmp_path, monkeypatch
):
    """Three images of the list are no pictures; two of them make one pair of two people."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    images, same = pairs
    damaged = (4, 10, 11)
    photos = [f"junk {number}".encode() if number in damaged else png(image) for number, image in enumerate(images)]
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps((photos, same.tolist())))
    spec = tmp_path / "spec.toml"
    files = {"folder": face_folder.as_posix(), "pairs": "lfw.bin", "network": onnx_network.as_posix()}
    spec.write_text(SPEC.format(kind="pairs_file", **files), encoding="utf-8")
    code, _, err = command("run", spec, "--out", tmp_path / "runs", "--set", "preprocess.on_unreadable=skip")
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    (faces,) = results["test_sets"]
    assert (faces["measured"]["pairs"], faces["measured"]["of_pairs"], faces["measured"]["of_images"]) == (48, 50, 100)
    lost = {"fta": 3 / 100, "lost_similar": 1 / 25, "lost_different": 1 / 25}
    assert {key: faces["acquisition"][key] for key in lost} == pytest.approx(lost)

    # By hand: what is accepted of the pairs that are left, at the threshold of the other data set.
    (trial,) = results["trials"]
    x = sum(turned.reshape(100, -1).astype(np.float64) @ onnx_weights for turned in (images, images[:, :, ::-1]))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    accepted = 1 - (x[::2] * x[1::2]).sum(axis=1) <= trial["threshold"]
    left = ~np.isin(np.arange(50), [2, 5])
    fnmr, fmr = (~accepted[left & same]).mean(), accepted[left & ~same].mean()
    (rates,) = faces["failures"]["rates"]
    expected = {"fmr": fmr, "fnmr": fnmr, "far": fmr * 24 / 25, "frr": 1 / 25 + fnmr * 24 / 25}
    assert {rate: rates[rate]["mean"] for rate in expected} == pytest.approx(expected)
    assert results["failures"] is None

    _, said, _ = command("report", run)
    assert "! not used whole: lfw: 48 of 50 pairs" in said
    _, said, _ = command("report", run, "--set", "lfw")
    assert "measured on lfw: test set, 48 of 50 pairs" in said.splitlines()[0]
    assert "The numbers are about 48 of 50 pairs, since images of test set lfw cannot be used." in said
    assert "! 3 images of test set lfw could not be used" in said
    assert "FTA 3.0 %" in said
    assert "FRR %" in said
    _, said, _ = command("report", run, "--set", "lfw", "--format", "markdown")
    assert "48 of 50 pairs" in said.splitlines()[0]
    assert "3 of 100 images of test set lfw could not be used" in command("report", run, "--set", "lfw", "--notes")[1]
    assert "48 of 50 pairs" in (run / "report-lfw.html").read_text(encoding="utf-8")


def test_where_nothing_is_trained_nothing_starts_from_phase_1(
    onnx_network, verification_set, face_folder, command, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    spec = tmp_path / "spec.toml"
    files = {"folder": face_folder.as_posix(), "pairs": verification_set.as_posix(), "network": onnx_network.as_posix()}
    # A question that nobody can ask of such a run; the metric is not measured on a list without names.
    asked = 'verdict = { metric = "map_at_r", questions = ["helps"] }\n'
    spec.write_text(asked + SPEC.format(kind="pairs_file", **files), encoding="utf-8")
    code, _, err = command("run", spec, "--out", tmp_path / "runs", "--set", "seeds=[0,1,2]")
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    for of_set in ([], ["--set", "lfw"]):
        for form in (["--notes"], ["--matrix"], ["--format", "markdown"], ["--format", "latex"]):
            code, said, err = command("report", run, *of_set, *form)
            assert code == 0, err
            assert "phase-1" not in said
            assert "helps" not in said.casefold().replace("helps: paired t-tests against what losses start from", "")
    for page in ("report.html", "report-lfw.html"):
        assert "phase-1" not in (run / page).read_text(encoding="utf-8")
    _, said, _ = command("report", run, "--set", "lfw")
    # Every trial gives the same embeddings of the set, so that only its people tell how sure that is.
    assert "The only row beats guessing over all trials together" in " ".join(said.split())
    # The set is judged by what it has.
    assert json.loads(command("report", run, "--set", "lfw", "--json")[1])["verdict"]["metric"] == "accuracy"
    assert "accuracy % on each set" in command("report", run)[1]


def test_runs_are_compared_on_a_test_set(onnx_network, verification_set, face_folder, command, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    spec = tmp_path / "spec.toml"
    files = {"folder": face_folder.as_posix(), "pairs": verification_set.as_posix(), "network": onnx_network.as_posix()}
    spec.write_text(SPEC.format(kind="pairs_file", **files), encoding="utf-8")
    folders = []
    for flip in ("true", "false"):
        changed = ["--set", f"evaluation.flip={flip}", "--set", f"name=flip-{flip}", "--set", "seeds=[0,1,2]"]
        code, _, err = command("run", spec, "--out", tmp_path / "runs", *changed)
        assert code == 0, err
        folders.append(next((tmp_path / "runs").glob(f"flip-{flip}-*")))
    code, said, err = command("compare", *folders, "--set", "lfw", "--metric", "fold_accuracy", "--json")
    assert code == 0, err
    compared = json.loads(said)
    assert (compared["measured_on"], compared["names"]) == ("lfw", ["flip-true", "flip-false"])
    (line,) = compared["lines"]
    for folder, summary in zip(folders, line["summaries"], strict=True):
        trials = json.loads((folder / "results.json").read_text(encoding="utf-8"))["trials"]
        assert summary["mean"] == pytest.approx(np.mean([trial["sets"]["lfw"]["fold_accuracy"] for trial in trials]))
    # Both runs cut the same data alike and measure the same pairs, so that trials are paired.
    assert compared["remarks"] == []
    assert line["tests"][0]["difference"] == pytest.approx(line["summaries"][0]["mean"] - line["summaries"][1]["mean"])
    _, said, _ = command("compare", *folders, "--set", "lfw")
    assert "accuracy % on lfw" in said
    assert json.loads(command("compare", *folders, "--json")[1])["measured_on"] is None
    code, _, err = command("compare", *folders, "--set", "lwf")
    assert code == 2
    assert "was not measured on a test set 'lwf'; did you mean 'lfw'?" in err


FOUND = """
name = "found"
baselines = []
dataset = {{ plugin = "image_list", path = "faces.csv" }}
protocol = {{ kind = "open_set" }}
[preprocess]
size = [16, 16]
detect = {{ plugin = "landmarks", align = "none" }}
[[test_sets]]
name = "lfw"
dataset = {{ plugin = "insightface_bin", path = "{pairs}" }}
protocol = {{ kind = "pairs_file" }}
{own}
[[pretrained]]
plugin = "onnx_file"
path = "{network}"
"""
POINTS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "x5", "y5")


def test_a_set_of_crops_is_taken_whole_while_the_model_goes_on_finding_faces(
    onnx_network, onnx_weights, pairs, verification_set, face_folder, command, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    places = [f"{value * 16 / 112:.3f}" for point in TEMPLATE for value in point]
    photos = sorted(face_folder.glob("*/*.png"))
    rows = [",".join([photo.as_posix(), photo.parent.name, *places]) for photo in photos]
    (tmp_path / "faces.csv").write_text("\n".join([f"path,identity,{','.join(POINTS)}", *rows]), encoding="utf-8")
    spec = tmp_path / "spec.toml"
    files = {"pairs": verification_set.as_posix(), "network": onnx_network.as_posix()}
    # Nobody knows where the faces of that file are.
    spec.write_text(FOUND.format(own="", **files), encoding="utf-8")
    code, _, err = command("run", spec, "--out", tmp_path / "runs")
    assert code == 2
    assert "test set lfw: [preprocess.detect]: " in err
    assert "if its images are crops already, set detect = false in its table [[test_sets]]" in err
    spec.write_text(FOUND.format(own="detect = false", **files), encoding="utf-8")
    code, _, err = command("run", spec, "--out", tmp_path / "runs")
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    (trial,) = json.loads((run / "results.json").read_text(encoding="utf-8"))["trials"]
    images, same = pairs
    x = images.reshape(100, -1).astype(np.float64) @ onnx_weights
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    accepted = 1 - (x[::2] * x[1::2]).sum(axis=1) <= trial["threshold"]
    expected = (accepted[same].mean() + (~accepted[~same]).mean()) / 2
    assert trial["sets"]["lfw"]["accuracy"] == pytest.approx(expected)
    (record,) = (run / "models").glob("*/calibration.json")
    detect = json.loads(record.read_text(encoding="utf-8"))["preprocess"]["detect"]
    assert (detect["plugin"], detect["align"]) == ("landmarks", False)
