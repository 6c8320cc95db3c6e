"""How often a model was right on people whom it had not seen, and whether that was shown to be more than guessing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from faceexp.evaluation.calibration import probability
from faceexp.planning.prospects import PEOPLE
from faceexp.results.model_schema import MeasuredRecord, ModelRecord, OwnThresholdRecord
from faceexp.results.record import CalibrationRecord, Interval

# Accuracy is balanced: pairs of one person and pairs of two people weigh one half each, whatever their numbers.
GUESSING = 0.5
MAY_BE_KNOWN = "who may have been among those whom it was trained on"
# A probability rests on a curve that is fitted to validation pairs. On two people it misses that of many people by 12
# to 18 points on average, on as few as are needed to show anything at all by 5 to 8 (docs/using-a-model.md).
FEWEST_FOR_PROBABILITY = PEOPLE


@dataclass(frozen=True)
class Worth:
    """What the test part of its run says of a model.

    Attributes:
        people: How many people were tested; ``None`` if that is not known.
        seen: How many of them are in the training or validation part as well.
        accuracy: The balanced accuracy on their pairs, at the threshold of its run; ``None`` if it is not known.
        ci95: Its 95 % interval, by how much these people differ.
        guessing: The accuracy of guessing.
        beats_guessing: Whether the accuracy is shown to be above that; ``None`` if too little is known.
        existed: Whether the model existed before its run, so that it is not known whom it was trained on.
        measured: What all trials of its run show, if these only measured it; they decide whether it beats guessing.
    """

    people: int | None = None
    seen: int | None = None
    accuracy: float | None = None
    ci95: Interval | None = None
    guessing: float = GUESSING
    beats_guessing: bool | None = None
    existed: bool = False
    measured: MeasuredRecord | None = None

    @property
    def is_useless(self) -> bool:
        """Whether it is known that nothing was shown of the model."""
        return self.beats_guessing is False

    @property
    def sentence(self) -> str:
        """What a user has to know of the model before they believe an answer."""
        if self.accuracy is None and self.measured is None:
            return "How often this model is right about people whom it has not seen is not known."
        text = _over_trials(self.measured) if self.measured else self._of_one_trial()
        tested = self.measured.people if self.measured else self.people
        if self.measured and self.accuracy is not None:
            whose = f" of {_people(self.people)}" if self.people is not None else ""
            text += (
                f" At the threshold of this trial it was right about {self.accuracy * 100:.1f} % of pairs{whose}; "
                f"guessing is right about {self.guessing * 100:.0f} %."
            )
        if not self.is_useless:
            return text
        text = f"This model was not shown to be better than guessing. {text}"
        if tested is not None and tested < PEOPLE:
            text += f" With fewer than {PEOPLE} people, not even a perfect model can be shown to be better."
        return text

    def _of_one_trial(self) -> str:
        right = f"right about {(self.accuracy or 0.0) * 100:.1f} % of pairs"
        if self.ci95:
            right += f" (95 % interval {self.ci95[0] * 100:.1f} to {self.ci95[1] * 100:.1f} %)"
        return f"On {self._whom()} it was {right}; guessing is right about {self.guessing * 100:.0f} %."

    def _whom(self) -> str:
        if self.people is None:
            return "its test people"
        people = _people(self.people)
        if self.existed:
            return f"{people}, {MAY_BE_KNOWN},"
        if not self.seen:
            return f"{people} whom it had not seen"
        if self.seen == self.people:
            return f"other photos of {people} whom it had seen in training, so nothing is known of new people,"
        return f"{people}, {self.seen:,} of whom it had seen in training,"


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number:,} people"


def _over_trials(measured: MeasuredRecord) -> str:
    """Return what is judged of a network that is only measured: one measure, over the people of all trials."""
    area = f"{measured.auc or 0.0:.3f}"
    if measured.interval:
        area += f" (interval {measured.interval[0]:.3f} to {measured.interval[1]:.3f})"
    trials = f"all {measured.trials:,} trials" if measured.trials > 1 else "the only trial"
    return (
        f"In {trials} of its run, on {_people(measured.people)}, {MAY_BE_KNOWN}, its AUC was {area}; guessing has 0.5."
    )


def worth_of(record: ModelRecord) -> Worth:
    """Return what is known of the test of a model. The records of older versions do not name the people."""
    known = record.calibration or CalibrationRecord(threshold=record.threshold)
    measured = record.measured
    if known.test_far is None or known.test_tar is None:
        beats = measured.beats_guessing if measured else None
        return Worth(known.test_people, known.test_seen, beats_guessing=beats, measured=measured)
    enough = known.test_people is not None and known.test_people >= PEOPLE
    likely = known.test_accuracy_range
    shown = None if known.test_people is None else bool(enough and likely and likely[0] > GUESSING)
    return Worth(
        people=known.test_people,
        seen=known.test_seen,
        accuracy=(known.test_tar + 1 - known.test_far) / 2,
        ci95=likely,
        # The trials of a network that is only measured are one network on other people, of whom all count.
        beats_guessing=measured.beats_guessing if measured else shown,
        existed=record.existed or record.trunk is not None,
        measured=measured,
    )


def too_few_people(known: CalibrationRecord | None) -> int | None:
    """Return by how many people a threshold was set, if so few say nothing of others; else, or if unknown, nothing."""
    people = known.people if known else None
    return people if people is not None and people < PEOPLE else None


def is_guessing(known: CalibrationRecord | None) -> bool:
    """Return whether similar pairs were not nearer than different ones, so that distances say nothing."""
    return known is not None and known.slope is not None and known.slope >= 0


def probability_of(known: CalibrationRecord | None) -> Callable[[float], float]:
    """Return what makes a probability of a distance; without a calibration that is ``nan``."""
    if known is None or known.slope is None or known.intercept is None:
        return lambda _: math.nan
    if is_guessing(known):
        return lambda _: 0.5
    return functools.partial(probability, slope=known.slope, intercept=known.intercept)


def why_no_probability(known: CalibrationRecord | None, own: OwnThresholdRecord | None = None) -> str:
    """Return why a calibration gives no probability; nothing where it gives one.

    Args:
        known: What the pairs say by which the threshold was set.
        own: What was set on pairs of the user's own, if these decide.
    """
    if own and own.caveat:
        return f"{own.caveat}; set the threshold on photos that it did not see"
    if known is None or known.slope is None or known.intercept is None:
        return "the pairs from which it would follow are not known"
    if known.people is None:
        # Older versions did not count the validation people.
        return "your list of pairs does not say whom the photos show" if own else ""
    if known.people < FEWEST_FOR_PROBABILITY:
        whose = "people in your pairs" if own else "validation people"
        return f"it takes {FEWEST_FOR_PROBABILITY} {whose}, and there are only {known.people}"
    return ""
