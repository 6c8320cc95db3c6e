"""What a study could have told apart, as people read it in a terminal."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from faceexp.evaluation.catalogue import ACCURACY, SIM_DIFF_RATIO
from faceexp.report.terminal import power as terminal
from faceexp.report.terminal.power_numbers import about
from faceexp.results.published_tables import judge_table
from faceexp.statistics.power import Design, from_counts, from_run

STUDY = {"balanced L2": 111, "contrastive": 110, "npairs": 114, "cluster": 112}  # right of 134
DESIGN = Design(
    test_train_ratio=1 / 3,
    test_share=0.2,
    validation_share=0.25,
    test_people=20,
    test_pairs=5000,
    listed=False,
    most_folds=50,
)


def trials(spread=0.02, **means):
    """Return means with noise on three seeds and five folds, trials of one seed and fold alike in part."""
    rng = np.random.default_rng(0)
    cells = [(seed, fold) for seed in range(3) for fold in range(5)]
    common = rng.normal(scale=0.05, size=len(cells))
    return {
        label: dict(zip(cells, map(float, mean + common + rng.normal(scale=spread, size=len(cells))), strict=True))
        for label, mean in means.items()
    }


def unfolded(text):
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 120])
def test_counts_as_people_read_them(width, drawn):
    text = drawn(terminal.counts_power(from_counts(STUDY, 134, difference=0.02)), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert unfolded(text).startswith(
        "No two of the four can be told apart at 5 %, not even if the more accurate of two judged right every pair that "
        "the other did: McNemar's exact test would then give p = 0.125 for npairs against contrastive, and no less for "
        "any others."
    )
    lines = [unfolded(line) for line in text.splitlines()]
    assert "npairs - contrastive 3.0 (-6.0 to 11.9) 1.000 0.125" in lines
    assert "npairs - contrastive 340 (260) 3,700 (2,400)" in lines
    assert any(line.startswith("2 points below the best 510 (390) ") for line in lines)
    assert "in 80 % of repetitions, a loss that is so many points below the best one: 7.5 (5.8) if" in unfolded(text)
    assert "balanced L2 82.8 ±6.4 %" in unfolded(text)
    assert "Pairs that share people or images count for less than their number" in unfolded(text)


@pytest.mark.parametrize(
    ("right", "total", "expected"),
    [
        ({"a": 82, "b": 80}, 100, "The two cannot be told apart at 5 %, not even if .* give p = 0.500.$"),
        (
            {"a": 90, "b": 80},
            100,
            "^Whether the two can be told apart at 5 % depends on which pairs each judged right.$",
        ),
        (
            {"a": 90, "b": 80, "c": 85},
            100,
            "^None of 3 pairs of losses can be told apart at 5 % from the counts alone. For one it depends",
        ),
        (
            {"a": 80, "b": 90, "c": 95, "d": 99},
            100,
            "^Three of 6 pairs of losses can be told apart at 5 %, even if their errors are unrelated. For one it depends on "
            "which pairs each judged right. For two it is out of reach, even if the more accurate",
        ),
        ({"a": 10, "b": 90}, 100, "^The two can be told apart at 5 %, even if their errors are unrelated.$"),
    ],
)
def test_verdicts_of_counts(right, total, expected):
    assert re.search(expected, terminal.verdict(from_counts(right, total)))


@pytest.mark.parametrize("width", [80, 120])
def test_a_run_as_people_read_it(width, drawn):
    table = trials(**{"contrastive(margin=30)": 0.9, "npairs": 0.93, "pixels": 0.7, "dead": 0.0})
    losses = {"contrastive(margin=30)", "npairs"}
    power = from_run(table | {"dead": {}}, DESIGN, "accuracy", higher_is_better=True, losses=losses)
    text = drawn(terminal.run_power(power, ACCURACY), width)
    assert all(len(line) <= width for line in text.splitlines())
    row = power.rows[0]
    said = unfolded(text)
    assert said.startswith(
        f"npairs has the best accuracy of the losses, {100 * power.mean:.1f}. Corrected for 3 comparisons"
    )
    assert "the difference observed against 1 of 2 other rows." in said
    answer, corrected = row.single, row.corrected
    # The corrected test comes first, and in parentheses what one comparison alone would have found.
    assert f"{100 * corrected.detectable:.1f} ({100 * answer.detectable:.1f})" in said
    assert f"{100 * corrected.power:.0f} % ({100 * answer.power:.0f} %)" in said
    assert "dead 0 - - -" in said
    assert "3 seeds x 5 folds, 20 people and 5,000 pairs in a test part" in said
    assert "none: no number suffices" in said
    assert "restates the p-value" in said
    power = from_run(table, DESIGN, "accuracy", higher_is_better=True, difference=0.01)
    wanted = unfolded(drawn(terminal.run_power(power, ACCURACY), width))
    assert "to find a difference of 1 point" in wanted
    assert "restates the p-value" not in wanted


def test_a_run_that_is_asked_what_it_asks_itself(drawn):
    table = trials(good=0.9, better=0.95, start=0.7)
    power = from_run(table, DESIGN, "accuracy", higher_is_better=True, losses={"good", "better"}, against="start")
    said = unfolded(drawn(terminal.run_power(power, ACCURACY), 120))
    assert "Compared with the start, and corrected for 2 losses, the run finds differences of" in said
    assert "; the difference observed is that large for 2 of 2 losses." in said
    assert "Asked as the run asks; --all-pairs asks about all pairs of rows." in said
    assert "loss trials difference, points" in said
    # The cell in parentheses is explained by the first one that there is, and it is no mistake that reports differ.
    single, corrected = (math.ceil(answer.test_people) for answer in (power.rows[0].single, power.rows[0].corrected))
    assert single < corrected
    label = power.rows[0].label
    assert (
        f"{corrected} ({single}) test people: {corrected} in each test part, after the correction for 2 comparisons; "
        f"{single}, if that of {label} were the only one. Here each loss is judged by its own spread."
    ) in said
    everything = from_run(table, DESIGN, "accuracy", higher_is_better=True, losses={"good", "better"})
    assert "Asked about all pairs of rows." in unfolded(drawn(terminal.run_power(everything, ACCURACY), 120))


def test_a_run_that_can_find_no_difference_says_so(drawn):
    """Accuracies of two trials that spread by tens of points: no difference of at most 100 points would be found."""
    cells = [(0, 0), (1, 0)]
    table = {"a": dict(zip(cells, (0.9, 0.8), strict=True)), "b": dict(zip(cells, (0.3, 0.6), strict=True))}
    power = from_run(table, DESIGN, "accuracy", higher_is_better=True, largest=1.0)
    text = unfolded(drawn(terminal.run_power(power, ACCURACY), 100))
    assert text.startswith(
        "a has the best accuracy of the losses, 85.0. Corrected for 1 comparison, the run can find no difference at all: "
        "it would take one that accuracy cannot have."
    )
    assert "b 2 40.0 none" in text
    table |= {"c": dict(zip(cells, (0.801, 0.7), strict=True))}
    power = from_run(table, DESIGN, "accuracy", higher_is_better=True, largest=1.0)
    text = unfolded(drawn(terminal.run_power(power, ACCURACY), 100))
    assert "1 of 2 other rows. Against one of them it can find no difference at all." in text


def test_a_run_over_a_list_of_pairs_is_judged_by_its_folds(drawn):
    power = from_run(trials(a=0.9, b=0.89), replace(DESIGN, listed=True), "accuracy", higher_is_better=True)
    text = unfolded(drawn(terminal.run_power(power, ACCURACY), 100))
    assert "best against folds" in text
    assert "b 5 0.5 1.8 12 %" in text
    assert "over the folds of the list, with the mean of all seeds for each" in text
    assert "More seeds lower the part of a fold's variance that is due to training, and no other" in text
    assert "not known" not in text
    one_seed = {
        label: {cell: value for cell, value in row.items() if not cell[0]} for label, row in trials(a=1, b=0).items()
    }
    power = from_run(one_seed, replace(DESIGN, listed=True), "accuracy", higher_is_better=True, difference=0.001)
    assert power.rows[0].single.seeds is None
    assert "with one seed it is not known how many it takes" in unfolded(
        drawn(terminal.run_power(power, ACCURACY), 100)
    )


@pytest.mark.parametrize("width", [80, 120])
def test_a_published_table_as_people_read_it(width, drawn, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("# A [bold]paper\x1b[2J\nloss,LFW\nsecond,99.4\n[red]first,99.5\ncopy,99.5\nlast,98.5\n")
    table = judge_table(path, None, 0.05, 0.8, None)
    text = drawn(terminal.published_tables(table), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text
    said = unfolded(text)
    assert said.startswith("A [bold]paper")
    assert "LFW: 6,000 pairs" in said
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "[red]first 99.50 ±0.18 5,970 best" in rows
    assert "copy 99.50 ±0.18 5,970 0.00 no -" in rows
    assert any(row.startswith("last 98.50 ±0.31 5,910 1.00 yes 790 to") for row in rows)
    assert any(row.startswith("second 99.40 ±0.20 5,964 0.10 no 7,900 to") for row in rows)
    # One digit after the point is all that the file gives.
    assert "each count of right pairs may be wrong by 3: only differences of more than twice as many" in said
    assert "nothing here is shown of losses, only of the networks that were tested" in said


def test_few_pairs_find_nothing(drawn):
    text = unfolded(drawn(terminal.counts_power(from_counts({"a": 2, "b": 0}, 2)), 100))
    assert "a - b 6 6" in text
    assert "With 2 pairs the study finds, in 80 % of repetitions, no loss that is worse than the best one" in text


def test_a_ratio_is_written_in_its_own_units(drawn):
    table = trials(spread=0.05, a=0.4, b=0.45)
    power = from_run(table, DESIGN, "sim_diff_ratio", higher_is_better=False)
    text = drawn(terminal.run_power(power, SIM_DIFF_RATIO), 100)
    assert "points" not in text
    assert "a has the best sim/diff of the losses, 0." in text


def test_numbers_have_two_digits_that_count():
    written = [about(value) for value in (None, 3, 99, 100, 261, 2420, 14_372, 999_999, 31_400_000)]
    assert written == ["none", "3", "99", "100", "260", "2,400", "14,000", "1 M", "31 M"]
