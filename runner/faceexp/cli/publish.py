"""``publish`` and ``verify-run``: a run is passed on so that others can check it, and is checked."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from faceexp.cli.console import JsonFlag, NewFolder, StoreFolder, quiet, say, show, user_path
from faceexp.cli.train import Overrides
from faceexp.cli.watching import restoring_collection
from faceexp.errors import printable

# Other machines add numbers in another order, which changes the last digits of metrics, but seldom a decision.
TOLERANCE = 1e-3


class PublishedModels(StrEnum):
    """Which models ``publish`` passes on."""

    BEST = "best"
    NONE = "none"


def publish(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", parser=user_path, help="The folder of a run.", show_default=False)
    ],
    folder: NewFolder,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Pass pictures of people on as well; do so only if they have agreed to that."),
    ] = False,
    models: Annotated[
        PublishedModels,
        typer.Option("--models", help="Which models to pass on: best is the one that `faceexp verify` would use."),
    ] = PublishedModels.NONE,
    as_json: JsonFlag = False,
) -> None:
    """Write a run for others to check: what was asked, what came out, checksums; no photos, and no paths of yours."""
    from faceexp.report.words import many
    from faceexp.running.publish import publish as publish_run

    with quiet():
        published = publish_run(run, folder, pictures=pictures, models=models.value)
    lines = [
        f"{published.folder} holds {many(published.files, 'file')} ({published.size / 1e6:.1f} MB)",
        f"with {many(published.pictures, 'picture')} of people"
        if pictures
        else "no photos are in it: people may not have agreed that theirs are passed on (--pictures adds them)",
        f"with the model of {published.model}" if published.model else "no models are in it (--models best adds one)",
        "people are called in it what the data call them",
        *(f"{each.key}: {each.name} stands for {each.path}" for each in published.to_fill_in),
        "Its README.md says how others check it: faceexp verify-run",
    ]
    data = {
        "folder": str(published.folder),
        "files": published.files,
        "bytes": published.size,
        "to_fill_in": {each.key: each.name for each in published.to_fill_in},
        "pictures": published.pictures,
        "model": published.model or None,
    }
    show("\n".join(map(printable, lines)), data, as_json=as_json)


def verify_run(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            parser=user_path,
            help="The folder of a run, or one that `faceexp publish` wrote.",
            show_default=False,
        ),
    ],
    trial: Annotated[
        str | None,
        typer.Option(
            "--trial",
            metavar="ID",
            help="The trial; by default the first loss of the first seed and fold that ended well.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="NUMBER", help="Up to this difference a metric is the same.")
    ] = TOLERANCE,
    store: StoreFolder = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Train one trial of a run anew, from nothing that was computed before, and compare every metric.

    Only decoded photos are found again in the store. Exit code 0: the same, within the tolerance; 1: a metric differs;
    2: the input is wrong, such as a file that was changed, or other data than those of the run.
    """
    from faceexp import pipeline
    from faceexp.report.terminal.repeated import repeated
    from faceexp.running.repeat import Claim
    from faceexp.values import ignore

    with quiet() as stderr:
        claim = Claim.read(run, tolerance, trial, tuple(overrides or ()))
        if claim.checked is not None:
            say(f"{claim.checked:,} files are as SHA256SUMS says", console=stderr)
        say(f"training {claim.trial.id} anew", console=stderr)
        answer = pipeline.verify_run(claim, store=store, on_event=restoring_collection(ignore))
    show(repeated(answer), answer, as_json=as_json)
    if not answer.holds:
        raise typer.Exit(1)
