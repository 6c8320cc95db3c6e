"""The finding of a run in two or three sentences, which read right for one and for many."""

from __future__ import annotations

import pytest

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.report import formats
from faceexp.report.answers import answers
from faceexp.report.columns import starred
from faceexp.report.few_words import in_few_words
from faceexp.report.headline import headline, to_use
from faceexp.report.page.html import page
from faceexp.report.terminal.run import picture, run_table
from faceexp.results.schema import EnvironmentRecord

MAP = METRIC_OF["map_at_r"]


def claim(label, verdict="undecided", difference=0.03, p=0.01):
    interval = None if p is None else (difference - 0.02, difference + 0.02)
    data = {"label": label, "reference": "phase-1 embedding", "difference": difference, "interval": interval}
    return data | {"p_corrected": p, "verdict": verdict, "trials": 5}


def standing(label, may_be_best=True, interval=(-0.02, 0.02)):
    return {"label": label, "difference": 0.0, "interval": interval, "may_be_best": may_be_best}


@pytest.fixture
def asked(written, changed, bold_label):
    """``asked(helps=[...])``: the run with a verdict, of which no pair of rows was told apart."""

    def make(run=written, **parts):
        labels = (bold_label, "other", "phase-1 embedding")
        verdict = {"metric": "map_at_r", "questions": ["helps", "best"], "equivalence": 0.01, "helps": [], "best": []}
        verdict |= {"guessing": [claim(label, "better") for label in labels]}
        return changed(run, comparisons=[], verdict=verdict | parts)

    return make


# What all runs of `asked` whose rows beat guessing say first.
RIGHT = (
    "At the validation threshold, right about 80 to 86 % of pairs of people whom they had not seen (accuracy; guessing: "
    "50 %)."
)
FIRST = f"All 3 rows beat guessing over all trials together: AUC 0.500 to 0.912 (guessing: 0.5). {RIGHT}"


def said(run):
    return [sentence.text for sentence in headline(run)]


def said_of_losses(run):
    first, *others = said(run)
    assert first == FIRST
    return others


@pytest.fixture
def guessing(written, changed, asked):
    """A run of which no row is shown to beat guessing, with mean AUCs from 0.49 to 0.53."""
    of_metrics = {"auc": iter((0.49, 0.53, 0.51, None)), "accuracy": iter((0.494, 0.526, 0.51, None))}
    summary = [
        each.model_copy(update={"mean": next(of_metrics[each.metric])}) if each.metric in of_metrics else each
        for each in written.summary
    ]
    now = {"seeds": 3, "trials": 3, "detectable": 0.12}
    unsure = {"guessing": [claim("x", p=0.4), claim("y", p=0.5)], "needed": {"undecided": 1, "now": now}}
    return asked(changed(written, summary=summary), helps=[claim("x")], **unsure)


def test_where_nothing_beats_guessing_the_first_sentence_says_so(guessing, asked, drawn):
    first = (
        "No row is shown to beat guessing: AUC 0.490 to 0.530 (guessing: 0.5). At the validation threshold, right about "
        "49 to 53 % of pairs of people whom they had not seen (accuracy; guessing: 50 %)."
    )
    assert said(guessing)[0] == f"{first} As far as this run can tell, these models are useless."
    assert headline(guessing)[0].warns
    assert len(said(guessing)) == 2, "what would decide between useless rows is of no interest"
    assert to_use(guessing) is None, "nobody is told to use a model that guesses"
    for text in (drawn(run_table(guessing, 300), 300), formats.markdown(guessing), formats.latex(guessing)):
        assert text.index(first) < text.index("loss or baseline")
    assert "useless" in picture(guessing)
    # Rows that are right far more often are not called useless, only because there were too few trials to show it.
    few = asked(guessing=[claim("x", p=None)])
    assert said(few)[0] == (
        "With so few trials nothing is tested, and the numbers may be luck. With seeds = [0, 1, 2] the run says which "
        f"losses help, with seeds = [0, 1, 2, 3, 4] which may be the best. {RIGHT}"
    )


