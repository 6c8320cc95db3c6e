"""``runs``: which runs there are."""

from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, output_console, show, user_path


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", parser=user_path, help="The folder in which runs have their folders.")
    ] = Path("runs"),
    as_json: JsonFlag = False,
) -> None:
    """List the runs in a folder, the newest first: what each found, and which did not come to their end."""
    from faceexp.report.few_words import in_few_words
    from faceexp.report.terminal.runs import runs_table
    from faceexp.results.runs import runs_of

    listed = runs_of(folder, in_few_words) if folder.exists() or folder.is_symlink() else []
    show(runs_table(str(folder), listed, output_console().width), listed, as_json=as_json)
