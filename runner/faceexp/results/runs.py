"""The runs in a folder: what each found, and which did not come to their end. No run is opened further than that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from faceexp.errors import InputError
from faceexp.results.folder import RunFolder, read_results
from faceexp.results.record import Count, Record
from faceexp.results.schema import RunRecord

State = Literal["finished", "not finished", "broken"]


class ListedRunRecord(Record):
    """One run, as ``faceexp runs --json`` prints it."""

    folder: str = Field(description="The folder of the run.")
    name: str = Field(description="The name of the experiment.")
    state: State = Field(
        description="`not finished`: it was interrupted, or it is still going on; `broken`: its results cannot be read."
    )
    when: str = Field(description="When its results, or else the latest of its trials, were written; ISO 8601, UTC.")
    rows: Count = Field(0, description="How many rows its table has.")
    ok: Count = Field(0, description="How many trials ended well; of a run that is not finished, how many ended.")
    failed: Count = Field(0, description="How many trials did not end well.")
    finding: str = Field("", description="What it found in few words, or why it cannot be read.")


def runs_of(folder: Path, finding: Callable[[RunRecord], str]) -> list[ListedRunRecord]:
    """Return the runs in a folder, the newest first.

    Args:
        folder: The folder.
        finding: Says what a run found, in so few words that they fit a line; the report has the whole.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read: {error.strerror}; name the folder with --out of `faceexp run`"
        ) from None
    listed = [run for path in inside if (run := _listed(RunFolder(path), finding)) is not None]
    return sorted(listed, key=lambda run: run.when, reverse=True)


def _listed(run: RunFolder, finding: Callable[[RunRecord], str]) -> ListedRunRecord | None:
    """Return what is to be said of a folder; nothing of one that no run has made."""
    name = run.root.name.rpartition("-")[0] or run.root.name
    trials = list((run.root / "trials").glob("*.json"))
    if not run.results.exists() and not run.results.is_symlink():
        if not run.spec.is_file():
            return None
        when = _when([run.spec, *trials])
        return ListedRunRecord(folder=str(run.root), name=name, state="not finished", when=when, ok=len(trials))
    when = _when([run.results])
    try:
        results = read_results(run.root)
    except InputError as error:
        reason = error.problems[0].message
        return ListedRunRecord(folder=str(run.root), name=name, state="broken", when=when, finding=reason)
    return ListedRunRecord(
        folder=str(run.root),
        name=results.name,
        state="finished",
        when=when,
        rows=len({trial.label for trial in results.trials}),
        ok=len(results.trials) - len(results.failed),
        failed=len(results.failed),
        finding=finding(results),
    )


def _when(files: list[Path]) -> str:
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:  # removed meanwhile, or a link that leads nowhere
            continue
    moment = dt.datetime.fromtimestamp(max(times, default=0.0), tz=dt.UTC)
    return moment.isoformat(timespec="seconds")
