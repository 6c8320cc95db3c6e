"""``verify``, ``identify`` and ``embed`` on the command line; the network is a fake, whose embeddings are the pixels."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import numpy as np
import pytest

from faceexp.results.model_schema import ModelRecord, SeenPhotosRecord
from faceexp.serving.model import FaceModel


class Calls(list):
    """How models were opened, and how many photos of their training they know."""

    seen_photos = None


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Give every command a fake model; the list says how each was opened."""
    record = ModelRecord.model_validate(
        {"label": "fake", "distance": "euclidean", "threshold": 1.0, "preprocess": {"size": [16, 16]}}
    )
    calls = Calls()

    def load(path, **options):
        calls.append((path, options))
        known = record.model_copy(update={"seen_photos": calls.seen_photos})
        return FaceModel(tmp_path, known, lambda pixels: pixels.reshape(len(pixels), -1).astype(np.float32))

    monkeypatch.setattr("faceexp.serving.model.load_model", load)
    return calls


def test_a_saved_model_is_trusted_only_if_that_is_said(faceexp, opened, folder, tmp_path):
    photo = folder / "p00" / "0.png"
    output = tmp_path / "e.csv"
    for words in (
        ("verify", "M", photo, photo),
        ("identify", "M", folder, photo),
        ("embed", "M", folder, "-o", output),
    ):
        assert faceexp(*words)[0] == 0
        assert faceexp(*words, "--trust-saved-model")[0] == 0
    assert [options["trust_saved_model"] for _, options in opened] == [False, True] * 3


def test_a_gallery_with_a_bad_photo_is_searched_and_the_photo_named(faceexp, opened, folder):
    bad = folder / "p01" / "0.png"
    bad.write_text("no image")
    code, out, err = faceexp("identify", "M", folder, folder / "p00" / "0.png")
    assert (code, out.startswith("this is p00")) == (1, True)
    assert err.startswith(f"left out: {bad}: cannot be decoded")
    code, out, _ = faceexp("identify", "M", folder, folder / "p00" / "0.png", "--json")
    assert (code, len(json.loads(out)["left_out"])) == (1, 1)


def test_the_output_is_looked_at_before_the_model_is_loaded(faceexp, opened, folder, tmp_path):
    for output in (tmp_path / "no" / "e.csv", tmp_path / "e.txt", tmp_path):
        code, _, err = faceexp("embed", "M", folder, "-o", output)
        assert (code, err.count("\n")) == (2, 1)
        assert "--output" in err
    assert opened == []


def test_pairs_are_written_in_their_order(faceexp, opened, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text(
        "a;b;same\nfaces/p00/0.png;faces/p00/0.png;1\nfaces/p00/0.png;faces/p01/0.png;0\n"
    )
    code, out, err = faceexp("verify", "M", "--pairs", "pairs.csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, [row["accepted"] for row in rows], [row["probability"] for row in rows]) == (0, ["1", "0"], ["", ""])
    assert "balanced accuracy 100.00 %" in err
    said = json.loads(faceexp("verify", "M", "--pairs", "pairs.csv", "--json")[1])
    assert [(pair["same"], pair["probability"]) for pair in said["pairs"]] == [(True, None), (False, None)]
    (tmp_path / "pairs.csv").write_text("a,b\n")
    assert faceexp("verify", "M", "--pairs", "pairs.csv")[::2] == (
        2,
        "error: pairs.csv: lists no pair; add lines with two photos each\n",
    )


def test_labels_stay_beside_the_decisions_and_rates_have_intervals(faceexp, opened, folder, tmp_path):
    rows = [f"faces/p{n:02}/0.png,faces/p{n:02}/{m}.png,1" for n in range(12) for m in (0, 1)]
    rows += [f"faces/p{n:02}/0.png,faces/p{(n + 1) % 12:02}/0.png,0" for n in range(12)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]))
    code, out, err = faceexp("verify", "M", "--pairs", tmp_path / "pairs.csv")
    table = list(csv.DictReader(io.StringIO(out)))
    # The fake is right where both photos are one file alone.
    assert (code, [row["same"] for row in table]) == (0, ["1"] * 24 + ["0"] * 12)
    assert [row["accepted"] for row in table] == ["1", "0"] * 12 + ["0"] * 12
    assert "false reject rate (FRR)" in err
    assert "95 % intervals over 12 people, known from the folders of the photos" in err
    summary = json.loads(faceexp("verify", "M", "--pairs", tmp_path / "pairs.csv", "--json")[1])["summary"]
    assert (summary["people"], summary["people_from"], summary["accuracy"]) == (12, "folders", 0.75)
    assert (summary["rates"]["frr"]["value"], summary["rates"]["far"]["value"]) == (0.5, 0.0)
    low, high = summary["rates"]["far"]["ci95"]
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 12)))
    (tmp_path / "bare.csv").write_text("a,b\nfaces/p00/0.png,faces/p01/0.png\n")
    code, out, err = faceexp("verify", "M", "--pairs", tmp_path / "bare.csv", "--json")
    said = json.loads(out)
    assert (said["pairs"][0]["same"], said["pairs"][0]["accepted"], said["summary"]["rates"]) == (None, False, {})


