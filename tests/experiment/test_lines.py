"""Where the statements of a TOML text begin, and what the parser is not given."""

from __future__ import annotations

import tomllib

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.experiment.lines import MAX_DEPTH, MAX_WORD, KeyPath, _enter, locate, too_much, walk


def located_slowly(text):
    """Return what ``locate`` does, by a parser that is tried on more and more lines until they are a statement.

    Of what is inside a list, it returns the lines between which it is: those of the whole statement.
    """
    lines, start = text.split("\n"), 0
    header: KeyPath = ()
    lines_of_keys: dict[KeyPath, int] = {}
    inside: dict[KeyPath, tuple[int, int]] = {}
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
            of_lists = {(*header, *path) for path, _ in walk(statement) if any(isinstance(part, int) for part in path)}
            inside |= dict.fromkeys(of_lists, (start + 1, end))
            new = [(*header, *path) for path, _ in walk(statement) if (*header, *path) not in of_lists]
        for path in new:
            lines_of_keys.setdefault(path, start + 1)
        start = end
    return lines_of_keys, inside


def check_located(text):
    """Compare the lines of keys; items of lists have to be inside their statement, and none before its neighbour."""
    located, (expected, inside) = locate(text), located_slowly(text)
    assert {path: line for path, line in located.items() if path not in inside} == expected
    assert set(located) == {*expected, *inside}
    assert all(first <= located[path] <= last for path, (first, last) in inside.items())
    begun = [located[path] for path, _ in walk(tomllib.loads(text)) if path in inside and isinstance(path[-1], int)]
    assert begun == sorted(begun)


TEXTS = st.text("ab\n\t\"'#[]{}=.,\\ é", max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | TEXTS | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=15,
)


@settings(max_examples=150)
@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.booleans(), st.sampled_from(["", "# [ { \" '''\n", "\n\n"]))
def test_lines_are_those_of_a_parser_that_is_tried_on_more_and_more_lines(data, long_texts, above):
    check_located(above + tomli_w.dumps(data, multiline_strings=long_texts))


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
    check_located(text)


# What an item of a list may look like: one on a line, and some on several.
ITEMS = st.sampled_from(
    [
        "1",
        "-1.5e3",
        '"]"',
        "'#, ['",
        "true",
        "2020-01-01",
        "{ a = 1, b = [1, 2] }",
        "{ a = [\n1,\n] }",
        '"""\n,\n"""',
        "[]",
    ]
)
GAPS = st.sampled_from(["", " ", "\n", "\n\n", " # [ , ] {\n"])


@given(st.lists(st.tuples(GAPS, ITEMS, GAPS), max_size=6), st.booleans())
def test_what_is_in_a_list_is_where_its_item_begins(items, ends_with_comma):
    text, lines = "\nkey = [", []
    for number, (before, item, after) in enumerate(items):
        text += ("," if number else "") + before
        lines.append(text.count("\n") + 1)
        text += item + after
    text += ("," if items and ends_with_comma else "") + "]\nnext = 1\n"
    located = locate(text)
    for number, line in enumerate(lines):
        assert {located[path] for path in located if path[:2] == ("key", number)} == {line}
    assert located["key",] == 2
    assert located["next",] == text.count("\n")


def test_lists_in_lists_have_lines_of_their_own():
    located = locate("a.b = [\n  [\n    1, 2,\n    3,\n  ],\n  [ 4,\n  5 ],\n]")
    assert located["a", "b"] == 1
    assert [located["a", "b", 0], located["a", "b", 1]] == [2, 6]
    assert [located["a", "b", 0, item] for item in range(3)] == [3, 3, 4]
    assert [located["a", "b", 1, item] for item in range(2)] == [6, 7]


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
