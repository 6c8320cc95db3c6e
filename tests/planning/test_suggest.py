"""``faceexp init``: whatever the photos are, the file that is written fits them and says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp import pipeline
from faceexp.contract import FaceData
from faceexp.data.splits import splits
from faceexp.errors import InputError
from faceexp.experiment import toml
from faceexp.planning.adapt import Training
from faceexp.planning.photos import Faces, Photos
from faceexp.planning.seen import finding
from faceexp.planning.suggest import suggest
from faceexp.registry.installed import ConfiguredPlugin, Registry, discover

CROPPED = Faces(searched=40, shares=(0.9,) * 40, several=0)
SCENES = Faces(searched=40, shares=(0.25,) * 38, several=3)
REGISTRY = discover()


def photos(counts, *, faces=CROPPED, unreadable=None, coloured=0, side=92):
    """Photos of people with so many each, as they would have been seen."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    names = tuple(f"p{number}" for number in range(len(counts)))
    data = FaceData(np.zeros((len(labels), 4, 4), np.uint8), labels, names, "digest", "none", "folder faces")
    return Photos(data, np.arange(len(labels)), unreadable or {}, side, ((side, side),) * 2, coloured, (), faces)


def dataset():
    """A folder that nobody looks into: what is in it is known."""
    return REGISTRY.configure("dataset", "image_folder", {"path": "some where"})


def suggested(seen, tmp_path, registry=REGISTRY):
    """Return the file that is written, and the experiment that it means."""
    suggestion = suggest(seen, "faces", dataset(), registry)
    (tmp_path / "some where").mkdir(exist_ok=True)
    file = tmp_path / "faces.toml"
    file.write_text(suggestion.text, encoding="utf-8")
    return suggestion, pipeline.load(file)


def check_that_it_fits(seen, study):
    """Cut the people as the run will, and ask every loss for its batches."""
    experiment, counts = study.experiment, seen.counts
    counts = counts[counts >= (experiment.protocol.min_images or 1)]
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = [part for seed in experiment.seeds for part in splits(labels, experiment.protocol, seed)]
    training = Training.of(labels, parts)
    assert experiment.pretrain.batch_size <= training.images
    assert all(training.serves(loss.sampler.supply()) for loss in study.resolved.losses)
    assert len(parts) >= 5  # enough trials for every question


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(1, 9), min_size=2, max_size=45))
def test_the_file_fits_whatever_people_there_are(counts, tmp_path_factory):
    seen = photos(counts)
    try:
        _, study = suggested(seen, tmp_path_factory.mktemp("one"))
    except InputError as error:
        assert sum(count >= 2 for count in counts) < 6  # an open set would have been possible
        assert "add p" in str(error)
        return
    check_that_it_fits(seen, study)


@pytest.mark.parametrize(
    ("people", "kind", "folds", "seeds"),
    [
        (2, "closed_set", 1, 5),
        (5, "closed_set", 1, 5),
        (6, "open_set", 3, 2),
        (9, "open_set", 4, 2),
        (10, "open_set", 5, 2),
        (40, "open_set", 5, 2),
        (300, "open_set", 5, 1),
    ],
)
def test_folds_follow_the_number_of_people(people, kind, folds, seeds, tmp_path):
    seen = photos([10] * people)
    _, study = suggested(seen, tmp_path)
    experiment = study.experiment
    assert (experiment.protocol.kind, experiment.protocol.folds, len(experiment.seeds)) == (kind, folds, seeds)
    check_that_it_fits(seen, study)


def test_ten_people_are_cut_and_served_as_the_comments_say(tmp_path):
    text = suggested(photos([10] * 10), tmp_path)[0].text
    for line in (
        "# 10 people in 5 folds, each tested once. People of a fold: 2 for test, 2 for validation, 6 for",
        "# Photos in a step of phase 1; the smallest training part has 60.\nbatch_size = 15",
        "# Identities in a batch, P.\nclasses_per_batch = 6",
    ):
        assert line in text


def test_people_with_one_photo_are_left_out_and_named(tmp_path):
    seen = photos([1, 4, 4, 1, 4, 4, 4, 4])
    suggestion, study = suggested(seen, tmp_path)
    assert study.experiment.protocol.min_images == 2
    assert "2 of 8 people have fewer than 2 photos that can be used and are left out: p0, p3" in suggestion.facts
    assert (suggestion.people, suggestion.images) == (6, 24)


