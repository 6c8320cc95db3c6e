"""What a run answers, in sentences that read right for one and for many."""

from __future__ import annotations

import re

import pytest

from faceexp.report import formats
from faceexp.report.answers import answers, best_word, helps_word
from faceexp.report.headline import headline
from faceexp.report.page.html import page
from faceexp.report.terminal.run import run_table
from faceexp.results.schema import EnvironmentRecord

GUESSING, SIMPLEST = "better than guessing?", "better than raw pixels and PCA?"
HELPS, BEST = "which losses help?", "which may be the best?"
SAME, NEEDED = "what is practically the same?", "what would it take to decide more?"
TEN = {"images": 40, "people": 10}
THIRTY_PEOPLE = {"seed": 0, "fold": 0, "train": TEN, "validation": TEN, "test": TEN}
ODD = "[red]a|b[/] <i>_x_</i> {c} \\ 100%"


def claim(
    label, verdict="undecided", difference=0.03, interval=(-0.01, 0.07), tested=True, reference="phase-1 embedding"
):
    return {
        "label": label,
        "reference": reference,
        "difference": difference,
        "interval": interval if tested else None,
        "p_corrected": 0.01 if tested else None,
        "verdict": verdict,
        "trials": 5,
    }


def standing(label, difference=0.0, interval=(-0.02, 0.02), may_be_best=True, practically_best=False):
    return {
        "label": label,
        "difference": difference,
        "interval": interval,
        "may_be_best": may_be_best,
        "practically_best": practically_best,
    }


def needed(**values):
    now = {"seeds": 3, "trials": 3, "detectable": 0.042, "minutes": 4.0}
    more = {"seeds": 6, "trials": 6, "detectable": 0.02, "minutes": 8.0}
    given = {"undecided": 2, "now": now, "more": more, "limit": 0.011, "label": "x", "difference": 0.015, "seeds": 11}
    return given | {"people": 130} | values


@pytest.fixture
def asked(written, changed):
    """``asked(helps=[...])``: the run with a verdict."""

    def make(**parts):
        verdict = {"metric": "map_at_r", "questions": ["helps", "best"], "equivalence": 0.01}
        verdict |= {"guessing": [claim(label, "better") for label in "ab"], "helps": [], "best": []}
        return changed(written, verdict=verdict | parts, parts=[THIRTY_PEOPLE])

    return make


def said(run):
    return {answer.question: answer.text for answer in answers(run)}


def warned(run):
    return {answer.question for answer in answers(run) if answer.warns}


def test_a_run_that_asked_nothing_answers_nothing(written):
    assert answers(written) == []
    assert helps_word(written, "other") == best_word(written, "other") == ""


def test_the_order_is_guessing_first_and_the_effort_last(asked):
    run = asked(
        same_people=True,
        simplest=[claim("a", "better")],
        helps=[claim("a", "better"), claim("b", "practically equal")],
        best=[standing("a"), standing("b")],
        needed=needed(),
    )
    assert [answer.question for answer in answers(run)] == [
        "of whom does this speak?", GUESSING, SIMPLEST, HELPS, BEST, SAME, NEEDED
    ]  # fmt: skip
    only_helps = asked(questions=["helps"], helps=[claim("a", "better")])
    assert [answer.question for answer in answers(only_helps)] == [GUESSING, HELPS]


@pytest.mark.parametrize(
    ("verdicts", "text", "warns"),
    [
        (
            ["undecided"] * 3,
            "No. None of the 3 rows is shown to beat guessing (AUC above 0.5): the rest means little.",
            True,
        ),
        (["worse"], "No. The only row is not shown to beat guessing (AUC above 0.5): the rest means little.", True),
        (["better", "undecided", "better"], "Not all: b is not shown to have an AUC above 0.5.", True),
        (["undecided", "undecided", "better"], "Not all: a and b are not shown to have an AUC above 0.5.", True),
        (["better"] * 3, "Yes, all 3 rows are (AUC above 0.5).", False),
        (["better"], "Yes, the only row is (AUC above 0.5).", False),
    ],
)
def test_whether_rows_beat_guessing(asked, verdicts, text, warns):
    run = asked(guessing=[claim(label, verdict) for label, verdict in zip("abc", verdicts, strict=False)])
    assert said(run)[GUESSING] == text
    assert (GUESSING in warned(run)) == warns


