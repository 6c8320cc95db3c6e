"""What a run's folder holds belongs to its file and its data: whatever else earlier runs have left there goes.

Only files that a run writes are removed. What people have put beside them stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from faceexp.errors import InputError
from faceexp.results.folder import RunFolder


def forget_other_data(folder: RunFolder, splits: Collection[str | None]) -> None:
    """Remove what a folder holds of a run on other data.

    Otherwise, if the new run is interrupted, its models would lie beside results that are not theirs.

    Args:
        folder: The folder of the run.
        splits: The keys of the new run's splits, which say on which data it is done.
    """
    if not folder.results.exists():
        return
    try:
        earlier = folder.read_results()
        before = {split.key for split in earlier.parts}
        pages = [folder.page_on(each.name) for each in earlier.test_sets]
    except InputError:
        before, pages = set(), []  # nobody knows what it was
    # A run that goes on until its questions are decided has written more splits than it begins with.
    if not before >= set(splits):
        keep_only(folder, (), (), ())
        _remove(folder.results, folder.page, folder.overlap, *pages)


def keep_only(folder: RunFolder, trials: Collection[str], models: Collection[str], images: Collection[int]) -> None:
    """Remove what does not belong to a run that has ended.

    Args:
        folder: The folder of the run.
        trials: The ids of its trials.
        models: The ids of those that ended well and have a model.
        images: The numbers of the images whose pictures it has written.
    """
    _remove(*(file for file in folder.trial("*").parent.glob("*.json") if file.stem not in trials))
    for model in folder.models():
        if model.root.name not in models:
            forget_model(folder, model.root.name)
    pictures = folder.picture(0).parent.glob("*.png")
    _remove(*(file for file in pictures if file.stem.isdecimal() and int(file.stem) not in images))


def forget_model(folder: RunFolder, trial: str) -> None:
    """Remove the model that an earlier run has written for a trial; the folder stays if it holds anything else."""
    model = folder.model(trial)
    _remove(model.record, model.network("keras"), model.seen_photos)
    with contextlib.suppress(OSError):
        model.root.rmdir()
        model.root.parent.rmdir()  # where it was the last one


def _remove(*files: Path) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
