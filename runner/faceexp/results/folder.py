"""Every path inside a run and inside a model, and reading what lies there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from faceexp.errors import InputError, Problem
from faceexp.results.model_schema import ModelRecord
from faceexp.results.record import Record
from faceexp.results.schema import SCHEMA, EnvironmentRecord, RunRecord, TrialFile
from faceexp.values import NETWORK_FILE

AnyRecord = TypeVar("AnyRecord", bound=Record)

# What a network is called in a folder, by format: the one that opens most quickly first, since that one is taken.
NETWORK_FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "keras": NETWORK_FILE, "saved_model": "saved_model"}
# A model's description is short: a larger file is something else.
MAX_MODEL_RECORD_BYTES = 2**20


@dataclass(frozen=True)
class ModelFolder:
    """The folder of one model: a network, and ``calibration.json`` beside it."""

    root: Path

    @property
    def record(self) -> Path:
        """The file that describes the model."""
        return self.root / "calibration.json"

    @property
    def spec(self) -> Path:
        """The experiment, in an exported folder."""
        return self.root / "spec.toml"

    def network(self, form: str) -> Path:
        """The network in one of the formats of :data:`NETWORK_FILES`, whether it is there or not."""
        return self.root / NETWORK_FILES[form]

    def read(self) -> ModelRecord:
        """Return what is said of the model.

        Raises:
            InputError: The file cannot be read, or does not describe a model.
        """
        file = self.record
        try:
            if file.stat().st_size > MAX_MODEL_RECORD_BYTES:
                raise InputError(Problem("is too large to describe a model", str(file)))
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(Problem(f"cannot be read: {error}; export the model again", str(file))) from None
        if not isinstance(content, dict):
            raise InputError(Problem("does not describe a model; export it again", str(file)))
        try:
            return ModelRecord.model_validate(content)
        except ValidationError as error:
            wrong = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise InputError(Problem(f"does not describe a model ({wrong}); export it again", str(file))) from None


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run; nothing else in faceexp knows where anything lies in it."""

    root: Path

    @property
    def results(self) -> Path:
        """Every trial, mean and comparison."""
        return self.root / "results.json"

    @property
    def page(self) -> Path:
        """The report."""
        return self.root / "report.html"

    @property
    def spec(self) -> Path:
        """The experiment as resolved."""
        return self.root / "spec.toml"

    @property
    def environment(self) -> Path:
        """What the run was made with."""
        return self.root / "environment.json"

    def trial(self, trial_id: str) -> Path:
        """Return the file of a trial."""
        return self.root / "trials" / f"{trial_id}.json"

    def picture(self, image: int) -> Path:
        """Return the picture of an image."""
        return self.root / "pictures" / f"{image}.png"

    def model(self, trial_id: str) -> ModelFolder:
        """Return the folder of a trial's model."""
        return ModelFolder(self.root / "models" / trial_id)

    @property
    def has_models(self) -> bool:
        """Whether there is a folder for models."""
        return (self.root / "models").is_dir()

    def models(self) -> list[ModelFolder]:
        """Return every model that is described, by name."""
        return [ModelFolder(file.parent) for file in sorted((self.root / "models").glob("*/calibration.json"))]

    def read_results(self) -> RunRecord:
        """Return the run's results.

        Raises:
            InputError: There are none, or they are of another schema, or damaged.
        """
        return read_results(self.root)

    def read_environment(self) -> EnvironmentRecord:
        """Return what the run was made with; an empty record where the file is lost."""
        return _read(self.environment, EnvironmentRecord) or EnvironmentRecord()

    def read_trials(self, trial_ids: Sequence[str]) -> dict[str, TrialFile]:
        """Return the files of trials by id; one that is lost or damaged is left out, since a report can do without."""
        files = {trial_id: _read(self.trial(trial_id), TrialFile) for trial_id in trial_ids}
        return {trial_id: file for trial_id, file in files.items() if file is not None}

    def pictures(self) -> dict[int, bytes]:
        """Return the PNG files of all pictures by the number of the image."""
        return {int(file.stem): file.read_bytes() for file in sorted((self.root / "pictures").glob("*.png"))}


def run_of(model: ModelFolder) -> RunFolder | None:
    """Return the run that a model lies in, finished or not; nothing for an exported folder."""
    inside = model.root.resolve()
    run = RunFolder(inside.parent.parent)
    return run if inside == run.model(inside.name).root and run.spec.is_file() else None


def runs_in(folder: Path) -> Iterator[Path]:
    """Yield the folders below one that hold results, by name."""
    return (file.parent for file in sorted(folder.glob("*/results.json")))


def read_results(path: Path) -> RunRecord:
    """Return the results of a run, from its folder or from the file itself.

    Raises:
        InputError: There are none, or they are of another schema, or damaged.
    """
    file = path if path.is_file() else RunFolder(path).results
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        runs = sorted(map(str, runs_in(path))) if path.is_dir() else []
        hint = f"it holds the runs {', '.join(runs)}" if runs else "name the folder that `faceexp run` printed"
        raise InputError(Problem(f"holds no results.json; {hint}", str(path))) from None
    except (OSError, ValueError) as error:
        raise InputError(Problem(f"cannot be read as results: {error}", str(file))) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(Problem(f"is not results of schema {SCHEMA}; run the experiment again", str(file)))
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors()[0]["loc"])
        message = f"is damaged: {wrong} is missing or not what it has to be; run the experiment again"
        raise InputError(Problem(message, str(file))) from None


def _read(file: Path, record: type[AnyRecord]) -> AnyRecord | None:
    """Return the record of a JSON file; nothing where the file is lost or damaged."""
    try:
        return record.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
