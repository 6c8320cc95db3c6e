"""What a model says about photos, as people read it in a terminal."""

from __future__ import annotations

import dataclasses
import math
import types
from pathlib import Path

import numpy as np
import pytest

from faceexp.evaluation.listed import Estimate
from faceexp.report.terminal.decisions import (
    embeddings_written,
    identification,
    model_written,
    pairs_summary,
    verification,
)
from faceexp.results.record import CalibrationRecord
from faceexp.serving.answers import Candidate, Identification, JudgedPairs, Tally, Verification
from faceexp.serving.export import Exported
from faceexp.serving.pair_lists import PairList
from faceexp.serving.worth import Worth

WORTH = Worth(people=12, seen=0, accuracy=0.831, ci95=(0.712, 0.908), beats_guessing=True)
RIGHT = (
    "On 12 people whom it had not seen it was right about 83.1 % of pairs (95 % interval 71.2 to 90.8 %); guessing is "
    "right about 50 %."
)
MODEL = types.SimpleNamespace(
    label="npairs",
    folder="runs/x",
    distance="cosine",
    is_guessing=False,
    worth=WORTH,
    chosen="",
    own=None,
    why_no_probability="",
    deciding=types.SimpleNamespace(calibration=CalibrationRecord(threshold=0.6, people=12)),
)
GUESSING = types.SimpleNamespace(**vars(MODEL) | {"is_guessing": True})
USELESS = types.SimpleNamespace(**vars(MODEL) | {"worth": Worth(people=12, accuracy=0.52, beats_guessing=False)})
FEW = types.SimpleNamespace(
    **vars(MODEL) | {"why_no_probability": "it takes 6 validation people, and there are only 2"}
)
JUDGED = JudgedPairs(np.array([0.5]), np.array([True]), np.array([0.9]), threshold=0.6, far=0.01, faces={})
LIST = PairList(Path("p.csv"), "0", ["a", "b"], np.array([[0, 1]]), [True], {}, None)
WORTHLESS = "This model is no better than guessing: on its validation people, photos of one person were not nearer"
NOT_SHOWN = (
    "This model was not shown to be better than guessing. On 12 people whom it had not seen it was right about 52.0 %"
)


def test_a_decision_says_what_it_is_based_on(drawn):
    answer = Verification(distance=0.51239, threshold=0.6, same=True, probability=0.87654, far=0.0123)
    lines = [" ".join(line.split()) for line in drawn(verification(answer, MODEL), 140).splitlines()]
    assert lines == [
        "the same person",
        RIGHT,
        "distance 0.5124 (cosine)",
        "threshold 0.6, which accepts 1.2 % of different pairs (measured on validation people)",
        "probability 87.7 % that both show one person, if that is as likely as not beforehand",
        "model npairs, runs/x",
    ]


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"test_far": 0.1234}, "(measured on validation people; on test people it accepted 12 %)"),
        (
            {"far_range": (0.004, 0.0213)},
            "(measured on validation people; on others it is likely to accept 0.4 to 2.1 %)",
        ),
        (
            {"test_far": 1.0, "far_range": (0.5, 0.999)},
            "(measured on validation people; on test people it accepted 100 %; on others it is likely to accept 50 to "
            "100 %)",
        ),
    ],
)
def test_a_threshold_says_whom_it_was_measured_on_and_what_others_may_meet(drawn, known, text):
    answer = Verification(distance=0.5, threshold=0.6, same=True, probability=0.9, far=0.01, **known)
    lines = " ".join(drawn(verification(answer, MODEL), 140).split())
    assert f"threshold 0.6, which accepts 1 % of different pairs {text} probability" in lines
    of_gallery = Identification((Candidate("p", "p.png", 0.1, 0.5),), threshold=0.6, somebody=True, far=0.01, **known)
    assert text in " ".join(drawn(identification(of_gallery, MODEL), 140).split())


