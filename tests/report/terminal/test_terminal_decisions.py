"""What a model says about photos, as people read it in a terminal."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest

from faceexp.report.terminal.decisions import identification, pairs_summary, verification
from faceexp.serving.answers import Candidate, Identification, JudgedPairs, Tally, Verification

MODEL = types.SimpleNamespace(label="npairs", folder="runs/x", distance="cosine", is_guessing=False)
GUESSING = types.SimpleNamespace(**vars(MODEL) | {"is_guessing": True})
JUDGED = JudgedPairs(np.array([0.5]), np.array([True]), np.array([0.9]), threshold=0.6, far=0.01, faces={})
WORTHLESS = "This model is no better than guessing: on its validation people, photos of one person were not nearer"


def test_a_decision_says_what_it_is_based_on(drawn):
    answer = Verification(distance=0.51239, threshold=0.6, same=True, probability=0.87654, far=0.0123)
    lines = [" ".join(line.split()) for line in drawn(verification(answer, MODEL), 140).splitlines()]
    assert lines == [
        "the same person",
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
    assert drawn(identification(of_gallery, GUESSING), 140).splitlines()[1].startswith(WORTHLESS)
    assert WORTHLESS in drawn(pairs_summary(Tally(1, 1, 0, None, None), JUDGED, GUESSING), 140)
    assert WORTHLESS not in drawn(verification(answer, MODEL), 140)


@pytest.mark.parametrize(("probability", "text"), [(1.0, "99.9 %"), (0.0, "0.1 %"), (math.nan, "-")])
def test_no_probability_is_certain_and_none_is_a_hyphen(drawn, probability, text):
    answer = Verification(distance=0.9, threshold=0.6, same=False, probability=probability, far=math.nan)
    out = drawn(verification(answer, MODEL), 140)
    assert out.startswith("not the same person")
    assert f" {text} that both show one person" in out
    assert "different pairs" not in out  # the rate of this threshold is not known


def test_the_nearest_people_are_listed_and_the_others_counted(drawn):
    people = tuple(Candidate(f"p{n:02}", f"p{n:02}/1.png", 0.1 + n / 10, 0.5) for n in range(12))
    out = drawn(identification(Identification(people, threshold=0.25, somebody=True, far=0.01), MODEL), 140)
    assert out.startswith("this is p00\n")
    listed = [line.split()[:3] for line in out.splitlines() if line.lstrip()[:1].isdigit()]
    assert listed == [[str(n + 1), f"p{n:02}", f"{0.1 + n / 10:.4g}"] for n in range(10)]
    assert "and 2 more people" in out
    # One chance in a hundred, twelve times: 1 - 0.99^12 = 0.1136.
    assert "up to 11 % of strangers are taken for one of the 12 people here" in " ".join(out.split())
    nobody = identification(Identification(people[:1], threshold=0.05, somebody=False, far=0.01), MODEL)
    assert drawn(nobody, 140).startswith("nobody in the gallery\n")
    assert "stranger" not in drawn(nobody, 140)


@pytest.mark.parametrize(
    ("tally", "text"),
    [
        (Tally(1200, 300, 0, None, None), "1,200 pairs, 300 judged to show one person"),
        (Tally(12, 3, 4, 3, None), "12 pairs, 3 judged to show one person; right 3 of 4"),
        (
            Tally(12, 3, 4, 3, 0.83333),
            "12 pairs, 3 judged to show one person; balanced accuracy 83.33 %, right 3 of 4",
        ),
    ],
)
def test_a_list_of_pairs_is_summed_up_as_far_as_the_truth_is_known(drawn, tally, text):
    out = drawn(pairs_summary(tally, JUDGED, MODEL), 140)
    threshold = "threshold 0.6, which accepts 1 % of different pairs (measured on validation people)"
    assert out == f"{text}\n{threshold}\n"
