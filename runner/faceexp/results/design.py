"""What the analysis of power wants to know of a run: its values by seed and fold, and how large its parts are."""

from __future__ import annotations

from faceexp.experiment.baselines import PHASE1
from faceexp.results.schema import RunRecord
from faceexp.statistics.comparisons import table_of
from faceexp.statistics.paired import Cell
from faceexp.statistics.power import Design, UnanswerableError

# More folds than this no experiment file may ask for.
MOST_FOLDS = 100


def values_of(run: RunRecord, metric: str) -> dict[str, dict[Cell, float]]:
    """Return label -> (seed, fold) -> value of a metric. A label that has no value has an empty row."""
    return table_of(run.trials, metric)


def losses_of(run: RunRecord) -> set[str]:
    """Return the labels of the losses, without those of the baselines."""
    return {trial.label for trial in run.trials if trial.kind != "baseline"}


def reference_of(run: RunRecord, metric: str) -> str | None:
    """Return the row with which the run itself compares its losses; ``None`` if it does not, or has no such value."""
    asks = run.verdict is not None and "helps" in run.verdict.questions
    reference = run.verdict.reference if run.verdict else PHASE1.label
    return reference if asks and values_of(run, metric).get(reference) else None


def design_of(run: RunRecord) -> Design:
    """Return how the data of a run were cut, as means over its seeds and folds.

    Raises:
        UnanswerableError: The results do not say it, because an older version wrote them.
    """
    splits = run.parts
    if not splits or run.ratio is None:
        raise UnanswerableError("these results do not tell how the data were cut; run the experiment again")
    count = len(splits)
    train, validation, test = (
        sum(part.images for part in parts) / count
        for parts in zip(*((split.train, split.validation, split.test) for split in splits), strict=True)
    )
    images, people = train + validation + test, sum(split.test.people for split in splits) / count
    if not train + validation or not people:
        raise UnanswerableError("these results name parts without images; run the experiment again")
    # In an open set nobody is in two parts, and each fold has to test at least two people. In other protocols
    # each fold has to test at least one image of each person. Lists of parts are of one fold.
    everybody = sum(part.people for split in splits for part in (split.train, split.validation, split.test)) / count
    most_folds = {"open_set": everybody / 2, "listed": 1}.get(run.protocol, images / people)
    return Design(
        test_train_ratio=run.ratio,
        test_share=test / images,
        validation_share=validation / (train + validation),
        test_people=people,
        test_pairs=sum(split.test.pairs or 0 for split in splits) / count,
        listed=run.protocol == "pairs_file",
        most_folds=min(MOST_FOLDS, int(most_folds)),
    )