def test_how_often_the_rows_are_right_comes_first(asked, written, changed):
    assert said(asked(helps=[claim("a")]))[0] == FIRST
    assert not headline(asked(helps=[claim("a")]))[0].warns
    run = asked(guessing=[claim("a", "better"), claim("b"), claim("c", "better")])
    assert said(run)[0] == (
        f"1 of 3 rows is not shown to beat guessing: b. AUC of all rows: 0.500 to 0.912 (guessing: 0.5). {RIGHT}"
    )
    assert headline(run)[0].warns
    # Nothing is said of what was not measured, and of new people nothing where the people were not new.
    unmeasured = asked(changed(written, summary=[each for each in written.summary if each.metric != "accuracy"]))
    first = "All 3 rows beat guessing over all trials together: AUC 0.500 to 0.912 (guessing: 0.5)."
    assert said(unmeasured)[0] == first
    closed = said(asked(changed(written, protocol="closed_set")))[0]
    assert (
        "right about 80 to 86 % of pairs of people whom they had seen in training (accuracy; guessing: 50 %)" in closed
    )


def test_of_a_list_with_folds_the_number_of_its_protocol_is_told(asked, written, changed, bold_label):
    """Accuracy at the validation threshold stands in the table as well; papers report the one over folds."""
    folds = [
        {"label": label, "kind": "loss", "metric": "fold_accuracy", "mean": mean, "n": 10, "folds": 10}
        for label, mean in (("other", 0.9123), ("phase-1 embedding", 0.8), (bold_label, 0.85))
    ]
    listed = asked(changed(written, summary=[*(each.to_jsonable() for each in written.summary), *folds]))
    assert said(listed)[0].endswith(
        "By the protocol of the list, right about 80.0 to 91.2 % of its pairs (fold acc., over folds)."
    )
    assert "validation threshold" not in said(listed)[0]
    # Of a single row beside the baselines, the number stands as papers write it.
    rows = [trial.to_jsonable() for trial in written.trials if trial.label in ("other", "phase-1 embedding")]
    folds[0] |= {"standard_error": 0.0052}
    one = changed(listed, trials=rows, summary=folds[:2])
    assert said(one)[0].endswith(
        "By the protocol of the list, right about 91.23 ±0.52 % of its pairs: other, fold acc., mean and standard error "
        "over folds."
    )


def test_two_accuracies_have_a_heading_and_a_legend_each(asked, written, changed, drawn):
    folds = [{"label": "other", "kind": "loss", "metric": "fold_accuracy", "mean": 0.9123, "n": 10, "folds": 10}]
    listed = changed(asked(), summary=[*(each.to_jsonable() for each in written.summary), *folds])
    text = drawn(run_table(listed, 200), 200)
    assert " accuracy % " in text
    assert " fold acc. % " in text
    assert "; fold acc.: the protocol of the list, ± standard error" in text
    both = "accuracy: at the validation threshold, both kinds of pairs weigh alike, with the 95 % interval over trials. fold"
    assert both in formats.markdown(listed)
    assert "fold acc.: by the protocol of the list, at the threshold that is best on its other folds" in page(
        listed, EnvironmentRecord(), {}, {}
    )
    assert "fold acc." not in drawn(run_table(asked(), 200), 200) + formats.markdown(asked())


def test_a_row_that_was_never_trained_is_not_judged(asked):
    """Both trials of `dead` have failed: the run knows nothing about it, which is no finding."""
    judged = [claim("other", "better"), claim("phase-1 embedding", "better"), claim("dead", p=None)]
    run = asked(guessing=judged, helps=[claim("other", "better"), claim("dead", p=None)])
    assert said(run) == said(asked(guessing=judged[:2], helps=[claim("other", "better")]))
    assert said(run)[0].startswith("All 2 rows beat guessing")
    assert answers(run) == answers(asked(guessing=judged[:2], helps=[claim("other", "better")]))
    run = asked(helps=[claim("other")], best=[standing("other", interval=None), standing("dead", interval=None)])
    assert not any("Which may be the best" in sentence for sentence in said(run)), "there is one loss alone"


