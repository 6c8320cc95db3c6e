"""The finding of a run in so few words that they fit a line of a list of runs."""

from __future__ import annotations

from faceexp.report.columns import judged, primary, rows_of, trains
from faceexp.report.headline import UNTESTED, cannot_answer, none_beats_guessing, nothing_is_tested
from faceexp.report.used import used
from faceexp.report.words import many
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import VerdictRecord


def in_few_words(run: RunRecord) -> str:
    """Return the finding in so few words that they fit a line of a list of runs."""
    about = used(run)
    return f"{_finding(run)} ({about})" if about else _finding(run)


def _finding(run: RunRecord) -> str:
    verdict = judged(run)
    if verdict is None or nothing_is_tested(verdict):
        return UNTESTED if verdict else "no question was asked"
    if none_beats_guessing(verdict):
        return "no row is shown to beat guessing"
    return _helping(run, verdict) if trains(run) else _of_existing(run, verdict)


def _helping(run: RunRecord, verdict: VerdictRecord) -> str:
    """Return what a run found of its losses."""
    helping = sorted(
        (claim for claim in verdict.helps if claim.verdict == "better"), key=lambda claim: -abs(claim.difference or 0.0)
    )
    if helping:
        others = len(helping) - 1
        more = f" and {many(others, 'other')}" if others else ""
        return (
            f"{helping[0].label}{more} of {many(len(verdict.helps), 'loss', 'losses')} {'help' if others else 'helps'}"
        )
    if cannot_answer(run, verdict, primary(run)):
        return "too few trials to show which losses help"
    if any(claim.p_corrected is not None for claim in verdict.helps):
        losses = len(verdict.helps)
        return f"none of {losses} losses is shown to help" if losses > 1 else "the loss is not shown to help"
    return "too few trials to compare"


def _of_existing(run: RunRecord, verdict: VerdictRecord) -> str:
    """Return what a run found that has only measured embeddings: there is no question of what helps."""
    labels = [row.label for row in rows_of(run) if row.kind == "pretrained"]
    beating = [claim.label for claim in verdict.guessing if claim.verdict == "better" and claim.label in labels]
    if not beating:
        return f"{f'{labels[0]} is not' if len(labels) == 1 else 'no embedding is'} shown to beat guessing"
    judged = [standing for standing in verdict.best if standing.interval]
    candidates = [standing.label for standing in judged if standing.may_be_best]
    if len(labels) == 1:
        return f"{labels[0]} beats guessing"
    beat = f"{len(beating)} of {len(labels)} embeddings beat guessing"
    if not judged:
        return f"{beat}; too few trials to tell them apart"
    if len(candidates) == 1:
        return f"{candidates[0]} is the best of {len(judged)} embeddings"
    return f"{beat}; any of {len(candidates)} may be the best"
