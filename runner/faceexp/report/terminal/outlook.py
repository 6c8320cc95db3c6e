"""What a run will take, in a terminal."""

from __future__ import annotations

from rich.text import Text

from faceexp.experiment.asked import Asked
from faceexp.report.words import duration, many
from faceexp.results.outlook import OutlookRecord

RULE = "a rule of thumb for small trunks on two cores; a large trunk takes ten times as long or more"


def outlook_text(expected: OutlookRecord, asked: Asked) -> Text:
    """Return in a few lines what a run will take, and how that is known."""
    stored = f", of which {expected.finished:,} are finished and lie in the store" if expected.finished else ""
    lines = [f"trials  {expected.trials:,}{stored}; {many(expected.rows, 'row')} in the table"]
    if expected.finished < expected.trials:
        basis = RULE if expected.basis == "rule of thumb" else expected.basis
        basis = f"{basis}, the rest by {RULE}" if expected.basis == "partly measured" else basis
        lines.append(f"time    about {duration(expected.minutes)} with one process")
        lines.append(f"disk    about {max(1, round(expected.megabytes)):,} MB more")
        lines.append(f"source  {basis}")
    if asked.until == "decided":
        lines.append("These are the seeds of the file; until its questions are decided, more may follow.")
    return Text("\n".join([*lines, "Nothing was trained."]))
