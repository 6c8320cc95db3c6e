"""Lists of pairs: who is in them, and a threshold that is set on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faceexp.errors import InputError
from faceexp.evaluation.calibration import calibrated
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.results.folder import ModelFolder
from faceexp.results.model_schema import ModelRecord
from faceexp.serving.answers import JudgedPairs
from faceexp.serving.own_threshold import check_kinds, check_vacant, own_threshold, set_own_threshold
from faceexp.serving.pair_lists import read_pairs
from faceexp.serving.seen import of_pairs
from faceexp.serving.worth import why_no_probability

RECORD = ModelRecord.model_validate(
    {"label": "made", "distance": "euclidean", "threshold": 1.0, "preprocess": {"size": [16, 16]}}
)


@pytest.fixture
def listed(tmp_path):
    def read(*lines):
        file = tmp_path / "pairs.csv"
        file.write_text("\n".join(lines), encoding="utf-8")
        return read_pairs(file)

    return read


def judged(pairs, distances, seen=None):
    """Return what a model says of pairs that have these distances."""
    faces = {photo: 1 for pair in pairs.pairs for photo in pair[:2]}
    return JudgedPairs(distances, distances < 1, distances * np.nan, 1.0, np.nan, faces, seen=seen)


def people(pairs):
    return {Path(photo).name: Path(person).name for photo, person in pairs.person.items()}


def test_columns_say_whom_the_photos_show_and_with_that_who_is_the_same(listed):
    pairs = listed("a,b,identity_a,identity_b", "1.png,2.png,Ann,Ann", "1.png,3.png,Ann,Bob")
    assert (pairs.truths, pairs.people_from) == ([True, False], "columns")
    assert people(pairs) == {"1.png": "Ann", "2.png": "Ann", "3.png": "Bob"}
    measured, of_pairs = pairs.labelled(np.array([0.5, 2.0]))
    assert (measured.distance.tolist(), measured.similar.tolist()) == ([0.5, 2.0], [True, False])
    assert [side.tolist() for side in of_pairs.both()] == [[0, 0], [0, 1]]


def test_the_folds_of_a_table_mean_nothing_here(listed):
    pairs = listed("a,b,same,fold", "Ann/1.png,Ann/2.png,1,x", "Ann/1.png,Bob/1.png,0,y")
    assert pairs.truths == [True, False]


def test_one_photo_whose_path_is_written_in_two_ways_is_read_once(listed):
    pairs = listed("a,b,same", "Ann/1.png,Ann/2.png,1", "Ann//1.png,Bob/1.png,0")
    assert [Path(photo).name for photo in pairs.photos] == ["1.png", "2.png", "1.png"]
    assert pairs.rows.tolist() == [[0, 1], [0, 2]]
    assert [(Path(a).parent.name, Path(b).parent.name, same) for a, b, same in pairs.pairs] == [
        ("Ann", "Ann", True),
        ("Ann", "Bob", False),
    ]


def test_how_many_photos_of_a_pair_were_seen_is_known_where_it_is_known_of_both():
    seen = [True, False, None]
    every_pair = np.array([(first, second) for first in range(3) for second in range(3)])
    assert of_pairs(seen, every_pair) == [2, 1, None, 1, 0, None, None, None, None]


def test_folders_are_people_where_they_agree_with_every_pair(listed):
    pairs = listed("a,b,same", "Ann/1.png,Ann/2.png,1", "Ann/1.png,Bob/1.png,0")
    assert pairs.people_from == "folders"
    assert set(pairs.person.values()) == {str(pairs.file.parent / name) for name in ("Ann", "Bob")}


@pytest.mark.parametrize(
    "lines",
    [
        ("a,b,same", "x/1.png,x/2.png,1", "x/1.png,x/3.png,0"),  # all photos in one folder
        ("a,b,same", "x/1.png,y/2.png,1", "x/1.png,z/3.png,0"),  # a person in two folders
        ("a,b,same", "x/1.png,x/2.png,1"),  # of one kind, where agreeing means little
        ("a,b", "x/1.png,x/2.png", "x/1.png,y/2.png"),  # nobody says who is the same
    ],
)
def test_folders_that_disagree_with_the_list_are_nobody(listed, lines):
    pairs = listed(*lines)
    assert (pairs.people_from, pairs.person) == (None, {})
    assert pairs.labelled(np.ones(len(pairs.pairs)))[1] is None


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("a,b,same,identity_a,identity_b", "1,2,1,Ann,Bob", "same is 1, but the people are 'Ann' and 'Bob'"),
        ("a,b,identity_a,identity_b", "1,2,Ann,", "names no person in identity_a or identity_b"),
        ("a,b,identity_a,identity_b", "1,2,Ann,Bob\n2,3,Ann,Bob", "shows 'Bob' in a line before this one"),
        ("a,b,identity_a", "1,2,Ann", "the first line has to name the columns: a,b or a,b,same, with or without"),
    ],
)
def test_columns_that_contradict_each_other_are_named(listed, header, line, message):
    with pytest.raises(InputError, match=message):
        listed(header, line)


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        (
            "a,b,same",
            "x.png;y.png;1",
            "has 1 column, the first line 3: separate both with semicolons, or both with commas",
        ),
        (
            "a;b;same",
            "x.png,y.png,1",
            "has 1 column, the first line 3: separate both with commas, or both with semicolons",
        ),
        (
            "a,b,same",
            "x.png,y.png,1,0",
            "has 4 columns, the first line 3: put what holds a comma in quotes, or separate",
        ),
        ("a;b;same", "x.png;y.png;0,5", "'0,5' is neither 1 nor 0: 1 means that both photos show one person"),
        ("a,b,distance", "x.png,y.png,1", "and no others; it is 'a,b,distance'"),
    ],
)
def test_a_mixture_of_separators_or_decimal_commas_is_explained_in_one_line(listed, header, line, message):
    with pytest.raises(InputError) as caught:
        listed(header, line)
    (problem,) = caught.value.problems
    assert message in str(problem)


@pytest.mark.parametrize(("separator", "one", "zero"), [(",", "1.0", "0.0"), (";", "1,0", "0,0"), ("\t", "1.0", "0")])
def test_truths_that_a_table_wrote_as_decimal_numbers_are_understood(listed, separator, one, zero):
    rows = [("a", "b", "same"), ("x.png", "y.png", one), ("x.png", "z.png", zero)]
    assert listed(*map(separator.join, rows)).truths == [True, False]


def test_a_threshold_is_set_on_labelled_pairs_and_found_again(listed, tmp_path):
    random = np.random.default_rng(0)
    rows = [f"p{n}/1.png,p{n}/2.png,1" for n in range(30)] + [f"p{n}/1.png,p{n + 1}/1.png,0" for n in range(29)]
    pairs = listed("a,b,same", *rows)
    distances = np.concatenate([random.normal(1, 0.3, 30), random.normal(2, 0.3, 29)])
    folder = ModelFolder(tmp_path)
    check_vacant(folder)
    check_kinds(pairs)
    own = set_own_threshold(folder, RECORD, pairs, judged(pairs, distances, seen=0))
    assert own_threshold(folder, RECORD) == own
    alone = calibrated(PairDistances(distances, np.arange(59) < 30))
    assert (own.calibration.threshold, own.calibration.slope) == pytest.approx((alone.threshold, alone.slope))
    assert (own.calibration.people, own.pairs, own.people_from) == (30, "pairs.csv", "folders")
    # Nobody's name or path is kept.
    assert "p29" not in folder.own_threshold.read_text(encoding="utf-8")


def test_no_probability_rests_on_photos_that_the_model_saw_in_its_training(listed, tmp_path):
    random = np.random.default_rng(0)
    rows = [f"p{n}/1.png,p{n}/2.png,1" for n in range(30)] + [f"p{n}/1.png,p{n + 1}/1.png,0" for n in range(29)]
    pairs = listed("a,b,same", *rows)
    distances = np.concatenate([random.normal(1, 0.3, 30), random.normal(2, 0.3, 29)])
    caveat = "the model saw 7 of the 60 photos of these pairs in its training"
    for seen, expected in {7: caveat, 0: "", None: ""}.items():
        folder = ModelFolder(tmp_path / str(seen))
        folder.root.mkdir()
        set_own_threshold(folder, RECORD, pairs, judged(pairs, distances, seen))
        own = own_threshold(folder, RECORD)
        assert own.caveat == expected
        why = why_no_probability(own.calibration, own)
        assert why == (f"{caveat}; set the threshold on photos that it did not see" if seen else "")


def test_what_is_there_is_not_overwritten(listed, tmp_path):
    folder = ModelFolder(tmp_path)
    pairs = listed("a,b,same", "x/1,x/2,1", "x/1,y/2,0")
    folder.own_threshold.write_text("mine")
    with pytest.raises(InputError, match=r"own_threshold.json: is there already, and nothing is overwritten; move it"):
        check_vacant(folder)
    with pytest.raises(InputError, match="cannot be written: File exists"):
        set_own_threshold(folder, RECORD, pairs, judged(pairs, np.array([0.5, 1.5])))
    assert folder.own_threshold.read_text() == "mine"


def test_a_file_that_is_no_threshold_or_of_another_model_is_refused(listed, tmp_path):
    folder = ModelFolder(tmp_path)
    assert own_threshold(folder, RECORD) is None
    folder.own_threshold.write_text("{}")
    with pytest.raises(InputError, match="is no threshold that `faceexp verify --calibrate-on` has set .*; remove it"):
        own_threshold(folder, RECORD)
    folder.own_threshold.unlink()
    pairs = listed("a,b,same", "x/1,x/2,1", "x/1,y/2,0")
    set_own_threshold(folder, RECORD, pairs, judged(pairs, np.array([0.5, 1.5])))
    other = RECORD.model_copy(update={"threshold": 1.25})
    with pytest.raises(InputError, match="was set for another model than the one beside it; remove it"):
        own_threshold(folder, other)
    content = json.loads(folder.own_threshold.read_text())
    folder.own_threshold.write_text(json.dumps(content | {"calibration": {"threshold": None}}))
    with pytest.raises(InputError, match="was set for another model"):
        own_threshold(folder, RECORD)


def test_pairs_of_one_kind_set_no_threshold(listed):
    for lines in (("a,b,same", "x,y,1"), ("a,b,same", "x,y,0"), ("a,b", "x,y")):
        with pytest.raises(InputError, match="a threshold needs pairs of one person and pairs of two people"):
            check_kinds(listed(*lines))
