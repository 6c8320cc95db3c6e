"""A threshold that a user sets on labelled pairs of their own, kept beside the model and used from then on."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING

from faceexp.errors import InputError, Problem
from faceexp.results.folder import ModelFolder
from faceexp.results.jsonable import to_json
from faceexp.results.model_schema import ModelRecord, OwnThresholdRecord
from faceexp.results.record import CalibrationRecord

if TYPE_CHECKING:
    from faceexp.serving.answers import JudgedPairs
    from faceexp.serving.pair_lists import PairList


def own_threshold(folder: ModelFolder, record: ModelRecord) -> OwnThresholdRecord | None:
    """Return the threshold that a user has set for a model; nothing if there is none.

    Raises:
        InputError: The file cannot be read, or it was set for another model, which has lain here before.
    """
    own = folder.read_own_threshold()
    if own is None:
        return None
    if (own.label, own.model_threshold) != (record.label, record.threshold) or own.calibration.threshold is None:
        raise InputError(
            Problem("was set for another model than the one beside it; remove it", str(folder.own_threshold))
        )
    return own


def check_vacant(folder: ModelFolder) -> None:
    """Refuse to set a threshold where one is, or where none can be written.

    Raises:
        InputError: There is one, or the folder cannot be written to.
    """
    file = folder.own_threshold
    if os.path.lexists(file):
        message = "is there already, and nothing is overwritten; move it away or remove it to set another threshold"
        raise InputError(Problem(message, str(file)))
    if not os.access(folder.root, os.W_OK):
        message = "cannot be written to, so no threshold can be kept there; export the model to a folder of yours"
        raise InputError(Problem(message, str(folder.root)))


def check_kinds(listed: PairList) -> None:
    """Refuse a list on which no threshold can be set.

    Raises:
        InputError: It does not name pairs of one person and pairs of two people.
    """
    lacking = {True: "of one person (same = 1)", False: "of two people (same = 0)"}
    missing = [kind for truth, kind in lacking.items() if truth not in listed.truths]
    if missing:
        names = " and none ".join(missing)
        message = f"a threshold needs pairs of one person and pairs of two people; the list names none {names}"
        raise InputError(Problem(message, str(listed.file)))


def set_own_threshold(
    folder: ModelFolder, record: ModelRecord, listed: PairList, judged: JudgedPairs
) -> OwnThresholdRecord:
    """Set a threshold on the labelled pairs of a list, and keep it beside the model.

    Args:
        folder: The folder of the model.
        record: What describes the model.
        listed: The pairs; of both kinds.
        judged: What the model says of them.

    Raises:
        InputError: Another threshold is there meanwhile, or it cannot be written.
    """
    from faceexp.evaluation.calibration import calibrated

    measured, people = listed.labelled(judged.distance)
    own = OwnThresholdRecord(
        pairs=listed.file.name,
        sha256=listed.sha256,
        people_from=listed.people_from,
        label=record.label,
        model_threshold=record.threshold,
        photos=len(judged.faces),
        seen=judged.seen,
        calibration=CalibrationRecord(**vars(calibrated(measured, people))),
        faceexp=importlib.metadata.version("faceexp"),
    )
    try:
        # Written only where nothing is.
        with folder.own_threshold.open("x", encoding="utf-8") as file:
            file.write(to_json(own))
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror or error}", str(folder.own_threshold))) from None
    return own
