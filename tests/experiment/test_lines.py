"""Where the statements of a TOML text begin, and what the parser is not given."""

from __future__ import annotations

import tomllib

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.experiment.lines import MAX_DEPTH, MAX_WORD, KeyPath, _enter, locate, too_much, walk


def located_slowly(text):
    """Return what ``locate`` does, by a parser that is tried on more and more lines until they are a statement."""
    lines, start = text.split("\n"), 0
    header: KeyPath = ()
    lines_of_keys: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}
    for end in range(1, len(lines) + 1):
        try:
            statement = tomllib.loads("\n".join(lines[start:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        if lines[start].lstrip().startswith("["):
            header = _enter(statement, tables)
            new = [header[:depth] for depth in range(1, len(header) + 1)]
        else:
            new = [(*header, *path) for path, _ in walk(statement)]
        for path in new:
            lines_of_keys.setdefault(path, start + 1)
        start = end
    return lines_of_keys


TEXTS = st.text("ab\n\t\"'#[]{}=.,\\ é", max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | TEXTS | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=15,
)


@settings(max_examples=150)
@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.booleans(), st.sampled_from(["", "# [ { \" '''\n", "\n\n"]))
def test_lines_are_those_of_a_parser_that_is_tried_on_more_and_more_lines(data, long_texts, above):
    text = above + tomli_w.dumps(data, multiline_strings=long_texts)
    assert locate(text) == located_slowly(text)


@pytest.mark.parametrize(
    "text",
    [
        'a = """""" # """\nb = """\n"" \\""" " """""\nc = 1',
        "a = '''''' # '''\nb = '''\n'' ' '''''\nc = 1",
        'a = "\\\\" # "\nb = \'\\\'\nc = "\\"["\nd = 1',
        "a = [ # ]\n  ']', # [\n  [\n  1 ] ]\nb = 1",
        "a = { b = ']', c = [\n'}',\n] }\nd = 1",
        "# '\na = 1 # \"\n[b] # [\nc = 2",
        "\n\n[[a]]\n\n  [[a.b]] # x\nc.d = 1\n[[a]]\n",
    ],
)
def test_quotes_comments_and_brackets_inside_each_other(text):
    assert locate(text) == located_slowly(text)


def nested(depth):
    return "a = " + "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (nested(MAX_DEPTH), None),
        (f"b = 1\n{nested(MAX_DEPTH + 1)}", (2, "lists and tables are nested more than 16 levels deep")),
        ("[" * 900_000, (1, "lists and tables are nested more than 16 levels deep")),
        ("a = " + "{ a = " * 900, (1, "lists and tables are nested more than 16 levels deep")),
        ("a." * 15 + "a = 1", None),
        ("\n\n" + "a." * 16 + "a = 1", (3, "a key has more than 16 parts")),
        (f"[{'a.' * 20_000}a]", (1, "a key has more than 16 parts")),
        (f"a = {{ {'a . ' * 20_000}a = 1 }}", (1, "a key has more than 16 parts")),
        ("a = [" + "1.5, " * 100 + "]", None),
        ("a = " + "9" * MAX_WORD, None),
        ("a = " + "9" * 5000, (1, "a number or a key without quotes has more than 1,000 letters")),
        (f"a = '{'[' * 5000}{'.' * 5000}' # {'[' * 5000}", None),
        (f'a = """\n{"[" * 5000}"""\nb = "{"9" * 5000}"', None),
        ('a = "never closed\n' + "[" * 5000, None),
    ],
    ids=range(14),
)
def test_what_the_parser_is_not_given(text, expected):
    assert too_much(text) == expected
