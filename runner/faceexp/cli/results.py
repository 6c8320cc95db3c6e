"""``report`` and ``compare``: what finished runs show."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceexp.cli import completion
from faceexp.cli.console import JsonFlag, output_console, say, show, user_path, writing
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from faceexp.evaluation.catalogue import Metric
    from faceexp.results.schema import RunRecord

RunFolders = Annotated[
    list[Path],
    typer.Argument(metavar="RUN RUN...", parser=user_path, help="The folders of two or more runs.", show_default=False),
]
RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        parser=user_path,
        help="The folder of a run.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]


class Format(StrEnum):
    """The formats in which ``report`` can write the table."""

    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


def report(
    folder: RunFolder,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="METRIC",
            help="The metric whose best row comes first.",
            autocompletion=completion.metrics,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="METRIC,METRIC...",
            help="The metrics to show, by key or heading, e.g. accuracy,eer; by default as many as fit, in CSV and "
            "Markdown all.",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="The format of the table.")] = Format.TABLE,
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix", help="Also show which row is better than which in that metric, and what each loss was given."
        ),
    ] = False,
    notes: Annotated[
        bool,
        typer.Option(
            "--notes",
            help="Also answer every question of the run, and say where the data come from and how it was judged.",
        ),
    ] = False,
    groups: Annotated[
        bool,
        typer.Option(
            "--groups", help="Also show how often each row is wrong within the groups that the experiment file names."
        ),
    ] = False,
    settings: Annotated[
        bool,
        typer.Option(
            "--settings", help="Show a row for each setting of a loss, not only for the one by which it is judged."
        ),
    ] = False,
    search: Annotated[
        bool,
        typer.Option(
            "--search", help="Also show what a search has tried of each loss, what was chosen, and what that gained."
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            parser=user_path,
            help="Also write the page with its charts and pictures again.",
        ),
    ] = None,
    test_set: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="NAME",
            help="The test set whose numbers and verdicts are shown; by default those of the test part of each split.",
            autocompletion=completion.test_sets,
        ),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", parser=user_path, help="Also save the table as a picture."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the table of a finished run again, without training."""
    from faceexp import run as runs
    from faceexp.report import formats
    from faceexp.report.terminal import run as terminal
    from faceexp.report.terminal.beside import beside

    finished = runs.open_run(folder)
    finished = finished.with_settings if settings else finished.shown
    if test_set is not None:
        finished = finished.on(test_set)
    metric = asked_metric(finished.results, sort, "--sort")
    asked_columns = _columns(finished.results, columns)
    _refuse_what_is_not_there(finished.results, groups=groups, search=search)
    with writing("--html", html):
        if html:
            for problem in finished.write_page(html):
                print(f"left out: {problem}", file=sys.stderr)
            say(f"wrote {html}")
    if svg:
        with writing("--svg", svg):
            picture = terminal.picture(
                finished.results, metric if sort else None, asked_columns, chosen=finished.model_to_use()
            )
            svg.write_text(picture, encoding="utf-8")
        say(f"wrote {svg}")
    writers = {Format.MARKDOWN: formats.markdown, Format.LATEX: formats.latex, Format.CSV: formats.table_csv}
    if form in writers:
        print(writers[form](finished.results, metric, asked_columns))
        return
    as_json = as_json or form is Format.JSON
    table = terminal.run_table(
        finished.results,
        output_console().width,
        metric if sort else None,
        asked_columns,
        notes=notes,
        chosen=finished.model_to_use(),
    )
    show(table, runs.open_run(folder).results if as_json and test_set is None else finished.results, as_json=as_json)
    asked = {"matrix": matrix, "groups": groups, "search": search, "notes": notes}
    below = beside(finished.results, metric, output_console().width, str(folder), **asked)
    for renderable, soft_wrap in () if as_json else below:
        output_console().print(renderable, soft_wrap=soft_wrap)


def _refuse_what_is_not_there(run: "RunRecord", *, groups: bool, search: bool) -> None:
    """Refuse to show what the run does not have.

    Raises:
        InputError: It lacks something that is asked.
    """
    if groups and run.groups is None:
        message = (
            'the run has no groups; name columns of its data, as in [evaluation] groups = ["sex"], and run it again'
        )
        raise InputError(Problem(message, "--groups"))
    if search and run.search is None:
        remedy = (
            "leave --set out, since settings are judged by the test part" if run.measured_on else "[search] does that"
        )
        raise InputError(Problem(f"no settings were searched for here; {remedy}", "--search"))


def _columns(run: "RunRecord", keys: str | None) -> "list[Metric] | None":
    """Return the metrics that ``--columns`` names, each once; ``None`` where it names none."""
    if keys is None:
        return None
    return list(dict.fromkeys(asked_metric(run, key.strip(), "--columns") for key in keys.split(",")))


def asked_metric(run: "RunRecord", key: str | None, option: str) -> "Metric":
    """Return the metric of a run that an option names; where it names none, the most important one that the run has."""
    from faceexp.report.columns import columns_of, metric_of

    if key is None:
        return columns_of(run)[0]
    try:
        return metric_of(run, key)
    except KeyError as error:
        message = f"the run has no metric {key!r}; {error.args[0]}"
        raise InputError(Problem(message, f"{option} {key}")) from None


def compare(
    folders: RunFolders,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="METRIC",
            help="The metric to compare, by default the one that the first run judges.",
            autocompletion=completion.metrics,
        ),
    ] = None,
    test_set: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="NAME",
            help="Compare them on this test set, on which all of them were measured; by default on their test parts.",
            autocompletion=completion.test_sets,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Put runs side by side: what differs in their experiments, and what the same rows reached in each."""
    from faceexp import run as runs
    from faceexp.report.terminal.between_runs import comparison_table
    from faceexp.report.used import used

    if len(folders) < 2:
        raise InputError("one run alone cannot be compared; name two or more")
    opened = runs.open_runs(folders)
    if test_set is not None:
        opened = [finished.on(test_set) for finished in opened]
    key = asked_metric(opened[0].results, metric, "--metric").key
    metrics = [asked_metric(finished.results, key, "--metric") for finished in opened]
    comparison = runs.compare_runs(opened, key)
    about = [used(finished.results) for finished in opened]
    show(comparison_table(comparison, metrics[0], about), comparison, as_json=as_json)