def test_without_a_test_it_is_said_what_a_test_takes(asked):
    run = asked(
        guessing=[claim("a", tested=False)],
        helps=[claim("a", tested=False)],
        best=[standing(label, None, None) for label in "ab"],
    )
    assert said(run) == {
        GUESSING: "It cannot be said whether any row beats guessing: that takes two trials at least, which differ.",
        HELPS: "It cannot be said: two trials at least of each loss and of the phase-1 embedding are needed.",
        BEST: "It cannot be said: five trials (seeds x folds) of each loss at least are needed, which differ.",
    }
    assert warned(run) == {GUESSING, HELPS}


@pytest.mark.parametrize(
    ("verdicts", "text", "warns"),
    [
        (["undecided"] * 2, "No. None of the 2 losses is shown to beat both in MAP@R.", True),
        (["undecided"], "No. The only loss is not shown to beat both in MAP@R.", True),
        (["better"] * 2, "Yes, all 2 losses are, in MAP@R.", False),
        (["better"], "Yes, the only loss is, in MAP@R.", False),
        (["better", "undecided"], "1 of 2 losses is shown to be: a.", False),
        (["better", "undecided", "better"], "2 of 3 losses are shown to be: a and c.", False),
    ],
)
def test_whether_losses_beat_the_simplest_baselines(asked, verdicts, text, warns):
    run = asked(simplest=[claim(label, verdict) for label, verdict in zip("abc", verdicts, strict=False)])
    assert said(run)[SIMPLEST] == text
    assert (SIMPLEST in warned(run)) == warns


def test_which_losses_help_and_by_how_much(asked):
    run = asked(
        helps=[
            claim("small", "better", 0.031, (0.002, 0.06)),
            claim("large", "better", 0.1, (0.05, 0.15)),
            claim("bad", "worse", -0.04, (-0.07, -0.01)),
            claim("same", "practically equal", 0.001, (-0.004, 0.006)),
            claim("open"),
        ]
    )
    assert said(run)[HELPS] == (
        "Compared with the phase-1 embedding in MAP@R, 2 losses are better: large by 10.0 points (5.0 to 15.0) and small "
        "by 3.1 points (0.2 to 6.0); 1 loss is worse: bad by 4.0 points (1.0 to 7.0)."
    )
    assert said(run)[SAME] == "Within 1.0 points of the phase-1 embedding: same."
    assert not warned(run)
    assert [helps_word(run, label) for label in ("large", "bad", "same", "open", "raw pixels")] == [
        "+10.0 helps", "−4.0 hurts", "+0.1 same", "+3.0 ?", ""
    ]  # fmt: skip


def test_of_many_losses_the_first_are_named_and_the_rest_counted(asked):
    run = asked(helps=[claim(f"l{place}", "better", 0.1 - place / 100) for place in range(8)])
    text = said(run)[HELPS]
    assert "8 losses are better: l0 by 10.0 points" in text
    assert text.endswith("l4 by 6.0 points (−1.0 to 7.0) and 3 more.")
    rows = asked(guessing=[claim(f"l{place}") for place in range(8)] + [claim("x", "better")])
    assert said(rows)[GUESSING] == "Not all: l0, l1, l2, l3, l4 and 3 more are not shown to have an AUC above 0.5."


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        (3, "None of the 3 losses is shown to be better or worse than the phase-1 embedding in MAP@R."),
        (1, "The only loss is not shown to be better or worse than the phase-1 embedding in MAP@R."),
    ],
)
def test_where_nothing_helps_that_is_said(asked, losses, text):
    run = asked(helps=[claim(label) for label in "abc"[:losses]])
    assert said(run)[HELPS] == text


