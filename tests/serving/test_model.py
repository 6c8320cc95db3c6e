"""A trained model at work gives the decisions that its report states."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import faceexp
from faceexp.errors import InputError
from faceexp.experiment.schema import Preprocess
from faceexp.serving.answers import Tally, as_json, tally
from faceexp.serving.find import find
from faceexp.serving.model import load_model
from faceexp.serving.pair_lists import read_pairs
from faceexp.serving.photos import gallery_of, photos_in, writer_of
from faceexp.store import Store

SPEC = """\
name = "served"
baselines = []
seeds = [0, 1]
[dataset]
plugin = "image_folder"
path = "{folder}"
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
test_fraction = 0.4
[keep]
models = "all"
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8
[pretrain]
epochs = 2
batch_size = 12
[finetune]
steps = 20
validate_every = 5
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
[[losses]]
plugin = "contrastive"
margin = 3.0
[[losses]]
plugin = "npairs"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def study(home, face_folder):
    (home / "x.toml").write_text(SPEC.format(folder=face_folder), encoding="utf-8")
    return faceexp.load(home / "x.toml")


@pytest.fixture(scope="module")
def run(study, home):
    return study.run(home / "runs", store=home / "store")


@pytest.fixture(scope="module")
def tested(study, home):
    """The images of the first seed's test part, with their labels."""
    plan = study.plan(Store(home / "store"))
    test = plan.splits[0].test
    return [str(plan.data.images[index]) for index in test], plan.labels[test]


@pytest.fixture(scope="module")
def pairs_file(tested, home):
    """Every pair of the first seed's test part, as people write such lists."""
    files, labels = tested
    lines = [
        f"{files[i]},{files[j]},{int(labels[i] == labels[j])}" for i, j in itertools.combinations(range(len(files)), 2)
    ]
    (home / "pairs.csv").write_text("\n".join(["a,b,same", *lines]), encoding="utf-8")
    return home / "pairs.csv"


def trial_of(run, label, seed=0):
    return next(trial for trial in run.trials if (trial.label, trial.seed) == (label, seed))


def test_a_model_knows_the_files_of_its_training_and_validation_parts_and_no_others(run, study, home):
    plan = study.plan(Store(home / "store"))
    for split in plan.splits:
        model = load_model(run.folder / "models" / trial_of(run, "npairs", split.seed).id)
        seen = {*split.train.tolist(), *split.validation.tolist()}
        for index, photo in enumerate(plan.data.images):
            assert model.seen.holds(photo) == model.seen.holds(photo.read_bytes()) == (index in seen)
        assert model.record.seen_photos.count == len(seen)
        assert model.seen.holds(np.zeros((16, 16), np.uint8)) is None
        assert model.seen.count(plan.data.images) == len(seen)


# Which model ------------------------------------------------------------------------------------------------------------


def test_a_run_means_its_best_loss_by_validation(run):
    scores: dict[str, dict[str, float]] = {}
    for trial in run.trials:
        best = next(point.validation for point in trial.curve if point.step == trial.best_step)
        scores.setdefault(trial.label, {})[trial.id] = best
    label = max(scores, key=lambda name: np.mean(list(scores[name].values())))
    assert load_model(run.folder).label == label
    for name, own in scores.items():
        assert find(f"{run.folder}:{name}").root.name == max(own, key=own.get)
    assert find(str(run.folder / "models" / run.trials[0].id)).root.name == run.trials[0].id


