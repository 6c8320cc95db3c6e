"""What a person reads when their input is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp.errors import MOST_LETTERS, InputError, Problem, did_you_mean, plain, printable, shortened


def test_a_problem_says_where_and_what():
    assert str(Problem("unknown key", "x.toml:3")) == "x.toml:3: unknown key"
    assert str(Problem("unknown key")) == "unknown key"


@given(st.text())
def test_a_problem_is_always_one_line(message):
    assert len(str(Problem(message, "x.toml:3")).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jörg 損失 👨‍👩‍👧 a b", "Jörg 損失 👨‍👩‍👧 a b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066a\u2069\u200e\u200f\u061c", r"\u2066a\u2069\u200e\u200f\u061c"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\0\x7f\x85\x9b", r"\x00\x7f\x85\x9b"),
        ("\u2028\u2029", r"\u2028\u2029"),
        (b"J\xf6rg".decode("utf-8", "surrogateescape"), r"J\udcf6rg"),
        ("\ufffe\uffff\ufeff", r"\ufffe\uffff\ufeff"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_could_do_harm_is_shown_as_an_escape(text, expected):
    assert printable(text) == expected
    assert str(Problem("wrong", text)) == f"{expected}: wrong"


@given(st.text(st.characters()))
def test_printable_text_is_one_line_that_every_file_can_hold(text):
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode() == printable(shown).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As Keras writes the message of a layer that raises.
        (
            "Exception in call().\n\n\x1b[1mMatrix size-incompatible\x1b[0m\n",
            "Exception in call(). Matrix size-incompatible",
        ),
        ("\x1b[38;5;196mred\x1b[K\x9b2J", "red"),
        ("\x1b]8;;https://x.org\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1bcreset\x1b(B", "reset"),
        ("\x1b]0;never ends", r"\x1b]0;never ends"),
        ("\x1b", r"\x1b"),
        ("a\u2028b\u202ec", r"a b\u202ec"),
    ],
)
def test_the_message_of_a_library_is_one_plain_line(text, expected):
    assert plain(text) == expected


@given(st.text(st.characters(), max_size=50).map(lambda text: f"\x1b[1m{text}\x1b[0m"), st.integers(1, 2000))
def test_a_plain_message_is_never_long_and_holds_no_sequence(text, times):
    message = plain(text * times)
    assert message == printable(message)
    assert len(message) < MOST_LETTERS + 50


def test_a_long_message_keeps_its_ends_and_says_how_much_is_left_out():
    text = str(Problem("unknown key " + "x" * 5000 + "; known: margin", "x.toml:3"))
    assert text.startswith("x.toml:3: unknown key xxx")
    assert text.endswith("xxx; known: margin")
    assert "[... 3,527 more letters ...]" in text
    assert len(text) < MOST_LETTERS + 60
    assert shortened("x" * MOST_LETTERS) == "x" * MOST_LETTERS


@pytest.mark.parametrize("given_as", ["one", Problem("one"), [Problem("one")], iter([Problem("one")])])
def test_an_input_error_carries_problems_however_it_is_made(given_as):
    assert InputError(given_as).problems == (Problem("one"),)


def test_an_input_error_reads_as_one_line_for_each_problem():
    error = InputError([Problem("no such key", "x.toml:1"), Problem("too\nlarge", "x.toml:2")])
    assert str(error) == "x.toml:1: no such key\nx.toml:2: too large"


def test_a_near_name_is_suggested():
    assert did_you_mean("margn", ["margin", "pairs"]) == "did you mean 'margin'?"


def test_several_near_names_are_suggested_the_nearest_first():
    assert did_you_mean("folds", ["fold", "folds2", "seeds"]) == "did you mean 'folds2' or 'fold'?"


def test_without_a_near_name_all_are_listed():
    assert did_you_mean("zzz", ["pairs", "margin"]) == "known: margin, pairs"
    assert did_you_mean("zzz", ["pairs", "margin"], always_list=False) == ""


def test_where_nothing_is_known_nothing_is_suggested():
    assert did_you_mean("margin", []) == ""
