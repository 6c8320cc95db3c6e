"""Everything is decided and checked before anything trains."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import faceexp
from faceexp.contract import (
    BatchNeeds,
    BatchSupply,
    DatasetPlugin,
    Distance,
    Face,
    FaceData,
    FacePairs,
    LossPlugin,
    LossTraits,
    SamplerPlugin,
    option,
)
from faceexp.data import images, pairs_file, part_files
from faceexp.errors import MAX_LISTED, InputError
from faceexp.experiment.baselines import BASELINES
from faceexp.experiment.detect import Detect
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Augment, Finetune, PluginRef, Preprocess, Pretrain
from faceexp.planning.issues import UnplannableError
from faceexp.planning.prepare import prepare
from faceexp.planning.resolve import resolve
from faceexp.registry.installed import discover
from faceexp.store import Store
from faceexp.values import Event, Note, Noted


class Needy(LossPlugin):
    """Needs what it is told to need."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "cosine"
    lacks: str = option("nothing", "What it needs.")

    def traits(self):
        needs = {
            "nothing": BatchNeeds(1, 1),
            "people": BatchNeeds(4, 1),
            "images": BatchNeeds(1, 3),
            "both": BatchNeeds(4, 3),
            "similar": BatchNeeds(1, 1, "similar"),
            "mixed": BatchNeeds(1, 1, "mixed"),
        }
        return LossTraits("cosine", needs[self.lacks], xla=True)

    def build(self, ctx):
        pytest.fail("planning builds no loss")


class Promising(SamplerPlugin):
    """Promises what it is told to promise."""

    size: int = 4
    classes: int = 2
    images_per_class: int = 1
    halves: str | None = None

    def supply(self):
        return BatchSupply(self.size, self.classes, self.images_per_class, self.halves)

    def build(self, labels, seed):
        pytest.fail("planning draws no batch")


class Uneven(DatasetPlugin):
    """People with as many images as one says."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"
    counts: tuple[int, ...] = (4,) * 12

    def build(self, seed):
        labels = np.repeat(np.arange(len(self.counts), dtype=np.int32), self.counts)
        pixels = (labels[:, None, None] * 10 + np.zeros((1, 16, 16))).astype(np.uint8)
        names = tuple(f"p{number}" for number in range(len(self.counts)))
        return FaceData(pixels, labels, names, f"uneven {self.counts}", self.licence, self.source)


def ignore(event):
    """Hear nothing."""


class Fake:
    """A registry of the plugins one gives it."""

    def __init__(self, chosen, **plugins):
        self.chosen, self.plugins = chosen, plugins

    def configure(self, kind, name, options):
        return self.chosen(name, self.plugins[name].from_toml(options))


@pytest.fixture
def registry(chosen):
    trunk = discover().find("model", "thin_vgg").load()
    return Fake(chosen, needy=Needy, promising=Promising, made=Uneven, thin_vgg=trunk)


def promising(promises):
    return Finetune(sampler=PluginRef(plugin="promising", options=promises), steps=1)


@pytest.mark.parametrize(
    ("lacks", "promises", "message"),
    [
        ("nothing", {"classes": 1}, None),
        ("people", {"classes": 4}, None),
        ("people", {"classes": 3}, "needs 4 identities in every batch; sampler 'promising' does not promise that"),
        ("images", {"images_per_class": 2}, "needs 3 images of an identity in every batch; sampler"),
        (
            "both",
            {"classes": 3, "images_per_class": 2},
            "4 identities in every batch and 3 images of an identity in every batch",
        ),
        ("similar", {"halves": "similar"}, None),
        ("similar", {"halves": "mixed"}, r"rows i and i \+ B/2 of the same identity; sampler"),
        ("similar", {}, r"rows i and i \+ B/2 of the same identity; sampler"),
        ("mixed", {"halves": "mixed"}, None),
        ("mixed", {"halves": "similar"}, r"of the same identity in some pairs and of different ones in others"),
    ],
)
def test_a_loss_is_checked_against_its_sampler(tiny, registry, lacks, promises, message):
    experiment = tiny(("needy",), finetune=promising(promises))
    (entry,) = experiment.losses
    experiment = experiment.model_copy(update={"losses": (entry.model_copy(update={"options": {"lacks": lacks}}),)})
    if message is None:
        (loss,) = resolve(experiment, registry).losses
        assert loss.traits.distance == "cosine"
        sampler: Any = loss.sampler.plugin
        assert sampler.supply().classes == promises.get("classes", 2)
        return
    with pytest.raises(UnplannableError, match=message) as caught:
        resolve(experiment, registry)
    assert [issue.path for issue in caught.value.issues] == [("losses", 0)]
    assert str(caught.value).startswith("loss 'needy' needs ")


def test_every_mistake_of_every_loss_is_listed(tiny, registry):
    experiment = tiny(("needy", "needy", "needy"), finetune=promising({"classes": 1}))
    entries = [
        entry.model_copy(update={"options": {"lacks": lacks}, "label": label})
        for entry, lacks, label in zip(
            experiment.losses, ("people", "nothing", "mixed"), ("a", "raw pixels", "PCA (eigenfaces)"), strict=True
        )
    ]
    with pytest.raises(UnplannableError) as caught:
        resolve(experiment.model_copy(update={"losses": tuple(entries)}), registry)
    assert [issue.path for issue in caught.value.issues] == [
        ("losses", 0),
        ("losses", 1, "label"),
        ("losses", 2),
        ("losses", 2, "label"),
    ]
    assert "'raw pixels' is the name of a baseline" in str(caught.value)


def test_changes_that_no_image_would_see_are_refused(tiny, registry):
    scratch = Pretrain(enabled=False)
    for augment, refused in ((Augment(crop=0.1), True), (Augment(crop=0.1, phase2=True), False), (Augment(), False)):
        experiment = tiny(("needy",), finetune=promising({"classes": 1}), pretrain=scratch, augment=augment)
        if refused:
            with pytest.raises(UnplannableError, match="changes no image, since no loss has a phase 1") as caught:
                resolve(experiment, registry)
            assert [issue.path for issue in caught.value.issues] == [("augment",)]
        else:
            resolve(experiment, registry)


def test_the_installed_plugins_resolve(tiny, face_folder):
    dataset = PluginRef(plugin="image_folder", options={"path": str(face_folder)})
    found = resolve(tiny(("contrastive", "npairs"), dataset=dataset), discover())
    assert [loss.traits.distance for loss in found.losses] == ["euclidean", "cosine"]
    plugins: tuple[Any, Any] = found.dataset.plugin, found.model.plugin
    assert plugins[0].path == str(face_folder)
    assert plugins[1].widths == (4,)


@pytest.fixture
def plan(planned, tmp_path):
    """``plan(losses, ...)`` into a store of the test's own; one loss that needs nothing where none is given."""
    return lambda losses=None, **rest: planned(tmp_path / "store", losses or {"needy": Needy()}, **rest)


