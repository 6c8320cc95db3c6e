"""The journal of a search: a file of one line for each thing that happened, in Optuna's own form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import JournalStorage


def opened(journal: Path) -> JournalStorage:
    """Return Optuna's storage in a file, which is made where it is missing.

    Nobody else may have it: what a process has left that was killed, or whose disk was full, is removed.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        # The lock of the folder lets nobody else in, so that this one was left by a process that was killed.
        lock.unlink()
    if journal.is_file():
        _remove_broken_end(journal)
    return JournalStorage(JournalFileBackend(str(journal)))


def _remove_broken_end(journal: Path) -> None:
    """Cut a journal off behind its last whole line before any that is none: Optuna refuses to read on there."""
    whole = 0
    with journal.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n") or not _is_entry(line):
                break
            whole += len(line)
    if whole < journal.stat().st_size:
        with journal.open("r+b") as file:
            file.truncate(whole)


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
