"""Which distance decides, and what is known of the false accept rate that comes with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from faceexp.errors import InputError
from faceexp.results.model_schema import ModelRecord
from faceexp.results.record import CalibrationRecord, Interval


@dataclass(frozen=True)
class Threshold:
    """A distance that decides, and which share of different pairs it accepts.

    Attributes:
        distance: Up to this distance two photos count as of one person.
        far: The share on validation pairs; ``nan`` if it is not known.
        far_range: The share that other people are likely to meet, from the lower to the upper end of a 90 % interval.
        test_far: The share on test pairs; ``nan`` if it is not known.
    """

    distance: float
    far: float
    far_range: Interval | None = None
    test_far: float = math.nan


def percent(rate: float) -> str:
    """Return a rate in per cent with two digits, without the sign."""
    return f"{float(f'{rate * 100:.2g}'):g}"


def threshold_of(record: ModelRecord, far: float | None = None, whose: str = "validation ") -> Threshold:
    """Return a threshold and what is known of its false accept rate; by default the threshold of best accuracy.

    Args:
        record: The model.
        far: The false accept rate that is asked for.
        whose: What the people and pairs are called by which the thresholds were set.

    Raises:
        InputError: The model has no threshold for that rate.
    """
    calibration = record.calibration or CalibrationRecord(threshold=record.threshold)
    if far is None:
        return Threshold(
            _number(record.threshold),
            _number(calibration.far),
            calibration.threshold_far_range,
            _number(calibration.test_far),
        )
    try:
        far = float(far)
    except (TypeError, ValueError):
        far = math.nan
    if not 0 < far <= 1:
        raise InputError("the false accept rate has to be a number above 0 and at most 1")
    thresholds = calibration.thresholds
    rate = next((rate for rate in thresholds if math.isclose(float(rate), far)), "")
    at_rate, likely = thresholds.get(rate), calibration.far_range.get(rate)
    if at_rate is not None:
        return Threshold(at_rate, far, likely, _number(calibration.test_far_at.get(rate)))
    ready = ", ".join(rate for rate, value in thresholds.items() if value is not None) or "none"
    if likely:
        why = (
            f"its {calibration.people} {whose}people are too few to set one, since other people may meet "
            f"{percent(likely[0])} to {percent(likely[1])} %"
        )
    elif rate:
        why = f"its {calibration.n_different or 0:,} different {whose}pairs are too few to set one"
    else:
        why = "it was not set"
    raise InputError(f"no threshold at a false accept rate of {far:g}: {why}; this model has them at {ready}")


def _number(value: float | None) -> float:
    return math.nan if value is None else value
