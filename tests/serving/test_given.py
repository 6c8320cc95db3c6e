"""Photos from Python, and what a model answers; its network is a fake, whose embeddings are the pixels themselves."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest
from PIL import Image

from faceexp.errors import MAX_LISTED, InputError
from faceexp.results.model_schema import ModelRecord
from faceexp.serving.model import FaceModel
from faceexp.serving.thresholds import Threshold

GREY = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
COLOUR = np.repeat(GREY[:, :, None], 3, axis=2)


@pytest.fixture
def model(tmp_path):
    record = ModelRecord.model_validate(
        {
            "label": "fake",
            "distance": "euclidean",
            "threshold": 1.0,
            "calibration": {"threshold": 1.0, "thresholds": {"0.1": 0.5}, "slope": -1.0, "intercept": 2.0},
            "preprocess": {"size": [8, 8]},
        }
    )
    return FaceModel(tmp_path, record, lambda pixels: pixels.reshape(len(pixels), -1).astype(np.float32))


@pytest.fixture
def file(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_one_photo_of_any_kind_is_one_photo(model, file):
    content = file.read_bytes()
    expected = GREY.reshape(1, -1)
    with Image.open(file) as picture, file.open("rb") as opened:
        given = [str(file), file, picture, opened, content, io.BytesIO(content), GREY, GREY[:, :, None], COLOUR]
        given += [GREY.astype(np.int64), np.dstack([COLOUR, GREY])]
        for photo in given:
            np.testing.assert_array_equal(model.embed(photo), expected)
    # And in a list.
    np.testing.assert_array_equal(model.embed([file, content, GREY, COLOUR]), np.repeat(expected, 4, axis=0))
    np.testing.assert_array_equal(model.embed(np.stack([GREY, GREY])[..., None]), np.repeat(expected, 2, axis=0))
    assert model.embed([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (GREY / 255, "is an array of float64, whose range is not known"),
        (GREY > 99, "is an array of bool"),
        (COLOUR.transpose(2, 0, 1), r"of shape \(3, 8, 8\); give \(H, W\) or \(H, W, 3\)"),
        (np.zeros((0, 0), np.uint8), r"of shape \(0, 0\)"),
        (GREY.astype(int) + 1000, "has pixels from 1"),
        (-GREY.astype(int), "has pixels from -"),
        (None, "is no photo but NoneType"),
        (3, "is no photo but int"),
        (b"no image", "cannot be decoded"),
        (b"", "cannot be decoded"),
        (io.StringIO("text"), "is a file of text"),
    ],
)
def test_what_is_no_photo_is_named_with_its_place(model, photo, message):
    with pytest.raises(InputError, match=f"photo 2: .*{message}"):
        model.embed([GREY, photo])


def test_what_is_neither_a_photo_nor_a_list_is_refused(model):
    for given in (None, 3):
        with pytest.raises(InputError, match="is no photo; give a path"):
            model.embed(given)


def test_a_picture_whose_file_is_damaged_or_closed_is_refused(model, file):
    content = file.read_bytes()
    damaged = Image.open(io.BytesIO(content[: len(content) // 2]))
    with pytest.raises(InputError, match=r"photo 1: cannot be decoded"):
        model.embed([damaged])


def test_a_gallery_may_hold_single_photos_of_any_kind(model, file):
    answer = model.identify({"ann": file, "bob": 255 - GREY, "cid": [str(file), GREY]}, GREY)
    assert [(person.name, person.distance) for person in answer.candidates[:2]] == [("ann", 0), ("cid", 0)]
    assert [person.photo for person in answer.candidates] == [str(file), str(file), "photo 2"]
    assert (answer.somebody, answer.left_out) == (True, ())
    assert not model.identify({}, GREY).somebody


def test_a_photo_of_the_gallery_that_cannot_be_used_is_left_out_and_named(model, file, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    answer = model.identify({"ann": [tmp_path / "bad.png", file], "bob": [tmp_path / "bad.png"]}, GREY)
    assert [person.name for person in answer.candidates] == ["ann"]
    assert len(answer.left_out) == 2
    assert all(line.startswith(f"{tmp_path / 'bad.png'}: cannot be decoded") for line in answer.left_out)
    with pytest.raises(InputError, match="bad.png"):
        model.identify({"bob": [tmp_path / "bad.png"]}, GREY)
    with pytest.raises(InputError, match="bad.png"):
        model.identify({"ann": file}, tmp_path / "bad.png")


@pytest.mark.parametrize("far", [0, -1, 1.5, math.nan, math.inf, "often", [0.1]])
def test_what_is_no_rate_is_refused(model, far):
    with pytest.raises(InputError, match="has to be a number above 0 and at most 1"):
        model.verify(GREY, GREY, far=far)


def test_pairs_are_judged_as_one_at_a_time(model, tmp_path):
    rng = np.random.default_rng(1)
    files = [str(tmp_path / f"{number}.png") for number in range(5)]
    for file in files:
        Image.fromarray(GREY + rng.integers(0, 2, GREY.shape, dtype=np.uint8)).save(file)
    pairs = [(files[a], files[b]) for a, b in rng.integers(0, 5, (30, 2))]
    judged = model.verify_pairs(pairs, 0.1)
    assert (judged.threshold, judged.far, judged.faces) == (0.5, 0.1, dict.fromkeys(dict.fromkeys(sum(pairs, ())), 1))
    for number, (a, b) in enumerate(pairs):
        alone = model.verify(a, b, 0.1)
        assert judged.distance[number] == pytest.approx(alone.distance, rel=1e-9)
        assert judged.same[number] == alone.same
        assert judged.probability[number] == pytest.approx(alone.probability, rel=1e-9)


def test_of_many_photos_that_are_missing_the_first_are_named(model):
    with pytest.raises(InputError) as caught:
        model.verify_pairs([(f"{number}.png", "x.png") for number in range(100)])
    assert len(caught.value.problems) == MAX_LISTED + 1
    assert str(caught.value.problems[-1]) == f"{101 - MAX_LISTED} more photos cannot be used"


def test_a_network_without_finite_embeddings_decides_nothing(model, tmp_path):
    broken = FaceModel(tmp_path, model.record, lambda pixels: np.full((len(pixels), 4), np.nan, np.float32))
    with pytest.raises(InputError, match="gives no finite embeddings"):
        broken.verify(GREY, GREY)


def with_calibration(model, **calibration):
    calibration = model.record.calibration.model_copy(update=calibration)
    return dataclasses.replace(model, record=model.record.model_copy(update={"calibration": calibration}))


def test_a_threshold_comes_with_what_is_known_of_its_rate(model):
    known = {
        "far": 0.12,
        "threshold_far_range": (0.08, 0.19),
        "test_far": 0.15,
        "far_range": {"0.1": (0.05, 0.2), "0.01": None},
        "test_far_at": {"0.1": 0.13},
    }
    told = with_calibration(model, **known)
    assert told.threshold() == Threshold(1.0, 0.12, (0.08, 0.19), 0.15)
    assert told.threshold(0.1) == Threshold(0.5, 0.1, (0.05, 0.2), 0.13)
    assert told.threshold_at(0.1) == (0.5, 0.1)
    for far, threshold in ((None, told.threshold()), (0.1, told.threshold(0.1))):
        for answer in (
            told.verify(GREY, GREY, far),
            told.identify({"a": GREY}, GREY, far),
        ):
            assert (answer.threshold, answer.far) == (threshold.distance, threshold.far)
            assert (answer.far_range, answer.test_far) == (threshold.far_range, threshold.test_far)
    # Models of older versions do not know it.
    assert model.verify(GREY, GREY, 0.1).far_range is None
    assert math.isnan(model.verify(GREY, GREY, 0.1).test_far)


def test_a_rate_that_few_people_cannot_give_is_refused_with_what_it_may_be(model):
    few = {"thresholds": {"0.1": 0.5, "0.01": None}, "far_range": {"0.01": (0.0012, 0.082)}, "people": 8}
    with pytest.raises(
        InputError,
        match=r"rate of 0.01: its 8 validation people are too few to set one, since other people may meet 0.12 to "
        r"8.2 %; this model has them at 0.1",
    ):
        with_calibration(model, **few).verify(GREY, GREY, 0.01)


@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_a_model_that_is_worse_than_chance_gives_no_odds(model, slope):
    """Models of older versions may have a slope above 0: the further apart two photos, the more likely one person."""
    guessing = with_calibration(model, slope=slope)
    assert guessing.is_guessing
    assert not model.is_guessing
    assert [guessing.probability(distance) for distance in (0, 1, 100)] == [0.5] * 3
    assert guessing.verify(GREY, GREY).probability == 0.5