def test_which_may_be_the_best(asked):
    out = {"may_be_best": False, "difference": -0.2, "interval": (-0.3, -0.1)}
    one = asked(best=[standing("a", 0.2, (0.0, 0.3)), standing("b", **out), standing("c", **out)])
    assert said(one)[BEST] == "a: it is shown to be better than every other of the 3 losses."
    two = asked(best=[standing("a", -0.01), standing("b", 0.01), standing("c", **out)])
    assert said(two)[BEST] == (
        "In MAP@R the best loss is, with 95 % confidence, among these 2: b and a; the other 1 loss is not."
    )
    every = asked(best=[standing("a"), standing("b")])
    assert said(every)[BEST] == "Any of the 2 losses: none is shown to be worse than another in MAP@R."
    assert [best_word(one, label) for label in ("a", "b", "raw pixels")] == ["may be", "no", ""]


def test_losses_that_were_not_judged_are_counted(asked):
    out = standing("b", -0.2, (-0.3, -0.1), may_be_best=False)
    run = asked(best=[standing("a"), out, standing("failing", None, None)])
    assert said(run)[BEST] == (
        "a: it is shown to be better than every other of the 2 losses. Of 1 loss too few trials ended well to say."
    )
    assert best_word(run, "failing") == "?"


def test_of_a_single_loss_nobody_asks_which_is_the_best(asked):
    assert BEST not in said(asked(best=[standing("a", None, None)]))


def test_practically_the_best_is_said_with_its_margin(asked):
    run = asked(best=[standing("a", practically_best=True), standing("b", practically_best=True), standing("c")])
    assert said(run)[SAME] == "At most 1.0 points worse than the best: a and b."
    ratio = asked(metric="auc", equivalence=0.02, best=[standing("a", practically_best=True), standing("b")])
    assert said(ratio)[SAME] == "At most 0.020 worse than the best: a."


def test_what_it_would_take_with_seeds_and_people(asked):
    helps = [claim("x"), claim("y"), claim("z", "better")]
    assert said(asked(helps=helps, needed=needed()))[NEEDED] == (
        "2 losses are undecided: in 80 of 100 such runs, 3 trials of each loss find a difference of 4.2 points or more "
        "(after the correction for 3 losses). With these people, no number of seeds finds less than 1.1 points. "
        "11 seeds (about 11 minutes more) or 100 more people (130 in all) would tell more, first about x (+1.5)."
    )


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ({"seeds": None}, "100 more people (130 in all) would tell more, first about x (+1.5)."),
        ({"people": None}, "11 seeds (about 11 minutes more) would tell more, first about x (+1.5)."),
        ({"seeds": None, "difference": -0.015}, "first about x (−1.5)."),
        ({"seeds": None, "people": None}, "no number of seeds finds less than 1.1 points."),
        ({"seeds": None, "people": None, "limit": 0.0}, "(after the correction for 1 loss)."),
    ],
)
def test_what_it_would_take_leaves_out_what_cannot_be_said(asked, values, end):
    assert said(asked(helps=[claim("x")], needed=needed(**values)))[NEEDED].endswith(end)


def test_a_run_that_finds_nothing_possible_says_so(asked):
    now = {"seeds": 2, "trials": 2, "detectable": None, "minutes": 0.2}
    run = asked(helps=[claim("x")], needed=needed(undecided=1, now=now, seeds=None, people=None, limit=None))
    assert said(run)[NEEDED] == (
        "1 loss is undecided: in 80 of 100 such runs, 2 trials of each loss find no possible difference (after the "
        "correction for 1 loss)."
    )


def test_a_metric_of_which_less_is_better_keeps_its_sign(asked):
    run = asked(
        metric="eer",
        helps=[claim("a", "better", -0.05, (-0.08, -0.02))],
        best=[standing("a", -0.01), standing("b", 0.01), standing("c", 0.2, (0.1, 0.3), may_be_best=False)],
    )
    assert "1 loss is better: a by 5.0 points (2.0 to 8.0)" in said(run)[HELPS]
    assert "among these 2: a and b" in said(run)[BEST]
    assert helps_word(run, "a") == "−5.0 helps"


def test_a_metric_that_this_version_does_not_know_is_no_traceback(asked):
    run = asked(metric="of_the_future", helps=[claim("a", "better")], best=[standing("a"), standing("b")])
    assert "accuracy" in said(run)[HELPS]
    assert helps_word(run, "a") == "+3.0 helps"


# In the table of a terminal and in other programs


