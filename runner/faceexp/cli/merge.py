"""``merge``: runs of one experiment that were computed apart become one."""

from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, StoreFolder, output_console, quiet, say, show, user_path
from faceexp.cli.results import RunFolders
from faceexp.cli.train import check_writable
from faceexp.cli.watching import saying_notes
from faceexp.errors import InputError, Problem


def merge(
    folders: RunFolders,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", parser=user_path, help="The folder in which that of the whole is made."),
    ] = Path("runs"),
    store: StoreFolder = None,
    as_json: JsonFlag = False,
) -> None:
    """Join runs of one experiment that were computed apart: its seeds, its losses, or the shares of `run --shard`.

    What does not fit is refused, with the reasons. The data have to be here.
    """
    from faceexp import pipeline
    from faceexp.report.terminal.run import run_table
    from faceexp.results.folder import RunFolder
    from faceexp.results.kept import kept
    from faceexp.values import ignore

    if len(folders) < 2:
        raise InputError(Problem("name two or more runs", "merge"))
    check_writable(out, store)
    with quiet() as stderr:
        on_event = saying_notes(ignore, stderr, set(), tracebacks=False)
        whole, missing = pipeline.merge(folders, out, store=store, on_event=on_event)
    shown = whole.shown
    show(run_table(shown.results, output_console().width, chosen=shown.model_to_use()), whole.results, as_json=as_json)
    if missing:
        say(f"{missing:,} trials of the whole are in none of these runs", "yellow")
    folder = RunFolder(whole.folder)
    wanted, trained = kept(folder.keeps, whole.trials), {trial.id for trial in whole.trials if trial.kind == "loss"}
    if lost := sum(not folder.model(trial).has_network for trial in wanted & trained):
        say(f"models to keep that are in none of these runs: {lost:,}", "yellow")
    say(f"results in {whole.folder}")
    if whole.failed:
        raise typer.Exit(1)
