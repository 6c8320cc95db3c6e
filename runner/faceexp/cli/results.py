"""``report``, ``compare`` and ``power``: what finished runs show."""

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

MAX_DIGITS = 40
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
    metric = _metric(finished.results, sort, "--sort")
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
    return list(dict.fromkeys(_metric(run, key.strip(), "--columns") for key in keys.split(",")))


def _metric(run: "RunRecord", key: str | None, option: str) -> "Metric":
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
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...", parser=user_path, help="The folders of two or more runs.", show_default=False
        ),
    ],
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
    key = _metric(opened[0].results, metric, "--metric").key
    metrics = [_metric(finished.results, key, "--metric") for finished in opened]
    comparison = runs.compare_runs(opened, key)
    about = [used(finished.results) for finished in opened]
    show(comparison_table(comparison, metrics[0], about), comparison, as_json=as_json)


def power(
    study: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN | COUNT COUNT... | TABLE.csv",
            help="The folder of a run; or how many of the same pairs each loss got right: 114 110, or 114/134 110/134; "
            "or a CSV file of published accuracies, with a row for each loss and a column for each test set.",
            show_default=False,
        ),
    ],
    of: Annotated[
        int | None,
        typer.Option(
            "--of",
            metavar="PAIRS",
            help="The number of pairs that every loss judged; for a table, of a test set whose size is not known.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="METRIC",
            help="The metric of a run to ask about, by default the one that it judges.",
            autocompletion=completion.metrics,
        ),
    ] = None,
    difference: Annotated[
        float | None,
        typer.Option(
            "--difference",
            help="A difference to ask about: in points for a percentage, else in units of the metric; by default those "
            "that were observed.",
        ),
    ] = None,
    target: Annotated[
        float, typer.Option("--power", help="The probability with which a difference is to be found.")
    ] = 0.8,
    alpha: Annotated[
        float, typer.Option("--alpha", help="The two-sided significance level of a single comparison.")
    ] = 0.05,
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs",
            help="Ask whether the best loss of a run is told from every other row, corrected for all pairs of rows; by "
            "default each loss is compared with the phase-1 embedding, as the run asks.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what a study could have told apart, and how many pairs, people, seeds or folds it would have taken."""
    from faceexp.report.terminal import power as tables
    from faceexp.results import published_tables
    from faceexp.results.design import design_of, losses_of, reference_of, values_of
    from faceexp.run import open_run
    from faceexp.statistics.power import UnanswerableError, from_counts, from_run

    folder = user_path(study[0])
    is_file = folder.suffix.lower() == ".csv" or (folder.exists() and folder.suffix not in (".json", ".toml"))
    is_table = len(study) == 1 and is_file and not folder.is_dir()
    is_run = len(study) == 1 and of is None and (folder.exists() or not study[0].replace("/", "").isdecimal())
    share = None if difference is None else difference / 100
    if (is_table or not is_run) and metric is not None:
        what = "a table of accuracies has" if is_table else "counts give"
        raise InputError(Problem(f"{what} an accuracy and nothing else; leave it out", f"--metric {metric}"))
    if is_table:
        judged = published_tables.judge_table(folder, of, alpha, target, share)
        show(tables.published_tables(judged), judged, as_json=as_json)
        return
    try:
        if not is_run:
            of_counts = from_counts(*_counts(study, of), alpha, target, share)
            show(tables.counts_power(of_counts), of_counts, as_json=as_json)
            return
        results = open_run(folder).shown.results
        asked_metric = _metric(results, metric, "--metric")
        of_run = from_run(
            values_of(results, asked_metric.key),
            design_of(results),
            asked_metric.key,
            higher_is_better=asked_metric.higher_is_better,
            losses=losses_of(results),
            largest=asked_metric.largest,
            difference=None if difference is None else difference / asked_metric.scale,
            alpha=alpha,
            power=target,
            against=None if all_pairs else reference_of(results, asked_metric.key),
        )
    except UnanswerableError as error:
        raise InputError(Problem(str(error), study[0] if is_run else "")) from None
    show(tables.run_power(of_run, asked_metric), of_run, as_json=as_json)


def _counts(study: list[str], of: int | None) -> tuple[dict[str, int], int]:
    """Return how many pairs each loss judged right, by a name made of its count, and how many pairs there were."""
    totals = set() if of is None else {of}
    for text in study:
        count, slash, total = text.partition("/")
        if not count.isdecimal() or (slash and not total.isdecimal()):
            raise InputError(f"{text!r} is no count of right answers; name one run, or counts such as 114 110 --of 134")
        # Python refuses to read numbers of thousands of digits.
        if max(len(count), len(total)) > MAX_DIGITS:
            raise InputError(f"'{text[:40]}...' is no number of pairs; there are a billion at most")
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