def test_a_threshold_is_set_on_labelled_pairs_and_never_overwritten(faceexp, opened, folder, tmp_path):
    rows = [f"faces/p{n:02}/0.png,faces/p{n:02}/1.png,1" for n in range(12)]
    rows += [f"faces/p{n:02}/0.png,faces/p{(n + 1) % 12:02}/0.png,0" for n in range(12)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]))
    code, out, _ = faceexp("verify", "M", "--calibrate-on", tmp_path / "pairs.csv", "--json")
    said = json.loads(out)
    assert (code, said["output"]) == (0, str(tmp_path / "own_threshold.json"))
    kept = json.loads((tmp_path / "own_threshold.json").read_text())
    assert kept["calibration"]["threshold"] == said["threshold"] != 1.0
    code, out, err = faceexp("verify", "M", "--calibrate-on", tmp_path / "pairs.csv")
    assert (code, out) == (2, "")
    assert "own_threshold.json: is there already, and nothing is overwritten" in err
    (tmp_path / "own_threshold.json").unlink()
    code, out, _ = faceexp("verify", "M", "--calibrate-on", tmp_path / "pairs.csv")
    assert out.startswith(f"threshold {said['threshold']:.4g} set, instead of the model's own 1\n")
    assert "remove the file to undo it" in " ".join(out.split())
    for words in (("--far", "0.1"), ("--pairs", tmp_path / "pairs.csv"), (folder / "p00" / "0.png",)):
        assert faceexp("verify", "M", "--calibrate-on", tmp_path / "pairs.csv", *words)[0] == 2


def test_as_many_people_are_listed_as_are_asked_for(faceexp, opened, folder):
    photo = folder / "p00" / "0.png"
    _, out, _ = faceexp("identify", "M", folder, photo, "--top", 3)
    assert "and 9 more people" in out
    said = json.loads(faceexp("identify", "M", folder, photo, "--top", 3, "--json")[1])
    assert (len(said["candidates"]), said["people"]) == (3, 12)
    assert len(json.loads(faceexp("identify", "M", folder, photo, "--json")[1])["candidates"]) == 12


def test_what_is_known_of_the_model_is_in_every_answer(faceexp, opened, folder):
    photo = folder / "p00" / "0.png"
    said = json.loads(faceexp("verify", "M", photo, photo, "--json")[1])
    assert said["probability"] is None
    about = said["model"]
    assert about["tested"] == {
        "people": None,
        "seen": None,
        "accuracy": None,
        "ci95": None,
        "guessing": 0.5,
        "beats_guessing": None,
        "existed": False,
        "measured": None,
    }
    assert about["why_no_probability"] == "the pairs from which it would follow are not known"
    assert (about["chosen"], about["own_threshold"]) == (None, None)


def test_photos_that_the_model_was_trained_on_are_named_in_every_answer(faceexp, opened, folder, tmp_path):
    trained = [photo.read_bytes() for photo in (folder / "p00").glob("*.png")]
    digests = sorted({hashlib.sha256(content).digest()[:8] for content in trained})
    (tmp_path / "seen_photos.bin").write_bytes(b"".join(digests))
    whole = hashlib.sha256(b"".join(digests)).hexdigest()
    opened.seen_photos = SeenPhotosRecord(count=len(digests), sha256=whole)
    known, new = folder / "p00" / "0.png", folder / "p01" / "0.png"
    said = json.loads(faceexp("verify", "M", known, new, "--json")[1])
    assert said["seen"] == [True, False]
    assert "The model saw the first photo in its training" in faceexp("verify", "M", known, new)[1]
    assert "in its training" not in faceexp("verify", "M", new, folder / "p02" / "0.png")[1]
    said = json.loads(faceexp("identify", "M", folder, new, "--json")[1])
    photos = len(list(folder.glob("*/*.png")))
    assert (said["seen"], said["gallery_seen"]) == (False, [len(trained), photos])
    (tmp_path / "pairs.csv").write_text("a,b\nfaces/p00/0.png,faces/p00/1.png\nfaces/p00/0.png,faces/p01/0.png\n")
    summary = json.loads(faceexp("verify", "M", "--pairs", tmp_path / "pairs.csv", "--json")[1])["summary"]
    assert (summary["photos"], summary["seen"]) == (3, 2)
    (tmp_path / "seen_photos.bin").write_bytes(b"damaged")
    code, out, err = faceexp("verify", "M", known, new)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "seen_photos.bin: has 7 bytes" in err
    (tmp_path / "seen_photos.bin").unlink()
    (tmp_path / "seen_photos.bin").symlink_to("nowhere")
    assert faceexp("verify", "M", known, new)[0] == 2
    (tmp_path / "seen_photos.bin").unlink()
    assert json.loads(faceexp("verify", "M", known, new, "--json")[1])["seen"] == [None, None]
