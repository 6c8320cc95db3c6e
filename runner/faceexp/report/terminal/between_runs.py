"""Runs side by side, in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.evaluation.catalogue import Metric
from faceexp.report.columns import mean_and_interval
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import plain_table
from faceexp.report.words import together
from faceexp.results.between_runs import RunComparison
from faceexp.results.schema import ComparisonRecord

# So many packages are named whose versions differ; two environments may differ in all of them.
PACKAGES = 5


def comparison_table(comparison: RunComparison, metric: Metric, about: Sequence[str] = ()) -> RenderableType:
    """Return the differences between the experiment files, then one row per label with what each run reached.

    Args:
        comparison: The runs side by side.
        metric: The metric in which they are compared.
        about: What the numbers of each run are about, where not everything could be used; else empty.
    """
    comparison = shown(comparison)
    names = comparison.names
    parts: list[RenderableType] = [_differences(comparison), *_code(comparison)]
    on = f" on {comparison.measured_on}" if comparison.measured_on else ""
    table = plain_table(f"{metric.heading}{on}")
    table.add_column("loss or baseline", overflow="fold", min_width=12)
    for name, told in itertools.zip_longest(names, about, fillvalue=""):
        table.add_column(Text(f"{name}\n{told}".rstrip()), justify="right", overflow="fold")
    for name in names[1:]:
        difference = f"{names[0]} minus {name}" if len(names) > 2 else "difference"
        table.add_column(Text(difference), justify="right")
        table.add_column("p", justify="right")
        table.add_column("verdict")
    for line in comparison.lines:
        cells = [Text(mean_and_interval(summary, metric)) for summary in line.summaries]
        same = line.same or (False,) * len(line.tests)
        for test, is_same, name in zip(line.tests, same, names[1:], strict=True):
            cells += _test(test, metric, names[0], name, is_same=is_same)
        table.add_row(Text(line.label, style="dim italic" if line.kind == "baseline" else "bold"), *cells)
    parts.append(table)
    parts += [Text(f"! {remark}", style="yellow") for remark in comparison.remarks]
    if any(test for line in comparison.lines for test in line.tests):
        parts.append(
            Text(
                "Same data, cut alike: trials are paired by seed and fold, so the difference is over the trials that "
                "both runs have, and the columns over all of each; p after Holm over the rows that are tested.",
                style="dim",
            )
        )
    return Group(*parts)


def _differences(comparison: RunComparison) -> RenderableType:
    if not comparison.differences:
        return Text("the experiment files do not differ", style="dim")
    table = plain_table("what differs in the experiments")
    table.add_column("key", overflow="fold")
    for name in comparison.names:
        table.add_column(Text(name), overflow="fold")
    for difference in comparison.differences:
        values = [Text("-" if value is None else _spelled(value)) for value in difference.values]
        table.add_row(Text(difference.key), *values)
    return table


def _code(comparison: RunComparison) -> Iterator[RenderableType]:
    """Yield a line for each plugin whose code differs, and one for the versions of packages."""
    for plugin in comparison.code:
        yield Text(f"the code of {plugin.key} differs", style="yellow")
    versions = [
        f"{each.key} {together([str(value or 'none') for value in each.values])}" for each in comparison.packages
    ]
    if versions:
        more = f" and {len(versions) - PACKAGES} more, with --json" if len(versions) > PACKAGES else ""
        yield Text(f"versions of packages differ: {', '.join(versions[:PACKAGES])}{more}", style="yellow")


def _spelled(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _test(test: ComparisonRecord | None, metric: Metric, first: str, other: str, *, is_same: bool) -> list[Text]:
    if test is None or test.difference is None:
        return [Text("-"), Text("-"), Text("")]
    if is_same:
        return [Text("-"), Text("-"), Text("the same trials", style="dim")]
    text = f"{test.difference * metric.scale:+.{metric.digits}f}"
    if test.ci95:
        text += f" ±{(test.ci95[1] - test.ci95[0]) / 2 * metric.scale:.{metric.digits}f}"
    p = "-" if test.p_corrected is None else f"{test.p_corrected:.3f}"
    words = {"a>b": f"{first} better", "b>a": f"{other} better", "indistinguishable": "cannot be told apart"}
    style = "dim" if test.verdict == "indistinguishable" else "bold green"
    word = "not tested" if test.p_corrected is None else words[test.verdict]
    return [Text(text), Text(p), Text(word, style=style)]