def test_photos_that_cannot_be_used_count_for_nobody(tmp_path):
    seen = photos([2] * 7, unreadable={0: "cannot be decoded (\x1b[31mbroken)"})
    suggestion, study = suggested(seen, tmp_path)
    assert study.experiment.preprocess.on_unreadable == "skip"
    assert study.experiment.protocol.min_images == 2
    assert "# Left out: p0/image 0 cannot be decoded (\\x1b[31mbroken)." in suggestion.text


@pytest.mark.parametrize("counts", [[1] * 40, [4, 4, 4], [2] * 5])
def test_too_few_photos_are_refused_with_what_is_wanted(counts):
    with pytest.raises(InputError, match="add photos|add people or photos"):
        suggest(photos(counts), "faces", dataset(), REGISTRY)


def test_faces_that_fill_their_photos_are_taken_whole():
    decided = finding(CROPPED)
    assert (decided.detects, decided.is_sure) == (False, True)
    assert decided.reason == (
        "a face was found in 40 of 40 photos that were searched, and fills 90 % of the shorter side: photos are taken "
        "whole (this is sure)"
    )


def test_small_faces_are_found_first_and_nobody_knows_how_many_photos_are_left(tmp_path):
    suggestion, study = suggested(photos([10] * 10, faces=SCENES, side=360, coloured=100), tmp_path)
    preprocess = study.experiment.preprocess
    assert preprocess.detect is not None
    assert (preprocess.color, preprocess.on_unreadable, preprocess.size) == ("rgb", "skip", (48, 48))
    assert "; 3 show several faces, of which the largest is taken" in suggestion.text.replace("\n# ", " ")
    assert "batch_size" not in suggestion.text
    assert "classes_per_batch" not in suggestion.text


@pytest.mark.parametrize(
    "faces",
    [
        None,  # no detector is installed
        Faces(searched=40, shares=(0.3,) * 10, several=0),  # too few faces
        Faces(searched=40, shares=(0.3,) * 25 + (0.9,) * 15, several=0),  # some are cropped, some are not
    ],
)
def test_what_is_not_sure_says_so(faces):
    assert not finding(faces).is_sure


def test_small_faces_become_small_images(tmp_path):
    assert suggested(photos([10] * 10, side=40), tmp_path)[1].experiment.preprocess.size == (32, 32)


def test_plugins_are_those_that_call_themselves_suggested(tmp_path):
    losses = [loss.entry.plugin for loss in suggested(photos([10] * 10), tmp_path)[1].resolved.losses]
    assert 3 <= len(losses) <= 8
    assert all(REGISTRY.find("loss", name).load().suggested for name in losses)


def test_without_suggested_losses_all_that_fit_are_compared(tmp_path):
    """A person who has installed two losses of others gets a comparison of these."""
    chosen = [p for p in REGISTRY.plugins if p.kind != "loss" or p.name in ("supcon", "circle")]
    text = suggested(photos([10] * 10), tmp_path, Registry(tuple(chosen)))[0].text
    assert [line for line in text.splitlines() if line in ('plugin = "circle"', 'plugin = "supcon"')] == [
        'plugin = "circle"',
        'plugin = "supcon"',
    ]


@pytest.mark.parametrize("kind", ["loss", "model", "sampler"])
def test_what_is_not_installed_is_said(kind):
    rest = Registry(tuple(plugin for plugin in REGISTRY.plugins if plugin.kind != kind))
    with pytest.raises(InputError, match=f"no (installed )?{kind} "):
        suggest(photos([10] * 10), "faces", dataset(), rest)


@given(path=st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text and text.isprintable()))
@settings(max_examples=30, deadline=None)
def test_any_path_is_written_so_that_it_is_read_again(path):
    plugin = ConfiguredPlugin(dataset().installed, type(dataset().plugin).from_toml({"path": path}))
    text = suggest(photos([10] * 10), "faces", plugin, REGISTRY).text
    assert toml.parse_text(text, "faces.toml").data["dataset"]["path"] == path
