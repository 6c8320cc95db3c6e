"""What the analysis of power reads of a run."""

from __future__ import annotations

import pytest

from faceexp.results.design import design_of, losses_of, values_of
from faceexp.results.schema import RunRecord
from faceexp.statistics.power import Design, UnanswerableError


def trial(label, seed, accuracy, kind="loss", status="ok"):
    return {
        "id": f"{label}-{seed}",
        "label": label,
        "kind": kind,
        "seed": seed,
        "fold": 0,
        "status": status,
        "metrics": {"accuracy": accuracy, "auc": None},
    }


def split(seed, train, validation, test):
    parts = {
        name: dict(zip(("images", "people", "pairs"), sizes, strict=False))
        for name, sizes in (("train", train), ("validation", validation), ("test", test))
    }
    return {"seed": seed, "fold": 0, **parts}


def run(protocol="open_set", **rest):
    """Two seeds with a training part of 60 images, and test parts of 20 and of 40 images."""
    content = {
        "schema": 1,
        "name": "made",
        "protocol": protocol,
        "test_train_ratio": 0.5,
        "parts": [
            split(0, (60, 6), (20, 2, 190), (20, 2, 190)),
            split(1, (60, 6), (20, 2, 190), (40, 4, 780)),
        ],
        "trials": [
            trial("a", 0, 0.9),
            trial("a", 1, 0.8),
            trial("pixels", 0, 0.7, kind="baseline"),
            trial("lost", 1, 0.6, status="failed"),
        ],
        "summary": [],
        "comparisons": [],
    }
    return RunRecord.model_validate(content | rest)


def test_values_are_those_of_trials_that_ended_well():
    assert values_of(run(), "accuracy") == {"a": {(0, 0): 0.9, (1, 0): 0.8}, "pixels": {(0, 0): 0.7}, "lost": {}}
    assert values_of(run(), "auc") == {"a": {}, "pixels": {}, "lost": {}}
    assert losses_of(run()) == {"a", "lost"}


def test_a_design_is_the_mean_over_the_splits():
    # Of 110 images in the mean, 30 are tested, and 20 of the other 80 are for validation.
    expected = Design(0.5, 30 / 110, 20 / 80, test_people=3, test_pairs=485, listed=False, most_folds=5)
    assert design_of(run()) == expected


def test_folds_are_limited_by_people_or_by_the_images_of_each():
    assert design_of(run("open_set")).most_folds == 5  # 11 people in the mean, at least two per fold
    assert design_of(run("closed_set")).most_folds == 36  # 110 images of 3 people
    assert design_of(run("pairs_file")).listed
    assert design_of(run("listed")).most_folds == 1


@pytest.mark.parametrize(
    "missing",
    [{"parts": []}, {"test_train_ratio": None}, {"parts": [split(0, (0, 0), (0, 0, 0), (0, 0, 0))]}],
    ids=["parts", "ratio", "images"],
)
def test_results_that_do_not_say_how_the_data_were_cut(missing):
    with pytest.raises(UnanswerableError, match="run the experiment again"):
        design_of(run(**missing))
