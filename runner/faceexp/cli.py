"""The command line: the only module that prints or exits."""

# Annotations are no texts here: typer would evaluate those of every command on each start.

import atexit
import contextlib
import gc
import io
import json
import os
import shlex
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

# pydantic looks through every installed package for plugins of its own, which nobody here has, on each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from faceexp.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

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
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="LABEL", help="Run only the loss with this label. Repeatable.")
]

# In the store: which plugins are known to import.
MEMORY = "plugins.json"
GARBAGE = gc.get_threshold()


def main() -> None:
    """Run the command line; bad input ends with one line for each mistake and exit code 2."""
    # What is made while modules are imported lives until the end. Looking for garbage among it every 700 objects, and
    # once more at the end, takes a sixth of a short command's time and a fifth of TensorFlow's import.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        app()
    except InputError as error:
        _fail(error)
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        gc.set_threshold(*GARBAGE)


def _fail(error: InputError) -> NoReturn:
    # Not through Rich: each mistake stays one line, whatever the width of the screen.
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


def _screen() -> "Console":
    """Return the console of standard output; a file or a pipe gets lines wide enough for the table."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=140)


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def _show(renderable: "RenderableType", data: object, *, as_json: bool) -> None:
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
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            max=256,
            metavar="N",
            help="Processes that seeds, folds and cores are divided among.",
        ),
    ] = 1,
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
                finished = study.run(out, store=store, listen=_settled(listen), jobs=jobs)
        except KeyboardInterrupt:
            stderr.print("interrupted; finished trials are kept, the same command goes on from there", style="yellow")
            raise typer.Exit(130) from None
    _show(terminal.results(finished.document, _screen().width), finished.document, as_json=as_json)
    _stderr().print(f"results in {finished.folder}", style="dim", highlight=False, soft_wrap=True)
    if finished.failed:
        raise typer.Exit(1)


def _check_writable(folders: dict[str, Path | None]) -> None:
    import tempfile

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
def _listening(study: Any, console: "Console") -> Iterator[Any]:  # noqa: ANN401
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


def _settled(listen: Any) -> Any:  # noqa: ANN401
    """Give a listener that also hears when TensorFlow is there to stay."""

    def hear(event: Any) -> None:  # noqa: ANN401
        if event.stage == "backend" and event.done == event.total:
            _settle()
        listen(event)

    return hear


def _settle() -> None:
    """Look for garbage as often as Python usually does, beside what is there to stay: old networks hold much memory."""
    if gc.get_threshold() != GARBAGE:
        gc.freeze()
        gc.set_threshold(*GARBAGE)


@contextlib.contextmanager
def _quiet() -> Iterator["Console"]:
    """Keep what libraries write to standard error from the screen, and give a console that still reaches it.

    TensorFlow's greetings come from C++, past Python's ``sys.stderr``; so the file descriptor itself is redirected.
    Should the run end in an error of ours, what was kept back is shown: it may say why.
    """
    import tempfile

    from rich.console import Console

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
    from faceexp.store import default_root

    listed = descriptions.listing(default_root() / MEMORY)
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
    _stderr().print(f"wrote {folder}; next:", style="dim", highlight=False, soft_wrap=True)
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
    if as_json:
        print(json.dumps({"valid": True, "problems": [], "outline": outline}, indent=1))
    else:
        # Not through Rich, which would take a tenth of this command's time; but as Rich decides about colours.
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        typer.echo(f"{typer.style('valid', fg='green')}  {outline}", color=False if plain else None)


@app.command()
def schema() -> None:
    """Print the JSON schema of experiment files, installed plugins included, for editors that check TOML."""
    from faceexp import describe as descriptions

    print(json.dumps(descriptions.schema(), indent=1))


class Format(StrEnum):
    """How ``report`` writes the table."""

    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


@app.command()
def report(
    folder: RunFolder,
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="METRIC", help="The metric whose best row comes first."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write the table.")] = Format.TABLE,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Show which row beats which in that metric, and what each was given."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the page with its pictures anew.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Also save the table as a picture.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw the table of a finished run again, without training."""
    from rich.console import Console

    from faceexp import pipeline
    from faceexp.report import formats, terminal

    finished = pipeline.open_run(folder)
    column = _column(finished.document, sort, "--sort")
    with _writing("--html", html):
        if html:
            finished.write_page(html)
    if svg:
        picture = Console(record=True, width=120, file=io.StringIO())
        picture.print(terminal.results(finished.document, picture.width, column))
        with _writing("--svg", svg):
            picture.save_svg(str(svg), title="faceexp report", code_format=terminal.SVG_FORMAT)
    writers = {Format.MARKDOWN: formats.markdown, Format.LATEX: formats.latex, Format.CSV: formats.table_csv}
    if form in writers:
        print(writers[form](finished.document, column))
        return
    as_json = as_json or form is Format.JSON
    _show(terminal.results(finished.document, _screen().width, column), finished.document, as_json=as_json)
    if matrix and not as_json:
        _screen().print(terminal.matrix(finished.document, column), soft_wrap=True)
        _screen().print(terminal.budgets(finished.document))