def test_a_plan_holds_images_labels_splits_and_trials(plan, faces):
    found = plan({"one": Needy(), "two": Needy()}, seeds=(3, 4), baselines=tuple(BASELINES))
    pixels, labels = faces(12, 6)
    np.testing.assert_array_equal(found.images, pixels[..., None])
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == np.int32
    assert [(split.seed, split.fold) for split in found.splits] == [(3, 0), (4, 0)]
    each = [*(baseline.label for baseline in BASELINES.values()), "one", "two"]
    assert [(t.label, t.seed, t.kind, t.name) for t in found.trials] == [
        (label, seed, "loss" if label in ("one", "two") else "baseline", label) for seed in (3, 4) for label in each
    ]
    assert found.notes[0] == Note("data", "12 people, 72 images; arithmetic")
    assert {note.kind for note in found.notes[1:]} == {"few_people", "few_trials"}


def test_each_fold_is_a_trial(plan):
    found = plan(protocol=Protocol(kind="open_set", folds=3), seeds=(0, 1))
    assert [(t.seed, t.fold) for t in found.trials] == [(s, f) for s in (0, 1) for f in (0, 1, 2)]
    assert len(found.splits) == 6


def test_without_phase_1_there_is_no_phase_1_baseline(plan):
    found = plan(baselines=tuple(BASELINES), pretrain=Pretrain(enabled=False))
    assert [t.label for t in found.trials] == ["raw pixels", "PCA (eigenfaces)", "untrained trunk", "needy"]


def test_trial_ids_are_distinct_file_names(plan):
    labels = ["a/b", "a b", "A b", "..", "../../etc", "é", "contrastive(margin=0.5)", "x" * 90, "con.txt", "-"]
    losses = {f"loss{number}": Needy() for number in range(len(labels))}
    entries = {f"loss{number}": {"label": label} for number, label in enumerate(labels)}
    ids = [trial.id for trial in plan(losses, entries=entries, seeds=(0, 1)).trials]
    assert len({name.lower() for name in ids}) == len(ids) == 2 * len(labels)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*-s[01]-f0", name) for name in ids), ids
    assert "contrastive-margin-0.5-s0-f0" in ids
    # Where names would be the same, each gets digits that its own label alone determines.
    again = [trial.id for trial in plan(losses, entries=entries, seeds=(0, 1)).trials]
    assert again == ids


def test_a_closed_set_says_what_its_results_do_not(plan):
    found = plan(protocol=Protocol(kind="closed_set"), data={"images": 10})
    assert any(note.kind == "closed_set" and "nothing about new people" in note.text for note in found.notes)
    assert not any(note.kind == "closed_set" for note in plan().notes)


def test_rgb_and_size(plan):
    found = plan(preprocess=Preprocess(size=(8, 12), color="rgb"))
    assert found.images.shape == (72, 8, 12, 3)


# People with too few images ----------------------------------------------------------------------------------------


def test_people_with_too_few_images_are_an_error(plan):
    with pytest.raises(UnplannableError) as caught:
        plan(dataset=Uneven(counts=(1, *(4,) * 12, 1)))
    assert [issue.message for issue in caught.value.issues] == [
        f"'p{person}' has 1 image, open_set needs 2 of each person; add images or set min_images = 2 to leave such "
        "people out"
        for person in (0, 13)
    ]
    assert {issue.path for issue in caught.value.issues} == {("protocol",)}


