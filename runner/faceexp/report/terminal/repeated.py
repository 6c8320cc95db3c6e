"""Whether a trial that was computed again is as its run says, in a terminal."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.errors import printable
from faceexp.report.terminal.tables import cells, plain_table
from faceexp.report.words import many
from faceexp.results.repeated import Repeated, RepeatedMetric


def repeated(answer: Repeated) -> RenderableType:
    """Return whether the metrics are the same, those that are not, and in what the machine or the software differs."""
    texts: list[RenderableType] = [_finding(answer)]
    if answer.different:
        table = plain_table("metrics that differ")
        for heading in ("metric", "in the run", "here", "difference"):
            table.add_column(heading, justify="left" if heading == "metric" else "right")
        for metric in answer.different:
            table.add_row(*cells(metric.metric, _number(metric.claimed), _number(metric.here), _difference(metric)))
        texts.append(table)
    if answer.environment and answer.outcome != "identical":
        table = plain_table("what differs in machine and software")
        for heading in ("", "in the run", "here"):
            table.add_column(heading, overflow="fold")
        for other in answer.environment:
            table.add_row(*cells(other.what, *map(printable, (other.claimed, other.here))))
        texts.append(table)
    elif answer.outcome != "identical":
        texts.append(Text("Packages, code, cores and processor are those that environment.json names."))
    return Group(*texts)


def _finding(answer: Repeated) -> Text:
    """Return the answer in a sentence."""
    trial, metrics = printable(answer.trial), many(answer.metrics, "metric")
    if answer.reason:
        return Text(f"{trial}: it did not end well here: {printable(answer.reason)}", style="bold red")
    if answer.largest is None:
        return Text(f"{trial}: the same to the last bit, in {metrics}", style="bold green")
    largest = f"the largest difference is {_difference(answer.largest)}, of {printable(answer.largest.metric)}"
    if answer.holds:
        return Text(f"{trial}: the same within {answer.tolerance:g}, in {metrics}; {largest}", style="bold green")
    differ = f"{len(answer.different):,} of {metrics} differ by more than {answer.tolerance:g}"
    return Text(f"{trial}: {differ}; {largest}", style="bold red")


def _number(value: float | None) -> str:
    return "not defined" if value is None else repr(value)


def _difference(metric: RepeatedMetric) -> str:
    return f"{metric.difference:.2g}" if math.isfinite(metric.difference) else "one is not defined"