def _column(document: Any, metric: str | None, option: str) -> Any:  # noqa: ANN401
    """Return the column of a metric that a run has; of its first one where none is named."""
    from faceexp.report.numbers import column_of, columns

    if metric is None:
        return columns(document)[0]
    try:
        return column_of(document, metric)
    except KeyError as error:
        message = f"the run has no metric {metric!r}; {did_you_mean(metric, error.args)}"
        raise InputError(Problem(message, f"{option} {metric}")) from None


@contextlib.contextmanager
def _writing(option: str, file: Path | None) -> Iterator[None]:
    """Say which file cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            Problem(f"cannot be written: {error.strerror}; name another file", f"{option} {file}")
        ) from None


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="The metric to compare.")] = "accuracy",
    as_json: JsonFlag = False,
) -> None:
    """Put runs side by side: what differs in their experiments, and in what the same rows reached."""
    from faceexp import pipeline
    from faceexp.report import side_by_side

    if len(folders) < 2:
        raise InputError("one run alone cannot be compared; name two or more")
    opened = pipeline.open_runs(folders)
    columns = [_column(finished.document, metric, "--metric") for finished in opened]
    document = pipeline.compare_runs(opened, metric)
    _show(side_by_side.runs(document, columns[0]), document, as_json=as_json)


@app.command()
def power(
    study: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN | COUNT COUNT...",
            help="A run's folder; or how many of the same pairs each loss judged right: 114 110, or 114/134 110/134.",
            show_default=False,
        ),
    ],
    of: Annotated[int | None, typer.Option("--of", metavar="PAIRS", help="Of how many pairs the counts are.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="The metric of a run to ask about; by default accuracy.")
    ] = None,
    difference: Annotated[
        float | None,
        typer.Option(
            "--difference",
            help="A difference to ask about: in points of percentages, else in units of the metric; by default those "
            "observed.",
        ),
    ] = None,
    target: Annotated[float, typer.Option("--power", help="Probability with which a difference is to be found.")] = 0.8,
    alpha: Annotated[float, typer.Option("--alpha", help="Two-sided level of a single comparison.")] = 0.05,
    as_json: JsonFlag = False,
) -> None:
    """Say what a study could have told apart, and how many pairs, people, seeds or folds it would have taken."""
    from dataclasses import asdict

    from faceexp import pipeline
    from faceexp import power as powers
    from faceexp.report import power as shown

    folder = Path(study[0])
    is_run = len(study) == 1 and of is None and (folder.exists() or not study[0].replace("/", "").isdecimal())
    try:
        if not is_run:
            if metric is not None:
                raise InputError(
                    Problem("counts give an accuracy and nothing else; leave it out", f"--metric {metric}")
                )
            asked = None if difference is None else difference / 100
            counted = asdict(powers.from_counts(*_counts(study, of), alpha, target, asked))
            _show(shown.counts(counted), counted, as_json=as_json)
            return
        document = pipeline.open_run(folder).document
        column = _column(document, metric or "accuracy", "--metric")
        table, losses, design = powers.read_run(document, column.metric)
        found = asdict(
            powers.from_run(
                table,
                design,
                column.metric,
                higher_is_better=column.higher,
                losses=losses,
                difference=None if difference is None else difference / column.scale,
                alpha=alpha,
                power=target,
            )
        )
    except powers.UnanswerableError as error:
        raise InputError(Problem(str(error), study[0] if is_run else "")) from None
    _show(shown.run(found, column), found, as_json=as_json)


def _counts(study: list[str], of: int | None) -> tuple[dict[str, int], int]:
    """Return how many pairs each loss judged right, named by its count, and of how many."""
    totals = set() if of is None else {of}
    for text in study:
        count, slash, total = text.partition("/")
        if not count.isdecimal() or (slash and not total.isdecimal()):
            raise InputError(f"{text!r} is no count of right answers; name one run, or counts such as 114 110 --of 134")
        totals |= {int(total)} if slash else set()
    if not totals:
        raise InputError(f"of how many pairs? say so: {' '.join(study)} --of PAIRS")
    if len(totals) > 1:
        sizes = " and ".join(map(str, sorted(totals)))
        raise InputError(f"the losses must have judged the same pairs, not {sizes} of them")
    (total_pairs,) = totals
    counts = [int(text.partition("/")[0]) for text in study]
    repeats = [counts[:place].count(count) for place, count in enumerate(counts)]
    names = [
        f"{count}/{total_pairs}" + (f" ({same + 1})" if same else "")
        for count, same in zip(counts, repeats, strict=True)
    ]
    return dict(zip(names, counts, strict=True)), total_pairs


@app.command()
def cache(
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", envvar="FACEEXP_STORE", help="The store; by default the user's."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in it; runs keep their own files.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show where finished work is kept and how much room it takes, or remove it."""
    from faceexp.report import terminal
    from faceexp.store import Store, default_root

    kept = Store(store or default_root())
    found = kept.contents()
    if clear:
        kept.clear()
        (kept.root / MEMORY).unlink(missing_ok=True)
    data = {
        "store": str(kept.root),
        "kinds": {kind: {"artefacts": number, "bytes": size} for kind, (number, size) in found.items()},
        "cleared": clear,
    }
    _show(terminal.store(data), data, as_json=as_json)


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A run (its best loss by validation), RUN:label or an exported folder.",
        show_default=False,
    ),
]
Far = Annotated[
    float | None,
    typer.Option("--far", metavar="RATE", help="Take the threshold at this false accept rate, e.g. 0.001."),
]


