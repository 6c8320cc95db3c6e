"""Published tables: how a CSV file is read, what its accuracies stand for, and every mistake in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.errors import InputError
from faceexp.results.published_tables import judge_table
from faceexp.statistics.power import from_counts

TABLES = Path(__file__).parents[2] / "docs" / "tables"


@pytest.fixture
def judge(tmp_path):
    """Write a file and judge it; the file's lines are given one by one."""

    def call(*lines, of=None, difference=None):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return judge_table(path, of, 0.05, 0.8, difference)

    return call


@pytest.fixture
def mistakes(judge):
    """Judge a file that is wrong; return its mistakes, with the file called FILE."""

    def call(*lines, **options):
        with pytest.raises(InputError) as error:
            judge(*lines, **options)
        return [
            str(problem).replace(problem.where, "FILE" + problem.where.partition(".csv")[2])
            for problem in error.value.problems
        ]

    return call


def test_each_column_is_a_test_set_of_counts(judge):
    table = judge(
        "# A paper,",
        "# table 3",
        "loss,LFW,cfp_fp,ours",
        "pairs,,,400",
        "",
        "a,99.53,95.56,91",
        "b,99.08,94.38%,-",
        "c,-,-,88.5",
    )
    assert table.source == "A paper, table 3"
    assert [(judged.name, judged.pairs) for judged in table.sets] == [("LFW", 6000), ("cfp_fp", 7000), ("ours", 400)]
    lfw, cfp, ours = (judged.power for judged in table.sets)
    # The nearest whole count: 99.53 % of 6,000 are 5,971.8.
    assert lfw == from_counts({"a": 5972, "b": 5945}, 6000)
    assert cfp == from_counts({"a": 6689, "b": 6607}, 7000)
    assert ours == from_counts({"a": 364, "c": 354}, 400)


def test_shares_are_taken_as_well_as_percentages(judge):
    percentages, shares = judge("loss,LFW", "a,99.53", "b,100"), judge("loss,LFW", "a,0.9953", "b,1")
    assert percentages == shares


def test_a_spreadsheet_may_write_semicolons_and_decimal_commas(judge):
    assert judge("loss;LFW", "a;99,53", "b;99,08") == judge("loss,LFW", "a,99.53", "b,99.08")
    commented = judge("# A paper, of 2019", "loss,LFW", "a,99.53", "b,99.08")
    assert judge('"# A paper, of 2019",', "loss,LFW", "a,99.53", "b,99.08") == commented
    assert judge("\ufeffloss\tLFW", "a\t99.53", "b\t99.08") == judge("loss,LFW", "a,99.53", "b,99.08")


def test_the_size_is_that_of_the_file_or_the_known_one_or_that_of_the_option(judge, mistakes):
    rows = ("a,99", "b,98")
    assert [
        judge(f"loss,{name}", *rows).sets[0].pairs for name in ("LFW (%)", "CALFW", "CPLFW", "AgeDB-30", "CFP-FP")
    ] == [
        *[6000] * 4,
        7000,
    ]
    assert judge("loss,LFW", "pairs,134", *rows).sets[0].pairs == 134
    assert judge("loss,ours", *rows, of=500).sets[0].pairs == 500
    assert judge("loss,LFW,ours", "a,99,99", "b,98,98", of=6000).sets[1].pairs == 6000
    assert mistakes("loss,ours", *rows) == [
        "FILE: of how many pairs is ours? add --of PAIRS, or a row: pairs,6000 (known: LFW, CALFW, CPLFW, AgeDB-30, CFP-FP)"
    ]
    assert mistakes("loss,LFW", *rows, of=500) == [
        "FILE: LFW has 6,000 pairs, not 500; if yours has others, say so in a row: pairs,500"
    ]


def test_what_rounding_leaves_open_is_known(judge):
    coarse, fine = judge("loss,LFW,ours", "pairs,6000,134", "a,99.5,82.8", "b,99.1,82.1").sets
    # 99.5 % may be anything from 99.45 % to 99.55 %.
    assert (coarse.count_error, fine.count_error) == (3, 0)
    assert judge("loss,LFW", "a,0.995", "b,0.991").sets[0].count_error == 3
    assert judge("loss,LFW", "a,99.53", "b,99.5").sets[0].count_error == 0  # a spreadsheet's way to write 99.50


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ["FILE: is empty; name a CSV file with a row for each loss and a column for each test set"]),
        (["loss", "a"], ["FILE:1: the heading names 0 test sets; write 1 to 20"]),
        (["loss,LFW,LFW", "a,1,1"], ["FILE:1: the heading names a test set twice"]),
        (["loss,", "a,1"], ["FILE:1: the heading has a column without a name, or with a very long one"]),
        (
            ["loss,LFW,pairs", "a,99,6000", "b,98,6000"],
            [
                "FILE:1: the sizes of the test sets are a row and no column: pairs,6000,7000",
                "FILE:2: '6000' is no accuracy, such as 99.53; write - where none was published",
                "FILE:3: '6000' is no accuracy, such as 99.53; write - where none was published",
            ],
        ),
        (
            ["# x", "loss,LFW", "", "a,99,98", ",98", "b,x", "c,101", "c,99", "d,nan", "e,-1", "f,1e2"],
            [
                "FILE:4: has 3 fields, and the heading 2",
                "FILE:5: the first field has to name the loss, in at most 200 letters",
                "FILE:6: 'x' is no accuracy, such as 99.53; write - where none was published",
                "FILE:7: '101' is no accuracy, such as 99.53; write - where none was published",
                "FILE:8: 'c' has a row already; tell the two apart",
                "FILE:9: 'nan' is no accuracy, such as 99.53; write - where none was published",
                "FILE:10: '-1' is no accuracy, such as 99.53; write - where none was published",
                "FILE:11: '1e2' is no accuracy, such as 99.53; write - where none was published",
            ],
        ),
        (
            ["loss,LFW", "pairs,6000.5", "a,99", "b,98"],
            ["FILE:2: '6000.5' is no number of pairs; write it in digits alone"],
        ),
        (["loss,LFW", "pairs,0", "a,99", "b,98"], ["FILE:2: a test has 1 to 1,000,000,000 pairs, not 0"]),
        (
            ["loss,LFW", "a,99.5", "b,0.98"],
            ["FILE:3: 0.98 of LFW stands among percentages; write all as % or all as shares"],
        ),
        (
            ["loss,LFW,CALFW", "a,99,99", "b,98,-"],
            ["FILE: CALFW: one count has nothing to be compared with; give the counts of two losses or more"],
        ),
        (
            ["loss,LFW", "a,-", "b,"],
            ["FILE: LFW: one count has nothing to be compared with; give the counts of two losses or more"],
        ),
        (["loss," + ",".join(f"t{i}" for i in range(21))], ["FILE:1: the heading names 21 test sets; write 1 to 20"]),
        (
            ["loss,LFW", *(f"l{i},99" for i in range(51))],
            ["FILE: LFW: 51 losses are too many to compare; give 50 at most"],
        ),
    ],
)
def test_every_mistake_is_one_line(mistakes, lines, expected):
    assert mistakes(*lines) == expected


