"""How a run was designed, as the analysis of power wants it: values by seed and fold, and the size of each part."""

from __future__ import annotations

from faceexp.results.schema import RunRecord
from faceexp.statistics.power import Design, UnanswerableError

Cell = tuple[int, int]


def values_of(run: RunRecord, metric: str) -> dict[str, dict[Cell, float]]:
    """Return label -> (seed, fold) -> value of a metric; a label without any value has an empty row."""
    table: dict[str, dict[Cell, float]] = {trial.label: {} for trial in run.trials}
    for trial in run.trials:
        value = trial.metrics.get(metric) if trial.status == "ok" else None
        if value is not None:
            table[trial.label][trial.cell] = value
    return table


def losses_of(run: RunRecord) -> set[str]:
    """Return the labels of the losses, without those of the baselines."""
    return {trial.label for trial in run.trials if trial.kind == "loss"}


def design_of(run: RunRecord) -> Design:
    """Return how a run was cut, as means over its seeds and folds.

    Raises:
        UnanswerableError: The results do not tell.
    """
    splits = run.parts
    if not splits or run.test_train_ratio is None:
        raise UnanswerableError("these results do not tell how the data were cut; run the experiment again")
    count = len(splits)
    train, validation, test = (
        sum(part.images for part in parts) / count
        for parts in zip(*((split.train, split.validation, split.test) for split in splits), strict=True)
    )
    images, people = train + validation + test, sum(split.test.people for split in splits) / count
    # In an open set nobody is in two parts, and each fold tests two people at least.
    everybody = sum(part.people for split in splits for part in (split.train, split.validation, split.test)) / count
    most_folds = everybody / 2 if run.protocol == "open_set" else images / people
    return Design(
        test_train_ratio=run.test_train_ratio,
        test_share=test / images,
        validation_share=validation / (train + validation),
        test_people=people,
        test_pairs=sum(split.test.pairs or 0 for split in splits) / count,
        listed=run.protocol == "pairs_file",
        most_folds=min(100, int(most_folds)),
    )
