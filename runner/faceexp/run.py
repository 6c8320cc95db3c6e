"""A finished run: opened from its folder, asked, compared with others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from faceexp.errors import InputError, Problem
from faceexp.experiment import toml
from faceexp.store import write_text

if TYPE_CHECKING:
    import pandas as pd


SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what ``results.json`` there says."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial, as in ``results.json``."""
        return list(self.document["trials"])

    @property
    def summary(self) -> list[dict[str, Any]]:
        """Mean and interval of every label and metric."""
        return list(self.document["summary"])

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """Every pair of labels, metric by metric, with corrected p-value and verdict."""
        return list(self.document["comparisons"])

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The trials that did not end well."""
        return [trial for trial in self.trials if trial["status"] != "ok"]

    def write_page(self, path: Path) -> None:
        """Write the report as one self-contained HTML file, from what the run's folder holds."""
        from faceexp.report.page.html import page

        evidence = {trial["id"]: read_json(self.folder / "trials" / f"{trial['id']}.json") for trial in self.trials}
        pictures = {int(file.stem): file.read_bytes() for file in sorted((self.folder / "pictures").glob("*.png"))}
        write_text(path, page(self.document, read_json(self.folder / "environment.json"), evidence, pictures))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a trial: label, seed, fold, status and every metric."""
        import pandas as pd

        keys = ("id", "loss", "label", "kind", "seed", "fold", "status", "reason", "threshold", "best_step")
        return pd.DataFrame([{**{key: t[key] for key in keys}, **t["metrics"]} for t in self.trials])


def open_run(path: str | Path) -> Run:
    """Read a finished run from its folder.

    Raises:
        InputError: The folder holds no results, or results of another schema.
    """
    folder = Path(path)
    file = folder if folder.is_file() else folder / "results.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(str(p.parent) for p in folder.glob("*/results.json")) if folder.is_dir() else []
        hint = f"it holds the runs {', '.join(known)}" if known else "name the folder that `faceexp run` printed"
        raise InputError(Problem(f"holds no results.json; {hint}", str(path))) from None
    except (OSError, ValueError) as error:
        raise InputError(Problem(f"cannot be read as results: {error}", str(file))) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(Problem(f"is not results of schema {SCHEMA}; run the experiment again", str(file)))
    return Run(file.parent, document)


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read several finished runs.

    Raises:
        InputError: With what is wrong with each of them.
    """
    found: list[Run] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            found.append(open_run(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def compare_runs(runs: Sequence[Run], metric: str = "accuracy") -> dict[str, Any]:
    """Return runs side by side as JSON data: differences of their experiment files, values, tests; see ``comparison``.

    Raises:
        InputError: The experiment file of a run is lost or damaged.
    """
    from faceexp.evaluation.metrics import HIGHER_IS_BETTER
    from faceexp.results.between_runs import side_by_side
    from faceexp.results.jsonable import to_jsonable

    specs: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for run in runs:
        try:
            specs.append(toml.read(run.folder / "spec.toml").data)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    names = [run.document["name"] for run in runs]
    if len(set(names)) < len(names):  # the folder's name ends in the experiment's digest
        names = [run.folder.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    found = side_by_side(names, specs, [r.document for r in runs], metric, higher=HIGHER_IS_BETTER[metric])
    return cast("dict[str, Any]", to_jsonable(found))


def read_json(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file; nothing where it is lost, since reports and cards can do without."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
