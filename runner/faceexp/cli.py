"""The command line: the only module that prints or exits."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

# pydantic looks through every installed package for plugins of its own, which nobody here has, on each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer
from rich.console import Console, RenderableType

from faceexp.errors import InputError, Problem, did_you_mean

app = typer.Typer(
    name="faceexp",
    help=(
        "Which metric-learning loss is better for telling whether two face photos show the same person, "
        "and is the difference real?\n\n"
        "Write one TOML file, run it, and read the table: `faceexp run experiments/all_losses.toml`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]
Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The experiment, a TOML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a value of the file, e.g. finetune.steps=100. Repeatable."
    ),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="LABEL", help="Run only the loss with this label. Repeatable.")
]


def main() -> None:
    """Run the command line; bad input ends with one line for each mistake and exit code 2."""
    try:
        app()
    except InputError as error:
        _fail(error)
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(error: InputError) -> NoReturn:
    # Not through Rich: each mistake stays one line, whatever the width of the screen.
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


def _screen() -> Console:
    """Return the console of standard output; a file or a pipe gets lines wide enough for the table."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=140)


def _show(renderable: RenderableType, data: object, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(data, indent=1, allow_nan=False))
    else:
        _screen().print(renderable)


@app.command()
def run(
    spec: Spec,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder that gets the run's own folder.")] = Path(
        "runs"
    ),
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", envvar="FACEEXP_STORE", help="Where finished work is kept and found again."
        ),
    ] = None,
    overrides: Overrides = None,
    only: Only = None,
    as_json: JsonFlag = False,
) -> None:
    """Train and compare the losses of an experiment; what was finished before is not done again.

    Exit code 0: done; 1: ran, but some trial failed; 2: the input is wrong.
    """
    from faceexp import pipeline
    from faceexp.report import progress, terminal

    study = pipeline.load(spec, overrides=overrides or (), only=only or ())
    _check_writable({"--out": out, "--store": store})
    with _quiet() as stderr:
        stderr.print(progress.outline(study.resolved), style="bold", highlight=False, soft_wrap=True)
        try:
            with _listening(study, stderr) as listen:
                finished = study.run(out, store=store, listen=listen)
        except KeyboardInterrupt:
            stderr.print("interrupted; finished trials are kept, the same command goes on from there", style="yellow")
            raise typer.Exit(130) from None
    _show(terminal.results(finished.document, _screen().width), finished.document, as_json=as_json)
    Console(stderr=True).print(f"results in {finished.folder}", style="dim", highlight=False, soft_wrap=True)
    if finished.failed:
        raise typer.Exit(1)


def _check_writable(folders: dict[str, Path | None]) -> None:
    problems = []
    for option, folder in folders.items():
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            message = f"nothing can be written there: {error.strerror}; name a folder of yours"
            problems.append(Problem(message, f"{option} {folder}"))
    if problems:
        raise InputError(problems)


@contextlib.contextmanager
def _listening(study: Any, console: Console) -> Iterator[Any]:  # noqa: ANN401
    """Give a listener that shows a live display on a terminal, and a line a trial in a log."""
    from rich.live import Live

    from faceexp.report.progress import Display, ended

    if console.is_terminal:
        display = Display(study.resolved)
        with Live(display, console=console, refresh_per_second=8, transient=False):
            yield display.hear
        return

    def write(event: Any) -> None:  # noqa: ANN401
        if event.finished:
            console.print(ended(event.finished, event.done, event.total), highlight=False, soft_wrap=True, markup=False)

    yield write


@contextlib.contextmanager
def _quiet() -> Iterator[Console]:
    """Keep what libraries write to standard error from the screen, and give a console that still reaches it.

    TensorFlow's greetings come from C++, past Python's ``sys.stderr``; so the file descriptor itself is redirected.
    Should the run end in an error of ours, what was kept back is shown: it may say why.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept, os.fdopen(os.dup(saved), "w", encoding="utf-8") as screen:
        os.dup2(kept.fileno(), 2)
        python_stderr, sys.stderr = sys.stderr, screen
        try:
            yield Console(file=screen)
        except (InputError, typer.Exit):
            raise
        except BaseException:
            kept.seek(0)
            screen.write(kept.read().decode(errors="replace"))
            raise
        finally:
            screen.flush()
            sys.stderr = python_stderr
            os.dup2(saved, 2)
            os.close(saved)


@app.command("list-plugins")
def list_plugins(as_json: JsonFlag = False) -> None:
    """Show the installed plugins by kind, and which of them are broken."""
    from faceexp import describe as descriptions
    from faceexp.report import terminal

    listed = descriptions.listing()
    _show(terminal.plugins(listed), listed, as_json=as_json)


@app.command()
def describe(
    kind: Annotated[str, typer.Argument(help="loss, model, dataset or sampler.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The plugin's name.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Show what a plugin does and every option it takes."""
    from faceexp import describe as descriptions
    from faceexp.contract import GROUPS
    from faceexp.report import terminal

    if kind not in GROUPS:
        raise InputError(f"there is no kind {kind!r} of plugin; {did_you_mean(kind, GROUPS)}")
    info = descriptions.describe(kind, name)
    _show(terminal.description(info), info, as_json=as_json)


@app.command("new-plugin")
def new_plugin(
    kind: Annotated[str, typer.Argument(help="loss, model, dataset or sampler.", show_default=False)],
    name: Annotated[str, typer.Argument(help="How experiment files will name it.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that gets the plugin's own folder.")
    ] = Path(),
) -> None:
    """Write a new plugin: a small package that installs, and passes its tests, as it stands."""
    from faceexp import scaffold

    folder = scaffold.new_plugin(kind, name, out)
    Console(stderr=True).print(f"wrote {folder}; next:", style="dim", highlight=False, soft_wrap=True)
    quoted = shlex.quote(str(folder))
    print(f"pip install -e {quoted}")
    print(f"pytest {quoted}")
    print(f"faceexp describe {kind} {name}")


@app.command()
def validate(spec: Spec, overrides: Overrides = None, as_json: JsonFlag = False) -> None:
    """Check an experiment file, its plugins and their options, without loading data or training."""
    from faceexp import pipeline
    from faceexp.report import progress

    try:
        study = pipeline.load(spec, overrides=overrides or ())
    except InputError as error:
        if as_json:
            print(json.dumps({"valid": False, "problems": [str(problem) for problem in error.problems]}, indent=1))
            raise typer.Exit(2) from None
        raise
    outline = progress.outline(study.resolved)
    _show(f"[green]valid[/green]  {outline}", {"valid": True, "problems": [], "outline": outline}, as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON schema of experiment files, installed plugins included, for editors that check TOML."""
    from faceexp import describe as descriptions

    print(json.dumps(descriptions.schema(), indent=1))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Also save the table as a picture.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw the table of a finished run again, without training."""
    from faceexp import pipeline
    from faceexp.report import terminal

    finished = pipeline.open_run(folder)
    if svg:
        picture = Console(record=True, width=120, file=io.StringIO())
        picture.print(terminal.results(finished.document, picture.width))
        try:
            picture.save_svg(str(svg), title="faceexp report", code_format=terminal.SVG_FORMAT)
        except OSError as error:
            raise InputError(
                Problem(f"cannot be written: {error.strerror}; name another file", f"--svg {svg}")
            ) from None
    _show(terminal.results(finished.document, _screen().width), finished.document, as_json=as_json)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"faceexp {installed('faceexp')}")
        raise typer.Exit