def test_what_is_shown_of_the_losses(asked):
    out = standing("c", may_be_best=False)
    nothing = asked(helps=[claim("a", p=0.2), claim("b", p=0.3)], best=[standing("a"), standing("b")])
    assert said_of_losses(nothing) == [
        "No loss is shown to be better than another or than the phase-1 embedding in MAP@R."
    ]
    one = asked(helps=[claim("a", "better", 0.051), claim("c", "worse", -0.1)], best=[standing("a"), out])
    assert said_of_losses(one) == [
        "a is shown to be the best of the 2 losses in MAP@R. 1 of 2 losses helps (better than the phase-1 embedding): "
        "a by 5.1 points. c is worse than the phase-1 embedding."
    ]
    two = asked(helps=[claim(label, "better") for label in "ab"], best=[standing("a"), standing("b"), out])
    assert said_of_losses(two) == [
        "In MAP@R the best of the 3 losses is one of these 2: a and b. 2 of 2 losses help (better than the phase-1 "
        "embedding): a by 3.0 points and b by 3.0 points."
    ]
    unjudged = asked(helps=[claim("a")], best=[standing("a", interval=None), standing("b", interval=None)])
    assert said_of_losses(unjudged) == [
        "No loss is shown to be better than the phase-1 embedding in MAP@R. Which may be the best cannot be said from "
        "so few trials; with seeds = [0, 1, 2, 3, 4] it can."
    ]
    untested = asked(helps=[claim("a", p=None)], best=[standing("a", interval=None)])
    assert said_of_losses(untested) == ["Nothing can be said about the losses in MAP@R: there are too few trials."]


def test_losses_that_do_not_beat_what_needs_no_training_are_told_so(asked):
    alike = {"helps": [claim("a"), claim("b")], "best": [standing("a"), standing("b")]}
    unbeaten, beaten = [claim("a"), claim("b")], [claim("a"), claim("b", "better")]
    assert said_of_losses(asked(simplest=unbeaten, **alike)) == [
        "No loss is shown to be better than another, than the phase-1 embedding, or than both raw pixels and PCA in MAP@R."
    ]
    for nothing_to_say in (beaten, [claim("a", p=None)]):
        assert "raw pixels" not in said_of_losses(asked(simplest=nothing_to_say, **alike))[0]
    helping = asked(simplest=unbeaten, helps=[claim("a", "better")])
    assert said_of_losses(helping)[0].endswith("No loss is shown to be better than both raw pixels and PCA in MAP@R.")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (["raw pixels", "PCA (eigenfaces)"], "both raw pixels and PCA"),
        (["raw pixels"], "raw pixels"),
        (["PCA (eigenfaces)"], "PCA (eigenfaces)"),
    ],
)
def test_only_baselines_that_the_run_has_are_spoken_of(asked, written, changed, there, words):
    one = [trial.to_jsonable() for trial in written.trials if trial.label == "other"]
    rows = [*one, *(one[0] | {"id": label[:3], "label": label, "kind": "baseline"} for label in there)]
    run = asked(changed(written, trials=rows), simplest=[claim("other")], best=[standing("other", interval=None)])
    assert said(run)[1] == f"other is not shown to be better than {words} in MAP@R."
    questions = {answer.question: answer.text for answer in answers(run)}
    question = "better than raw pixels and PCA?" if len(there) > 1 else f"better than {words}?"
    assert questions[question].endswith(f"shown to beat {'both' if len(there) > 1 else 'it'} in MAP@R.")


