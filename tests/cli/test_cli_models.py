"""``verify``, ``identify`` and ``embed`` on the command line; the network is a fake, whose embeddings are the pixels."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from faceexp.results.model_schema import ModelRecord
from faceexp.serving.model import FaceModel


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Give every command a fake model; the list says how each was opened."""
    record = ModelRecord.model_validate(
        {"label": "fake", "distance": "euclidean", "threshold": 1.0, "preprocess": {"size": [16, 16]}}
    )
    calls = []

    def load(path, **options):
        calls.append((path, options))
        return FaceModel(tmp_path, record, lambda pixels: pixels.reshape(len(pixels), -1).astype(np.float32))

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
