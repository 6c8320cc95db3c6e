"""IJB's files, as InsightFace and NIST hand them out: templates of images, averaged by medium, judged by a list of pairs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

PEOPLE = 10
FARS = (0.2, 0.1)


@dataclass(frozen=True)
class Ijb:
    """The files of a small set, and what is in them."""

    root: Path
    photos: tuple[str, ...]
    person: np.ndarray
    template: np.ndarray
    medium: np.ndarray
    score: np.ndarray
    pairs: np.ndarray

    @property
    def same(self) -> np.ndarray:
        whose = dict(zip(self.template.tolist(), self.person.tolist(), strict=True))
        return np.array([whose[first] == whose[second] for first, second in self.pairs.tolist()])


@pytest.fixture
def ijb(faces, tmp_path) -> Ijb:
    """Ten people with one gallery template and two probes each; ids and media are numbers with gaps, as in IJB-C."""
    random = np.random.default_rng(4)
    pixels, labels = faces(24, 9)
    root = tmp_path / "IJBC"
    (root / "loose_crop").mkdir(parents=True)
    (root / "meta").mkdir()
    person, template, medium, photos = [], [], [], []
    for who in range(PEOPLE):
        for number in range(3):
            for image in range(3):
                noisy = pixels[np.flatnonzero(labels == 12 + who)[3 * number + image]].astype(int)
                noisy = np.clip(noisy + random.integers(-90, 90, noisy.shape), 0, 255).astype(np.uint8)
                photos.append(f"{len(photos) + 1}.png")
                Image.fromarray(noisy).save(root / "loose_crop" / photos[-1])
                person.append(who)
                template.append(7 * (3 * who + number) + 1)
                # Two frames of one video, and a photo.
                medium.append(69544 + 2 * (3 * who + number) + (image == 2))
    score = np.round(random.uniform(0.5, 1, len(photos)), 6)
    gallery = [7 * 3 * who + 1 for who in range(PEOPLE)]
    probes = [7 * (3 * who + number) + 1 for who in range(PEOPLE) for number in (1, 2)]
    pairs = np.array([(one, other) for one in gallery for other in probes])
    made = Ijb(root, tuple(photos), *map(np.array, (person, template, medium)), score, pairs)
    listed = zip(photos, template, medium, strict=True)
    (root / "meta" / "ijbc_face_tid_mid.txt").write_bytes(b"".join(b"%s %d %d\n" % (n.encode(), t, m) for n, t, m in listed))
    lines = (b"%d %d %d\n" % (*pair, same) for pair, same in zip(pairs.tolist(), made.same.tolist(), strict=True))
    (root / "meta" / "ijbc_template_pair_label.txt").write_bytes(b"".join(lines))
    points = "4.5 6.25 11.5 6.5 8.0 9.0 5.25 12.0 10.5 12.25"
    (root / "meta" / "ijbc_name_5pts_score.txt").write_text(
        "".join(f"{name} {points} {each}\n" for name, each in zip(photos, score.tolist(), strict=True))
    )
    # The table that docs/experiments.md makes of the last of these files.
    header = "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5,quality\n"
    body = (root / "meta" / "ijbc_name_5pts_score.txt").read_text().replace(" ", ",")
    (root / "ijbc.csv").write_text(header + body)
    return made


def embedded(ijb: Ijb, weights: np.ndarray) -> np.ndarray:
    rows = []
    for name in ijb.photos:
        with Image.open(ijb.root / "loose_crop" / name) as photo:
            rows.append(np.asarray(photo.convert("L"), np.float64).reshape(-1) @ weights.astype(np.float64))
    return np.array(rows)


def scores_by_hand(ijb: Ijb, rows: np.ndarray, *, weighted: bool = True) -> np.ndarray:
    """Cosines of the listed pairs: the mean of each medium, their sum, length 1."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows * ijb.score[:, None] if weighted else rows
    of_template = {}
    for template in np.unique(ijb.template):
        members = ijb.template == template
        media = [rows[members & (ijb.medium == medium)].mean(axis=0) for medium in np.unique(ijb.medium[members])]
        total = np.sum(media, axis=0)
        of_template[template] = total / np.linalg.norm(total)
    return np.array([of_template[first] @ of_template[second] for first, second in ijb.pairs.tolist()])


def tar_at(same: np.ndarray, scores: np.ndarray, far: float) -> float:
    rates, found, _ = roc_curve(same, scores, drop_intermediate=False)
    return float(found[rates <= far].max())


def spec(tmp_path: Path, network: Path, face_folder: Path, tables: str) -> Path:
    file = tmp_path / "ijb.toml"
    file.write_text(f"""
name = "ijb"
baselines = []
[dataset]
plugin = "image_folder"
path = "{face_folder}"
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
[[pretrained]]
plugin = "onnx_file"
path = "{network}"
label = "network"
[evaluation]
fars = {list(FARS)}
{tables}
""")
    return file


INSIGHTFACE = """
[[test_sets]]
name = "ijbc"
overlap = "warn"
dataset = { plugin = "image_list", path = "IJBC/ijbc.csv", root = "IJBC/loose_crop", identity_column = "" }
[test_sets.protocol]
kind = "pairs_file"
path = "IJBC/meta/ijbc_template_pair_label.txt"
template_list = "IJBC/meta/ijbc_face_tid_mid.txt"
"""


@pytest.fixture
def run(command, onnx_network, face_folder, tmp_path, monkeypatch):
    """``run(tables)``: exit code, results, and what was said, of an experiment with further tables."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))

    def call(tables):
        file = spec(tmp_path, onnx_network, face_folder, tables)
        code, said, err = command("run", file, "--out", tmp_path / "runs", "--json")
        return code, json.loads(said) if code == 0 else None, err

    return call


def measured_on(results, name):
    (trial,) = [trial for trial in results["trials"] if trial["kind"] == "pretrained"]
    return trial["sets"][name] if name else trial["metrics"]


def test_insightface_s_files_are_a_test_set(run, ijb, onnx_weights):
    code, results, err = run(INSIGHTFACE)
    assert code == 0, err
    metrics = measured_on(results, "ijbc")
    scores = scores_by_hand(ijb, embedded(ijb, onnx_weights))
    assert metrics["auc"] == pytest.approx(roc_auc_score(ijb.same, scores), abs=1e-9)
    for far in FARS:
        assert metrics[f"tar@far={far}"] == pytest.approx(tar_at(ijb.same, scores, far))
    # Without media, or without quality, it would be something else.
    flat = scores_by_hand(ijb, embedded(ijb, onnx_weights), weighted=False)
    assert roc_auc_score(ijb.same, flat) != pytest.approx(metrics["auc"], abs=1e-9)
    (faces,) = results["test_sets"]
    measured = faces["measured"]
    assert (measured["images"], measured["pairs"], measured["similar"]) == (90, 200, 20)
    assert measured["people"] == PEOPLE
    notes = "\n".join(results["notes"])
    assert "test set ijbc: 90 images, 200 listed pairs of templates; table ijbc.csv" in notes
    assert "90 images of test set ijbc are 30 templates" in notes
    assert "weighted by quality, those of one medium averaged first" in notes
    # Nobody knows who is who beyond the pairs, so nobody can be searched for.
    assert metrics["map_at_r"] is None