def test_what_is_no_model_says_so(run, tmp_path):
    with pytest.raises(
        InputError, match=r"no such folder; name a run \(`faceexp runs` lists them\), RUN:label, or a folder"
    ):
        find(str(tmp_path / "none"))
    with pytest.raises(InputError, match="holds no model"):
        find(str(tmp_path))
    with pytest.raises(InputError, match="the run has no loss 'npair'; did you mean 'npairs'"):
        find(f"{run.folder}:npair")
    folder = tmp_path / "model"
    shutil.copytree(run.folder / "models" / run.trials[0].id, folder)
    (folder / "model.keras").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.keras: cannot be loaded"):
        load_model(folder).embed([np.zeros((16, 16), np.uint8)])
    (folder / "model.keras").unlink()
    with pytest.raises(InputError, match="holds none of model.onnx"):
        load_model(folder)
    for text, message in (("{", "cannot be read"), ("[]", "does not describe a model"), ("{}", "does not describe")):
        (folder / "calibration.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            load_model(folder)


# Decisions --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["contrastive(margin=3)", "npairs"])
def test_listed_pairs_get_the_decisions_and_the_accuracy_of_the_report(
    run, tested, pairs_file, command, label, study, home
):
    trial, (_, labels) = trial_of(run, label), tested
    code, out, err = command("verify", run.folder / "models" / trial.id, "--pairs", pairs_file)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    accuracy = trial.metrics["accuracy"]
    assert f"balanced accuracy {accuracy * 100:.2f} %" in err
    # Against the embeddings that the engine kept, pair by pair.
    from faceexp.engine.training import train
    from faceexp.evaluation.checkpoints import ValidationAuc

    store = Store(home / "store")
    kept = next(t for t in train(study.plan(store), store, ValidationAuc(), lambda e: None) if t.trial.id == trial.id)
    embeddings = kept.embeddings["test"].astype(np.float64)
    if trial.distance == "cosine":
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    for row, (i, j) in zip(rows, itertools.combinations(range(len(embeddings)), 2), strict=True):
        distance = np.linalg.norm(embeddings[i] - embeddings[j])
        distance = distance**2 / 2 if trial.distance == "cosine" else distance
        assert float(row["distance"]) == pytest.approx(distance, rel=1e-3, abs=1e-5)
        assert (row["accepted"] == "1") == (distance <= trial.threshold)
        assert (row["same"] == "1") == (labels[i] == labels[j])
    code, out, _ = command("verify", run.folder / "models" / trial.id, "--pairs", pairs_file, "--json")
    assert json.loads(out)["summary"]["accuracy"] == pytest.approx(accuracy, abs=1e-12)


def test_two_photos(run, tested, command):
    files, labels = tested
    model = load_model(run.folder)
    other = int(np.flatnonzero(labels != labels[0])[0])
    for photo in (files[1], files[other]):
        found = model.verify(files[0], photo)
        assert found.same == (found.distance <= found.threshold)
        assert math.isnan(found.probability), "two validation people are too few for one"
        code, out, _ = command("verify", run.folder, files[0], photo)
        assert code == 0
        assert out.startswith("the same person" if found.same else "not the same person")
        assert "people, too few to say how often it is wrong about others" in " ".join(out.split())
        assert "This model was not shown to be better than guessing." in out, "which five test people cannot show"
        said = json.loads(command("verify", run.folder, files[0], photo, "--json")[1])
        assert said["distance"] == pytest.approx(found.distance, rel=1e-5)
        assert said["model"]["label"] == model.label
        assert said["decision"] == found.decision == ("same" if said["same"] else "different")
    same = model.verify(files[0], files[0])
    assert (same.same, same.distance) == (True, 0.0)


def test_photos_may_be_paths_pictures_or_arrays(run, tested):
    model = load_model(run.folder)
    path = tested[0][0]
    with Image.open(path) as image:
        given = [path, image.copy(), np.asarray(image)]
    rows = model.embed(given)
    assert rows.shape == (3, 8)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert model.embed([]).shape == (0, 0)


def test_a_false_accept_rate_chooses_another_threshold_or_says_which_there_are(run, tested, command):
    model = load_model(run.folder)
    calibration = model.record.calibration
    assert calibration.thresholds["0.001"] is None
    other = calibration.model_copy(update={"thresholds": {"0.1": 2.5, "0.001": None}})
    served = dataclasses.replace(model, record=model.record.model_copy(update={"calibration": other}))
    first, second = tested[0][:2]
    verdict = served.verify(first, second, far=0.1)
    assert (verdict.threshold, verdict.far) == (2.5, 0.1)
    with pytest.raises(
        InputError, match=r"at a false accept rate of 0.001: its \d+ different validation pairs are too few"
    ):
        model.verify(first, second, far=0.001)
    code, out, err = command("verify", run.folder, first, second, "--far", "0.3")
    assert (code, out) == (2, "")
    assert "rate of 0.3: it was not set; this model has them at none" in err


def test_each_photo_that_cannot_be_used_is_named(run, tested, tmp_path, command):
    (tmp_path / "text.png").write_text("no image")
    code, out, err = command("verify", run.folder, tmp_path / "text.png", tmp_path / "none.png")
    assert (code, out) == (2, "")
    assert [line.removeprefix(f"error: {tmp_path}/")[:20] for line in err.splitlines()] == [
        "text.png: cannot be ",
        "none.png: does not e",
    ]
    assert "name two photos" in command("verify", run.folder, tested[0][0])[2]
    assert "name two photos" in command("verify", run.folder)[2]


def test_whom_a_photo_shows(run, tested, face_folder, command, tmp_path):
    files, labels = tested
    gallery = tmp_path / "gallery"
    for file, label in zip(files, labels, strict=True):
        if file != files[0]:
            (gallery / f"person {label}").mkdir(parents=True, exist_ok=True)
            shutil.copy(file, gallery / f"person {label}")
    model = load_model(run.folder)
    found = model.identify(gallery_of(gallery), files[0])
    rows = model.embed(files).astype(np.float64)
    if model.distance == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    distances = np.linalg.norm(rows[1:] - rows[0], axis=1)
    order = [f"person {label}" for label in labels[1:][np.argsort(distances, kind="stable")]]
    assert [candidate.name for candidate in found.candidates] == list(dict.fromkeys(order))
    assert found.somebody == (found.candidates[0].distance <= found.threshold)
    code, out, _ = command("identify", run.folder, gallery, files[0])
    assert code == 0
    assert f"\nthis is {order[0]}\n" in out if found.somebody else "\nnobody in the gallery\n" in out
    # White noise is nobody.
    noise = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    said = json.loads(command("identify", run.folder, gallery, tmp_path / "noise.png", "--json")[1])
    assert said["somebody"] == (said["candidates"][0]["distance"] <= said["threshold"])


def test_a_gallery_may_be_one_photo_a_person(tmp_path, tested):
    for name in ("Ann", "Bob"):
        shutil.copy(tested[0][0], tmp_path / f"{name}.png")
    (tmp_path / ".hidden").mkdir()
    shutil.copy(tested[0][0], tmp_path / ".hidden" / "x.png")
    (tmp_path / "notes.txt").write_text("no photo")
    assert {name: [file.name for file in own] for name, own in gallery_of(tmp_path).items()} == {
        "Ann": ["Ann.png"],
        "Bob": ["Bob.png"],
    }
    with pytest.raises(InputError, match="no such folder"):
        photos_in(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no photo"):
        photos_in(tmp_path / "empty")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "npz"])
