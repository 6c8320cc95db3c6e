"""What a study could have told apart and what that would have taken, in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from faceexp.evaluation.catalogue import Metric
from faceexp.report.shown import shown
from faceexp.report.terminal.power_numbers import about, chance, count, number_word, p_value, percent, points
from faceexp.report.terminal.tables import plain_table
from faceexp.report.words import many
from faceexp.results.published_tables import JudgedTable
from faceexp.statistics.power.counts import Cases, Count, CountPair, CountPower
from faceexp.statistics.power.trials import Answer, RunPower

# The four sizes of a study of which each alone could have been larger, in the order of the columns.
SIZES: tuple[Callable[[Answer], float | None], ...] = (
    lambda answer: answer.seeds,
    lambda answer: answer.folds,
    lambda answer: answer.test_people,
    lambda answer: answer.test_pairs,
)
TEST = (
    "Paired t-test over seeds and folds with the variance of Nadeau and Bengio; the spread of the differences that was "
    "seen is taken for the true one."
)
LISTED_TEST = (
    "Paired t-test over the folds of the list, with the mean of all seeds for each, since seeds share the test pairs; "
    "the spread of the differences that was seen is taken for the true one."
)
GROWTH = (
    "More folds cut the same people into smaller test parts; the variance of a trial's difference is taken to be "
    "inverse to the size of its test part."
)
LISTED_GROWTH = (
    "More seeds lower the part of a fold's variance that is due to training, and no other; the list says how many "
    "folds there are."
)
ONE_RUN = (
    "A published accuracy is that of one network, trained once. Whether another training of the same loss, with "
    "another seed, would come out above or below it, no number of test pairs can say: nothing here is shown of losses, "
    "only of the networks that were tested."
)
ALL_PAIRS = "Asked about all pairs of rows."
NESTED = "the more accurate of two judged right every pair that the other did"


def counts_power(power: CountPower) -> RenderableType:
    """Return what counts of right answers can show: a verdict, two tables of pairs of losses, and what they assume."""
    comparisons = len(power.pairs)
    apart = _table("losses", "difference, points", "p, unrelated", "p, best case")
    target = percent(power.power)
    title = f"What it would have taken: pairs for {target} power"
    needed = _table("losses", "errors nested", "errors unrelated", title=title)
    for pair in power.pairs:
        names = f"{pair.a} - {pair.b}"
        low, high = (100 * end for end in pair.ci95)
        difference = f"{100 * pair.difference:.1f} ({low:.1f} to {high:.1f})"
        apart.add_row(Text(names), difference, p_value(pair.p_corrected), p_value(pair.best_case_p))
        needed.add_row(Text(names), *_cases(pair.pairs_needed, about))
    if power.asked is not None:
        asked = f"{points(power.asked)} below the best"
        needed.add_row(Text(asked, style="bold"), *_cases(power.pairs_needed, about))
    return Group(
        Text(verdict(power), style="bold"),
        apart,
        needed,
        Text(_detectable(power)),
        Text(""),
        _assumptions(
            f"Accuracies: {', '.join(_accuracy(loss) for loss in power.losses)} (95 %, Wilson).",
            f"Errors nested: {NESTED}, the best case. Errors unrelated: they fall together by chance alone.",
            "Difference: 95 % interval for unrelated errors (Newcombe). p, unrelated: Fisher's exact test after Holm. "
            "p, best case: McNemar's exact test of nested errors, uncorrected. Pairs: McNemar's exact test, after "
            "Connor where many answers differ.",
            _in_parentheses(power.alpha, comparisons),
            "Pairs that share people or images count for less than their number: it takes more than these.",
        ),
    )


def published_tables(table: JudgedTable) -> RenderableType:
    """Return what a published table can show: for each test set, which losses can be told from the best one."""
    table = shown(table)
    parts: list[RenderableType] = [Text(table.source)] if table.source else []
    for judged in table.sets:
        power = judged.power
        title = f"{judged.name}: {judged.pairs:,} pairs"
        headings = ("loss", "accuracy %", "right", "below the best", "told apart?", "pairs needed")
        rows = _table(*headings, title=title)
        best = max(power.losses, key=lambda loss: loss.right)
        against_best = {
            pair.b if pair.a == best.label else pair.a: pair for pair in power.pairs if best.label in (pair.a, pair.b)
        }
        for loss in sorted(power.losses, key=lambda loss: -loss.right):
            cells = ("best", "", "") if loss is best else _against_best(against_best[loss.label])
            half = 50 * (loss.ci95[1] - loss.ci95[0])
            rows.add_row(Text(loss.label), f"{100 * loss.accuracy:.2f} ±{half:.2f}", f"{loss.right:,}", *cells)
        rounding = (
            f"The accuracies are rounded, so that each count of right pairs may be wrong by {judged.count_error:,}: "
            "only differences of more than twice as many pairs mean anything."
        )
        parts += [rows, Text(verdict(power), style="bold"), Text(_detectable(power))]
        parts += [Text(rounding, style="yellow"), Text("")] if judged.count_error else [Text("")]
    power = table.sets[0].power
    return Group(
        *parts,
        Text(ONE_RUN, style="bold"),
        Text(""),
        _assumptions(
            f"Told apart: yes, even if errors are unrelated (Fisher's exact test); no, not even if {NESTED} (McNemar's "
            f"exact test); else open, since it depends on which pairs each judged right. At {percent(power.alpha)}, "
            "after Holm's correction for all pairs of losses of a test set; each test set by itself.",
            f"Accuracy: 95 % interval after Wilson. Pairs needed: for {percent(power.power)} power in one comparison "
            "alone, from errors nested to errors unrelated.",
            "Pairs that share people or images count for less than their number: it takes more than these.",
        ),
    )


def _against_best(pair: CountPair) -> tuple[str, str, str]:
    """Return the cells of a loss beside the best one: difference, verdict, and pairs that it takes."""
    words = {"distinguishable": "yes", "indistinguishable": "no"}
    needed = [about(number) for number in (pair.pairs_needed.nested, pair.pairs_needed.unrelated) if number]
    span = " to ".join(dict.fromkeys(needed))
    return f"{100 * pair.difference:.2f}", words.get(pair.verdict, "open"), span or "-"


def _detectable(power: CountPower) -> str:
    """Return which loss, below the best one, so many pairs would find."""
    target = f"With {power.total:,} pairs the study finds, in {percent(power.power)} of repetitions,"
    digits = 1 if power.total < 1000 else 2
    nested, unrelated = _cases(power.detectable, lambda value: "none" if value is None else f"{100 * value:.{digits}f}")
    if nested == unrelated == "none":
        return f"{target} no loss that is worse than the best one, however bad it is."
    return (
        f"{target} a loss that is so many points below the best one: {nested} if errors are nested, {unrelated} if "
        "they are unrelated."
    )


def verdict(power: CountPower) -> str:
    """Return in a sentence or two which of the losses can be told apart by their counts."""
    pairs, losses, level = power.pairs, len(power.losses), percent(power.alpha)
    apart, undecided = (sum(p.verdict == kind for p in pairs) for kind in ("distinguishable", "undecided"))
    if not apart and not undecided:
        closest = min(pairs, key=lambda pair: pair.best_case_p)
        uncorrected = closest.best_case_p > power.alpha
        p = p_value(closest.best_case_p if uncorrected else closest.best_case_p_corrected)
        correction = "" if uncorrected else f", corrected for {number_word(len(pairs))} comparisons,"
        for_whom = f" for {closest.a} against {closest.b}, and no less for any others" if losses > 2 else ""
        return (
            f"{f'No two of the {number_word(losses)} can' if losses > 2 else 'The two cannot'} be told apart at "
            f"{level}, not even if {NESTED}: McNemar's exact test would then{correction} give p = {p}{for_whom}."
        )
    if losses == 2:
        if apart:
            return f"The two can be told apart at {level}, even if their errors are unrelated."
        return f"Whether the two can be told apart at {level} depends on which pairs each judged right."
    certainty = ", even if their errors are unrelated" if apart else " from the counts alone"
    how_many = number_word(apart).capitalize() if apart else "None"
    sentences = [f"{how_many} of {len(pairs)} pairs of losses can be told apart at {level}{certainty}."]
    if undecided:
        sentences.append(f"For {number_word(undecided)} it depends on which pairs each judged right.")
    if left := len(pairs) - apart - undecided:
        sentences.append(f"For {number_word(left)} it is out of reach, even if {NESTED}.")
    return " ".join(sentences)


def run_power(power: RunPower, metric: Metric) -> RenderableType:
    """Return what a run could have found, and what it would have taken to find more.

    Args:
        power: What the analysis of the run gave.
        metric: The metric that was asked about.
    """
    power = shown(power)
    digits = metric.digits if metric.is_percentage else metric.digits + 1

    def written(value: float | None) -> str:
        return "-" if value is None else f"{metric.scale * value:.{digits}f}"

    def with_unit(value: float) -> str:
        return points(value) if metric.is_percentage else f"{value:g}"

    unit = ", points" if metric.is_percentage else ""
    first = "loss" if power.against else "best against"
    could = _table(
        first, "folds" if power.design.listed else "trials", f"difference{unit}", f"detectable{unit}", "power"
    )
    asked = "the difference observed" if power.asked is None else f"a difference of {with_unit(power.asked)}"
    title = f"What it would have taken for {percent(power.power)} power, to find {asked}"
    needed = _table(first, "seeds", "or folds", "or test people", "(their pairs)", title=title)
    for row in power.rows:
        both = (row.single, row.corrected)
        could.add_row(
            Text(row.label),
            str(row.n),
            written(row.difference),
            _both(both, lambda answer: "none" if answer.detectable is None else written(answer.detectable)),
            _both(both, lambda answer: chance(answer.power)),
        )
        missing = row.asked is None or row.single is None
        needed.add_row(
            Text(row.label),
            *("-" if missing else _both(both, _about_size(size)) for size in SIZES),
        )
    design = power.design
    floor = "no number suffices"
    if design.listed:
        floor += "; with one seed it is not known how many it takes" if power.seeds == 1 else ""
    elif design.test_train_ratio:
        floor += ", since all trials draw on the same images"
    return Group(
        Text(_run_verdict(power, metric, written, asked), style="bold"),
        Text("Asked as the run asks; --all-pairs asks about all pairs of rows." if power.against else ALL_PAIRS),
        could,
        needed,
        *_how_to_read(power),
        _assumptions(
            f"The run: {count(power.seeds, 'seed')} x {count(power.folds, 'fold')}, "
            f"{about(design.test_people)} people and {about(design.test_pairs)} pairs in a test part, "
            f"{design.test_train_ratio:.2f} test images for each other image.",
            _in_parentheses(power.alpha, power.comparisons),
            LISTED_TEST if design.listed else TEST,
            f"Each answer changes one thing and leaves the rest as it was; none: {floor}. "
            + (LISTED_GROWTH if design.listed else GROWTH)
            + " With more test people that variance falls as 1 / people; training people grow along.",
            "Power at the observed difference only restates the p-value; --difference asks for one that would matter."
            if power.asked is None
            else "",
        ),
    )


def _how_to_read(power: RunPower) -> Iterator[RenderableType]:
    """Yield what a cell such as ``13 (7)`` means, by the first one that there is, and why the finding says another."""
    for row in power.rows:
        if row.single and row.corrected and row.single.test_people and row.corrected.test_people:
            corrected, single = about(row.corrected.test_people), about(row.single.test_people)
            if corrected != single:
                yield Text(
                    f"{corrected} ({single}) test people: {corrected} in each test part, after the correction for "
                    f"{count(power.comparisons, 'comparison')}; {single}, if that of {row.label} were the only one."
                )
                break
    if power.against:
        yield Text(
            "Here each loss is judged by its own spread. The finding of the run takes that of all losses together and "
            "counts the people of all parts, so that it names another number of people."
        )


def _run_verdict(power: RunPower, metric: Metric, written: Callable[[float | None], str], asked: str) -> str:
    """Return which differences the run finds, and against how many rows that is enough for the one asked about."""
    answered = [(row.asked, row.corrected.detectable) for row in power.rows if row.corrected]
    detectable = [size for _, size in answered if size is not None]
    beginning = f"{power.best} has the best {metric.name} of the losses, {written(power.mean)}. "
    if power.against:
        beginning += (
            f"Compared with the {power.against}, and corrected for {many(power.comparisons, 'loss', 'losses')},"
        )
    else:
        beginning += f"Corrected for {count(power.comparisons, 'comparison')},"
    if not detectable:
        return f"{beginning} the run can find no difference at all: it would take one that {metric.name} cannot have."
    large_enough = sum(bool(asked_of_row and size and asked_of_row >= size) for asked_of_row, size in answered)
    ends = [written(end) for end in (min(detectable), max(detectable))]
    span = " to ".join(dict.fromkeys(ends)) + (" points" if metric.is_percentage else "")
    hopeless = len(answered) - len(detectable)
    finds = f"{beginning} the run finds differences of {span} in {percent(power.power)} of repetitions"
    if power.against:
        rest = f" Of {number_word(hopeless)} of them it can find no difference at all." if hopeless else ""
        losses = many(len(answered), "loss", "losses")
        return f"{finds}; {asked} is that large for {large_enough or 'none'} of {losses}.{rest}"
    rest = f" Against {number_word(hopeless)} of them it can find no difference at all." if hopeless else ""
    return f"{finds}: {asked} against {large_enough or 'none'} of {count(len(answered), 'other row')}.{rest}"


def _table(*headings: str, title: str | None = None) -> Table:
    table = plain_table(title)
    table.add_column(headings[0], overflow="fold", min_width=12)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def _both(answers: tuple[Answer | None, Answer | None], written: Callable[[Answer], str]) -> str:
    """Return ``25 (12)``: the answer after correction, and in parentheses that at alpha."""
    return _with_corrected(*(written(answer) if answer else "-" for answer in answers))


def _about_size(size: Callable[[Answer], float | None]) -> Callable[[Answer], str]:
    return lambda answer: about(size(answer))


def _with_corrected(single: str, corrected: str) -> str:
    return corrected if single == corrected else f"{corrected} ({single})"


def _cases(cases: Cases | None, written: Callable[[float | None], str]) -> list[str]:
    """Return the answers for nested and for unrelated errors."""
    if cases is None:
        return []
    return [
        _with_corrected(written(cases.nested), written(cases.nested_corrected)),
        _with_corrected(written(cases.unrelated), written(cases.unrelated_corrected)),
    ]


def _in_parentheses(alpha: float, comparisons: int) -> str:
    level = percent(alpha)
    if comparisons == 1:
        return f"At {level}, two-sided."
    return (
        f"Two-sided, at {level} / {comparisons}, the strictest step of Holm's correction for {comparisons} "
        f"comparisons; in parentheses at {level}, as if there were one comparison alone."
    )


def _assumptions(*lines: str) -> RenderableType:
    return Group(*(Text(line, style="dim") for line in lines if line))


def _accuracy(loss: Count) -> str:
    half = (loss.ci95[1] - loss.ci95[0]) / 2
    return f"{loss.label} {100 * loss.accuracy:.1f} ±{100 * half:.1f} %"