@pytest.fixture
def odd(asked, bold_label):
    """A run whose labels are full of markup."""
    losses = [claim(bold_label, "better"), claim("other", "worse", -0.123, (-0.2, -0.05)), claim(ODD)]
    return asked(
        helps=losses,
        guessing=losses,
        best=[standing(bold_label), standing("other", may_be_best=False), standing(ODD)],
        needed=needed(label=ODD),
    )


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_a_table_with_answers_is_never_wider_than_the_screen_and_loses_no_word(odd, drawn, width):
    text = drawn(run_table(odd, width, notes=True), width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    for answer in answers(odd):
        # Words of the question and of the answer stand beside each other, or below each other.
        assert set(answer.question.split()) <= set(text.split())
        assert re.sub(r"\s", "", answer.text) in re.sub(r"\s", "", text) or width >= 60
    head = next(line for line in lines if "ok" in line.split())
    shown = [name for name in ("helps", "best") if name in head.split()]
    assert shown == {40: [], 60: ["helps"], 80: ["helps", "best"], 140: ["helps", "best"]}[width]
    assert "…" not in "".join(lines)
    rows = [line for line in lines if re.search(r" \d/2 ", line)]
    assert len(rows) == 4
    assert "50.0 45.0–55.0" in rows[0]  # no number is cut


def test_a_table_with_answers_says_of_each_row_whether_it_helps_and_may_be_the_best(odd, drawn, bold_label):
    lines = drawn(run_table(odd, 140), 140).splitlines()
    rows = {
        label: next(line for line in lines if line.strip().startswith(label))
        for label in (bold_label, "other", "phase-1")
    }
    assert rows[bold_label].split()[-4:] == ["+3.0", "helps", "may", "be"]
    assert rows["other"].split()[-3:] == ["−12.3", "hurts", "no"]
    assert not {"helps", "hurts", "no", "may"} & set(rows["phase-1"].split())
    assert "MAP@R" in next(line for line in lines if "ok" in line.split())


def test_odd_labels_survive_in_sentences(odd, drawn, bold_label):
    said_of = said(odd)
    assert f"1 loss is better: {bold_label} by 3.0 points" in said_of[HELPS]
    text = drawn(run_table(odd, 300), 300)
    for label in (bold_label, *ODD.split()):  # a long answer is folded between words
        assert label in text


def test_other_programs_get_what_is_judged(odd):
    latex = formats.latex(odd)
    assert "$-$12.3 hurts & no" in latex
    assert "−" not in latex
    assert r"& helps & best \\" in latex
    assert r"| +3.0 helps | may be |" in formats.markdown(odd)
    # A number and a word, each in a cell of its own: so no spreadsheet takes them for a formula, and programs read them.
    assert ",0.03,better,may be" in formats.table_csv(odd)
    assert ",-0.123,worse,no" in formats.table_csv(odd)


@pytest.mark.parametrize(
    ("looks", "in_question", "reason"),
    [
        (2, [], "further looks could not have decided more"),
        (10, ["other"], "no look was left"),
        (2, ["other"], "another look would have taken longer than the run may take"),
    ],
)
def test_a_run_that_looked_several_times_says_how_strictly_and_why_it_ended(asked, looks, in_question, reason):
    made = [{"seeds": [number], "trained": 2} for number in range(looks)]
    run = asked(helps=[claim("other")], alpha=0.005, looks=made, in_question=in_question)
    assert said(run)["how many looks?"] == (
        f"The run looked at its trials {looks} times and might have done so 10 times. So that all looks together keep to "
        "5 %, each question is held to 0.5 % at each look: intervals of differences are 99.5 % intervals, wider than "
        f"those of a run that looks once. It ended because {reason}."
    )
    assert f"The run ended after {looks} looks: {reason}." in [sentence.text for sentence in headline(run)]
    text = page(run, EnvironmentRecord(), {}, {})
    assert "Both are held to 0.5 % at each look, so that all looks together keep to 5 %." in text
    assert "Both are held to 5 %." in page(asked(helps=[claim("other")]), EnvironmentRecord(), {}, {})
    assert "how many looks?" not in said(asked(helps=[claim("other")]))
