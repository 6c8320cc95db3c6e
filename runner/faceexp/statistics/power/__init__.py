"""How large must a study be to tell two losses apart, and what could a given one have told apart?

:func:`from_counts` knows only how many of the same pairs each loss judged right; :func:`from_run` knows the trials of a
run. Both answer for a single comparison at ``alpha`` and, as ``corrected``, for ``alpha`` over the number of
comparisons: the strictest step of Holm's correction.
"""

from __future__ import annotations

from faceexp.statistics.power.counts import CountPower, from_counts
from faceexp.statistics.power.question import UnanswerableError
from faceexp.statistics.power.trials import Design, RunPower, from_run

__all__ = ["CountPower", "Design", "RunPower", "UnanswerableError", "from_counts", "from_run"]
