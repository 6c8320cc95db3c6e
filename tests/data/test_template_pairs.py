"""Lists of pairs of templates, byte for byte as InsightFace and NIST write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.data import template_list, template_pairs
from faceexp.errors import InputError


@pytest.fixture
def written(tmp_path):
    """``written(b"...")``: the path of a file."""

    def write(content):
        file = tmp_path / "pairs.txt"
        file.write_bytes(content)
        return str(file)

    return write


def content_of(pairs):
    """Both templates of each pair, whether they show one person, and the fold."""
    names = [name for name, _ in pairs.images]
    same = [None] * len(pairs.rows) if pairs.same is None else pairs.same.tolist()
    return [
        (names[one], names[other], truth, fold)
        for (one, other), truth, fold in zip(pairs.rows.tolist(), same, pairs.fold.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("content", "expected", "lines"),
    [
        # The first lines of ijbc_template_pair_label.txt, whose first one could be VoxCeleb's.
        (
            b"1 11065 1\n1 11066 1\n171707 185794 0\n",
            [("1", "11065", True, 0), ("1", "11066", True, 0), ("171707", "185794", False, 0)],
            [1, 2, 3],
        ),
        (b"1\t2\t0\r\n\r\n3\t4\t1", [("1", "2", False, 0), ("3", "4", True, 0)], [1, 3]),
        # ijbc_11_G1_G2_matches.csv, and match.csv.
        (b"11,502\n11,503\n", [("11", "502", None, 0), ("11", "503", None, 0)], [1, 2]),
        (b"ENROLL_TEMPLATE_ID,VERIF_TEMPLATE_ID\n11,502\n", [("11", "502", None, 0)], [2]),
        # Tables with folds; ids may be texts.
        (
            b"template_a,template_b,same,fold\n7,8,1,second\n8,9,0,first\n9,7,0,second\n",
            [("7", "8", True, 0), ("8", "9", False, 1), ("9", "7", False, 0)],
            [2, 3, 4],
        ),
        (b"a,b,label,fold\n7,8,1,2\n8,9,0,1\n", [("7", "8", True, 0), ("8", "9", False, 1)], [2, 3]),
        (b"a,b,same\nx 1,007,no\n", [("x 1", "7", False, 0)], [2]),
        (b"x y 1\n x  z 0 \n", [("x", "y", True, 0), ("x", "z", False, 0)], [1, 2]),
    ],
)
def test_each_form_is_read(written, content, expected, lines):
    pairs = template_pairs.read(written(content))
    assert content_of(pairs) == expected
    assert pairs.lines.tolist() == lines
    assert pairs.of_templates
    assert pairs.folds == len({fold for *_, fold in expected})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(41, 2**31 - 1), st.integers(0, 1)), min_size=1, max_size=30),
    st.sampled_from([b" ", b"\t"]),
    st.lists(st.integers(0, 29), max_size=3),
)
def test_numbers_are_read_as_a_plain_loop_reads_them(tmp_path_factory, pairs, separator, empty_lines):
    lines = [separator.join(b"%d" % number for number in pair) for pair in pairs]
    for place in sorted(empty_lines, reverse=True):
        lines.insert(place, b"")
    file = tmp_path_factory.mktemp("pairs") / "pairs.txt"
    file.write_bytes(b"\n".join(lines))
    if not lines[0]:
        lines.append(b"")  # a first line that is empty is read in the other way
    found = template_pairs.read(str(file))
    assert content_of(found) == [(str(one), str(other), same == 1, 0) for one, other, same in pairs]
    assert found.lines.tolist() == [number for number, line in enumerate(lines, 1) if line]


@pytest.mark.parametrize(
    ("content", "is_of_templates"),
    [
        (b"1 11065 1\n", True),
        (b"\n11,502\n", True),
        (b"ENROLL_TEMPLATE_ID,VERIF_TEMPLATE_ID\n", True),
        (b"template_a,template_b,same\n", True),
        (b"10 300\n", False),
        (b"1 Ann/1.jpg Ann/2.jpg\n", False),
        (b"1 id10270/5r0.wav id10270/8jE.wav\n", False),
        (b"Ann 1 2\n", False),
        (b"a,b,same\n", False),
        (b"", False),
    ],
)
def test_the_first_line_tells_pairs_of_templates_from_pairs_of_images(written, content, is_of_templates):
    assert template_pairs.is_of_templates(written(content)) == is_of_templates
    assert not template_pairs.is_of_templates("/nowhere/pairs.txt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", [": is empty; it has to be a list of pairs of templates"]),
        (
            b"10 300 5 6\n",
            [
                ":1: is no pair of templates: two ids and 1 or 0, such as '1 11065 1', or two ids with a comma between "
                "them, or the names of such columns: a,b,same,fold"
            ],
        ),
        (
            b"1 2 1\n3 4\n5 6 0 1\n7 8 0\n",
            [
                ":2: has 2 fields; a line of this list has 3: two templates and 1 or 0",
                ":3: has 4 fields; a line of this list has 3: two templates and 1 or 0",
            ],
        ),
        (b"1 2 1\n1 3 2\n", [":2: '2' is neither 1 nor 0: 1 means that both templates show one person"]),
        (b"1,2\n3\n", [":2: has 1 field; a line of this list has 2: two templates"]),
        (b"1 2 0\n5 5 1\n", [":2: compares template '5' with itself"]),
        (b"x y 0\nx x 1\n", [":2: compares template 'x' with itself"]),
        (b"a,b,same\n", [": lists no pair; add lines with two templates each"]),
        (
            b"a,b,same,fold\n1,2,1,\n",
            [":2: has 3 fields; a line of this list has 4: two templates and 1 or 0 and a fold"],
        ),
        (b"1 2 1\n\xff 4 1\n", [": is not UTF-8 text; it has to be a list of pairs of templates"]),
    ],
)
def test_what_is_wrong_is_said_of_each_line(written, content, said):
    path = written(content)
    with pytest.raises(InputError) as caught:
        template_pairs.read(path)
    assert [str(problem).removeprefix(path) for problem in caught.value.problems] == said


def test_a_pair_of_a_template_that_is_not_listed_is_refused(written, tmp_path):
    listed = tmp_path / "templates.txt"
    listed.write_bytes(b"1.jpg 1 1\n2.jpg 11065 2\n")
    templates = template_list.read([str(listed)])
    path = written(b"1 11065 1\n1 11066 0\n")
    with pytest.raises(InputError) as caught:
        template_pairs.check(template_pairs.read(path), templates)
    assert str(caught.value) == f"{path}:2: template '11066' is not in the list of templates, {listed}"
    template_pairs.check(template_pairs.read(written(b"1 11065 1\n")), templates)


def test_a_long_list_makes_no_object_for_each_pair(written):
    """Of IJB-C there are 15,658,489 pairs: what is kept of each are four numbers at most."""
    random = np.random.default_rng(0)
    rows = np.stack([random.integers(0, 500, 20_000), random.integers(500, 1000, 20_000)], axis=1)
    pairs = template_pairs.read(written(b"".join(b"%d %d 0\n" % (one, other) for one, other in rows.tolist())))
    assert len(pairs.images) == len(np.unique(rows))
    assert pairs.rows.nbytes + pairs.same.nbytes + pairs.lines.nbytes <= 20_000 * (8 + 1 + 4)
    assert pairs.fold.strides == (0,)
