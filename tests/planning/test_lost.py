"""Which images a run loses, and whom they show."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from faceexp.contract import DatasetPlugin, FaceData
from faceexp.data import pairs_file
from faceexp.data.lost import LostOfList
from faceexp.evaluation.acquisition import Acquisition, acquisition
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Finetune, PluginRef, Preprocess, Pretrain
from faceexp.planning.lost import lost_images
from faceexp.planning.prepare import prepare
from faceexp.store import Store

# Four people of three images, and one of two.
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4])
EVERYTHING = np.arange(len(LABELS))


def lost(*unusable, used=None, **rest):
    readable = np.setdiff1d(EVERYTHING, unusable)
    return lost_images(LABELS, EVERYTHING, readable, readable if used is None else np.array(used), **rest)


def test_where_every_image_can_be_used_nothing_is_lost():
    assert lost() is None


def test_an_image_is_lost_of_its_person():
    made = lost(4, 9, 10)
    assert (made.labels.tolist(), made.people, made.tested) == ([1, 3, 3], 0, ())


def test_who_has_no_image_left_takes_no_part_and_labels_count_the_others():
    made = lost(3, 4, 5, 9)
    # The people 0, 2, 3 and 4 are left, and are counted anew.
    assert (made.labels.tolist(), made.people) == ([-1, -1, -1, 2], 1)


def test_who_has_too_few_images_left_takes_no_part_either():
    """With min_images = 2, image 13 alone does not suffice; it is neither used nor lost."""
    made = lost(12, used=range(12))
    assert (made.labels.tolist(), made.people) == ([-1], 1)


def test_lists_say_what_was_to_be_tested():
    parts = (np.array([0, 1, 2]), np.array([3, 4, 5]), np.array([6, 7, 8, 9, 10, 12]))
    made = lost(2, 7, 12, 13, parts_of_lists=parts)
    # Of the list for test, images 7 and 12 are lost, and with 12 all that it names of person 4.
    assert made.tested == (LostOfList(images=6, lost_images=2, people=3, lost_people=1),)


def test_pairs_are_lost_with_their_images():
    folds = [np.array([[0, 1], [3, 4], [0, 3], [1, 4]]), np.array([[6, 7], [6, 9]])]
    made = lost(4, 8, pairs_of_folds=folds)
    first = LostOfList(
        images=4, lost_images=1, people=2, lost_people=0, similar=2, lost_similar=1, different=2, lost_different=1
    )
    assert made.tested == (first, LostOfList(images=3, lost_images=0, people=2, lost_people=0, similar=1, different=1))


class Damaged(DatasetPlugin):
    """Twelve people of six images in files; some files hold no picture."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"
    folder: str = ""
    damaged: tuple[int, ...] = ()

    def build(self, seed):
        labels = np.repeat(np.arange(12, dtype=np.int32), 6)
        paths = [Path(self.folder) / f"{number}.png" for number in range(72)]
        pixels = np.random.default_rng(0).integers(0, 255, (72, 16, 16), np.uint8)
        for number, path in enumerate(paths):
            if number in self.damaged:
                path.write_text("no picture", encoding="utf-8")
            else:
                Image.fromarray(pixels[number]).save(path)
        names = tuple(f"p{number}" for number in range(12))
        return FaceData(paths, labels, names, json.dumps(self.damaged), self.licence, self.source)


@pytest.mark.parametrize("kind", ["open_set", "closed_set"])
def test_a_plan_knows_what_is_lost(planned, tmp_path, kind):
    damaged = (*range(6), 6, *range(30, 34))  # all of p0, one of p1, four of p5
    protocol = {"kind": "open_set", "min_images": 2, "folds": 2}
    if kind == "closed_set":
        protocol = {"kind": "closed_set", "min_images": 3, "test_fraction": 0.5, "validation_fraction": 0.5}
    options: dict[str, Any] = {
        "protocol": Protocol.model_validate(protocol),
        "preprocess": Preprocess(size=(16, 16), on_unreadable="skip"),
        "pretrain": Pretrain(epochs=1, batch_size=4),
        "finetune": Finetune(
            sampler=PluginRef(plugin="balanced", options={"classes_per_batch": 2, "images_per_class": 1})
        ),
    }
    plan = planned(tmp_path / "store", {}, dataset=Damaged(folder=str(tmp_path), damaged=damaged), **options)
    # In a closed set p5 has too few images left.
    out = {0} if kind == "open_set" else {0, 5}
    assert plan.identities == tuple(f"p{number}" for number in range(12) if number not in out)
    shown = [0] * 6 + [1] + [5] * 4
    names = [f"p{person}" for person in shown]
    expected = [-1 if person in out else plan.identities.index(name) for person, name in zip(shown, names, strict=True)]
    assert (plan.lost.labels.tolist(), plan.lost.people) == (expected, len(out))
    (note,) = (note.text for note in plan.notes if note.kind == "failures")
    used = 72 - len(damaged) - (2 if kind == "closed_set" else 0)
    assert note.startswith(
        f"11 of {used + 11} images of the data set could not be used, so that {len(out)} of 12 people are left out"
    )
    assert ("belong to no part" in note) == (kind == "closed_set")

    for split in plan.splits:
        made = acquisition(plan.lost, plan.labels, split, by_person=kind == "open_set")
        assert made.fte == pytest.approx(len(out) / 12)
        if kind == "closed_set":
            assert made.fta == pytest.approx(11 / (used + 11))
            continue
        tested = {plan.identities[label] for label in plan.labels[split.test]}
        # Each of the six images of p0 would have been in this part as often as anybody is.
        gone = sum(name in tested for name in names) + 6 * len(tested) / 11
        assert made.fta == pytest.approx(gone / (len(split.test) + gone))
    whole = planned(tmp_path / "store", {}, dataset=Damaged(folder=str(tmp_path)), **options)
    assert whole.lost is None
    assert not [note for note in whole.notes if note.kind == "failures"]


def test_a_list_may_name_somebody_without_any_usable_image(resolved, tmp_path):
    """Their pairs are lost, which counts; no option could leave out somebody whom a list names."""
    lines = ["2\t2", "p1\t6\t7", "p2\t12\t13", "p1\t8\tp2\t14", "p2\t15\tp3\t18"]
    lines += ["p4\t24\t25", "p5\t30\t31", "p4\t26\tp5\t32", "p5\t33\tp6\t36"]
    file = tmp_path / "pairs.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    wanted = resolved(
        {},
        dataset=Damaged(folder=str(tmp_path), damaged=tuple(range(6, 12))),  # all of p1
        protocol=Protocol(kind="pairs_file", path=str(file)),
        preprocess=Preprocess(size=(16, 16), on_unreadable="skip"),
        pretrain=Pretrain(epochs=1, batch_size=4),
        finetune=Finetune(
            sampler=PluginRef(plugin="balanced", options={"classes_per_batch": 2, "images_per_class": 1})
        ),
    )
    plan = prepare(dataclasses.replace(wanted, pairs=pairs_file.read(str(file))), Store(tmp_path / "store"), print)
    first, second = (acquisition(plan.lost, plan.labels, split, by_person=False) for split in plan.splits)
    # Of the first fold's eight images three are of p1: one of two similar pairs, and one of two different ones.
    assert first == Acquisition(3 / 8, 1 / 3, 1 / 2, 1 / 2)
    assert second == Acquisition(0, 0, 0, 0)
    assert [len(split.test_pairs) for split in plan.splits] == [2, 4]
