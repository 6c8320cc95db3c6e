"""Nothing that is trained, chosen or tuned changes when the test images do: the engine, searches, every protocol."""

from __future__ import annotations

import dataclasses
import textwrap
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import faceexp
from faceexp import pipeline
from faceexp.data import pairs_file, part_files
from faceexp.engine.trials import Engine
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.experiment.baselines import BASELINES
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Augment
from faceexp.experiment.sets import SetEntry
from faceexp.planning.prepare import prepare
from faceexp.results.measure import measure
from faceexp.search import tuned
from faceexp.store import Store
from faceexp.values import ResolvedSet

KINDS = get_args(Protocol.model_fields["kind"].annotation)

# Six of twelve people in three folds; the others are trained on.
PAIRS = textwrap.dedent(
    """\
    3\t2
    person 0\t1\t2
    person 1\t3\t6
    person 0\t1\tperson 1\t1
    person 0\t2\tperson 1\t5
    person 2\t1\t2
    person 3\t3\t6
    person 2\t1\tperson 3\t1
    person 2\t2\tperson 3\t5
    person 4\t1\t2
    person 5\t3\t6
    person 4\t1\tperson 5\t1
    person 4\t2\tperson 5\t5
    """
)
# Who is in the lists of each part.
PEOPLE = {"train": range(2, 8), "validation": range(8, 12), "test": range(2)}


@pytest.fixture
def plan_of(resolved, tmp_path):
    """``plan_of(kind, inverted)``: the plan of two losses and every baseline; light and dark of some images exchanged."""
    file = tmp_path / "pairs.txt"
    file.write_text(PAIRS, encoding="utf-8")
    lists = {part: str(tmp_path / f"{part}.txt") for part in PEOPLE}
    for part, path in lists.items():
        Path(path).write_text("".join(f"person {number}\n" for number in PEOPLE[part]), encoding="utf-8")

    def build(kind, inverted=()):
        own = {
            "pairs_file": {"path": str(file)},
            "closed_set": {"test_fraction": 0.34, "validation_fraction": 0.5},
            "listed": lists,
        }
        protocol = Protocol(kind=kind, **own.get(kind, {}))
        losses = {name: faceexp.plugin("loss", name) for name in ("contrastive", "normalized_softmax")}
        given = resolved(
            losses,
            data={"inverted": inverted},
            protocol=protocol,
            baselines=tuple(BASELINES),
            augment=Augment(flip=True),
        )
        if kind == "pairs_file":
            given = dataclasses.replace(given, pairs=pairs_file.read(protocol.path))
        if kind == "listed":
            given = dataclasses.replace(given, lists=part_files.read(protocol))
        return prepare(given, Store(tmp_path / "store"), lambda event: None)

    return build