def test_who_wants_a_model_now_is_told_which(asked, bold_label, drawn):
    alike = asked(best=[standing(bold_label), standing("other")])
    assert to_use(alike, "other").text == (
        "To use a model now: `faceexp verify RUN PHOTO PHOTO` takes other, the best on validation people; any other may be "
        "as good, as far as this run shows."
    )
    assert to_use(alike).text.startswith(
        "To use a model now: `faceexp verify RUN PHOTO PHOTO` takes the best on validation people, and names it; any"
    )
    # One of them is shown to be worse.
    unlike = asked(best=[standing(bold_label), standing("other", may_be_best=False)])
    assert to_use(unlike, "other").text.endswith("takes other, the best on validation people.")
    assert "takes other, the best on validation people" in drawn(run_table(alike, 300, chosen="other"), 300)
    text = page(alike, EnvironmentRecord(), {}, {}, "<other>")
    assert "<code>faceexp verify RUN PHOTO PHOTO</code> takes &lt;other&gt;, the best on validation people" in text
    assert (
        to_use(alike, "").text
        == "To use a model, run this again with `--set keep.models=best`: its file asks to keep none."
    )
    # A table for a paper has no use for it.
    assert "faceexp verify" not in formats.markdown(alike) + formats.latex(alike)


def test_of_a_run_without_a_verdict_or_a_loss_no_model_is_recommended(asked, written, changed):
    assert to_use(written) is None
    baseline = [trial.to_jsonable() for trial in written.trials if trial.kind == "baseline"]
    assert to_use(asked(changed(written, trials=baseline))) is None
    one = [trial.to_jsonable() for trial in written.trials if trial.label in ("other", "phase-1 embedding")]
    assert to_use(asked(changed(written, trials=one))).text.endswith("takes the one of other.")


PARTS = [
    {
        "seed": seed,
        "fold": 0,
        "train": {"images": 50, "people": 20},
        "validation": {"images": 25, "people": 5},
        "test": {"images": 25, "people": 5},
    }
    for seed in (0, 1)
]


def test_what_would_show_more(asked, written, changed):
    now = {"seeds": 3, "trials": 3, "detectable": 0.12, "minutes": 4.0}
    more = {"seeds": 6, "trials": 6, "detectable": 0.02, "minutes": 8.0}
    needed = {"undecided": 2, "now": now, "more": more, "label": "x", "difference": 0.015, "people": 130}
    run = changed(written, parts=PARTS)
    undecided = "2 losses are undecided, since 3 trials of each loss easily miss a difference of less than 12.0 points"
    people = "100 more people (130 in all)"
    assert said(asked(run, helps=[claim("x")], needed=needed))[-1] == f"{undecided}; {people} would tell more."
    seeds = "seeds = [0, 1, 2, 3, 4] (about 3 minutes more)"
    with_seeds = asked(run, helps=[claim("x")], needed=needed | {"seeds": 5})
    assert said(with_seeds)[-1] == f"{undecided}; {seeds} or {people} would tell more."
    # Nobody finds ten times as many people as there are.
    assert said(asked(run, helps=[claim("x")], needed=needed | {"people": 400}))[-1] == f"{undecided}."


def test_a_run_that_could_not_have_answered_says_so_and_what_would(asked, written, changed):
    """The phase-1 embedding has 50.0 of 100, so that no loss can be better by more than 50 points."""
    run = changed(written, parts=PARTS)
    now = {"seeds": 2, "trials": 2, "detectable": 0.705, "minutes": 4.0}
    needed = {"undecided": 1, "now": now, "more": now, "label": "x", "difference": 0.1, "seeds": 14, "people": 9000}
    no_answer = "2 trials of each loss are too few to show that a loss helps, however good it is"
    for cannot in (needed, needed | {"now": now | {"detectable": None}}):
        asked_run = asked(run, helps=[claim("x", p=0.5)], needed=cannot)
        assert said(asked_run)[-1] == f"{no_answer}; 14 seeds (about 24 minutes more) would tell more."
        assert headline(asked_run)[-1].warns
        assert in_few_words(asked_run) == "too few trials to show which losses help"
    hopeless = asked(run, helps=[claim("x", p=0.5)], needed=needed | {"seeds": None})
    assert said(hopeless)[-1] == f"{no_answer}; it takes many more people, or losses that differ more."
    few = changed(hopeless, people_enough=36)
    assert said(few)[-1] == f"{no_answer}; 6 more people (36 in all) would tell more."
    untested = asked(few, guessing=[claim("x", p=None)])
    assert "6 more people (36 in all) would be enough to test and to tune on." in said(untested)[0]


