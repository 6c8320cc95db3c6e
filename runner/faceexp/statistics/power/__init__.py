"""How large must a study be to tell two losses apart, and which differences could a given study have found?

:func:`from_counts` needs only to know how many of the same pairs each loss judged right; :func:`from_run` needs the
trials of a run. Both answer for a single comparison at the level ``alpha``. They also answer, as ``corrected``, for the
level ``alpha`` divided by the number of comparisons, which is the strictest step of Holm's correction.
"""

from __future__ import annotations

from faceexp.statistics.power.counts import CountPower, from_counts
from faceexp.statistics.power.question import UnanswerableError
from faceexp.statistics.power.trials import Design, RunPower, from_run

__all__ = ["CountPower", "Design", "RunPower", "UnanswerableError", "from_counts", "from_run"]