def test_a_model_that_guesses_says_so_in_the_second_line(drawn):
    answer = Verification(distance=0.5, threshold=0.6, same=True, probability=0.5, far=0.5)
    assert drawn(verification(answer, GUESSING), 140).splitlines()[1].startswith(WORTHLESS)
    of_gallery = Identification((Candidate("p", "p.png", 0.1, 0.5),), threshold=0.6, somebody=True, far=0.01)
    assert drawn(identification(of_gallery, GUESSING), 140).startswith(WORTHLESS)
    assert WORTHLESS in drawn(pairs_summary(Tally(1, 1, 0, None, None), JUDGED, GUESSING, {}, LIST), 140)
    assert WORTHLESS not in drawn(verification(answer, MODEL), 140)


def test_a_model_that_was_not_shown_to_be_better_than_guessing_says_so_before_all_else(drawn):
    answer = Verification(distance=0.5, threshold=0.6, same=True, probability=0.9, far=0.5)
    out = drawn(verification(answer, USELESS), 140)
    assert out.splitlines()[1].startswith(NOT_SHOWN)
    assert out.count("whom it had not seen") == 1, "it is said once"
    of_gallery = Identification((Candidate("p", "p.png", 0.1, 0.5),), threshold=0.6, somebody=True, far=0.01)
    assert drawn(identification(of_gallery, USELESS), 140).startswith(NOT_SHOWN)
    assert drawn(pairs_summary(Tally(1, 1, 0, None, None), JUDGED, USELESS, {}, LIST), 140).startswith(NOT_SHOWN)


@pytest.mark.parametrize(
    ("same", "probability", "text"),
    [
        (
            False,
            0.618,
            "not accepted as the same person, though it is likelier that they are one: the threshold is strict",
        ),
        (True, 0.382, "accepted as the same person, though it is likelier that they are two: the threshold is lenient"),
        (False, 0.382, "not the same person"),
        (True, 0.618, "the same person"),
        (False, math.nan, "not the same person"),
    ],
)
def test_decision_and_probability_do_not_contradict_each_other(drawn, same, probability, text):
    answer = Verification(distance=0.5, threshold=0.6, same=same, probability=probability, far=0.001)
    assert drawn(verification(answer, MODEL), 140).splitlines()[0] == text


def test_a_probability_that_would_rest_on_too_few_people_is_not_given_and_the_reason_is(drawn):
    answer = Verification(distance=0.5, threshold=0.6, same=True, probability=math.nan, far=0.01)
    assert "probability  not given: it takes 6 validation people, and there are only 2" in drawn(
        verification(answer, FEW), 140
    )
    people = (Candidate("p", "p.png", 0.1, math.nan),)
    out = drawn(identification(Identification(people, threshold=0.6, somebody=True, far=0.01), FEW), 140)
    assert "not given: it takes 6 validation people" in out
    assert "distance   nearest photo" in out, "there is no column of hyphens"


def test_why_it_is_this_model_and_whose_threshold_it_is_are_said(drawn):
    own = types.SimpleNamespace(pairs="mine.csv", sha256="1", caveat="")
    model = types.SimpleNamespace(**vars(MODEL) | {"chosen": "npairs was the best of 3 losses", "own": own})
    answer = Verification(distance=0.5, threshold=0.6, same=True, probability=0.9, far=0.01)
    out = " ".join(drawn(verification(answer, model), 140).split())
    assert "chosen npairs was the best of 3 losses" in out
    assert "(measured on your pairs in mine.csv, on which it was set)" in out
    assert "That was at the model's own threshold." in out


def test_a_threshold_that_was_set_on_photos_of_the_training_says_so_wherever_it_decides(drawn):
    own = types.SimpleNamespace(pairs="mine.csv", sha256="1", caveat="the model saw 3 of the 9 photos of these pairs")
    model = types.SimpleNamespace(**vars(MODEL) | {"own": own})
    for far in (0.01, math.nan):
        answer = Verification(distance=0.5, threshold=0.6, same=True, probability=0.9, far=far)
        out = " ".join(drawn(verification(answer, model), 200).split())
        assert "your pairs in mine.csv, on which it was set; the model saw 3 of the 9 photos of these pairs)" in out


