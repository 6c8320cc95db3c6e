"""Every path inside the folder of a run and of a model, and how the files there are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from faceexp.errors import InputError, Problem
from faceexp.results.model_schema import ModelRecord
from faceexp.results.record import Record
from faceexp.values import NETWORK_FILE

# The records of a run are imported where they are read: whoever opens a model needs none of them.
if TYPE_CHECKING:
    from faceexp.results.schema import EnvironmentRecord, RunRecord, TrialFile

AnyRecord = TypeVar("AnyRecord", bound=Record)

# The name of the network in a folder, by format. If a folder holds several, the first of these is opened. So the format
# that opens most quickly comes first.
NETWORK_FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "keras": NETWORK_FILE, "saved_model": "saved_model"}
# A description of a model has a few kilobytes. A larger file is something else, and reading it could fill the memory.
MAX_MODEL_RECORD_BYTES = 2**20


@dataclass(frozen=True)
class ModelFolder:
    """The folder of one model: a network, with ``calibration.json`` beside it."""

    root: Path

    @property
    def record(self) -> Path:
        """The file that describes the model."""
        return self.root / "calibration.json"

    @property
    def spec(self) -> Path:
        """The experiment file, which only an exported folder holds."""
        return self.root / "spec.toml"

    def network(self, form: str) -> Path:
        """Return the path of the network in a format of :data:`NETWORK_FILES`, whether it exists or not."""
        return self.root / NETWORK_FILES[form]

    def read(self) -> ModelRecord:
        """Return the record of the model.

        Raises:
            InputError: The file cannot be read, or it does not describe a model.
        """
        file = self.record
        try:
            if file.stat().st_size > MAX_MODEL_RECORD_BYTES:
                raise InputError(Problem("is too large to describe a model", str(file)))
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(Problem(f"cannot be read: {error}; export the model again", str(file))) from None
        if not isinstance(content, dict):
            raise InputError(Problem("does not describe a model; export it again", str(file)))
        try:
            return ModelRecord.model_validate(content)
        except ValidationError as error:
            raise InputError(
                Problem(f"does not describe a model ({_place(error)}); export it again", str(file))
            ) from None


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run. No other part of faceexp knows where anything lies in it."""

    root: Path

    @property
    def results(self) -> Path:
        """The file with every trial, mean and comparison."""
        return self.root / "results.json"

    @property
    def page(self) -> Path:
        """The report as an HTML page."""
        return self.root / "report.html"

    @property
    def spec(self) -> Path:
        """The experiment file, with every default filled in."""
        return self.root / "spec.toml"

    @property
    def environment(self) -> Path:
        """The file that names the machine and the software."""
        return self.root / "environment.json"

    def trial(self, trial_id: str) -> Path:
        """Return the path of the file of a trial."""
        return self.root / "trials" / f"{trial_id}.json"

    def picture(self, image: int) -> Path:
        """Return the path of the picture of an image."""
        return self.root / "pictures" / f"{image}.png"

    def model(self, trial_id: str) -> ModelFolder:
        """Return the folder of a trial's model."""
        return ModelFolder(self.root / "models" / trial_id)

    @property
    def has_models(self) -> bool:
        """Whether the run has a folder for models."""
        return (self.root / "models").is_dir()

    def models(self) -> list[ModelFolder]:
        """Return the folder of every model that has a description, in the order of their names."""
        return [ModelFolder(file.parent) for file in sorted((self.root / "models").glob("*/calibration.json"))]

    def read_results(self) -> RunRecord:
        """Return the run's results.

        Raises:
            InputError: There are none, they have another schema, or they are damaged.
        """
        return read_results(self.root)

    def read_environment(self) -> EnvironmentRecord:
        """Return what the run was made with, or an empty record if that file is lost or damaged."""
        from faceexp.results.schema import EnvironmentRecord

        return _read(self.environment, EnvironmentRecord) or EnvironmentRecord()

    def read_trials(self, trial_ids: Sequence[str]) -> dict[str, TrialFile]:
        """Return the files of trials by id. A lost or damaged file is left out, because a report can do without it."""
        from faceexp.results.schema import TrialFile

        files = {trial_id: _read(self.trial(trial_id), TrialFile) for trial_id in trial_ids}
        return {trial_id: file for trial_id, file in files.items() if file is not None}

    def pictures(self) -> dict[int, bytes]:
        """Return the content of all pictures by the number of the image."""
        files = sorted((self.root / "pictures").glob("*.png"))
        return {int(file.stem): file.read_bytes() for file in files if file.stem.isdecimal()}


def run_of(model: ModelFolder) -> RunFolder | None:
    """Return the run that a model lies in, finished or not. An exported folder lies in no run."""
    folder = model.root.resolve()
    run = RunFolder(folder.parent.parent)
    return run if folder == run.model(folder.name).root and run.spec.is_file() else None


def runs_in(folder: Path) -> Iterator[Path]:
    """Yield the folders inside a folder that hold results, in the order of their names."""
    return (file.parent for file in sorted(folder.glob("*/results.json")))


def read_results(path: Path) -> RunRecord:
    """Return the results of a run, from its folder or from the file itself.

    Raises:
        InputError: There are none, they have another schema, or they are damaged.
    """
    from faceexp.results.schema import SCHEMA, RunRecord

    file = path if path.is_file() else RunFolder(path).results
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        runs = sorted(map(str, runs_in(path))) if path.is_dir() else []
        hint = f"it holds the runs {', '.join(runs)}" if runs else "name the folder that `faceexp run` printed"
        raise InputError(Problem(f"holds no results.json; {hint}", str(path))) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(Problem(f"cannot be read as results: {error}", str(file))) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(Problem(f"is not results of schema {SCHEMA}; run the experiment again", str(file)))
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        message = f"is damaged: {_place(error)} is missing or not what it has to be; run the experiment again"
        raise InputError(Problem(message, str(file))) from None


def _read(file: Path, record: type[AnyRecord]) -> AnyRecord | None:
    """Return the record of a JSON file, or nothing if the file is lost or damaged."""
    try:
        return record.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def _place(error: ValidationError) -> str:
    """Return the first key that is wrong, for example ``trials.3.seed``."""
    return ".".join(str(part) for part in error.errors()[0]["loc"])
