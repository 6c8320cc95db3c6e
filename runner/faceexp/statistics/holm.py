"""Holm's correction of p-values for how many tests there are.

References:
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import overload


@overload
def holm(p_values: Sequence[float]) -> list[float]: ...
@overload
def holm(p_values: Sequence[float | None]) -> list[float | None]: ...
def holm(p_values: Sequence[float | None]) -> list[float] | list[float | None]:
    """Return p-values corrected for the number of tests; ``None``, where there was no test, does not count."""
    from statsmodels.stats.multitest import multipletests

    tested = [p for p in p_values if p is not None]
    if not tested:
        return list(p_values)
    # `multipletests` collects garbage at each call, which takes 50 ms, and much longer if TensorFlow is loaded. What is
    # frozen is not looked through.
    gc.freeze()
    try:
        corrected = iter(multipletests(tested, method="holm")[1])
    finally:
        gc.unfreeze()
    return [None if p is None else float(next(corrected)) for p in p_values]