def test_the_finding_in_few_words(asked, written, guessing):
    assert in_few_words(written) == "no question was asked"
    # The same words stand above the table.
    untested = asked(guessing=[claim("x", p=None)])
    assert in_few_words(untested) == "with so few trials nothing is tested, and the numbers may be luck"
    assert said(untested)[0].lower().startswith(in_few_words(untested))
    assert in_few_words(guessing) == "no row is shown to beat guessing"
    helping = [claim("a", "better", 0.02), claim("b", "better", 0.05), claim("c")]
    assert in_few_words(asked(helps=helping)) == "b and 1 other of 3 losses help"
    assert in_few_words(asked(helps=helping[1:])) == "b of 2 losses helps"
    assert in_few_words(asked(helps=[claim("a", p=0.3)])) == "the loss is not shown to help"
    assert in_few_words(asked(helps=[claim("a", p=None)])) == "too few trials to compare"


@pytest.fixture
def existing(asked, written, changed):
    """A run that has trained nothing: ``existing("a", "b")`` are the embeddings that it measured."""

    def make(*labels, **parts):
        (one,) = [trial.to_jsonable() for trial in written.trials if trial.label == "other" and trial.status == "ok"]
        (pixels, *_) = [trial.to_jsonable() for trial in written.trials if trial.kind == "baseline"]
        rows = [one | {"id": label, "label": label, "kind": "pretrained"} for label in labels]
        guessing = [claim(label, "better") for label in (*labels, "phase-1 embedding")]
        run = changed(written, trials=[*rows, pixels], summary=[])
        return asked(
            run, **{"guessing": guessing, "best": [standing(label, interval=None) for label in labels]} | parts
        )

    return make


def test_of_embeddings_that_are_only_measured_nothing_is_said_to_help(existing):
    assert in_few_words(existing("net")) == "net beats guessing"
    weak = [claim("net"), claim("phase-1 embedding", "better")]
    assert in_few_words(existing("net", guessing=weak)) == "net is not shown to beat guessing"
    assert in_few_words(existing("a", "b")) == "2 of 2 embeddings beat guessing; too few trials to tell them apart"
    alike = [standing("a"), standing("b")]
    assert in_few_words(existing("a", "b", best=alike)) == "2 of 2 embeddings beat guessing; any of 2 may be the best"
    one = [standing("a"), standing("b", may_be_best=False)]
    assert in_few_words(existing("a", "b", best=one)) == "a is the best of 2 embeddings"
    none = [claim("a"), claim("b"), claim("phase-1 embedding", "better")]
    assert in_few_words(existing("a", "b", guessing=none)) == "no embedding is shown to beat guessing"
    # With a seed alone they are judged by people, and what would tell them apart is said.
    assert said(existing("a", "b"))[-1] == (
        "Nothing can be said about the embeddings in MAP@R: there are too few trials; with seeds = [0, 1, 2, 3, 4] it can "
        "be said which may be the best."
    )
    # The baselines are judged by trials, of which there are too few: that is no finding about them.
    one_seed = existing("a", guessing=[claim("a", "better"), claim("phase-1 embedding", p=None)])
    assert said(one_seed) == ["a beats guessing; phase-1 embedding is not tested, for lack of trials."]
    assert not headline(one_seed)[0].warns
    answered = {answer.question: answer.text for answer in answers(one_seed)}["better than guessing?"]
    assert answered == "a is (AUC above 0.5); phase-1 embedding is not tested, for lack of trials."
    untested = said(existing("a", guessing=[claim("a", p=None)]))
    assert untested == [
        "With so few trials nothing is tested, and the numbers may be luck. With seeds = [0, 1, 2, 3, 4] the run says "
        "which may be the best."
    ]


def test_that_nothing_is_said_of_other_people_stands_with_the_finding(asked, written, changed):
    closed = asked(changed(written, protocol="closed_set"), helps=[claim("a")])
    assert "Closed set: the people of the test were seen in training" in said(closed)[1]
    assert "All trials test the same people" in said(asked(helps=[claim("a")], same_people=True))[1]


# The star


