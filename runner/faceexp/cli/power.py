"""``power``: what a study could have told apart."""

from typing import Annotated

import typer

from faceexp.cli import completion
from faceexp.cli.console import JsonFlag, show, user_path
from faceexp.cli.results import asked_metric
from faceexp.errors import InputError, Problem

MAX_DIGITS = 40


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
        judged_by = asked_metric(results, metric, "--metric")
        of_run = from_run(
            values_of(results, judged_by.key),
            design_of(results),
            judged_by.key,
            higher_is_better=judged_by.higher_is_better,
            losses=losses_of(results),
            largest=judged_by.largest,
            difference=None if difference is None else difference / judged_by.scale,
            alpha=alpha,
            power=target,
            against=None if all_pairs else reference_of(results, judged_by.key),
        )
    except UnanswerableError as error:
        raise InputError(Problem(str(error), study[0] if is_run else "")) from None
    show(tables.run_power(of_run, judged_by), of_run, as_json=as_json)


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
