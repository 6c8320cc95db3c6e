"""``run`` and ``validate``: the losses of an experiment file are trained, or the file is only checked."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceexp.cli import completion
from faceexp.cli.console import (
    JsonFlag,
    StoreFolder,
    counting,
    output_console,
    print_json,
    quiet,
    say,
    show,
    user_path,
)
from faceexp.cli.interrupts import exit_code
from faceexp.cli.watching import displaying, restoring_collection, saying_notes, show_tracebacks
from faceexp.errors import InputError, Problem, printable

if TYPE_CHECKING:
    from faceexp.pipeline import Study
    from faceexp.values import Event

Spec = Annotated[
    Path,
    typer.Argument(metavar="SPEC", parser=user_path, help="The experiment, a TOML file.", show_default=False),
]

Out = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", parser=user_path, help="The folder in which the folder of the run is made."),
]

Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        max=256,
        metavar="N",
        help="The number of processes among which seeds, folds and cores are divided.",
    ),
]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a value of the file, e.g. finetune.steps=100. Repeatable."
    ),
]

Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="LABEL",
        help="Run only the loss with this label. Repeatable.",
        autocompletion=completion.labels,
    ),
]


class Until(StrEnum):
    """What ends a run."""

    DECIDED = "decided"


def run(
    spec: Spec,
    out: Out = Path("runs"),
    store: StoreFolder = None,
    jobs: Jobs = 1,
    until: Annotated[
        Until | None,
        typer.Option(
            "--until",
            help="Go on with further seeds for the losses that are still in question, until the questions of the "
            "experiment are decided.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="N", help="Begin no further seed that would probably end later than this."),
    ] = None,
    overrides: Overrides = None,
    only: Only = None,
    trackers: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            metavar="NAME",
            help="Record trials elsewhere as they end, by this tracker with its usual options, instead of those of "
            "the file. Repeatable.",
        ),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor",
            metavar="NAME",
            help="Run trials where this executor runs them, with its usual options, instead of that of the file.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="WHERE", help="The option `address` of the executor, such as auto."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="K/N",
            help="Run a share of the trials, such as 3/8, the third of eight; faceexp merge joins all shares.",
        ),
    ] = None,
    collect: Annotated[
        bool,
        typer.Option(
            "--collect", help="Train nothing: write results from what is finished so far, while others still work."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Train nothing: look at the data, and say how many trials, minutes and bytes it will be."
        ),
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Also show where in its code a plugin failed when it was first called.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train and compare the losses of an experiment; work that was finished before is not done again.

    Exit code 0: done; 1: some trial did not end well; 2: the input is wrong.
    """
    from faceexp import pipeline

    options = [f"executor={{plugin={json.dumps(executor)}}}"] if executor is not None else []
    options += [f"executor.address={json.dumps(address)}"] if address is not None else []
    options += [*(overrides or ()), *([f'verdict.until="{until.value}"'] if until else [])]
    options += [f"trackers=[{', '.join(f'{{plugin={json.dumps(name)}}}' for name in trackers)}]"] if trackers else []
    options += [] if minutes is None else [f"limits.minutes={minutes}"]
    study = pipeline.load(spec, overrides=options, only=only or ())
    if minutes is not None and study.experiment.verdict.until == "seeds":
        raise InputError(Problem("has a meaning only with --until decided", "--minutes"))
    if jobs > 1 and study.resolved.executor:
        message = (
            "has no meaning with an executor, which divides the trials by itself; executor.cpus says their threads"
        )
        raise InputError(Problem(message, "--jobs"))
    part = _part_of(shard, collect=collect)
    if dry_run:
        if shard is not None or collect:
            message = "says what the whole experiment takes; leave one of them out"
            raise InputError(Problem(message, f"--dry-run {'--collect' if collect else '--shard'}"))
        _say_what_it_takes(study, store, jobs, as_json=as_json)
        return
    carry_out(study, out, store, jobs, part, traceback=traceback, as_json=as_json)


def _part_of(shard: str | None, *, collect: bool) -> dict[str, Any]:
    """Return the arguments of a run that say which part of it is asked for."""
    if shard is None:
        return {"collect": True} if collect else {}
    if collect:
        raise InputError(Problem("--collect takes every trial that is finished; leave one of them out", "--shard"))
    from faceexp.running.parts import Shard

    return {"shard": Shard.parse(shard)}