def test_a_question_without_an_answer_names_the_test_set(mistakes):
    assert mistakes("loss,LFW", "a,50", "b,40", difference=0.8) == [
        "FILE: LFW: no loss can be 80 points below the best one, at 50.0 %"
    ]


def test_files_that_are_no_table(tmp_path):
    def said(content):
        path = tmp_path / "x.csv"
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            judge_table(path, None, 0.05, 0.8, None)
        return str(error.value)

    assert "is not UTF-8 text" in said(b"loss,LFW\n\xff,99")
    assert "are the most that are read" in said(b"x" * (2**20 + 1))
    with pytest.raises(InputError, match="no such file; name a CSV file"):
        judge_table(tmp_path / "missing.csv", None, 0.05, 0.8, None)
    with pytest.raises(InputError, match="is a device"):
        judge_table(Path("/dev/zero"), None, 0.05, 0.8, None)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.lists(
                st.sampled_from(["loss", "LFW", "pairs", "a", "b", "99.5", "0.9", "-", '"', "", "1e9", "#"]), max_size=4
            ),
            max_size=5,
        ).map(lambda rows: "\n".join(",".join(row) for row in rows).encode()),
    )
)
def test_any_file_has_an_answer_or_lines_that_say_what_is_wrong(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "x.csv"
    path.write_bytes(content)
    try:
        table = judge_table(path, None, 0.05, 0.8, None)
    except InputError as error:
        assert all(len(str(problem).splitlines()) == 1 for problem in error.problems)
    else:
        assert table.sets


# The tables that the documentation shows, and what it says of them.


def verdicts(name):
    """Return test set -> verdict -> pairs of losses."""
    table = judge_table(TABLES / name, None, 0.05, 0.8, None)
    assert table.source
    assert all(judged.count_error == 0 for judged in table.sets)
    return {
        judged.name: {
            kind: {frozenset((pair.a, pair.b)) for pair in judged.power.pairs if pair.verdict == kind}
            for kind in ("distinguishable", "undecided", "indistinguishable")
        }
        for judged in table.sets
    }


def test_what_is_said_of_the_losses_of_arcface():
    said = verdicts("arcface_table2.csv")
    lfw, cfp, agedb = said["LFW"], said["CFP-FP"], said["AgeDB-30"]
    best, cosface = "ArcFace (0.5)", "CosFace (0.35)"
    assert [len(pairs) for pairs in lfw.values()] == [0, 33, 58]
    assert {best, cosface} in lfw["indistinguishable"]
    assert {best, "Softmax"} in lfw["undecided"]
    assert len(cfp["distinguishable"]) == 13
    assert all("Triplet (0.35)" in pair for pair in cfp["distinguishable"])
    rivals = {label for pair in cfp["indistinguishable"] if best in pair for label in pair - {best}}
    assert rivals == {cosface, "ArcFace (0.4)", "ArcFace (0.45)", "ArcFace+Triplet", "ArcFace+Intra+Inter"}
    assert {label for pair in agedb["distinguishable"] if best in pair for label in pair - {best}} == {
        "Softmax",
        "SphereFace (1.35)",
        "Triplet (0.35)",
    }
    assert {best, cosface} in agedb["undecided"]


def test_what_is_said_of_the_eight_losses_of_a_model_zoo():
    said = verdicts("model_zoo_ms1mv2.csv")
    kinds = [
        sum(len(of_set[kind]) for of_set in said.values())
        for kind in ("distinguishable", "undecided", "indistinguishable")
    ]
    assert kinds == [0, 40, 100]
    table = judge_table(TABLES / "model_zoo_ms1mv2.csv", None, 0.05, 0.8, None)
    best = [max(judged.power.losses, key=lambda loss: loss.right).label for judged in table.sets]
    assert len(set(best)) == 5
    (agedb,) = (judged.power for judged in table.sets if judged.name == "AgeDB-30")
    assert f"{agedb.detectable.unrelated_corrected:.3f}" == "0.011"
    assert f"{agedb.pairs[0].difference:.4f}" == "0.0037"


def test_what_is_said_of_one_loss_on_other_data():
    said = verdicts("adaface_data.csv")
    assert {name: len(of_set["distinguishable"]) for name, of_set in said.items()} == {
        "LFW": 10,
        "CFP-FP": 31,
        "CPLFW": 28,
        "CALFW": 21,
        "AgeDB-30": 28,
    }
