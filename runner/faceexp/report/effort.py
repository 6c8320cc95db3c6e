"""What would tell more than a run could: the one number of people, and of seeds, that every report gives."""

from __future__ import annotations

from faceexp.planning.prospects import seeds_line
from faceexp.report.words import duration
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import NeededRecord

# Nobody is told to find more than so many times the people that there are.
MANY_TIMES = 10


def ways(run: RunRecord, needed: NeededRecord | None) -> list[str]:
    """Return what would tell more, in words: more seeds, if they would show a difference that was seen; more people."""
    return [way for way in (_more_seeds(run, needed), more_people(run, needed)) if way]


def more_people(run: RunRecord, needed: NeededRecord | None = None) -> str:
    """Return ``34 more people (46 in all)``; nothing where more people are not needed, or nobody finds so many.

    People are needed to test and to tune on, and to decide about a difference; the number is enough for both.
    """
    everybody = _everybody(run)
    if not everybody:
        return ""
    to_decide = (needed.people if needed else None) or 0
    in_all = max(run.people_enough or 0, to_decide if to_decide <= MANY_TIMES * everybody else 0)
    return f"{in_all - everybody:,} more people ({in_all:,} in all)" if in_all > everybody else ""


def seeds_of(run: RunRecord) -> list[int]:
    """Return the seeds of a run, each once."""
    return list(dict.fromkeys(trial.seed for trial in run.trials))


def _more_seeds(run: RunRecord, needed: NeededRecord | None) -> str:
    """Return the line of the experiment file with as many seeds as would show the largest undecided difference."""
    if not needed or not needed.seeds:
        return ""
    # Where as many seeds as there are would have found it in most repetitions, this run was not lucky.
    number = needed.seeds if needed.seeds > needed.now.seeds else 2 * needed.now.seeds
    line, minutes = seeds_line(number, seeds_of(run)), needed.now.minutes
    return f"{line} (about {duration(minutes * (number / needed.now.seeds - 1))} more)" if minutes else line


def _everybody(run: RunRecord) -> int:
    """Return how many people the data hold; 0 where the results do not say it."""
    parts = [(split.train.people, split.validation.people, split.test.people) for split in run.parts]
    # In a closed set the same people are in every part.
    return max((max(people) if run.protocol == "closed_set" else sum(people) for people in parts), default=0)
