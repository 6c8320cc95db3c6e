"""What a study could have told apart and what it would take, as Rich renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from faceexp.report.columns import Column

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NESTED = "the more accurate of two judged right every pair that the other did"


def counts(found: Mapping[str, Any]) -> RenderableType:
    """Return what counts of right answers can show.

    Args:
        found: A :class:`faceexp.statistics.power.CountPower` as a mapping.
    """
    comparisons = len(found["pairs"])
    apart = _table("losses", "difference, points", "p, unrelated", "p, best case")
    power = _percent(found["power"])
    title = f"What it would have taken: pairs for {power} power"
    needed = _table("losses", "errors nested", "errors unrelated", title=title)
    for pair in found["pairs"]:
        names = f"{pair['a']} - {pair['b']}"
        low, high = (100 * end for end in pair["ci95"])
        difference = f"{100 * pair['difference']:.1f} ({low:.1f} to {high:.1f})"
        apart.add_row(Text(names), difference, _p(pair["p_corrected"]), _p(pair["best_case_p"]))
        needed.add_row(Text(names), *_cases(pair["pairs_needed"], _about))
    if found["asked"] is not None:
        asked = f"{_points(found['asked'])} below the best"
        needed.add_row(Text(asked, style="bold"), *_cases(found["pairs_needed"], _about))
    nested, unrelated = _cases(found["detectable"], lambda value: "none" if value is None else f"{100 * value:.1f}")
    return Group(
        Text(verdict(found), style="bold"),
        apart,
        needed,
        Text(
            f"With {found['total']:,} pairs the study finds, in {power} of repetitions, a loss that is "
            f"{nested} points below the best one if errors are nested, {unrelated} if they are unrelated."
        ),
        Text(""),
        _assumptions(
            f"Accuracies: {', '.join(_accuracy(loss) for loss in found['losses'])} (95 %, Wilson).",
            f"Errors nested: {NESTED}, the best case. Errors unrelated: they fall together by chance alone.",
            "Difference: 95 % interval for unrelated errors (Newcombe). p, unrelated: Fisher's exact test after Holm. "
            "p, best case: McNemar's exact test of nested errors, uncorrected. Pairs: McNemar's test after Connor.",
            _in_parentheses(found, comparisons),
            "Pairs that share people or images count for less than their number: it takes more than these.",
        ),
    )


def verdict(found: Mapping[str, Any]) -> str:
    """Return in a sentence or two which of the losses can be told apart.

    Args:
        found: A :class:`faceexp.statistics.power.CountPower` as a mapping.
    """
    pairs, losses, level = found["pairs"], len(found["losses"]), _percent(found["alpha"])
    told, undecided = (sum(p["verdict"] == kind for p in pairs) for kind in ("distinguishable", "undecided"))
    if not told and not undecided:
        closest = min(pairs, key=lambda pair: pair["best_case_p"])
        uncorrected = closest["best_case_p"] > found["alpha"]
        p = _p(closest["best_case_p" if uncorrected else "best_case_p_corrected"])
        correction = "" if uncorrected else f", corrected for {_word(len(pairs))} comparisons,"
        for_whom = f" for {closest['a']} against {closest['b']}, and no less for any others" if losses > 2 else ""
        return (
            f"{f'No two of the {_word(losses)} can' if losses > 2 else 'The two cannot'} be told apart at {level}, not "
            f"even if {NESTED}: McNemar's exact test would then{correction} give p = {p}{for_whom}."
        )
    if losses == 2:
        if told:
            return f"The two can be told apart at {level}, even if their errors are unrelated."
        return f"Whether the two can be told apart at {level} depends on which pairs each judged right."
    certainty = ", even if their errors are unrelated" if told else " from the counts alone"
    count = _word(told).capitalize() if told else "None"
    sentences = [f"{count} of {len(pairs)} pairs of losses can be told apart at {level}{certainty}."]
    if undecided:
        sentences.append(f"For {_word(undecided)} it depends on which pairs each judged right.")
    if left := len(pairs) - told - undecided:
        sentences.append(f"For {_word(left)} it is out of reach, even if {NESTED}.")
    return " ".join(sentences)


def run(found: Mapping[str, Any], column: Column) -> RenderableType:
    """Return what a run could have found, and what it would take.

    Args:
        found: A :class:`faceexp.statistics.power.RunPower` as a mapping.
        column: How its metric is written.
    """
    digits = column.digits if column.scale == 100 else column.digits + 1

    def written(value: float | None) -> str:
        return "-" if value is None else f"{column.scale * value:.{digits}f}"

    def with_unit(value: float) -> str:
        return _points(value) if column.scale == 100 else f"{value:g}"

    unit = ", points" if column.scale == 100 else ""
    could = _table("best against", "trials", f"difference{unit}", f"detectable{unit}", "power")
    asked = "the difference observed" if found["asked"] is None else f"a difference of {with_unit(found['asked'])}"
    title = f"What it would have taken for {_percent(found['power'])} power, to find {asked}"
    needed = _table("best against", "seeds", "or folds", "or test people", "(their pairs)", title=title)
    for row in found["rows"]:
        both = [row[level] for level in ("single", "corrected")]
        could.add_row(
            Text(row["label"]),
            str(row["n"]),
            written(row["difference"]),
            _both(both, "detectable", written),
            _both(both, "power", _probability),
        )
        keys = ("seeds", "folds", "test_people", "test_pairs")
        missing = row["asked"] is None or both[0] is None
        needed.add_row(Text(row["label"]), *("-" if missing else _both(both, key, _about) for key in keys))
    design = found["design"]
    floor = "no number suffices, since all trials draw on the same images" if design["test_train_ratio"] else "none"
    return Group(
        Text(_run_verdict(found, column, written, asked), style="bold"),
        could,
        needed,
        _assumptions(
            f"The run: {_count(found['seeds'], 'seed')} x {_count(found['folds'], 'fold')}, "
            f"{_about(design['test_people'])} people and {_about(design['test_pairs'])} pairs in a test part, "
            f"{design['test_train_ratio']:.2f} test images per training image.",
            _in_parentheses(found, found["comparisons"]),
            "Paired t-test over seeds and folds with the variance of Nadeau and Bengio; the spread of the differences "
            "that was seen is taken for the true one.",
            f"Each answer changes one thing and leaves the rest; none: {floor}. Folds: of the same people, the "
            "variance of a trial's difference being inverse to the size of its test part. Test people: that variance "
            "falls as 1 / people, and training people grow along.",
            "Power at the observed difference only restates the p-value; --difference asks for one that would matter."
            if found["asked"] is None
            else "",
        ),
    )


def _run_verdict(found: Mapping[str, Any], column: Column, written: Any, asked: str) -> str:  # noqa: ANN401
    judged = [row for row in found["rows"] if row["single"]]
    detectable = [row["corrected"]["detectable"] for row in judged]
    found_in = sum(row["asked"] is not None and row["asked"] >= row["corrected"]["detectable"] for row in judged)
    ends = [written(end) for end in (min(detectable), max(detectable))]
    span = " to ".join(dict.fromkeys(ends)) + (" points" if column.scale == 100 else "")
    of_rows = f"{found_in or 'none'} of {_count(len(judged), 'other row')}"
    return (
        f"{found['best']} has the best {column.heading.removesuffix(' %')} of the losses, {written(found['mean'])}. "
        f"Corrected for {_count(found['comparisons'], 'comparison')}, the run finds differences of {span} in "
        f"{_percent(found['power'])} of repetitions: {asked} against {of_rows}."
    )


def _table(*headings: str, title: str | None = None) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)
    table.add_column(headings[0], overflow="fold", min_width=12)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def _both(answers: Sequence[Mapping[str, Any] | None], key: str, written: Any) -> str:  # noqa: ANN401
    """Return ``12 (25)``: the answer at alpha, and after correction."""
    first, corrected = (written(answer[key]) if answer else "-" for answer in answers)
    return first if first == corrected else f"{first} ({corrected})"


def _cases(cases: Mapping[str, float | None], written: Any) -> list[str]:  # noqa: ANN401
    """Return the answers for nested and for unrelated errors."""
    answers = [(cases[case], cases[f"{case}_corrected"]) for case in ("nested", "unrelated")]
    return [_both([{"": single}, {"": corrected}], "", written) for single, corrected in answers]


def _in_parentheses(found: Mapping[str, Any], comparisons: int) -> str:
    level = _percent(found["alpha"])
    if comparisons == 1:
        return f"At {level}, two-sided."
    return (
        f"At {level}, two-sided; in parentheses at {level} / {comparisons}, the strictest step of Holm's correction "
        f"for {comparisons} comparisons."
    )


def _assumptions(*lines: str) -> RenderableType:
    return Group(*(Text(line, style="dim") for line in lines if line))


def _accuracy(loss: Mapping[str, Any]) -> str:
    half = (loss["ci95"][1] - loss["ci95"][0]) / 2
    return f"{loss['label']} {100 * loss['accuracy']:.1f} ±{100 * half:.1f} %"


def _about(value: float | None) -> str:
    """Return a number of pairs, people, seeds or folds with two digits that count; small ones in full."""
    if value is None:
        return "none"
    size = 10 ** max(0, len(str(int(value))) - 2)
    rounded = round(value / size) * size
    return f"{rounded / 1e6:,g} M" if rounded >= 1e6 else f"{rounded:,}"


def _points(value: float) -> str:
    return _count(float(f"{100 * value:.4g}"), "point")


def _percent(value: float) -> str:
    return f"{100 * value:g} %"


def _probability(value: float | None) -> str:
    if value is None:
        return "-"
    return "<1 %" if value < 0.005 else f"{100 * value:.0f} %"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _word(number: int) -> str:
    return NUMBERS[number] if number < len(NUMBERS) else f"{number:,}"


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
