"""Whether a run goes on: what a look has settled, and whether there is time for another one."""

from __future__ import annotations

from faceexp.experiment.asked import Asked, Limits
from faceexp.results.verdict import LookRecord, VerdictRecord


def looked(verdict: VerdictRecord, look: LookRecord) -> VerdictRecord:
    """Return a verdict with the look that it comes from, which says what has been settled since the look before."""
    before = {label for earlier in verdict.looks for label in earlier.settled}
    everybody = {claim.label for claim in verdict.helps} | {standing.label for standing in verdict.best}
    settled = tuple(sorted(everybody - {*verdict.in_question} - before))
    return verdict.model_copy(update={"looks": (*verdict.looks, look.model_copy(update={"settled": settled}))})


def goes_on(verdict: VerdictRecord, asked: Asked, limits: Limits, seconds: float) -> bool:
    """Return whether a run makes another look.

    It does if something is in question, a look is left, and the next one would probably end in time: each loss that is
    left takes as long as it did at the look before.

    Args:
        verdict: What is known so far.
        asked: What the file asks.
        limits: How long the run may take.
        seconds: How long it has taken.
    """
    if not verdict.in_question or len(verdict.looks) >= asked.looks:
        return False
    if limits.minutes is None:
        return True
    last = verdict.looks[-1]
    share = len(verdict.in_question) / max(1, last.trained)
    return seconds + share * last.seconds <= 60 * limits.minutes