def test_embeddings_of_a_folder(run, face_folder, tmp_path, command, suffix):
    output = tmp_path / f"e.{suffix}"
    code, out, err = command("embed", run.folder, face_folder, "-o", output)
    assert (code, err) == (0, "")
    assert "72 embeddings of 8 numbers" in out
    if suffix == "npz":
        with np.load(output, allow_pickle=False) as file:
            photos, rows = file["photos"].tolist(), file["embeddings"]
    else:
        import pandas as pd

        table = pd.read_parquet(output) if suffix == "parquet" else pd.read_csv(output)
        photos = table["photo"].tolist()
        rows = np.stack(list(table["embedding"])) if suffix == "parquet" else table.drop(columns="photo").to_numpy()
    assert photos == sorted(str(path.relative_to(face_folder)) for path in face_folder.rglob("*.png"))
    expected = load_model(run.folder).embed([face_folder / photos[0], face_folder / photos[-1]])
    np.testing.assert_allclose(rows[[0, -1]], expected, rtol=1e-5, atol=1e-6)


def test_a_photo_that_cannot_be_embedded_costs_itself_alone(run, tested, tmp_path, command):
    shutil.copy(tested[0][0], tmp_path / "a.png")
    (tmp_path / "b.png").write_text("nothing")
    code, out, err = command("embed", run.folder, tmp_path, "-o", tmp_path / "e.csv", "--json")
    assert code == 1
    assert json.loads(out)["photos"] == 1
    assert "left out: " in err
    (tmp_path / "a.png").unlink()
    assert command("embed", run.folder, tmp_path, "-o", tmp_path / "e.csv")[0] == 2
    code, _, err = command("embed", run.folder, tmp_path, "-o", tmp_path / "e.txt")
    assert (code, err.partition("e.txt: ")[2]) == (2, ".txt cannot be written; known: .csv, .npz, .parquet\n")