def test_no_rate_is_given_that_rests_on_too_few_people(drawn):
    """Two people are accepted at no rate at all, which reads as if nobody ever were."""
    few = types.SimpleNamespace(calibration=CalibrationRecord(threshold=0.6, people=2))
    model = types.SimpleNamespace(**vars(MODEL) | {"deciding": few})
    out = drawn(
        verification(Verification(distance=0.5, threshold=0.6, same=True, probability=0.9, far=0.0), model), 140
    )
    assert "0.6 (set on validation people: 2 people, too few to say how often it is wrong about others)" in out
    assert "0 %" not in out.replace("50 %", "").replace("90.0 %", "")
    people = (Candidate("a", "a/1.png", 0.1, 0.9), Candidate("b", "b/1.png", 0.9, 0.1))
    answer = Identification(people, threshold=0.25, somebody=True, far=0.0)
    said = " ".join(drawn(identification(answer, model), 140).split())
    assert (
        "How many strangers are taken for one of these 2 people cannot be said: the threshold was set on 2 people"
        in said
    )


def test_labelled_pairs_have_rates_with_intervals_over_people_or_say_that_they_have_not(drawn):
    rates = {"auc": Estimate(0.96, (0.9163, 0.9816)), "far": Estimate(0.0333, None), "frr": Estimate(math.nan, None)}
    known = dataclasses.replace(LIST, person={"a": "x", "b": "y"}, people_from="folders")
    out = drawn(pairs_summary(Tally(12, 3, 4, 3, None), JUDGED, MODEL, rates, known), 140)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[1:4] == [
        "area under the ROC curve (AUC) 0.960 (0.916 to 0.982)",
        "false accept rate (FAR) 3.3 % (no interval)",
        "95 % intervals over 2 people, known from the folders of the photos",
    ]
    assert "only if nobody in these photos was trained on" in lines[4]
    unknown = drawn(pairs_summary(Tally(12, 3, 4, 3, None), JUDGED, MODEL, rates, LIST), 140)
    assert "intervals over pairs, as if no two shared a person, so that they are too narrow" in " ".join(
        unknown.split()
    )
    own = types.SimpleNamespace(pairs="p.csv", sha256="0", caveat="")
    same_list = types.SimpleNamespace(**vars(MODEL) | {"own": own})
    out = drawn(pairs_summary(Tally(12, 3, 4, 3, None), JUDGED, same_list, rates, LIST), 140)
    assert "The threshold was set on these same pairs" in out


@pytest.mark.parametrize(("probability", "text"), [(1.0, "99.9 %"), (0.0, "0.1 %"), (math.nan, "-")])
def test_no_probability_is_certain_and_none_is_a_hyphen(drawn, probability, text):
    answer = Verification(distance=0.9, threshold=0.6, same=False, probability=probability, far=math.nan)
    out = drawn(verification(answer, MODEL), 140)
    assert f" {text} that both show one person" in out
    assert "different pairs" not in out  # the rate of this threshold is not known


def test_the_nearest_people_are_listed_and_the_others_counted(drawn):
    people = tuple(Candidate(f"p{n:02}", f"p{n:02}/1.png", 0.1 + n / 10, 0.5) for n in range(12))
    out = drawn(identification(Identification(people, threshold=0.25, somebody=True, far=0.01), MODEL), 140)
    # One chance in a hundred, twelve times: 1 - 0.99^12 = 0.1136. It stands first.
    assert " ".join(out.split()).startswith(
        "About 11 % of strangers, or more, are taken for one of these 12 people. this is p00 On 12 people whom it"
    )
    listed = [line.split()[:3] for line in out.splitlines() if line.lstrip()[:1].isdigit()]
    assert listed == [[str(n + 1), f"p{n:02}", f"{0.1 + n / 10:.4g}"] for n in range(10)]
    assert "and 2 more people" in out
    out = drawn(identification(Identification(people, threshold=0.25, somebody=True, far=0.01), MODEL, top=3), 140)
    assert "and 9 more people; --top shows more" in out
    out = drawn(identification(Identification(people, threshold=0.25, somebody=True, far=0.01), MODEL, top=11), 140)
    assert "and 1 more person; --top shows more" in out
    nobody = identification(Identification(people[:1], threshold=0.05, somebody=False, far=0.01), MODEL)
    assert drawn(nobody, 140).startswith("nobody in the gallery\n")
    assert "stranger" not in drawn(nobody, 140)


