"""Which folder a MODEL argument means: a run, ``RUN:label``, one of a run's models, an exported folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from faceexp.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray

    Photo = str | Path | Image.Image | ByteArray


def find(path: str) -> Path:
    """Return the folder of the model that a path means; see :func:`load_model`.

    Raises:
        InputError: It means none.
    """
    folder, label = Path(path), None
    if not folder.exists():
        before, colon, after = path.rpartition(":")
        if colon and Path(before).is_dir():
            folder, label = Path(before), after
    if not folder.is_dir():
        raise InputError(
            Problem("no such folder; name a run, RUN:label, or a folder that `faceexp export` wrote", path)
        )
    if label is None and (folder / "calibration.json").is_file():
        return folder
    if not (folder / "models").is_dir():
        raise InputError(
            Problem("holds no model; name a run, RUN:label, or a folder that `faceexp export` wrote", path)
        )
    return _best(folder, label, path)


def _best(run: Path, label: str | None, path: str) -> Path:
    """Return the model of a run that did best on validation, of a loss or of the best loss."""
    models: dict[str, list[tuple[float, Path]]] = {}
    for file in sorted((run / "models").glob("*/calibration.json")):
        info = read_calibration(file)
        score = info.get("validation_auc")
        models.setdefault(str(info.get("label")), []).append((-1.0 if score is None else float(score), file.parent))
    if not models:
        raise InputError(Problem("no trial of this run ended with a model", path))
    if label is not None and label not in models:
        raise InputError(Problem(f"the run has no loss {label!r}; {did_you_mean(label, models)}", path))
    if label is None:
        # The mean over seeds and folds: the luckiest trial of all is not the best loss.
        label = max(models, key=lambda name: sum(score for score, _ in models[name]) / len(models[name]))
    return max(models[label], key=lambda item: item[0])[1]


def read_calibration(file: Path) -> dict[str, Any]:
    """Return the content of a ``calibration.json``.

    Raises:
        InputError: It cannot be read, or does not describe a model.
    """
    try:
        if file.stat().st_size > 2**20:
            raise InputError(Problem("is too large to describe a model", str(file)))
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem(f"cannot be read: {error}; export the model again", str(file))) from None
    if not isinstance(found, dict):
        raise InputError(Problem("does not describe a model; export it again", str(file)))
    return found