def weights_of(trained):
    import keras

    if trained.folder is None:
        return []
    return keras.saving.load_model(trained.network, safe_mode=True).get_weights()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_checkpoints_and_thresholds_do_not_see_test_images(plan_of, tmp_path, kind):
    plan = plan_of(kind)
    test = plan.splits[0].test
    other = plan_of(kind, inverted=tuple(test.tolist()))
    np.testing.assert_array_equal(other.splits[0].test, test)
    assert (plan.images[test] != other.images[test]).any(axis=(1, 2, 3)).all()

    def first_fold(plan):
        made = Engine(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None)
        return [made.run(trial) for trial in plan.trials if trial.fold == 0]

    changed = False
    for now, then in zip(first_fold(plan), first_fold(other), strict=True):
        assert (now.status, then.status) == ("ok", "ok")
        assert (now.best_step, now.curve) == (then.best_step, then.curve)
        for part in set(now.embeddings) - {"test"}:
            np.testing.assert_array_equal(now.embeddings[part], then.embeddings[part])
        for mine, theirs in zip(weights_of(now), weights_of(then), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert measure(now, plan).trial.threshold == measure(then, other).trial.threshold
        changed |= not np.array_equal(now.embeddings["test"], then.embeddings["test"])
    assert changed


def test_a_test_set_changes_nothing_that_is_trained_and_is_embedded_like_the_test_part(plan_of, made, tmp_path):
    """The set holds the images of the data set itself, so that those of the test part must get the same embeddings."""
    alone = plan_of("open_set")
    entry = SetEntry.model_validate({"name": "again", "dataset": {"plugin": "made"}, "overlap": "warn"})
    given = dataclasses.replace(alone.resolved, sets=(ResolvedSet(entry, made()),))
    plan = prepare(given, Store(tmp_path / "store"), lambda event: None)
    assert len(plan.images) == 2 * len(alone.images)

    def trained(plan):
        engine = Engine(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None)
        return [engine.run(trial) for trial in plan.trials]

    for before, now in zip(trained(alone), trained(plan), strict=True):
        assert (before.status, now.status) == ("ok", "ok")
        assert set(now.embeddings) == {*before.embeddings, "again"}
        for part, values in before.embeddings.items():
            np.testing.assert_array_equal(now.embeddings[part], values)
        for mine, theirs in zip(weights_of(now), weights_of(before), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_allclose(now.embeddings["again"][now.split.test], now.embeddings["test"], atol=1e-5)
        one, other = measure(now, plan).trial, measure(before, alone).trial
        assert (one.metrics, one.threshold) == (other.metrics, other.threshold)


def share_right(distances, similar, chosen, threshold):
    return np.mean((distances[chosen] <= threshold) == similar[chosen])


def test_the_threshold_of_a_listed_fold_is_that_of_the_pairs_of_the_others(plan_of, tmp_path):
    """Against a plain loop over the lines of the file."""
    plan = plan_of("pairs_file")
    made = Engine(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None)
    lines = [line.split("\t") for line in PAIRS.splitlines()[1:]]
    tested = 0
    for trial in plan.trials:
        if trial.label != "contrastive":
            continue
        found = made.run(trial)
        rows = {
            image: row
            for part in ("validation", "test")
            for image, row in zip(
                getattr(found.split, part).tolist(), found.embeddings[part].astype(np.float64), strict=True
            )
        }

        def image(name, number):
            return 6 * int(name.removeprefix("person ")) + int(number) - 1

        distances, similar, folds = [], [], []
        for place, line in enumerate(lines):
            first, second = (line[0], line[1]), (line[0] if len(line) == 3 else line[2], line[-1])
            distances.append(np.linalg.norm(rows[image(*first)] - rows[image(*second)]))
            similar.append(len(line) == 3)
            folds.append(place // 4)
        own = np.array(folds) == trial.fold
        accuracy = partial(share_right, np.array(distances), np.array(similar))
        result = measure(found, plan).trial
        assert accuracy(~own, result.threshold) == max(accuracy(~own, t) for t in (-1, *distances))
        assert result.metrics["accuracy"] == pytest.approx(accuracy(own, result.threshold))
        tested += 1
    assert tested == 3


SEARCH = """\
name = "searched"
seeds = [0]
[dataset]
plugin = "synthetic"            # the test puts faces made by arithmetic in its place
[preprocess]
size = [16, 16]
[protocol]
{protocol}
[model]
plugin = "thin_vgg"
kernel_sizes = [3]
widths = {{ choices = [[4], [8]] }}
embedding_dim = 8
[pretrain]
epochs = 2
batch_size = 12
[finetune]
steps = 6
validate_every = 3
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
[search]
trials = 2
seeds = [100]
suggested = false
[[losses]]
plugin = "contrastive"
[[losses]]
plugin = "normalized_softmax"
"""
# Where every seed has the same test people, those of the comparison are the search's as well.
OF_ONE_SPLIT = ('kind = "open_set"\nsplit_seed = 3', "listed")


@pytest.fixture
def searching(made, tmp_path):
    """``searching(protocol)``: the images that the comparison tests, those that the search does, and what searches.

    The last one is called with images of which light and dark are exchanged, and returns everything that was tried, and
    the settings that were chosen.
    """
    lists = {part: tmp_path / f"{part}.txt" for part in PEOPLE}
    for part, path in lists.items():
        path.write_text("".join(f"person {number}\n" for number in PEOPLE[part]), encoding="utf-8")

    def build(protocol):
        if protocol == "listed":
            protocol = 'kind = "listed"\n' + "".join(f'{part} = "{path}"\n' for part, path in lists.items())
        study = pipeline.loads(SEARCH.format(protocol=protocol), "x.toml")
        store = Store(tmp_path / "store")

        def with_faces(inverted, **changes):
            experiment = study.resolved.experiment.model_copy(update=changes)
            return dataclasses.replace(
                study.resolved, experiment=experiment, dataset=made(people=24, inverted=inverted)
            )

        def search(inverted=()):
            done = tuned.tuned(study.candidates, with_faces(inverted), store, ValidationAuc(), lambda event: None, None)
            chosen = [loss.entry.model_dump() for loss in done.resolved.losses]
            assert all(trial.state == "ok" for each in (done.phase1, *done.searched) for trial in each.tried)
            return done.phase1.tried, [each.tried for each in done.searched], chosen, done.resolved.experiment.model

        seeds = study.experiment.seeds, study.experiment.search.seeds
        plans = [prepare(with_faces((), seeds=each), store, lambda event: None) for each in seeds]
        tested, of_search = (tuple(plan.splits[0].test.tolist()) for plan in plans)
        return tested, of_search, search

    return build


def test_a_search_does_not_see_the_test_images_of_its_splits(searching):
    _, tested, search = searching('kind = "open_set"')
    before = search()
    # What is searched makes a difference, so that equal results are no matter of course.
    assert all(len({trial.score for trial in tried}) > 1 for tried in (before[0], *before[1]))
    assert search(tested) == before


@pytest.mark.parametrize("protocol", OF_ONE_SPLIT)
def test_with_one_split_for_all_seeds_no_choice_sees_whom_the_comparison_tests(searching, protocol):
    tested, of_search, search = searching(protocol)
    assert tested == of_search
    assert search(tested) == search()


def test_a_search_whose_objective_reads_test_images_is_caught(searching, monkeypatch):
    """The leak is planted: the search judges settings on the people whom it should test."""

    def leaking(*arguments):
        plan = prepare(*arguments)
        splits = tuple(dataclasses.replace(split, validation=split.test) for split in plan.splits)
        return dataclasses.replace(plan, splits=splits)

    _, tested, search = searching('kind = "open_set"')
    monkeypatch.setattr("faceexp.search.tuned.prepare", leaking)
    first, then = search(), search(tested)
    # Both searches notice: that of phase 1, and that of the losses.
    assert first[0] != then[0]
    assert first[1] != then[1]
