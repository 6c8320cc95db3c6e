"""Numbers of a list that is not used whole say so wherever they are shown."""

from __future__ import annotations

import pytest

from faceexp.report.columns import heading
from faceexp.report.few_words import in_few_words
from faceexp.report.formats import latex, markdown
from faceexp.report.headline import headline
from faceexp.report.page.html import page
from faceexp.report.rates import rates_tables
from faceexp.report.terminal.run import run_table
from faceexp.report.terminal.sets import sets_table
from faceexp.report.used import used, used_of_sets, used_sentence
from faceexp.results.schema import EnvironmentRecord

PART = {"images": 30, "people": 10, "pairs": 340, "similar": 170}
LOST = {"images": 12, "of_images": 120, "people": 0, "fta": 0.1, "fte": 0.0}


def parts(*tests):
    """Return the splits of two seeds, each with these test parts as its folds."""
    return [
        {"seed": seed, "fold": fold, "train": PART, "validation": PART, "test": test}
        for seed in (0, 1)
        for fold, test in enumerate(tests)
    ]


@pytest.fixture
def lossy(study, changed):
    """The study on a list of 400 pairs in two folds, of which 340 are judged."""
    folds = [PART | {"pairs": 160, "of_pairs": 200}, PART | {"pairs": 180, "of_pairs": 200}]
    return changed(study, parts=parts(*folds), failures=LOST, protocol="pairs_file")


def test_pairs_are_counted_over_the_folds_of_a_seed(lossy, changed):
    assert used(lossy) == "340 of 400 pairs"
    assert used_sentence(lossy) == (
        "The numbers are about 340 of 400 pairs, since images of the data set cannot be used."
    )
    # A fold that is used whole counts with all of its pairs.
    one = changed(lossy, parts=parts(PART | {"pairs": 160, "of_pairs": 200}, PART | {"pairs": 200}))
    assert used(one) == "360 of 400 pairs"


def test_without_a_list_images_are_counted(study, changed):
    run = changed(study, parts=parts(PART), failures=LOST)
    assert used(run) == "108 of 120 images"
    # Runs of older versions do not say of how many.
    assert used(changed(run, failures=LOST | {"of_images": 0})) == ""


def test_where_everything_is_used_nothing_is_said(study, changed):
    run = changed(study, parts=parts(PART))
    assert (used(run), used_sentence(run), list(used_of_sets(run))) == ("", "", [])
    assert heading(run) == heading(study)


def test_on_a_test_set_its_own_pairs_count_and_people_may_be_left_out(study, changed):
    measured = PART | {"of_pairs": 400, "of_images": 35}
    faces = {"name": "lfw", "measured": measured, "dropped_people": 2, "dropped_images": 5}
    run = changed(study, parts=parts(measured, measured), measured_on="lfw", test_sets=[faces])
    why = "since people of test set lfw who are trained on are left out"
    assert used_sentence(run) == f"The numbers are about 340 of 400 pairs, {why}."
    both = changed(run, failures=LOST)
    assert "since images of test set lfw cannot be used and people of test set lfw who" in used_sentence(both)
    images = changed(run, parts=parts(PART | {"of_images": 35}))
    assert used(images) == "30 of 35 images"


def test_it_stands_wherever_the_numbers_are_shown(lossy, drawn):
    told = "340 of 400 pairs"
    assert told in heading(lossy)
    assert told in headline(lossy)[-1].text
    assert headline(lossy)[-1].warns
    assert in_few_words(lossy).endswith(f"({told})")
    assert told in drawn(run_table(lossy, 140)).splitlines()[0]
    content = page(lossy, EnvironmentRecord(), {}, {})
    assert content.partition("</title>")[0].count(told) == 1
    assert f"The numbers are about {told}" in content
    for text in (markdown(lossy), latex(lossy)):
        assert text.splitlines()[0].count(told) == 1
        assert f"The numbers are about {told}" in text


def test_accuracy_over_folds_says_it_in_its_title(lossy, changed):
    summary = [{**row.to_jsonable(), "metric": "fold_accuracy", "folds": 10} for row in lossy.summary[:1]]
    (table,) = rates_tables(changed(lossy, summary=summary))
    assert table.title == "Accuracy over folds, 340 of 400 pairs"


def test_the_table_of_all_sets_names_those_that_are_not_used_whole(lossy, changed, drawn):
    means = {row.label: {"test": 0.5, "lfw": 0.5, "agedb": 0.5} for row in lossy.summary}
    sets = [{"name": "lfw", "measured": PART | {"of_pairs": 400}}, {"name": "agedb", "measured": PART}]
    run = changed(lossy, test_sets=sets, over_sets={"metric": "accuracy", "means": means, "sets": 3})
    assert list(used_of_sets(run)) == ["test: 340 of 400 pairs", "lfw: 340 of 400 pairs"]
    said = "ot used whole: test: 340 of 400 pairs; lfw: 340 of 400 pairs"
    assert f"! n{said}" in drawn(sets_table(run, 120))
    assert f"N{said}." in page(run, EnvironmentRecord(), {}, {})
