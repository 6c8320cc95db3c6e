"""Every path inside the folder of a run and of a model, and how the files there are read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from faceexp.errors import InputError, Problem, near
from faceexp.experiment import toml
from faceexp.experiment.keep import Keep, Models
from faceexp.files import explain_os_error, read_bytes
from faceexp.results.json_files import (
    MAX_BESIDE_BYTES,
    json_object,
    place_of,
    read_if_there,
    read_record,
    tell,
)
from faceexp.results.model_schema import ModelRecord, OwnThresholdRecord
from faceexp.values import NETWORK_FILE

# The records of a run are imported where they are read: whoever opens a model needs none of them.
if TYPE_CHECKING:
    from faceexp.results.schema import EnvironmentRecord, InstalledPluginRecord, RunRecord, TrialFile

# What is said to whoever named something else than a run.
LIST_OF_RUNS = "name the folder of a run; `faceexp runs` lists them"

# The name of the network in a folder, by format; of several, the first is opened, which opens most quickly.
NETWORK_FILES = {"onnx": "model.onnx", "tflite": "model.tflite", "keras": NETWORK_FILE, "saved_model": "saved_model"}
# Larger files are something else: a description has a few kilobytes, results of a thousand trials some ten megabytes.
MAX_MODEL_RECORD_BYTES = 2**20
MAX_RESULTS_BYTES = 128 * 2**20


@dataclass(frozen=True)
class ModelFolder:
    """The folder of one model: a network, with ``calibration.json`` beside it."""

    root: Path

    @property
    def record(self) -> Path:
        """The file that describes the model."""
        return self.root / "calibration.json"

    @property
    def own_threshold(self) -> Path:
        """The threshold that a user has set on pairs of their own, if they have."""
        return self.root / "own_threshold.json"

    @property
    def seen_photos(self) -> Path:
        """The digests of the photos that it saw in its training, which only a run holds."""
        return self.root / "seen_photos.bin"

    @property
    def spec(self) -> Path:
        """The experiment file, which only an exported folder holds."""
        return self.root / "spec.toml"

    def network(self, form: str) -> Path:
        """Return the path of the network in a format of :data:`NETWORK_FILES`, whether it exists or not."""
        return self.root / NETWORK_FILES[form]

    @property
    def has_network(self) -> bool:
        """Whether a network is there in any format, or a link to one."""
        return any(os.path.lexists(self.network(form)) for form in NETWORK_FILES)

    @property
    def is_only_measured(self) -> bool:
        """Whether its run trained nothing of the model: a plugin opens its network, and no layer is behind that."""
        return self.read().trunk is not None and not self.has_network

    def read(self) -> ModelRecord:
        """Return the record of the model.

        Raises:
            InputError: The file cannot be read, or it does not describe a model.
        """
        again = "export it again"
        return read_record(self.record, ModelRecord, MAX_MODEL_RECORD_BYTES, "does not describe a model", again)

    def read_own_threshold(self) -> OwnThresholdRecord | None:
        """Return the threshold that a user has set on pairs of their own; nothing if there is none.

        Raises:
            InputError: The file cannot be read, or it holds no such threshold.
        """
        file = self.own_threshold
        if not os.path.lexists(file):
            return None
        other, hint = "is no threshold that `faceexp verify --calibrate-on` has set", "remove it"
        return read_record(file, OwnThresholdRecord, MAX_MODEL_RECORD_BYTES, other, hint)


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

    def page_on(self, test_set: str) -> Path:
        """Return the path of the same page on a test set."""
        return self.root / f"report-{test_set}.html"

    @property
    def overlap(self) -> Path:
        """The list of what test sets share with the data that are trained on, if they share anything."""
        return self.root / "overlap.csv"

    @property
    def spec(self) -> Path:
        """The experiment file, with every default filled in."""
        return self.root / "spec.toml"

    @property
    def tuned(self) -> Path:
        """The same with the settings that a search has chosen, if there was one."""
        return self.root / "tuned.toml"

    @property
    def environment(self) -> Path:
        """The file that names the machine and the software."""
        return self.root / "environment.json"

    @property
    def trained_with(self) -> Path:
        """The file that has the settings with which the trials were trained: those that a search has chosen, if any."""
        return self.tuned if self.tuned.is_file() else self.spec

    @property
    def readme(self) -> Path:
        """The page that says what the folder is, which only a published run holds; so do the next two."""
        return self.root / "README.md"

    @property
    def requirements(self) -> Path:
        """The packages to install for the same numbers."""
        return self.root / "requirements.txt"

    @property
    def checksums(self) -> Path:
        """The SHA-256 of every other file."""
        return self.root / "SHA256SUMS"

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

    @property
    def keeps(self) -> Models:
        """Which models its experiment file asks for; all of them in a run of an older version."""
        try:
            given = toml.read(self.spec).data.get("keep", {"models": "all"})
            return Keep.model_validate(given).models
        except (InputError, ValidationError):
            return "all"

    def models(self) -> list[ModelFolder]:
        """Return the folder of every model that has a description and lies in the run, in the order of their names."""
        home = (self.root / "models").resolve()
        # A link may lead out of the run, where anything could lie.
        inside = (folder for folder in sorted((self.root / "models").glob("*")) if _resolved(folder).parent == home)
        return [ModelFolder(folder) for folder in inside if ModelFolder(folder).record.is_file()]

    def read_results(self) -> RunRecord:
        """Return the run's results.

        Raises:
            InputError: There are none, they have another schema, or they are damaged.
        """
        return read_results(self.root)

    def read_environment(self, left_out: list[Problem] | None = None) -> EnvironmentRecord:
        """Return what the run was made with, or an empty record if that file is lost or damaged.

        Args:
            left_out: Takes what is wrong with the file, if it is there.
        """
        from faceexp.results.schema import EnvironmentRecord

        return read_if_there(self.environment, EnvironmentRecord, left_out) or EnvironmentRecord()

    def read_trials(self, trial_ids: Sequence[str], left_out: list[Problem] | None = None) -> dict[str, TrialFile]:
        """Return the files of trials by id. A lost or damaged file is left out, because a report can do without it.

        Args:
            trial_ids: The ids of the trials.
            left_out: Takes what is wrong with each file that is there, but damaged.
        """
        from faceexp.results.schema import TrialFile

        files = {trial_id: read_if_there(self.trial(trial_id), TrialFile, left_out) for trial_id in trial_ids}
        return {trial_id: file for trial_id, file in files.items() if file is not None}

    def pictures(self, left_out: list[Problem] | None = None) -> dict[int, bytes]:
        """Return the content of all pictures by the number of the image.

        Args:
            left_out: Takes what is wrong with each picture that cannot be read.
        """
        content: dict[int, bytes] = {}
        for file in sorted((self.root / "pictures").glob("*.png")):
            if file.stem.isdecimal():
                try:
                    content[int(file.stem)] = read_bytes(file, MAX_BESIDE_BYTES)
                except OSError as error:
                    tell(left_out, file, explain_os_error(error))
        return content


def folder_to_fill(usual: Path, plugins: Sequence[InstalledPluginRecord]) -> tuple[RunFolder, str]:
    """Return the folder for a run, and a sentence where that is not the usual one; empty where it is.

    Results of other code are not overwritten: the run gets the first folder of ``usual``, ``usual-2``, ``usual-3``...
    that holds none.

    Args:
        usual: The folder, as the experiment alone names it.
        plugins: What the run uses.
    """
    said = ""
    for number in itertools.count(1):
        folder = RunFolder(usual if number == 1 else usual.with_name(f"{usual.name}-{number}"))
        changed = _changed(folder, plugins)
        if not changed:
            return folder, f"{said}: this run goes to {folder.root}" if said else ""
        # An upgrade changes all of them at once.
        names = changed if len(changed) <= 2 else [changed[0], f"{len(changed) - 1} other plugins"]
        said = f"the code of {' and '.join(names)} has changed since {folder.root}"
    raise AssertionError  # the numbers never end


def _changed(folder: RunFolder, plugins: Sequence[InstalledPluginRecord]) -> list[str]:
    """Return which plugins had other code when the results in a folder were made; none where that is not known."""
    try:
        before = {(plugin.kind, plugin.name): plugin.digest for plugin in folder.read_results().plugins}
    except InputError:
        return []
    return [
        f"{plugin.kind} {plugin.name!r}"
        for plugin in plugins
        if before.get((plugin.kind, plugin.name), "") not in ("", plugin.digest)
    ]


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
    again = "run the experiment again"
    if not os.path.lexists(path):
        raise InputError(Problem(f"no such run; {near(path) or LIST_OF_RUNS}", str(path)))
    if not os.path.lexists(file):
        runs = sorted(map(str, runs_in(path))) if path.is_dir() else []
        hint = f"it holds the runs {', '.join(runs)}" if runs else LIST_OF_RUNS
        raise InputError(Problem(f"holds no results.json; {hint}", str(path)))
    if file is path and file.suffix != ".json":
        raise InputError(Problem(f"is no run; {LIST_OF_RUNS}", str(path)))
    other_schema = f"is not results of schema {SCHEMA}"
    content = json_object(file, MAX_RESULTS_BYTES, "cannot be read as results", other_schema, again)
    if content.get("schema") != SCHEMA:
        raise InputError(Problem(f"{other_schema}; {again}", str(file)))
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        message = f"is damaged: {place_of(error)} is missing or not what it has to be; {again}"
        raise InputError(Problem(message, str(file))) from None


def _resolved(folder: Path) -> Path:
    """Return where a folder lies when links are followed; a link that leads to itself lies nowhere."""
    try:
        return folder.resolve()
    except (OSError, RuntimeError):
        return Path()