def test_closed_set_wants_more_of_each(plan):
    with pytest.raises(UnplannableError, match="'p1' has 2 images, closed_set needs 3 of each person"):
        plan(dataset=Uneven(counts=(8, 2, 8)), protocol=Protocol(kind="closed_set"))


def test_a_long_list_is_cut(plan):
    with pytest.raises(UnplannableError) as caught:
        plan(dataset=Uneven(counts=(1,) * (MAX_LISTED + 5)))
    assert len(caught.value.issues) == MAX_LISTED + 1
    assert caught.value.issues[-1].message == "and 5 more people with too few images"


def test_min_images_leaves_people_out(plan):
    found = plan(dataset=Uneven(counts=(1, *(4,) * 12, 3)), protocol=Protocol(kind="open_set", min_images=4))
    assert len(found.labels) == len(found.images) == 48
    assert sorted(set(found.labels)) == list(range(12))  # counted anew, without gaps
    np.testing.assert_array_equal(found.images[:, 0, 0, 0], np.repeat(np.arange(1, 13) * 10, 4))
    assert found.notes[1].text == "4 of 52 images left out (unusable, or of people with too few images)"


def test_min_images_1_keeps_people_of_one_image_where_they_are_of_use(plan):
    counts = (1, *(4,) * 12, 1)
    found = plan(dataset=Uneven(counts=counts), protocol=Protocol(kind="open_set", min_images=1))
    assert len(found.labels) == 50
    with pytest.raises(UnplannableError, match="closed_set needs 3 of each person"):
        plan(dataset=Uneven(counts=counts), protocol=Protocol(kind="closed_set", min_images=1))


def test_too_few_people(plan):
    with pytest.raises(UnplannableError, match="4 people leave") as caught:
        plan(data={"people": 4})
    assert caught.value.issues[0].path == ("protocol",)


# What the data set's plugin builds -------------------------------------------------------------------------------