def test_a_star_takes_a_row_that_is_told_from_others(asked, written, changed, comparison, bold_label):
    # Of equal means every one is the best; what was shown decides.
    assert starred(asked(), MAP) == frozenset()
    helps = asked(helps=[claim(bold_label, "better"), claim("other")])
    assert starred(helps, MAP) == frozenset(), "it is better than a baseline alone"
    best = [standing(bold_label), standing("other", may_be_best=False)]
    assert starred(asked(best=best), MAP) == {bold_label}
    assert starred(asked(best=[standing(bold_label), standing("other")]), MAP) == frozenset(), "all may be the best"
    compared = changed(asked(), comparisons=[comparison("auc"), comparison("eer", a="other", b=bold_label)])
    assert starred(compared, METRIC_OF["auc"]) == {bold_label}
    assert starred(compared, METRIC_OF["eer"]) == frozenset(), "it is better than another row, but not the best"


def test_a_row_that_is_not_shown_to_beat_guessing_gets_no_star(asked, bold_label, drawn):
    best = [standing(bold_label), standing("other", may_be_best=False)]
    assert "*50.0" in drawn(run_table(asked(best=best), 140), 140)
    guessing = asked(best=best, guessing=[claim(bold_label), claim("other", "better")])
    assert starred(guessing, MAP) == frozenset()
    assert "*50.0" not in drawn(run_table(guessing, 140), 140)
    assert "**50.0**" not in formats.markdown(guessing)
    assert r"\textbf" not in formats.latex(guessing)
    # What marks the best is explained only where something is marked.
    assert "* best" in drawn(run_table(asked(best=best), 200), 200)
    assert "* best" not in drawn(run_table(guessing, 200), 200)
    assert "Bold: best" in formats.markdown(asked(best=best))
    assert "Bold: best" in formats.latex(asked(best=best))
    assert "Bold: best" not in formats.markdown(guessing) + formats.latex(guessing)
    assert 'class="value best"' not in page(guessing, EnvironmentRecord(), {}, {})


def test_a_star_in_a_column_that_has_no_room_is_not_explained(asked, changed, comparison, bold_label, drawn):
    run = changed(asked(), comparisons=[comparison("auc")])
    assert starred(run, METRIC_OF["auc"]) == {bold_label}
    wide, narrow = (drawn(run_table(run, width, notes=True), width) for width in (200, 60))
    assert "*0.912" in wide
    assert "* best, and better than another loss" in wide
    assert "AUC" not in narrow.splitlines()[3]
    assert "* best" not in narrow


def test_what_helps_means_is_said_wherever_that_column_is(asked, written, changed, drawn):
    run = asked(helps=[claim("other")])
    marks = "MAP@R: how well a person's photos come first among all; helps: MAP@R minus the phase-1 embedding's; ?: undecided"
    assert marks in drawn(run_table(run, 140), 140)
    elsewhere = drawn(run_table(run, 140, columns=[METRIC_OF["auc"]]), 140)
    assert "helps: MAP@R, which has no column here, minus the phase-1 embedding's; ?: undecided" in elsewhere
    one = changed(run, trials=[trial.to_jsonable() for trial in run.trials if trial.seed == 0])
    text = drawn(run_table(one, 200), 200)
    assert f"no difference can be called real. {marks}" in text
    assert "helps: MAP@R minus" in formats.markdown(one)


def test_below_the_table_stand_three_lines_at_most(asked, changed, drawn):
    run = changed(
        asked(helps=[claim("other")]), warnings=["unequal budgets, steps: x 5", "unequal budgets, images: x 5"]
    )
    lines = drawn(run_table(run, 140), 140).rstrip().splitlines()
    below = lines[max(place for place, line in enumerate(lines) if "/2 " in line) + 1 :]
    assert [line for line in below if line.strip()] == [
        "x other (seed 1, fold 0) diverged: the loss is not finite at step 7; 2 more such with --notes",
        "! unequal budgets, steps: x 5; 1 more such with --notes",
        "mean and 95 % interval; MAP@R: how well a person's photos come first among all; helps: MAP@R minus the phase-1 "
        "embedding's; ?: undecided",
    ]
