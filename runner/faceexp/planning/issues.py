"""What makes an experiment impossible: mistakes at keys of its file, found where the file itself is not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Issue:
    """A mistake at a key of the experiment file; whoever knows the file says in which line."""

    path: tuple[str | int, ...]
    message: str


class UnplannableError(Exception):
    """The experiment cannot be carried out as it is written."""

    def __init__(self, issues: list[Issue]) -> None:
        self.issues = issues
        super().__init__("; ".join(issue.message for issue in issues))
