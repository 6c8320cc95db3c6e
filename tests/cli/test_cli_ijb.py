"""IJB's files, as InsightFace and NIST hand them out: templates of images, averaged by medium, judged by a list of pairs."""

from __future__ import annotations

import dataclasses
import json
import re
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
    photos: list[str] = []
    person, template, medium = [], [], []
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
    made = Ijb(root, tuple(photos), np.array(person), np.array(template), np.array(medium), score, pairs)
    listed = zip(photos, template, medium, strict=True)
    (root / "meta" / "ijbc_face_tid_mid.txt").write_bytes(
        b"".join(b"%s %d %d\n" % (n.encode(), t, m) for n, t, m in listed)
    )
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
    """``run(tables, "key=value")``: exit code, results and what was said of an experiment with further tables."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))

    def call(tables, *overrides):
        file = spec(tmp_path, onnx_network, face_folder, tables)
        overridden = [word for override in overrides for word in ("--set", override)]
        code, said, err = command("run", file, "--out", tmp_path / "runs", "--json", *overridden)
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


def nist(ijb: Ijb) -> None:
    """Write the same templates as NIST does: one file of galleries, one of probes, and pairs without truth values."""
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n"
    galleries = set(ijb.pairs[:, 0].tolist())
    for name, of_file in (("ijbc_1N_gallery_G1.csv", True), ("ijbc_1N_probe_mixed.csv", False)):
        lines = [
            f"{template},{100 + person},loose_crop/{photo},{medium},1,2,3,4\n"
            for template, person, photo, medium in zip(ijb.template, ijb.person, ijb.photos, ijb.medium, strict=True)
            if (template in galleries) == of_file
        ]
        (ijb.root / name).write_text(header + "".join(lines))
    (ijb.root / "ijbc_11_G1_G2_matches.csv").write_text("".join(f"{a},{b}\n" for a, b in ijb.pairs.tolist()))


NIST = """
[[test_sets]]
name = "ijbc"
overlap = "warn"
dataset = { plugin = "image_list", path = "IJBC/ijbc.csv", root = "IJBC/loose_crop", identity_column = "" }
[test_sets.protocol]
kind = "pairs_file"
path = "IJBC/ijbc_11_G1_G2_matches.csv"
template_list = ["IJBC/ijbc_1N_gallery_G1.csv", "IJBC/ijbc_1N_probe_mixed.csv"]
"""


def test_nist_s_files_say_who_is_who(run, ijb, onnx_weights):
    """They give the same numbers; and since people are known, somebody can be searched for."""
    nist(ijb)
    code, results, err = run(NIST)
    assert code == 0, err
    metrics = measured_on(results, "ijbc")
    scores = scores_by_hand(ijb, embedded(ijb, onnx_weights))
    assert metrics["auc"] == pytest.approx(roc_auc_score(ijb.same, scores), abs=1e-9)
    assert metrics["map_at_r"] is not None
    assert "test set ijbc: 10 people, 90 images, 200 listed pairs of templates" in "\n".join(results["notes"])


def test_templates_of_which_no_image_can_be_used_are_counted(run, ijb, onnx_weights):
    """The first template keeps one image of three, the second none."""
    lost = np.isin(np.arange(len(ijb.photos)), [0, 1, 3, 4, 5])
    for photo in np.flatnonzero(lost).tolist():
        (ijb.root / "loose_crop" / ijb.photos[photo]).write_bytes(b"no image")
    code, results, err = run(INSIGHTFACE, "preprocess.on_unreadable=skip")
    assert code == 0, err
    left = dataclasses.replace(
        ijb,
        photos=tuple(np.array(ijb.photos)[~lost]),
        **{name: getattr(ijb, name)[~lost] for name in ("person", "template", "medium", "score")},
        pairs=ijb.pairs[np.isin(ijb.pairs, ijb.template[~lost]).all(axis=1)],
    )
    assert len(left.pairs) == 190
    metrics = measured_on(results, "ijbc")
    scores = scores_by_hand(left, embedded(left, onnx_weights))
    assert metrics["auc"] == pytest.approx(roc_auc_score(left.same, scores), abs=1e-9)
    notes = "\n".join(results["notes"])
    assert "test set ijbc: 85 images, 190 of 200 listed pairs of templates" in notes
    assert (
        "5 of 90 images of test set ijbc could not be used; no image is left of 1 of 30 listed templates, in 10 pairs"
    ) in notes


def folder_of_people(ijb: Ijb, root: Path) -> dict[str, str]:
    """Put the photos into a folder for each person, and return what each is called there."""
    names = {}
    for photo, person in zip(ijb.photos, ijb.person.tolist(), strict=True):
        folder = root / f"person{person}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / photo).write_bytes((ijb.root / "loose_crop" / photo).read_bytes())
        names[photo] = f"person{person}/{photo}"
    return names


OWN = """
name = "own"
baselines = []
[dataset]
plugin = "image_folder"
path = "people"
[preprocess]
size = [16, 16]
on_unreadable = "skip"
[protocol]
kind = "pairs_file"
path = "pairs.csv"
template_list = "templates.txt"
[[pretrained]]
plugin = "onnx_file"
path = "{network}"
label = "network"
"""


def test_they_may_be_the_protocol_of_the_data_set(command, ijb, onnx_network, onnx_weights, tmp_path, monkeypatch):
    """With folds, each takes its threshold from templates of others; a template that is lost counts as rejected."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    names = folder_of_people(ijb, tmp_path / "people")
    # The probe of person 0 that no image is left of, and the gallery template of which one is.
    for photo in (0, 1, 3, 4, 5):
        (tmp_path / "people" / names[ijb.photos[photo]]).write_bytes(b"no image")
    listed = zip(ijb.photos, ijb.template, ijb.medium, strict=True)
    (tmp_path / "templates.txt").write_text("".join(f"{names[photo]} {t} {m}\n" for photo, t, m in listed))
    whose = dict(zip(ijb.template.tolist(), ijb.person.tolist(), strict=True))
    rows = [
        f"{a},{b},{int(whose[a] == whose[b])},{whose[a] // 5}\n"
        for a, b in ijb.pairs.tolist()
        if whose[a] // 5 == whose[b] // 5
    ]
    (tmp_path / "pairs.csv").write_text("a,b,same,fold\n" + "".join(rows))
    (tmp_path / "own.toml").write_text(OWN.format(network=onnx_network))
    code, said, err = command("run", tmp_path / "own.toml", "--out", tmp_path / "runs", "--json")
    assert code == 0, err
    results = json.loads(said)
    left = ~np.isin(np.arange(len(ijb.photos)), [0, 1, 3, 4, 5])
    kept = dataclasses.replace(
        ijb,
        photos=tuple(np.array(ijb.photos)[left]),
        **{name: getattr(ijb, name)[left] for name in ("person", "template", "medium", "score")},
    )
    for fold, trial in enumerate(results["trials"]):
        judged = [
            pair
            for pair in ijb.pairs.tolist()
            if all(whose[each] // 5 == fold and each in kept.template for each in pair)
        ]
        of_fold = dataclasses.replace(kept, pairs=np.array(judged))
        scores = scores_by_hand(of_fold, embedded(kept, onnx_weights), weighted=False)
        assert trial["metrics"]["auc"] == pytest.approx(roc_auc_score(of_fold.same, scores), abs=1e-9)
        assert trial["metrics"]["fold_accuracy"] is not None
    (first, second) = results["parts"]
    assert (first["test"]["images"], first["test"]["pairs"], first["test"]["similar"]) == (40, 45, 9)
    # Of 45 images 5 are lost, of 15 templates 1, and with it 1 of 10 similar pairs and 4 of 40 different ones.
    assert first["acquisition"] == {"fta": 5 / 45, "fte": 1 / 15, "lost_similar": 1 / 10, "lost_different": 4 / 40}
    assert second["acquisition"] == {"fta": 0, "fte": 0, "lost_similar": 0, "lost_different": 0}
    (rates,) = results["failures"]["rates"]
    assert rates["frr"]["mean"] > rates["fnmr"]["mean"]
    notes = "\n".join(results["notes"])
    assert "95 listed pairs of templates in 2 folds" in notes
    assert "no image is left of 1 of 30 listed templates, in 5 pairs" in notes


def test_evaluate_takes_a_list_of_templates(command, ijb, onnx_network, tmp_path, monkeypatch):
    """Without a list of pairs, people are dealt to the parts, and every two templates of the test part are judged."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "store"))
    nist(ijb)
    lists = (ijb.root / name for name in ("ijbc_1N_gallery_G1.csv", "ijbc_1N_probe_mixed.csv"))
    table = ijb.root / "people.csv"
    rows = zip(ijb.photos, ijb.person, strict=True)
    table.write_text("path,identity\n" + "".join(f"loose_crop/{photo},{100 + person}\n" for photo, person in rows))
    code, said, err = command(
        *("evaluate", onnx_network, "--dataset", "image_list", "--path", table, "--out", tmp_path / "runs", "--json"),
        *(word for file in lists for word in ("--templates", file)),
    )
    assert code == 0, err
    results = json.loads(said)
    test = results["parts"][0]["test"]
    # Two people of nine images, which are three templates each.
    assert (test["images"], test["people"], test["pairs"], test["similar"]) == (18, 2, 15, 6)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("ijbc_face_tid_mid.txt", "1.png 7", "has 2 fields; a line has an image, its template and its medium"),
        ("ijbc_face_tid_mid.txt", "91.png 1 5", "the data set has no image called '91.png'"),
        ("ijbc_template_pair_label.txt", "1 8", "has 2 fields; a line of this list has 3: two templates and 1 or 0"),
        ("ijbc_template_pair_label.txt", "1 9 0", "template '9' is not in the list of templates"),
        ("ijbc_template_pair_label.txt", "1 8 0", "is said to show two people, but pairs of one person join"),
    ],
)
def test_what_is_wrong_in_them_is_said_before_anything_is_decoded(run, ijb, tmp_path, file, line, said):
    path = ijb.root / "meta" / file
    number = len(path.read_text().splitlines()) + 1
    with path.open("a") as opened:
        opened.write(f"{line}\n")
    code, _, err = run(INSIGHTFACE)
    assert code == 2
    (error,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert error.startswith(f"error: {path}:{number}: {said}")
    assert err.endswith(f"{error}\n")
    assert not list((tmp_path / "store").rglob("images.npy"))


def test_a_template_of_two_people_is_refused_with_its_lines(run, ijb):
    nist(ijb)
    path = ijb.root / "ijbc_1N_probe_mixed.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(",100,", ",109,")
    path.write_text("\n".join(lines))
    code, _, err = run(NIST)
    assert code == 2
    assert (
        err.strip()
        == f"error: {path}:3: template '8' shows '109' here and '100' in line 2; a template shows one person"
    )


def test_lists_that_do_not_exist_or_do_not_fit_are_told_at_their_lines(run, ijb):
    code, _, err = run(INSIGHTFACE.replace("ijbc_face_tid_mid", "ijbc_tid_mid"))
    assert code == 2
    assert re.search(r"ijb.toml:\d+: test_sets\[0\].protocol.template_list: no such file: .*did you mean", err), err
    code, _, err = run(INSIGHTFACE.replace('path = "IJBC/meta/ijbc_template_pair_label.txt"\n', ""))
    assert code == 2
    assert "template_list needs path, the list of pairs of templates, or all_pairs" in err
    code, _, err = run(INSIGHTFACE.split("template_list", maxsplit=1)[0])
    assert code == 2
    assert "ijbc_template_pair_label.txt: is a list of pairs of templates; name the list of templates as" in err
    assert len(err.strip().splitlines()) == 1
