"""What a model says of itself: how often it was right, on how many people, and when it gives no probability."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from faceexp.errors import InputError
from faceexp.planning.prospects import PEOPLE
from faceexp.results.model_schema import MeasuredRecord, ModelRecord, OwnThresholdRecord
from faceexp.serving.model import FaceModel
from faceexp.serving.worth import worth_of


def record(**known: Any) -> ModelRecord:
    """A model whose calibration knows some things."""
    return ModelRecord.model_validate(
        {
            "label": "made",
            "distance": "euclidean",
            "threshold": 1.0,
            "preprocess": {},
            "calibration": {"threshold": 1.0, "slope": -4.0, "intercept": 4.0} | known,
        }
    )


MEASURED = {"test_far": 0.2, "test_tar": 0.9, "test_people": 12, "test_seen": 0}


@pytest.mark.parametrize(
    ("known", "beats", "sentence"),
    [
        (
            MEASURED | {"test_accuracy_range": (0.76, 0.91)},
            True,
            "On 12 people whom it had not seen it was right about 85.0 % of pairs (95 % interval 76.0 to 91.0 %); "
            "guessing is right about 50 %.",
        ),
        (
            MEASURED | {"test_accuracy_range": (0.48, 0.97)},
            False,
            "This model was not shown to be better than guessing. On 12 people whom it had not seen it was right about "
            "85.0 % of pairs (95 % interval 48.0 to 97.0 %); guessing is right about 50 %.",
        ),
        (
            MEASURED | {"test_people": 5, "test_accuracy_range": (0.76, 0.91)},
            False,
            "This model was not shown to be better than guessing. On 5 people whom it had not seen it was right about "
            "85.0 % of pairs (95 % interval 76.0 to 91.0 %); guessing is right about 50 %. With fewer than 6 people, "
            "not even a perfect model can be shown to be better.",
        ),
        (
            MEASURED | {"test_seen": 12, "test_accuracy_range": (0.76, 0.91)},
            True,
            "On other photos of 12 people whom it had seen in training, so nothing is known of new people, it was right "
            "about 85.0 % of pairs (95 % interval 76.0 to 91.0 %); guessing is right about 50 %.",
        ),
        (
            {"test_far": 0.2, "test_tar": 0.9},
            None,
            "On its test people it was right about 85.0 % of pairs; guessing is right about 50 %.",
        ),
        ({}, None, "How often this model is right about people whom it has not seen is not known."),
    ],
    ids=["better", "not shown", "too few", "closed set", "older version", "unknown"],
)
def test_how_often_a_model_was_right_is_said_with_what_guessing_gives(known, beats, sentence):
    worth = worth_of(record(**known))
    assert (worth.beats_guessing, worth.sentence) == (beats, sentence)


OVER_TRIALS = {"trials": 5, "people": 27, "auc": 0.744, "interval": (0.648, 0.84), "beats_guessing": True}


@pytest.mark.parametrize("one_trial", [(0.48, 0.97), (0.76, 0.91), None], ids=["not shown", "shown", "no interval"])
@pytest.mark.parametrize("shown", [True, False])
def test_all_trials_of_a_network_that_is_only_measured_decide(one_trial, shown):
    """They are one network on other people each, so a single one of them says less than all, and nothing else."""
    known = record(**MEASURED, test_accuracy_range=one_trial).model_copy(
        update={"measured": MeasuredRecord.model_validate(OVER_TRIALS | {"beats_guessing": shown})}
    )
    worth = worth_of(known)
    sentence = (
        "In all 5 trials of its run, on 27 people, who may have been among those whom it was trained on, its AUC was "
        "0.744 (interval 0.648 to 0.840); guessing has 0.5. At the threshold of this trial it was right about 85.0 % of "
        "pairs of 12 people; guessing is right about 50 %."
    )
    useless = "This model was not shown to be better than guessing. "
    assert (worth.beats_guessing, worth.sentence) == (shown, sentence if shown else useless + sentence)


def test_a_network_that_was_measured_on_too_few_people_says_so():
    few = {"trials": 1, "people": 5, "auc": 1.0, "interval": None, "beats_guessing": False}
    known = record().model_copy(update={"measured": MeasuredRecord.model_validate(few)})
    assert worth_of(known).sentence == (
        "This model was not shown to be better than guessing. In the only trial of its run, on 5 people, who may have "
        "been among those whom it was trained on, its AUC was 1.000; guessing has 0.5. With fewer than 6 people, not "
        "even a perfect model can be shown to be better."
    )


def served(own: OwnThresholdRecord | None = None, **known: Any) -> FaceModel:
    return FaceModel(Path("m"), record(**known), lambda pixels: pixels.astype("float32"), own=own)


@pytest.mark.parametrize(
    ("people", "given"), [(2, False), (PEOPLE - 1, False), (PEOPLE, True), (40, True), (None, True)]
)
def test_a_probability_needs_as_many_people_as_could_show_anything(people, given):
    model = served(people=people)
    # 1 / (1 + exp(-(4 - 4 x 0.5))), by hand.
    expected = 1 / (1 + math.exp(-2))
    assert model.probability(0.5) == (pytest.approx(expected) if given else pytest.approx(math.nan, nan_ok=True))
    reason = "" if given else f"it takes 6 validation people, and there are only {people}"
    assert model.why_no_probability == reason


def test_a_threshold_of_ones_own_decides_instead_and_its_people_count():
    known: dict[str, Any] = {"threshold": 2.0, "slope": -1.0, "intercept": 2.0, "far": 0.1}

    def own(**more):
        return OwnThresholdRecord.model_validate(
            {"pairs": "p.csv", "sha256": "0", "label": "made", "model_threshold": 1.0, "calibration": known | more}
        )

    model = served(own(people=7), people=2, **MEASURED)
    assert (model.threshold().distance, model.threshold().far) == (2.0, 0.1)
    assert model.probability(2.0) == 0.5
    assert model.worth.accuracy == pytest.approx(0.85), "what the run has measured stays"
    assert served(own(people=3)).why_no_probability == "it takes 6 people in your pairs, and there are only 3"
    assert served(own()).why_no_probability == "your list of pairs does not say whom the photos show"
    with pytest.raises(InputError, match="no threshold at a false accept rate of 0.1"):
        served(own(people=7)).threshold(0.1)