@app.command()
def verify(
    model: Model,
    photos: Annotated[list[Path] | None, typer.Argument(metavar="A B", help="Two photos.", show_default=False)] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="CSV", help="Judge the pairs of a file with the columns a,b or a,b,same."),
    ] = None,
    far: Far = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether two photos show the same person, with a probability and the threshold's false accept rate.

    With --pairs, one line a pair goes to standard output as CSV, and a summary to standard error.
    """
    given = photos or []
    if (pairs is None) == (not given) or (given and len(given) != 2):
        raise InputError("name two photos, or a list of pairs with --pairs")
    with _quiet() as stderr:
        opened, info = _open_model(model)
        if pairs is None:
            # The network is loaded when it is first used, which takes seconds: one word is said meanwhile.
            with stderr.status("loading the model") if stderr.is_terminal else contextlib.nullcontext():
                found = _json_of(opened.verify(given[0], given[1], far))
            _several(stderr, {str(photo): faces for photo, faces in zip(given, found["faces"], strict=True)})
        else:
            listed, judged = _judge(opened, pairs, far, stderr)
    if pairs is None:
        from faceexp.report.decisions import verification

        _show(verification(found, info), found | {"model": info}, as_json=as_json)
        return
    _print_pairs(listed, judged, info, as_json=as_json)


def _judge(opened: Any, pairs: Path, far: float | None, stderr: "Console") -> tuple[list[Any], list[Any]]:  # noqa: ANN401
    from faceexp.serving.photos import read_pairs

    listed = list(read_pairs(pairs))
    with _counting(stderr, "embedding photos", len({file for a, b, _ in listed for file in (a, b)})) as tell:
        judged = [_json_of(found) for found in opened.verify_pairs([(a, b) for a, b, _ in listed], far, tell)]
    faces = {
        file: count
        for (a, b, _), found in zip(listed, judged, strict=True)
        for file, count in zip((a, b), found["faces"], strict=True)
    }
    _several(stderr, faces)
    return listed, judged


def _print_pairs(listed: list[Any], judged: list[Any], info: Any, *, as_json: bool) -> None:  # noqa: ANN401
    import csv

    from faceexp.report.decisions import pairs_summary
    from faceexp.serving import tally

    summary = tally([same for _, _, same in listed], [found["same"] for found in judged])
    rows = [
        {"a": a, "b": b, "same": found["same"], "distance": found["distance"], "probability": found["probability"]}
        for (a, b, _), found in zip(listed, judged, strict=True)
    ]
    if as_json:
        print(json.dumps({"model": info, "summary": summary, "pairs": rows}, indent=1, allow_nan=False))
        return
    writer = csv.DictWriter(sys.stdout, ["a", "b", "same", "distance", "probability"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"same": int(row["same"])} for row in rows)
    _stderr().print(pairs_summary(summary))


@app.command()
def identify(
    model: Model,
    gallery: Annotated[
        Path,
        typer.Argument(metavar="GALLERY", help="A folder a person, or one photo each, so named.", show_default=False),
    ],
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Whom to look for.", show_default=False)],
    far: Far = None,
    as_json: JsonFlag = False,
) -> None:
    """Rank the people of a gallery by how near they are to a photo; it may also show nobody of them."""
    from faceexp.report.decisions import identification
    from faceexp.serving.photos import gallery_of

    people = gallery_of(gallery)
    with _quiet() as stderr:
        opened, info = _open_model(model)
        with _counting(stderr, "embedding photos", 1 + sum(map(len, people.values()))) as tell:
            found = _json_of(opened.identify(people, photo, far, tell))
    _show(identification(found, info), found | {"model": info}, as_json=as_json)


@app.command()
def embed(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of photos.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write: .parquet, .csv or .npz.")
    ] = Path("embeddings.parquet"),
    as_json: JsonFlag = False,
) -> None:
    """Write the embedding of every photo in a folder; one that cannot be used is left out and named."""
    from faceexp.serving.photos import photos_in, writer_of

    files = photos_in(folder)
    write = writer_of(output)
    with _quiet() as stderr:
        opened, info = _open_model(model)
        with _counting(stderr, "embedding photos", len(files)) as tell:
            kept, embeddings, problems = opened.embed_files(files, tell)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not kept:
        raise InputError(Problem("none of its photos can be used", str(folder)))
    with _writing("--output", output):
        write([str(file.relative_to(folder)) for file in kept], embeddings)
    done = {"model": info, "output": str(output), "photos": len(kept), "width": int(embeddings.shape[1])}
    text = f"{len(kept):,} embeddings of {embeddings.shape[1]} numbers in {output}"
    _show(text, done | {"left_out": [str(problem) for problem in problems]}, as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _open_model(path: str) -> tuple[Any, dict[str, str]]:
    """Open a model, and return what is said of it beside its answers."""
    from faceexp.serving import load_model

    opened = load_model(path)
    return opened, {"label": opened.label, "folder": str(opened.folder), "distance": opened.distance}


@contextlib.contextmanager
def _counting(stderr: "Console", words: str, total: int) -> Iterator[Any]:
    """Give what hears how many are done; on a terminal a bar with the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not stderr.is_terminal:
        yield lambda done: _settle()  # noqa: ARG005
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(words, total=total)

        def tell(done: int) -> None:
            _settle()
            progress.update(task, completed=done)

        yield tell