def carry_out(
    study: "Study",
    out: Path,
    store: Path | None,
    jobs: int,
    part: dict[str, Any] | None = None,
    *,
    traceback: bool = False,
    as_json: bool = False,
) -> None:
    """Run an experiment before the eyes of whoever asked for it, and show what was found."""
    from faceexp.report.terminal.outline import outline
    from faceexp.report.terminal.run import run_table
    from faceexp.report.terminal.sets import sets_table

    untrained: set[str] = set()
    check_writable(out, store)
    with quiet() as stderr:
        say(outline(study.resolved, study.candidates), "bold", stderr, prose=True)
        for remark in study.resolved.remarks:
            say(remark, "yellow", stderr, prose=True)
        try:
            with displaying(study, stderr, untrained, tracebacks=traceback) as display:
                on_event = restoring_collection(display)
                finished = study.run(out, store=store, on_event=on_event, jobs=jobs, **(part or {}))
        except KeyboardInterrupt as error:
            say("interrupted; finished trials are kept, the same command goes on from there", "yellow", stderr)
            raise typer.Exit(exit_code(error)) from None
        except InputError as error:
            show_tracebacks(getattr(error, "__notes__", []) if traceback else [], stderr)
            raise
    shown = finished.shown
    table = run_table(shown.results, output_console().width, told=untrained, chosen=shown.model_to_use())
    show(table, finished.results, as_json=as_json)
    over_sets = sets_table(shown.results, output_console().width, str(finished.folder))
    if over_sets and not as_json:
        output_console().print(over_sets)
    say(f"results in {finished.folder}")
    if finished.results.search:
        say(f"what was tried of each loss, and what that gained: faceexp report {finished.folder} --search")
    say(f"data, sources and method: faceexp report {finished.folder} --notes")
    if finished.failed:
        raise typer.Exit(1)


def _say_what_it_takes(study: "Study", store: Path | None, jobs: int, *, as_json: bool) -> None:
    """Look at the data as a run does, and print what the run will take. Decoded images are kept for the run."""
    from faceexp.report.terminal.outline import outline
    from faceexp.report.terminal.outlook import outlook_text
    from faceexp.store import Store, default_root

    with quiet() as stderr:
        say(outline(study.resolved, study.candidates), "bold", stderr, prose=True)
        with counting(stderr, "images decoded", 100) as on_progress:

            def count(event: "Event") -> None:
                if event.stage == "images":
                    on_progress(100 * event.done // max(event.total, 1))

            used_store = Store(store or default_root())
            expected = study.outlook(used_store, jobs, saying_notes(count, stderr, set(), tracebacks=False))
    show(outlook_text(expected, study.experiment.verdict), expected, as_json=as_json)


def check_writable(out: Path, store: Path | None) -> None:
    """Refuse folders in which nothing can be written, before anything is computed."""
    import tempfile

    from faceexp.store import default_root

    problems = []
    for option, folder in (("--out ", out), ("--store " if store else "", store or default_root())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x" * 4096)  # a full disk still takes empty files
        except OSError as error:
            remedy = "name a folder of yours" if option else "name a store with --store or FACEEXP_STORE"
            problems.append(Problem(f"nothing can be written there: {error.strerror}; {remedy}", f"{option}{folder}"))
    if problems:
        raise InputError(problems)


def validate(spec: Spec, overrides: Overrides = None, as_json: JsonFlag = False) -> None:
    """Check an experiment file, its plugins and their options, without loading data or training anything.

    Files and folders that it names have to exist; `faceexp crops` looks at the photos.
    """
    from faceexp import pipeline
    from faceexp.report.terminal.outline import outline

    try:
        study = pipeline.load(spec, overrides=overrides or ())
    except InputError as error:
        if as_json:
            print_json({"valid": False, "problems": [str(problem) for problem in error.problems]})
            raise typer.Exit(2) from None
        raise
    text = outline(study.resolved, study.candidates)
    if as_json:
        print_json({"valid": True, "problems": [], "remarks": study.resolved.remarks, "outline": text})
    else:
        # Rich would take a tenth of the time of this command, so it is not used; colours are left out where Rich would.
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        line = f"{typer.style('valid', fg='green')}  {printable(text)}; the data were not looked at"
        typer.echo(line, color=False if plain else None)
        for remark in study.resolved.remarks:
            typer.echo(typer.style(printable(remark), fg="yellow"), err=True, color=False if plain else None)