def test_parquet_needs_what_writes_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'faceexp\[parquet\]'"):
        writer_of(tmp_path / "e.parquet")


# Lists of pairs ---------------------------------------------------------------------------------------------------------


def test_lists_of_pairs_are_relative_to_their_own_folder(tmp_path):
    (tmp_path / "p.csv").write_text("a,b,same\nx.png, y/z.png ,1\n\nx.png,q.png,no\n", encoding="utf-8")
    assert read_pairs(tmp_path / "p.csv").pairs == [
        (str(tmp_path / "x.png"), str(tmp_path / "y" / "z.png"), True),
        (str(tmp_path / "x.png"), str(tmp_path / "q.png"), False),
    ]
    (tmp_path / "p.csv").write_text("a,b\nx.png,y.png\n", encoding="utf-8")
    assert read_pairs(tmp_path / "p.csv").truths == [None]


def test_every_wrong_line_of_a_list_is_named(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("a,b,same\nx,y\nx,y,maybe\nx,y,1\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_pairs(file)
    assert [str(problem).rpartition("p.csv:")[2] for problem in caught.value.problems] == [
        "2: has 2 columns, the first line 3",
        "3: 'maybe' is neither 1 nor 0: 1 means that both photos show one person",
    ]
    for text in ("", "first,second\n1,2\n"):
        file.write_text(text)
        with pytest.raises(InputError, match="has to name the columns"):
            read_pairs(file)
    with pytest.raises(InputError, match="no such file; it has to be a list of pairs"):
        read_pairs(tmp_path / "none.csv")


def test_tally():
    assert tally([True, True, False, None], [True, False, False, True]) == Tally(
        pairs=4, accepted=2, known=3, right=2, accuracy=0.75
    )
    assert tally([None], [True]) == Tally(pairs=1, accepted=1, known=0, right=None, accuracy=None)
    assert tally([True], [True]).accuracy is None
    assert tally([], []) == Tally(pairs=0, accepted=0, known=0, right=None, accuracy=None)


def test_numbers_that_are_none_are_null(run, tested):
    model = load_model(run.folder)
    blank = dataclasses.replace(model, record=model.record.model_copy(update={"calibration": None, "threshold": 1.0}))
    answer = as_json(blank.verify(*tested[0][:2]))
    assert (answer["threshold"], answer["probability"], answer["far"]) == (1.0, None, None)
    assert math.isnan(blank.verify(*tested[0][:2]).probability)


def test_a_threshold_of_zero_is_a_threshold(run, tested):
    model = load_model(run.folder)
    strict = dataclasses.replace(model, record=model.record.model_copy(update={"threshold": 0.0}))
    first, second = tested[0][:2]
    assert strict.verify(first, first).same
    assert (strict.verify(first, second).threshold, strict.verify(first, second).same) == (0.0, False)


def test_a_model_that_can_decide_nothing_is_refused(run, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(find(str(run.folder)).root, model)
    content = json.loads((model / "calibration.json").read_text(encoding="utf-8"))
    (model / "calibration.json").write_text(json.dumps(content | {"threshold": None}), encoding="utf-8")
    with pytest.raises(InputError, match=r"calibration.json: has no threshold, so it can decide nothing"):
        load_model(model)


def test_files_that_are_too_large_are_not_opened(run, monkeypatch):
    folder = find(str(run.folder))
    with monkeypatch.context() as patch:
        patch.setattr("faceexp.network_files.network.MAX_BYTES", folder.network("keras").stat().st_size - 1)
        with pytest.raises(InputError, match=r"model.keras: has [\d,]+ bytes; [\d,]+ are the most that are read"):
            load_model(run.folder)
    monkeypatch.setattr("faceexp.results.folder.MAX_MODEL_RECORD_BYTES", folder.record.stat().st_size - 1)
    with pytest.raises(InputError, match=r"calibration.json: has [\d,]+ bytes; [\d,]+ are the most that are read"):
        load_model(folder.root)


def test_photos_are_checked_before_tensorflow_is_imported(run, tmp_path):
    code = f"""
import sys, faceexp
from faceexp.errors import InputError
from faceexp.experiment.schema import Preprocess
try:
    faceexp.load_model({str(run.folder)!r}).verify({str(tmp_path / "a.png")!r}, "b.png")
except InputError as error:
    sys.exit(("tensorflow" in sys.modules) + 2 * (len(error.problems) != 2))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Photos with faces in them ----------------------------------------------------------------------------------------------


@pytest.fixture
def photographs(run, tmp_path):
    """The model of the run with face detection, and photos: a face in a room, two faces, an empty room."""
    model = tmp_path / "model"
    shutil.copytree(find(str(run.folder)).root, model)
    info = json.loads((model / "calibration.json").read_text())
    info["preprocess"]["detect"] = {"align": True, "margin": 0.0, "smallest": 0.1, "several": "largest"}
    (model / "calibration.json").write_text(json.dumps(info))
    dataset: Any = faceexp.plugin("dataset", "orl")
    data = dataset.build(0)
    room = Image.fromarray(np.random.default_rng(0).integers(60, 180, (480, 640)).astype(np.uint8))
    room = room.filter(ImageFilter.GaussianBlur(6))
    faces = [Image.open(data.images[index]).convert("L").resize((123, 150)) for index in (0, 10)]
    room.save(tmp_path / "empty.png")
    room.paste(faces[0], (260, 160))
    room.save(tmp_path / "one.png")
    room.paste(faces[1].resize((82, 100)), (40, 60))
    room.save(tmp_path / "two.png")
    faces[0].save(tmp_path / "close.png")
    return model


def test_a_face_in_a_scene_is_found_cropped_and_verified(photographs, tmp_path, command):
    code, out, err = command("verify", photographs, tmp_path / "one.png", tmp_path / "close.png", "--json")
    assert (code, err) == (0, "")
    near = json.loads(out)
    assert near["same"]
    code, out, err = command("verify", photographs, tmp_path / "two.png", tmp_path / "close.png", "--json")
    assert code == 0
    assert err == f"{tmp_path / 'two.png'} shows 2 faces; the largest is compared\n"
    assert json.loads(out)["distance"] == pytest.approx(near["distance"], abs=0.05)


def test_a_photo_without_a_face_is_refused_in_a_sentence(photographs, tmp_path, command):
    code, out, err = command("verify", photographs, tmp_path / "one.png", tmp_path / "empty.png")
    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path / 'empty.png'}: shows no face that the detector finds\n"


# The guide --------------------------------------------------------------------------------------------------------------

GUIDE = Path(__file__).parents[2] / "docs" / "using-a-model.md"


@pytest.fixture
def desk(run, tested, tmp_path, monkeypatch):
    """A folder with what the guide's examples name."""
    files, labels = tested
    for name, place in (("a", 0), ("b", 1), ("photo", 2)):
        shutil.copy(files[place], tmp_path / f"{name}.jpg")
    for file, label in zip(files[3:], labels[3:], strict=True):
        (tmp_path / "gallery" / str(label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "gallery" / str(label))
    (tmp_path / "pairs.csv").write_text("a,b,same\na.jpg,b.jpg,1\na.jpg,photo.jpg,0\n", encoding="utf-8")
    # Copies, since one of the commands sets a threshold of the user's own.
    for name in ("RUN", "MODEL"):
        shutil.copytree(run.folder, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("desk")
def test_the_guides_commands_work(command):
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert [line.split()[1] for line in lines] == ["verify", "verify", "verify", "identify", "embed", "export"]
    for line in lines:
        code, out, _ = command(*line.split()[1:])
        assert (code, bool(out)) == (0, True)


@pytest.mark.usefixtures("desk")
def test_the_guides_python_works(capsys):
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, str(GUIDE), "exec"), names)  # noqa: S102 - the guide is ours
    assert names["embeddings"].shape == (2, 8)
    assert "contrastive(margin=3)" in capsys.readouterr().out


def test_the_guides_toml_is_what_preprocess_takes():
    (block,) = blocks("toml")
    table = tomllib.loads(block)["preprocess"]
    assert Preprocess.model_validate(table).detect.margin == 0.1
