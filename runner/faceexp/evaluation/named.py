"""The metric of a name: one of the catalogue, or the true accept rate at any false accept rate that a file asks for."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection

from faceexp.evaluation.catalogue import METRIC_OF, METRICS, Metric

# The keys of true accept rates at a false accept rate, which an experiment file may ask for at any rate.
_AT_FAR = re.compile(r"tar@far=(.{1,30})")


def far_key(far: float) -> str:
    """Return the key of the true accept rate at a false accept rate."""
    return f"tar@far={far}"


def metric_of(name: str) -> Metric | None:
    """Return the metric of this key or heading; ``None`` if there is none.

    There is a true accept rate at every false accept rate between 0 and 1, however the rate is written.
    """
    for metric in METRICS:
        if metric.is_called(name):
            return metric
    match = _AT_FAR.fullmatch(name.lower())
    try:
        far = float(match[1]) if match else math.nan
    except ValueError:
        return None
    return METRIC_OF.get(far_key(far)) or _tar_at_far(far) if 0 < far < 1 else None


def known(key: str) -> Metric:
    """Return the metric of this key, of which it is known that there is one.

    Raises:
        KeyError: There is none.
    """
    metric = metric_of(key)
    if metric is None:
        raise KeyError(key)
    return metric


@functools.cache
def _tar_at_far(far: float) -> Metric:
    """Return the true accept rate at a false accept rate that is not among :data:`METRICS`."""
    usual = METRIC_OF["tar@far=0.001"]
    digits, exponent = f"{far:.5e}".split("e")
    return Metric(
        far_key(far),
        # Nobody likes to count the zeros of small rates.
        f"TAR@{far * 100:g}%" if far >= 1e-3 else f"TAR@{float(digits):g}e{int(exponent)} %",
        usual.scale,
        usual.digits,
        usual.higher_is_better,
        usual.importance,
        f"similar pairs accepted when {far * 100:.10g} % of different ones are",
        f"Let at most 1 of {round(1 / far):,} pairs of two people pass as one person: which share of the pairs of one "
        f"person is accepted then? 100 % is perfect, {far * 100:.10g} % is guessing.",
        guessing=far,
    )


def metrics_among(keys: Collection[str]) -> tuple[Metric, ...]:
    """Return the metrics of some keys, in the order of results.json; other keys, such as the pooled ones, have none."""
    asked = [metric for key in keys if key not in METRIC_OF and (metric := metric_of(key)) and metric.key == key]
    rates = sorted(asked, key=lambda metric: -(metric.guessing or 0.0))
    return (*(metric for metric in METRICS if metric.key in keys), *rates)


def columns_among(keys: Collection[str], asked: Collection[str] = ()) -> tuple[Metric, ...]:
    """Return the same metrics as the columns of a table: those that were asked for, then the others by importance.

    Of true accept rates that were asked for, those at high rates come first.
    """

    def place(metric: Metric) -> tuple[bool, int, float]:
        if metric.key in asked and metric.key.startswith("tar@far="):
            return False, 0, -(metric.guessing or 0.0)
        return metric.key not in asked, metric.importance, 0.0

    return tuple(sorted(metrics_among(keys), key=place))