class Faulty(DatasetPlugin):
    """It builds what the test says, or raises it."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "this file"
    outcome: ClassVar[object] = None

    def build(self, seed):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (KeyError("index.csv"), "failed: KeyError: 'index.csv'; check its options, or tell its author"),
        (
            OSError(2, "No such file", "/x"),
            "failed: FileNotFoundError: [Errno 2] No such file: '/x'; check its options",
        ),
        (SystemExit(3), "failed: SystemExit: 3; check its options"),
        (RuntimeError("two\nlines"), "failed: RuntimeError: two lines; check its options"),
        (AssertionError(), "failed: AssertionError; check its options"),
        (InputError([]), "refuses the data and does not say why"),
        (None, "is at fault: build returned None, not FaceData"),
    ],
)
def test_a_plugin_that_fails_is_one_line_that_names_it(plan, monkeypatch, outcome, message):
    monkeypatch.setattr(Faulty, "outcome", outcome)
    with pytest.raises(InputError) as caught:
        plan(dataset=Faulty())
    (problem,) = caught.value.problems
    assert re.match(r"dataset '.*' \(.* .*\) ", str(problem))
    assert message in str(problem)


def test_every_mistake_in_what_a_plugin_builds_is_a_line(plan, monkeypatch):
    good = Uneven().build(seed=0)
    monkeypatch.setattr(Faulty, "outcome", dataclasses.replace(good, identities=("p0",) * 12, fingerprint=""))
    with pytest.raises(InputError) as caught:
        plan(dataset=Faulty())
    assert len(caught.value.problems) == 2
    assert all(" is at fault: " in str(problem) for problem in caught.value.problems)


def test_labels_of_any_whole_numbers_are_taken(plan, monkeypatch):
    good = Uneven().build(seed=0)
    monkeypatch.setattr(Faulty, "outcome", dataclasses.replace(good, labels=good.labels.astype(np.uint64)))
    assert plan(dataset=Faulty()).data.labels.dtype == np.int32


def notes_of(plan, kind):
    return [note.text for note in plan.notes if note.kind == kind]


def test_what_a_data_set_leaves_out_and_names_that_look_alike_are_said(plan, monkeypatch):
    good = Uneven().build(seed=0)
    names = ("Ann", "ann", *good.identities[2:])
    monkeypatch.setattr(Faulty, "outcome", dataclasses.replace(good, identities=names, notes=("a link is dead",)))
    found = plan(dataset=Faulty())
    assert notes_of(found, "data_set") == ["a link is dead"]
    assert notes_of(found, "names") == [
        "names that differ only in capitals, dots, spaces or the form of Unicode count as different people: "
        "'Ann' and 'ann'"
    ]
    assert found.identities[:2] == ("Ann", "ann")


def test_a_photo_that_is_there_twice_is_said(plan, tmp_path, face_folder):
    folder = tmp_path / "doubled"
    shutil.copytree(face_folder, folder)
    assert notes_of(plan(dataset=folder_of(folder)), "duplicates") == []
    shutil.copy(folder / "p01" / "1.png", folder / "p02" / "again.png")
    # Another format has other bytes and the same pixels.
    Image.open(folder / "p03" / "1.png").save(folder / "p03" / "copy.bmp")
    assert notes_of(plan(dataset=folder_of(folder)), "duplicates") == [
        "1 picture is identical in images of different people, so that labels are wrong and test images may be among "
        "those that are trained on: p01/1.png = p02/again.png",
        "1 picture is identical in several images of one person: p03/1.png = p03/copy.bmp",
    ]


# Images that cannot be read ----------------------------------------------------------------------------------------


@pytest.fixture
def damaged(face_folder, tmp_path):
    """A folder of faces of which four images cannot be read, three of one person."""
    folder = tmp_path / "damaged"
    shutil.copytree(face_folder, folder)
    for name in ("p00/3.png", "p05/0.png", "p05/1.png", "p05/2.png"):
        (folder / name).write_bytes(b"no image at all")
    return folder


def folder_of(path):
    image_folder: Any = discover().find("dataset", "image_folder").load()
    return image_folder(path=str(path))


def test_every_unreadable_image_is_listed(plan, damaged, tmp_path):
    with pytest.raises(InputError) as caught:
        plan(dataset=folder_of(damaged))
    assert [problem.where for problem in caught.value.problems] == [
        str(damaged / name) for name in ("p00/3.png", "p05/0.png", "p05/1.png", "p05/2.png")
    ]
    assert all('set on_unreadable = "skip"' in str(problem) for problem in caught.value.problems)
    assert list((tmp_path / "store" / "images").iterdir()) == []


def test_unreadable_images_are_skipped_where_that_is_asked_for(plan, damaged, faces):
    skip = Preprocess(size=(16, 16), on_unreadable="skip")
    found = plan(dataset=folder_of(damaged), preprocess=skip)
    pixels, labels = faces(12, 6)
    kept = np.setdiff1d(np.arange(72), [3, 30, 31, 32])
    np.testing.assert_array_equal(found.images, pixels[kept][..., None])
    np.testing.assert_array_equal(found.labels, labels[kept])
    assert found.notes[1].text == (
        "4 of 72 images left out (unusable, or of people with too few images); "
        "unusable: p00/3.png, p05/0.png, p05/1.png and 1 more"
    )
    # And with the person who has too few left out, too.
    found = plan(dataset=folder_of(damaged), preprocess=skip, protocol=Protocol(kind="open_set", min_images=4))
    assert len(found.labels) == 65
    assert sorted(set(found.labels)) == list(range(11))


def test_of_very_many_unreadable_images_some_are_named_and_all_counted(plan, damaged):
    for path in damaged.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError) as caught:
        plan(dataset=folder_of(damaged))
    assert len(caught.value.problems) == MAX_LISTED + 1
    assert str(caught.value.problems[-1]) == f"and {72 - MAX_LISTED} more images that cannot be used"


def test_images_stay_in_a_file_when_some_are_left_out(plan, damaged):
    """They may be more than fit into memory."""
    skip = Preprocess(size=(16, 16), on_unreadable="skip")
    whole = plan(dataset=folder_of(damaged), preprocess=skip)
    fewer = plan(dataset=folder_of(damaged), preprocess=skip, protocol=Protocol(kind="open_set", min_images=6))
    assert 0 < len(fewer.images) < len(whole.images)
    for found in (whole, fewer):
        assert isinstance(found.images, np.memmap)
    known = {person: whole.images[whole.labels == whole.identities.index(person)] for person in fewer.identities}
    for label, person in enumerate(fewer.identities):
        np.testing.assert_array_equal(fewer.images[fewer.labels == label], known[person])


def test_skipping_does_not_smuggle_in_people_with_too_few_images(plan, damaged):
    for number in (3, 4):
        (damaged / "p05" / f"{number}.png").write_bytes(b"no image either")
    with pytest.raises(UnplannableError, match="'p05' has 1 image, open_set needs 2"):
        plan(dataset=folder_of(damaged), preprocess=Preprocess(size=(16, 16), on_unreadable="skip"))


def test_an_unreadable_folder_leaves_nobody(plan, damaged):
    for path in damaged.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(UnplannableError, match="0 people leave 0 for training"):
        plan(dataset=folder_of(damaged), preprocess=Preprocess(size=(16, 16), on_unreadable="skip"))


def _of_images(events):
    """Return the first and the last event about images; what is noted comes after them."""
    decoded = [event for event in events if event.stage == "images"]
    assert events[: len(decoded)] == decoded
    return decoded[0], decoded[-1]


def test_images_are_decoded_once(resolved, tmp_path, face_folder, monkeypatch):
    store = Store(tmp_path / "store")
    events: list[Event] = []
    wanted = resolved({"needy": Needy()}, dataset=folder_of(face_folder))
    first = prepare(wanted, store, events.append)
    assert [(e.stage, e.done, e.total) for e in _of_images(events)] == [("images", 0, 72), ("images", 72, 72)]
    monkeypatch.setattr(images, "decode", lambda *_: pytest.fail("decoded again"))
    events.clear()
    again = prepare(wanted, store, events.append)
    assert [event for event in events if event.stage == "images"] == []
    assert again.images_key == first.images_key
    np.testing.assert_array_equal(again.images, first.images)
    # Other people, the same pictures: another key, but nothing is decoded.
    fewer = prepare(
        resolved(
            {"needy": Needy()},
            dataset=folder_of(face_folder),
            protocol=Protocol(kind="open_set", validation_fraction=0.4),
        ),
        store,
        ignore,
    )
    assert fewer.images_key == first.images_key


def test_odd_metadata_is_no_news(plan, tmp_path, face_folder):
    folder = tmp_path / "odd"
    shutil.copytree(face_folder, folder)
    picture = Image.open(folder / "p00" / "0.png")
    picture.save(folder / "p00" / "6.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09")
    with pytest.warns(UserWarning, match="EXIF"), Image.open(folder / "p00" / "6.jpg") as odd:
        odd.getexif()
    assert len(plan(dataset=folder_of(folder)).images) == 73


# Batches ------------------------------------------------------------------------------------------------------------


def test_batches_larger_than_the_training_part(plan):
    # 12 people: 2 for test, 2 for validation, 8 with 6 images each for training.
    assert plan(pretrain=Pretrain(batch_size=48), sampler=Promising(size=48))
    with pytest.raises(UnplannableError) as caught:
        plan(pretrain=Pretrain(batch_size=49), sampler=Promising(size=50))
    assert [(issue.path, issue.message) for issue in caught.value.issues] == [
        (
            ("pretrain", "batch_size"),
            "49 is more than the 48 images of the smallest training part; use 48 at most",
        ),
        (
            ("finetune", "sampler"),
            "a batch of 50 is more than the 48 images of the smallest training part; use 48 at most",
        ),
    ]


def test_batches_of_more_people_than_there_are(plan):
    assert plan(sampler=Promising(classes=8, images_per_class=6))
    for promises in ({"classes": 9}, {"images_per_class": 7}):
        with pytest.raises(
            UnplannableError, match="people with . images or more in each batch, the smallest"
        ) as caught:
            plan(sampler=Promising(**promises))
        assert caught.value.issues[0].path == ("finetune", "sampler")


def test_a_sample_of_identities_holds_a_batch_and_no_more_than_there_are(plan):
    """8 people to train on; a batch of 4 images of which 2 show one person shows 3 people at most."""

    def planned_with(pretrain=8, finetune=3):
        sampler = PluginRef(plugin="own")
        return plan(
            sampler=Promising(classes=1, images_per_class=2),
            pretrain=Pretrain(epochs=1, batch_size=12, sampled_classes=pretrain),
            finetune=Finetune(sampler=sampler, steps=1, validate_every=1, sampled_classes=finetune),
        )

    def mistakes(**sampled):
        with pytest.raises(UnplannableError) as caught:
            planned_with(**sampled)
        return {issue.path: issue.message for issue in caught.value.issues}

    for sampled in ({}, {"pretrain": None}, {"finetune": 8}, {"finetune": 0.4}):
        assert planned_with(**sampled)
    assert mistakes(pretrain=7, finetune=2) == {
        ("pretrain", "sampled_classes"): "7 is less than the 8 identities that a batch may show; set it to 8 or more",
        ("finetune", "sampled_classes"): "2 is less than the 3 identities that a batch may show; set it to 3 or more",
    }
    assert mistakes(finetune=0.2) == {
        (
            "finetune",
            "sampled_classes",
        ): "0.2 of 8 identities is 2, which is less than the 3 identities that a batch may show; set it to 3 or more"
    }
    assert mistakes(finetune=9) == {
        ("finetune", "sampled_classes"): "9 is more than the 8 identities of the smallest training part; set it to less"
    }


def test_a_sample_is_checked_in_every_training_part(plan):
    """Five folds of 12 people leave 7 or 8 to train on, and a batch of 12 images may show all of them."""
    sampler = PluginRef(plugin="own")

    def planned_with(sampled):
        return plan(
            sampler=Promising(size=12, classes=1),
            protocol=Protocol(kind="open_set", folds=5),
            finetune=Finetune(sampler=sampler, steps=1, validate_every=1, sampled_classes=sampled),
        )

    parts = planned_with(None).splits
    people = [len(np.unique(part.train)) // 6 for part in parts]
    assert min(people) < max(people)
    with pytest.raises(
        UnplannableError, match=f"^{min(people)} is less than the {max(people)} identities that a batch"
    ):
        planned_with(min(people))
    with pytest.raises(
        UnplannableError, match=f"^{max(people)} is more than the {min(people)} identities of the small"
    ):
        planned_with(max(people))
    assert planned_with(0.99)


def test_a_schedule_that_names_a_step_after_the_last_one(plan):
    """48 images make 12 steps of 4 in an epoch; shares of them always fit."""
    given = {"epochs": 2, "batch_size": 4}

    def planned_with(**schedule):
        return plan(pretrain=Pretrain.model_validate({**given, "schedule": schedule}))

    assert planned_with(warmup=23)
    assert planned_with(kind="step", milestones=[0.5, 0.99])
    with pytest.raises(UnplannableError) as caught:
        planned_with(kind="step", milestones=[12, 24])
    (issue,) = caught.value.issues
    assert (issue.path, issue.message) == (("pretrain", "schedule"), "names step 24, and there are 24 steps")


def test_phase_1_that_is_not_done_needs_no_batch(plan):
    assert plan(pretrain=Pretrain(enabled=False, batch_size=1000))


def test_the_batches_of_one_loss_are_its_own_mistake(plan):
    finetune = Finetune(sampler=PluginRef(plugin="promising"), steps=3)
    entries = {"two": {"finetune": finetune, "pretrain": Pretrain(batch_size=1000)}}
    with pytest.raises(UnplannableError) as caught:
        plan({"one": Needy(), "two": Needy()}, sampler=Promising(size=50), entries=entries)
    assert [issue.path for issue in caught.value.issues] == [
        ("losses", 1, "pretrain", "batch_size"),
        ("finetune", "sampler"),
        ("losses", 1, "finetune", "sampler"),
    ]


# Lists of pairs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(resolved, tmp_path):
    """``listed(lines, dataset, ...)``: the plan of an experiment on a list of two folds of one similar pair each."""

    def build(*lines, dataset, **tables):
        file = tmp_path / "pairs.txt"
        file.write_text("\n".join(["2\t1", *lines]), encoding="utf-8")
        protocol = Protocol(kind="pairs_file", path=str(file), **tables.pop("protocol", {}))
        wanted = resolved({"needy": Needy()}, dataset=dataset, protocol=protocol, **tables)
        wanted = dataclasses.replace(wanted, pairs=pairs_file.read(str(file)))
        return prepare(wanted, Store(tmp_path / "store"), ignore)

    return build


@pytest.fixture
def numbered(face_folder, tmp_path):
    """A folder of faces numbered as LFW numbers them: p00/p00_0001.png, ..."""
    folder = tmp_path / "numbered"
    shutil.copytree(face_folder, folder)
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.with_name(f"{path.parent.name}_{int(path.stem) + 1:04}.png"))
    return folder


def test_pairs_name_images_by_the_numbers_of_their_files(listed, numbered):
    (numbered / "p00" / "p00_0002.png").unlink()  # the numbers of the others stay
    lines = ("p00\t1\t3", "p00\t4\tp01\t2", "p02\t3\t4", "p03\t1\tp02\t2")
    plan = listed(*lines, dataset=folder_of(numbered))
    first, second = plan.splits
    names = [path.name for path in plan.data.images]
    judged = [[names[image] for image in pair] for pair in first.test[first.test_pairs]]
    assert judged == [["p00_0001.png", "p00_0003.png"], ["p00_0004.png", "p01_0002.png"]]
    np.testing.assert_array_equal(second.validation[second.validation_pairs], first.test[first.test_pairs])
    assert len(plan.trials) == 2
    assert [plan.identities[person] for person in sorted(set(plan.labels[first.train]))] == [
        f"p{number:02}" for number in range(4, 12)
    ]
    assert plan.notes[1].text.startswith(
        "4 listed pairs in 2 folds, the threshold of each from pairs of the others; 8 people"
    )


def test_without_numbers_in_names_images_are_counted_from_1(listed):
    lines = ("p0\t1\t2", "p0\t4\tp1\t1", "p2\t3\t4", "p3\t1\tp2\t2")
    plan = listed(*lines, dataset=Uneven())
    np.testing.assert_array_equal(plan.splits[0].test[plan.splits[0].test_pairs], [[0, 1], [3, 4]])


class Paired(Uneven):
    """The first four people are in pairs, two people in each of two folds."""

    def build(self, seed):
        rows = np.array([[0, 1], [0, 4], [8, 9], [8, 12]])
        pairs = FacePairs(rows, np.array([True, False, True, False]), np.array([0, 0, 1, 1]))
        return dataclasses.replace(super().build(seed), pairs=pairs)


def test_the_pairs_of_the_data_set_are_judged_where_no_list_is_named(resolved, tmp_path):
    wanted = resolved({"needy": Needy()}, dataset=Paired(), protocol=Protocol(kind="pairs_file"))
    plan = prepare(wanted, Store(tmp_path / "store"), ignore)
    first, second = plan.splits
    assert first.test[first.test_pairs].tolist() == [[0, 1], [0, 4]]
    assert first.validation[first.validation_pairs].tolist() == second.test[second.test_pairs].tolist()
    assert (plan.folds, len(plan.trials)) == (2, 2)
    assert plan.notes[1].text.startswith("4 listed pairs in 2 folds")


def test_a_data_set_without_pairs_needs_a_list(resolved, tmp_path):
    wanted = resolved({"needy": Needy()}, dataset=Uneven(), protocol=Protocol(kind="pairs_file"))
    with pytest.raises(UnplannableError, match="the data set has no pairs of its own, so pairs_file needs path"):
        prepare(wanted, Store(tmp_path / "store"), ignore)


def test_every_pair_of_unknown_people_or_images_is_named(listed):
    lines = ("p0\t1\t5", "p0\t4\tp1x\t1", "p2\t3\t4", "nobody\t1\tp2\t2")
    with pytest.raises(InputError) as caught:
        listed(*lines, dataset=Uneven())
    found = [str(problem).rpartition("pairs.txt:")[2] for problem in caught.value.problems]
    assert found[0] == "2: the data set has no image 5 of 'p0'"
    assert found[1] == "3: the data set has nobody called 'p1x'; did you mean 'p1'?"
    assert found[2] == "5: the data set has nobody called 'nobody'"


def test_a_pair_of_an_unreadable_image_is_a_pair_less(listed, numbered):
    (numbered / "p00" / "p00_0001.png").write_bytes(b"no image")
    lines = ("p00\t1\t3", "p00\t4\tp01\t2", "p02\t3\t4", "p03\t1\tp02\t2")
    skip = Preprocess(size=(16, 16), on_unreadable="skip")
    # Without it the second fold has no similar pair to choose its threshold on.
    with pytest.raises(UnplannableError, match="no similar pair"):
        listed(*lines, dataset=folder_of(numbered), preprocess=skip)
    (numbered / "p01" / "p01_0006.png").write_bytes(b"no image")
    (numbered / "p00" / "p00_0001.png").write_bytes((numbered / "p00" / "p00_0002.png").read_bytes())
    plan = listed(*lines, dataset=folder_of(numbered), preprocess=skip)
    names = [plan.data.images[index].name for index in range(72) if index != 11]
    first = plan.splits[0]
    assert [names[image] for image in first.test[first.test_pairs][1]] == ["p00_0004.png", "p01_0002.png"]


def test_min_images_keeps_who_is_listed(listed):
    lines = ("p0\t1\t2", "p0\t2\tp1\t1", "p2\t1\t2", "p3\t1\tp2\t2")
    counts = (2, 1, 2, 1, 1, *(4,) * 8)
    plan = listed(*lines, dataset=Uneven(counts=counts), protocol={"min_images": 3})
    assert plan.identities == ("p0", "p1", "p2", "p3", *(f"p{number}" for number in range(5, 13)))


# Lists of parts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def from_lists(resolved, tmp_path):
    """``from_lists(train, validation, test, dataset)``: the plan of an experiment on lists of such lines."""

    def build(train, validation, test, dataset, **tables):
        paths = {}
        for part, lines in (("train", train), ("validation", validation), ("test", test)):
            paths[part] = str(tmp_path / f"{part}.txt")
            (tmp_path / f"{part}.txt").write_text("\n".join(lines), encoding="utf-8")
        protocol = Protocol(kind="listed", **paths, **tables.pop("protocol", {}))
        wanted = resolved({"needy": Needy()}, dataset=dataset, protocol=protocol, **tables)
        wanted = dataclasses.replace(wanted, lists=part_files.read(protocol))
        return prepare(wanted, Store(tmp_path / "store"), ignore)

    return build


SMALL = Pretrain(epochs=1, batch_size=8)
# The lists of training, validation and test.
OPEN = ([f"p{number:02}" for number in range(6)], ["p06", "p07"], ["p09", "p08/1.png", "p08/4.png"])


def names_of(plan, part):
    return [f"{path.parent.name}/{path.name}" for path in (plan.data.images[USED[index]] for index in part)]


# Of twelve people with six images each, the first eight are listed whole, one with two images, and one whole.
USED = [*range(48), 49, 52, *range(54, 60)]


def test_lists_say_which_images_are_in_each_part(from_lists, face_folder):
    plan = from_lists(*OPEN, folder_of(face_folder), seeds=(3, 4))
    assert [(split.seed, split.fold) for split in plan.splits] == [(3, 0), (4, 0)]
    for split in plan.splits:
        assert names_of(plan, split.train) == [f"p{p:02}/{n}.png" for p in range(6) for n in range(6)]
        assert names_of(plan, split.validation) == [f"p{p:02}/{n}.png" for p in (6, 7) for n in range(6)]
        assert names_of(plan, split.test) == ["p08/1.png", "p08/4.png", *(f"p09/{n}.png" for n in range(6))]
        assert split.test_pairs is None  # every two images
    assert plan.identities == tuple(f"p{number:02}" for number in range(10))
    (note,) = notes_of(plan, "listed")
    assert note == "the parts come from lists: nobody who is tested is in another part"
    (note,) = notes_of(plan, "split_seed")
    assert note.startswith("every seed tests the same people (the parts are listed), so the spread between seeds is")
    assert plan.notes[1].text == "16 of 72 images left out (in no list, unusable, or of people with too few images)"


def test_lists_of_a_closed_set_say_so(from_lists, face_folder):
    def images_of(*numbers):
        return [f"p{person:02}/{number}.png" for person in range(4) for number in numbers]

    plan = from_lists(images_of(0, 1), images_of(2, 3), images_of(4, 5), folder_of(face_folder), pretrain=SMALL)
    (note,) = notes_of(plan, "listed")
    assert note.startswith(
        "the parts come from lists, which make a closed set: the 4 people who are tested are in other"
    )


def test_thresholds_of_known_people_are_pointed_out(from_lists, face_folder):
    train = [*OPEN[0][:5], *(f"p05/{number}.png" for number in range(4))]
    plan = from_lists(train, ["p05/4.png", "p05/5.png", "p07"], OPEN[2], folder_of(face_folder), pretrain=SMALL)
    (note,) = notes_of(plan, "listed")
    assert note.endswith(
        "; 1 of the 2 people of validation are trained on as well, so thresholds may not suit new people"
    )


def test_an_unreadable_image_of_a_list_is_an_image_less(from_lists, numbered):
    (numbered / "p00" / "p00_0001.png").write_bytes(b"no image")
    skip = Preprocess(size=(16, 16), on_unreadable="skip")
    plan = from_lists(OPEN[0], OPEN[1], ["p08", "p09"], folder_of(numbered), preprocess=skip, pretrain=SMALL)
    (split,) = plan.splits
    assert [len(split.train), len(split.validation), len(split.test)] == [35, 12, 12]
    np.testing.assert_array_equal(plan.labels[split.train], [0] * 5 + [p for p in range(1, 6) for _ in range(6)])


def test_people_with_few_images_in_the_lists_may_be_left_out(from_lists, face_folder):
    test = [*OPEN[2], "p10/0.png"]
    assert "p10" in from_lists(*OPEN[:2], test, folder_of(face_folder)).identities
    plan = from_lists(*OPEN[:2], test, folder_of(face_folder), protocol={"min_images": 2})
    assert plan.identities == tuple(f"p{number:02}" for number in range(10))


# What a run can answer --------------------------------------------------------------------------------------------------


def test_what_a_run_cannot_answer_is_heard_before_it_trains_and_noted(resolved, tmp_path):
    events: list[Event] = []
    plan = prepare(resolved({"needy": Needy()}), Store(tmp_path / "store"), events.append)
    heard = [event.note for event in events if isinstance(event, Noted)]
    assert heard == [note for note in plan.notes if note.kind in ("few_people", "few_trials")]
    assert [note.kind for note in heard] == ["few_people", "few_people", "few_trials"]


def test_images_that_are_left_out_are_told_before_anything_trains(resolved, damaged, tmp_path):
    skip = Preprocess(size=(16, 16), on_unreadable="skip")
    events: list[Event] = []
    experiment = resolved({"needy": Needy()}, dataset=folder_of(damaged), preprocess=skip)
    prepare(experiment, Store(tmp_path / "store"), events.append)
    heard = [event.note for event in events if isinstance(event, Noted)]
    assert heard[0].kind == "left_out"
    assert heard[0].text.startswith("4 of 72 images left out")


@pytest.mark.parametrize(("bystanders", "is_told"), [(1, True), (0, False)])
def test_that_a_bystander_may_be_trained_on_is_told_before_anything_trains(
    resolved, face_folder, tmp_path, monkeypatch, bystanders, is_told
):
    numbers, searched = itertools.count(), []

    def detect(self, photo, hint):
        number = next(numbers)
        searched.append(number)
        # The first photo that is searched, in whichever thread, shows one more face.
        side = min(photo.shape[:2])
        return [Face(0, 0, side, side)] * (1 + bystanders * (number == 0))

    monkeypatch.setattr(type(faceexp.plugin("detector", "haar")), "detect", detect)
    events: list[Event] = []
    preprocess = Preprocess(size=(16, 16), detect=Detect())
    experiment = resolved({"needy": Needy()}, dataset=folder_of(face_folder), preprocess=preprocess)
    prepare(experiment, Store(tmp_path / "store"), events.append)
    heard = [event.note.text for event in events if isinstance(event, Noted) and event.note.kind == "several_faces"]
    told = "1 of 72 photos show several faces, of which the largest is used, maybe a bystander's; `faceexp crops SPEC`"
    assert [text.startswith(told) for text in heard] == [True] * is_told
    assert len(searched) == 72, "every photo is searched once"
    prepare(experiment, Store(tmp_path / "store"), events.append)
    assert len(searched) == 72


def test_a_fixed_split_is_noted_where_seeds_share_it(plan):
    protocol = Protocol(kind="open_set", split_seed=5)
    found = plan(protocol=protocol, seeds=(0, 1))
    np.testing.assert_array_equal(found.splits[0].test, found.splits[1].test)
    shared = "every seed tests the same people (split_seed = 5), so the spread between seeds is that of training alone"
    assert notes_of(found, "split_seed") == [
        f"{shared}, and verdicts are about these people: one split cannot tell whether they hold for others"
    ]
    folds = Protocol(kind="open_set", split_seed=5, folds=3)
    assert notes_of(plan(protocol=folds, seeds=(0, 1)), "split_seed") == [
        f"{shared}, and that between folds is that of people as well"
    ]
    assert notes_of(plan(protocol=protocol), "split_seed") == []