def _several(stderr: "Console", faces: dict[str, int]) -> None:
    """Say of which photos the largest of several faces was taken."""
    for photo, count in faces.items():
        if count > 1:
            stderr.print(f"{photo} shows {count} faces; the largest is compared", style="yellow", soft_wrap=True)


def _json_of(value: Any) -> Any:  # noqa: ANN401
    """Return a frozen value as JSON data."""
    from faceexp.serving import as_json

    return as_json(value)


class ModelFormat(StrEnum):
    """What ``export`` writes the network as."""

    ONNX = "onnx"
    TFLITE = "tflite"
    KERAS = "keras"
    SAVED_MODEL = "saved_model"


@app.command()
def export(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, new or empty.", show_default=False)],
    to: Annotated[
        list[ModelFormat] | None,
        typer.Option("--to", help="How to write the network; by default onnx. Repeatable.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a model for others to use: network, preprocessing and threshold, with README and model card."""
    from rich.markup import escape

    from faceexp.export import export_model

    with _quiet() as stderr, stderr.status("converting") if stderr.is_terminal else contextlib.nullcontext():
        done = export_model(model, folder, [form.value for form in to or (ModelFormat.ONNX,)])
    data = {"folder": str(done.folder), "bytes": dict(done.files), "deviations": dict(done.deviations)}
    sizes = ", ".join(f"{name} ({size / 1e6:.2f} MB)" for name, size in done.files.items() if size > 10**5)
    said = f"{done.folder} holds {sizes or ', '.join(done.files)}; its README.md says how to use it"
    _show(escape(said), data, as_json=as_json)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"faceexp {installed('faceexp')}")
        raise typer.Exit