@pytest.mark.parametrize(
    ("tally", "text"),
    [
        (Tally(1200, 300, 0, None, None), "1,200 pairs, 300 judged to show one person"),
        (Tally(1, 0, 0, None, None), "1 pair, 0 judged to show one person"),
        (Tally(12, 3, 4, 3, None), "12 pairs, 3 judged to show one person; right 3 of 4"),
        (
            Tally(12, 3, 4, 3, 0.83333),
            "12 pairs, 3 judged to show one person; balanced accuracy 83.33 %, right 3 of 4",
        ),
    ],
)
def test_a_list_of_pairs_is_summed_up_as_far_as_the_truth_is_known(drawn, tally, text):
    lines = drawn(pairs_summary(tally, JUDGED, MODEL, {}, LIST), 140).splitlines()
    assert lines[0] == text
    assert lines[1] == RIGHT
    assert lines[2].rstrip() == "threshold  0.6, which accepts 1 % of different pairs (measured on validation people)"


KNOWN = "The model saw {} in its training, so its accuracy on other photos is no guide here."


@pytest.mark.parametrize(
    ("seen", "photos"),
    [
        ((True, True), "both photos"),
        ((True, False), "the first photo"),
        ((None, True), "the second photo"),
        ((False, False), None),
        ((None, None), None),
    ],
)
def test_a_photo_that_the_model_was_trained_on_is_no_test_of_it(drawn, seen, photos):
    answer = Verification(distance=0.5, threshold=0.6, same=True, probability=0.9, far=0.01, seen=seen)
    line = drawn(verification(answer, MODEL), 140).splitlines()[1]
    assert line == KNOWN.format(photos) if photos else line.startswith("On 12 people")


@pytest.mark.parametrize(
    ("seen", "gallery_seen", "photos"),
    [
        (True, (0, 9), "this photo"),
        (False, (3, 9), "3 of the 9 photos of the gallery"),
        (True, (1200, 9000), "this photo and 1,200 of the 9,000 photos of the gallery"),
        (False, (30, 30), "all 30 photos of the gallery"),
        (None, None, None),
    ],
)
def test_a_gallery_that_the_model_was_trained_on_is_named(drawn, seen, gallery_seen, photos):
    people = (Candidate("p", "p.png", 0.1, 0.5),)
    answer = Identification(people, threshold=0.6, somebody=True, far=0.01, seen=seen, gallery_seen=gallery_seen)
    line = drawn(identification(answer, MODEL), 140).splitlines()[1]
    assert line == KNOWN.format(photos) if photos else line.startswith("On 12 people")


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (None, "which is not checked"),
        (0, "The model saw none of these files in its training."),
        (2, "The rates are too favourable for new people."),
    ],
)
def test_rates_say_whether_they_are_of_photos_that_were_trained_on(drawn, seen, text):
    judged = dataclasses.replace(JUDGED, seen=seen, faces={"a": 1, "b": 1, "c": 1})
    rates = {"auc": Estimate(0.96, (0.9163, 0.9816))}
    out = drawn(pairs_summary(Tally(12, 3, 4, 3, None), judged, MODEL, rates, LIST), 140)
    assert text in out
    assert (KNOWN.format("2 of the 3 photos of this list") in out) == bool(seen)


def test_what_was_written_says_which_model_it_is_of_and_how_far_to_trust_it():
    model = types.SimpleNamespace(**vars(MODEL) | {"threshold": lambda: types.SimpleNamespace(distance=0.25)})
    assert embeddings_written(model, (30, 8), "e.csv").splitlines() == [
        "30 embeddings of 8 numbers in e.csv, by npairs",
        RIGHT,
        "Compare them by cosine distance: up to 0.25 two photos count as of one person.",
    ]
    files = {"model.onnx": 123456, "README.md": 9}
    exported = Exported(Path("out"), files, {}, WORTH, "npairs", "npairs was the best of 3 losses")
    assert model_written(exported).splitlines()[:3] == [
        "out holds npairs: model.onnx (0.12 MB)",
        RIGHT,
        "npairs was the best of 3 losses",
    ]
