"""What is measured of templates is what would be measured of data that hold the means of their embeddings."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from faceexp.data.groups import Groups
from faceexp.data.splits import Split
from faceexp.data.templates import Templates
from faceexp.data.test_set import PlannedSet
from faceexp.experiment.evaluation import Evaluation
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Preprocess
from faceexp.results.collect import _set_record, _split_record
from faceexp.results.finish import finish
from faceexp.results.folder import RunFolder
from faceexp.results.kept import KeptModels
from faceexp.results.measure import measure
from faceexp.store import Store
from faceexp.values import Plan, TrainedTrial, Trial

# Eight people of three templates, which have one, two and three images: image 0 is the first template of person 0.
TEMPLATE = np.repeat(np.arange(24), np.tile([1, 2, 3], 8))
PEOPLE = TEMPLATE // 3
FIRST = np.flatnonzero(np.diff(TEMPLATE, prepend=-1))
QUALITY = np.random.default_rng(1).uniform(0.1, 2, len(TEMPLATE))
GROUPS = Groups("sex", ("f", "m"), PEOPLE % 2, of_people=True)


def plan_of(labels, templates, group, sets=()):
    experiment = SimpleNamespace(
        evaluation=Evaluation(identification=True), protocol=Protocol(kind="open_set"), preprocess=Preprocess()
    )
    return Plan(
        data=SimpleNamespace(people_known=True),
        trials=(),
        labels=labels,
        identities=tuple(map(str, range(8))),
        splits=(SPLIT,),
        images_key="made",
        resolved=SimpleNamespace(experiment=experiment, model=None),
        groups=(dataclasses.replace(GROUPS, group=group),),
        templates=templates,
        sets=sets,
        images=np.zeros((len(labels), 8, 8, 1), np.uint8),
        file_digests=None,
    )


def part(*people):
    return np.flatnonzero(np.isin(PEOPLE, people))


SPLIT = Split(0, 0, part(0), part(1, 2, 3), part(4, 5, 6, 7))


def embeddings(split, dtype=np.float32, **more):
    random = np.random.default_rng(3)
    rows = random.normal(size=(8, 5))[PEOPLE] + random.normal(size=(len(PEOPLE), 5))
    rows = np.clip(100 + 40 * rows, 0, 255).astype(np.uint8) if dtype == np.uint8 else rows.astype(np.float32)
    parts = {name: rows[getattr(split, name)] for name in ("validation", "test")}
    return parts | {name: rows[chosen] for name, chosen in more.items()}


def trial_of(split, values, distance="euclidean", **rest):
    return TrainedTrial(Trial("x", "x", "baseline", 0, 0), split, "ok", embeddings=values, distance=distance, **rest)


def meant(rows, values, distance):
    """The first image of each template among some rows, and the mean of its embeddings, by a plain loop."""
    means = []
    for template in dict.fromkeys(TEMPLATE[rows].tolist()):
        of_template = np.flatnonzero(TEMPLATE[rows] == template)
        total = np.zeros(values.shape[1])
        for place in of_template:
            row = values[place] / 255 if values.dtype == np.uint8 else values[place].astype(np.float64)
            length = math.hypot(*row) if distance == "cosine" else 1
            total += QUALITY[rows[place]] * row / length
        means.append(total / QUALITY[rows[of_template]].sum())
    return np.array(means, np.float32)


def renumbered(rows):
    """The images of the data that hold one row for each template."""
    return np.unique(TEMPLATE[rows])


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_it_is_measured_as_the_means_would_be(distance, dtype):
    values = embeddings(SPLIT, dtype, train=SPLIT.train)
    found = measure(trial_of(SPLIT, values, distance), plan_of(PEOPLE, Templates("t", TEMPLATE, QUALITY), PEOPLE % 2))
    of_means = Split(0, 0, *(renumbered(rows) for rows in (SPLIT.train, SPLIT.validation, SPLIT.test)))
    means = {name: meant(getattr(SPLIT, name), rows, distance) for name, rows in values.items()}
    people = np.arange(24) // 3
    expected = measure(trial_of(of_means, means, distance), plan_of(people, None, people % 2))
    for name, value in expected.trial.metrics.items():
        assert found.trial.metrics[name] == pytest.approx(value, nan_ok=True), name
    assert found.trial.threshold == pytest.approx(expected.trial.threshold)
    assert found.trial.calibration.test_far == expected.trial.calibration.test_far
    assert [(each.similar, each.rejected) for each in found.trial.groups] == [
        (each.similar, each.rejected) for each in expected.trial.groups
    ]
    assert found.trial.metrics["rank_1"] is not None
    # Pictures are those of the first image of each template.
    pairs = [pair.images for pair in expected.trial.evidence.hardest]
    assert [pair.images for pair in found.trial.evidence.hardest] == [tuple(FIRST[list(pair)]) for pair in pairs]
    alone = measure(trial_of(SPLIT, values, distance), plan_of(PEOPLE, None, PEOPLE % 2))
    assert alone.trial.metrics["auc"] != found.trial.metrics["auc"]


def test_pairs_of_a_list_are_judged_as_pairs_of_templates():
    random = np.random.default_rng(5)
    pairs = np.array([random.choice(len(SPLIT.test), 2, replace=False) for _ in range(60)])
    split = dataclasses.replace(SPLIT, test_pairs=pairs)
    found = measure(trial_of(split, embeddings(split)), plan_of(PEOPLE, Templates("t", TEMPLATE, QUALITY), PEOPLE % 2))
    template = TEMPLATE[SPLIT.test]
    named = {tuple(sorted((template[a], template[b]))) for a, b in pairs if template[a] != template[b]}
    means = dict(zip(renumbered(SPLIT.test), meant(SPLIT.test, embeddings(SPLIT)["test"], "euclidean"), strict=True))
    near = [math.dist(means[a], means[b]) for a, b in named if a // 3 == b // 3]
    far = [math.dist(means[a], means[b]) for a, b in named if a // 3 != b // 3]
    auc = np.mean([(one < other) + (one == other) / 2 for one in near for other in far])
    assert found.trial.metrics["auc"] == pytest.approx(auc)
    record = _split_record(split, PEOPLE, "data", None, Templates("t", TEMPLATE))
    assert (record.test.images, record.test.pairs, record.test.similar) == (24, len(named), len(near))


def test_a_test_set_has_templates_of_its_own():
    """Its images lie behind those of the data set, and so do their templates."""
    number = len(PEOPLE)
    faces = PlannedSet("set", "s", "k", number + np.arange(number), PEOPLE, tuple("abcdefgh"))
    both = Templates("t", np.concatenate([np.arange(number), number + TEMPLATE]), np.tile(QUALITY, 2))
    values = embeddings(SPLIT)
    values["set"] = embeddings(Split(0, 0, part(), part(), part(*range(8))))["test"]
    plan = plan_of(PEOPLE, both, PEOPLE % 2, (faces,))
    found = measure(trial_of(SPLIT, values), plan).trial
    means = meant(np.arange(number), values["set"], "euclidean")
    near: list[float] = []
    far: list[float] = []
    for first in range(24):
        for second in range(first):
            (near if first // 3 == second // 3 else far).append(math.dist(means[first], means[second]))
    # Everybody has as many templates, so all pairs count alike.
    assert found.sets["set"]["auc"] == pytest.approx(np.mean([one < other for one in near for other in far]))
    # Groups are those of the data set, whose images alone are known to be in them.
    assert [each.group for each in found.groups] == ["f", "m"]
    record = _set_record(faces, (), both).measured
    assert (record.images, record.pairs, record.similar) == (number, 24 * 23 // 2, 8 * 3)


def test_the_store_tells_templates_apart(tmp_path):
    store = Store(tmp_path)
    made = trial_of(SPLIT, embeddings(SPLIT), key="a key")
    several = [
        None,
        Templates("t", TEMPLATE),
        Templates("t", TEMPLATE, QUALITY),
        Templates("t", np.arange(len(PEOPLE))),
    ]
    for templates in several:
        measure(made, plan_of(PEOPLE, templates, PEOPLE % 2), store)
    assert store.contents()["evaluation"][0] == len(several)
    again = measure(made, plan_of(PEOPLE, several[1], PEOPLE % 2), store).trial
    assert again.reused == ("evaluate",)


def test_the_key_of_a_split_tells_templates_apart():
    keys = {
        _split_record(SPLIT, PEOPLE, "data", None, templates).key
        for templates in (None, Templates("t", TEMPLATE), Templates("t", TEMPLATE, QUALITY))
    }
    assert len(keys) == 3


def test_the_threshold_of_a_model_is_that_of_single_photos(tmp_path):
    """Whoever uses it compares photos, whose distances are others than those of templates."""
    folder = RunFolder(tmp_path / "run")
    plan = plan_of(PEOPLE, Templates("t", TEMPLATE, QUALITY), PEOPLE % 2)
    made = dataclasses.replace(trial_of(SPLIT, embeddings(SPLIT)), trial=Trial("x", "x", "loss", 0, 0))
    record = finish(made, folder, plan, Store(tmp_path / "store"), set(), KeptModels("all"))
    of_photos = measure(made, plan_of(PEOPLE, None, PEOPLE % 2)).trial
    model = json.loads(folder.model("x").record.read_text())
    assert model["threshold"] == of_photos.threshold != record.threshold
    assert model["calibration"]["test_far"] == of_photos.calibration.test_far
