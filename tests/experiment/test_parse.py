"""From TOML to an experiment: lines, overrides, grids, and every mistake where it was written."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from faceexp.contract import RESERVED
from faceexp.errors import InputError, Problem
from faceexp.experiment import parse, toml
from faceexp.experiment.lines import locate, walk
from faceexp.experiment.ranges import ranges_of, settled
from faceexp.experiment.schema import PluginRef

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))

BASE = """\
name = "example"
seeds = [0, 1]
[dataset]
plugin = "faces"
people = 20
[protocol]
kind = "open_set"
[model]
plugin = "trunk"
embedding_dim = 64
depth = 3
[pretrain]
epochs = 10
[finetune]
steps = 100
[finetune.sampler]
plugin = "drawn"
classes = 8
images = 2
"""


def parsed(losses='[[losses]]\nplugin = "pull"\n', base=BASE, overrides=()):
    """Return the experiment of a text without mistakes, and the plugins that it names."""
    experiment, problems, references = parse.parse(toml.parse_text(base + losses, "x.toml", overrides))
    assert problems == []
    assert experiment is not None
    return experiment, references


def mistakes(losses='[[losses]]\nplugin = "pull"\n', base=BASE, overrides=()):
    """Return every mistake of a text, one line each."""
    experiment, problems, _ = parse.parse(toml.parse_text(base + losses, "x.toml", overrides))
    assert experiment is None
    return [str(problem) for problem in parse.in_order(problems)]


def labels(losses):
    return [entry.label for entry in parsed(losses)[0].losses]


def refused(text, overrides=()):
    with pytest.raises(InputError) as caught:
        toml.parse_text(text, "x.toml", overrides)
    return [str(problem) for problem in caught.value.problems]


# Lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\n\n# a = 2\nb = 2", {("a",): 1, ("b",): 4}),
        ("a = [\n  1,\n  2,\n]\nb = 3", {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("b",): 5}),
        ('a = """\n[b]\nc = 1\n"""\nd = 1', {("a",): 1, ("d",): 5}),
        ("a = '''\n# x'''\nd = 1", {("a",): 1, ("d",): 3}),
        ("a = { b = 1, c = { d = 2 } }", {("a",): 1, ("a", "b"): 1, ("a", "c"): 1, ("a", "c", "d"): 1}),
        ("a.b = 1\na.c.d = 2", {("a",): 1, ("a", "b"): 1, ("a", "c"): 2, ("a", "c", "d"): 2}),
        ('"a.b".c = 1', {("a.b",): 1, ("a.b", "c"): 1}),
        ("[a.b]\nc = 1\n[a]\nd = 2", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 2, ("a", "d"): 4}),
        ("  [ a . 'b c' ] # d\n", {("a",): 1, ("a", "b c"): 1}),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2, ("a", 1): 3, ("a", 1, "b"): 4}),
        ("[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\nc = 2", {
            ("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2, ("a", 0, "b", "c"): 3,
            ("a", 1): 4, ("a", 1, "b"): 5, ("a", 1, "b", "c"): 6,
        }),
        ("[[a]]\n[[a.b]]\n[[a.b]]\nc = 1", {
            ("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2, ("a", 0, "b", 0): 2, ("a", 0, "b", 1): 3, ("a", 0, "b", 1, "c"): 4
        }),
        ("a = 1\r\n\r\nb = 2\r\n", {("a",): 1, ("b",): 3}),
        ('a = "one\u2028line\x85still"\nb = 1', {("a",): 1, ("b",): 2}),
        ("", {}),
    ],
)  # fmt: skip
def test_every_construct_is_found_on_its_line(text, expected):
    assert locate(text) == expected


STATEMENTS = {
    "comment": ["# k = 1"],
    "blank": [""],
    "number": ["{k} = 1  # [k]"],
    "text": ['{k} = "# not a comment = [\u2028"'],
    "long text": ['{k} = """', "k = 1", "[k]", "", '"""'],
    "list": ["{k} = [", "  1, # one", "", "  [2, 3],", "]"],
    "inline": ["{k} = {{ a = 1, b = {{ c = [2] }} }}"],
    "dotted": ['{k}.a."b.c" = 1'],
    "table": ["[{k}]"],
    "subtable": ["[{k}.a]"],
    "row": ["[[rows]]"],
    "part of a row": ["[rows.{k}]"],
}
# What is inside, and how many lines below the beginning.
INSIDE: dict[str, dict[tuple[str | int, ...], int]] = {
    "list": {(0,): 1, (1,): 3, (1, 0): 3, (1, 1): 3},
    "inline": {("a",): 0, ("b",): 0, ("b", "c"): 0, ("b", "c", 0): 0},
    "dotted": {("a",): 0, ("a", "b.c"): 0},
}


def written(kinds):
    """Write a document of such statements; return it and the line of everything in it."""
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    header: tuple[str | int, ...] = ()
    rows = -1
    for number, kind in enumerate(kinds):
        key, line = f"k{number}", len(lines) + 1
        if kind == "part of a row" and rows < 0:
            continue
        lines += [text.format(k=key) for text in STATEMENTS[kind]]
        if kind in ("comment", "blank"):
            continue
        if kind == "row":
            rows += 1
        places = {
            "table": (key,),
            "subtable": (key, "a"),
            "row": ("rows", rows),
            "part of a row": ("rows", rows, key),
        }
        header = places.get(kind, header)
        inside = {(*header, key, *inner): below for inner, below in INSIDE.get(kind, {}).items()}
        for path, below in ({header: 0} if kind in places else {(*header, key): 0} | inside).items():
            for depth in range(1, len(path) + 1):
                expected.setdefault(path[:depth], line + below)
    return "\n".join(lines), expected


@given(st.lists(st.sampled_from(list(STATEMENTS)), max_size=15))
def test_lines_of_any_document(kinds):
    text, expected = written(kinds)
    assert locate(text) == expected
    assert locate(text.replace("\n", "\r\n")) == expected


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_lines_are_those_at_which_the_prefixes_of_a_file_begin_to_hold_a_key(path):
    text = path.read_text(encoding="utf-8")
    lines, start = text.split("\n"), 0
    slow: dict[tuple[str | int, ...], int] = {}
    for end in range(1, len(lines) + 1):
        if start == end - 1 and lines[start].strip()[:1] in ("", "#"):
            start = end
            continue
        try:
            data = tomllib.loads("\n".join(lines[:end]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        for key, _ in walk(data):
            slow.setdefault(key, start + 1)
        start = end
    assert locate(text) == slow


def test_a_long_file_is_searched_in_time_proportional_to_its_length():
    text = '[[losses]]\nplugin = "pull"\nmargin = 1.0\n' * 5000
    assert locate(text)["losses", 4999, "margin"] == 15000


def test_a_place_that_is_not_in_the_file_is_the_table_around_it():
    document = toml.parse_text("[a]\nb = 1\n", "x.toml")
    assert document.where(("a", "b")) == "x.toml:2"
    assert document.where(("a", "missing")) == "x.toml:1"
    assert document.where(("missing",)) == "x.toml"
    assert document.problem(("a", "b"), "is wrong") == Problem("a.b: is wrong", "x.toml:2")


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("a",), "a"), (("losses", 2, "grid", "margin", 0), "losses[2].grid.margin[0]")],
)
def test_paths_are_spelled_as_people_do(path, text):
    assert toml.spell(path) == text


# Reading


def test_a_file_is_read(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf# saved by an editor that marks its files\r\na = 1\r\n")
    document = toml.read(path)
    assert document.data == {"a": 1}
    assert document.where(("a",)) == f"{path}:2"


def test_what_is_no_readable_text_file_is_refused_with_its_path(tmp_path):
    (tmp_path / "latin.toml").write_bytes('name = "J\xfcrgen"'.encode("latin-1"))
    (tmp_path / "large.toml").write_bytes(b"#" * (toml.MAX_FILE_BYTES + 1))
    expected = {
        "missing.toml": "no such file; an experiment is a TOML file",
        ".": "is a folder, not an ordinary file; an experiment is a TOML file",
        "latin.toml": "is not UTF-8 text (byte 9); save it as UTF-8",
        "large.toml": "has 1,000,001 bytes; 1,000,000 are the most that are read; an experiment is a TOML file",
    }
    for name, message in expected.items():
        path = tmp_path / name
        with pytest.raises(InputError) as caught:
            toml.read(path)
        assert caught.value.problems == (Problem(message, str(path)),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nname = smoke\n", "x.toml:2: is not valid TOML: Invalid value; text must stand in quotes"),
        ("a = 1\r\n\r\nb\r\n", "x.toml:3: is not valid TOML: Expected '=' after a key in a key/value pair"),
        ("a = 1\n[b\n", "x.toml:2: is not valid TOML: Expected ']' at the end of a table declaration"),
        ("a = 1\nb = 2\na = 3\n", "x.toml:3: is not valid TOML: Cannot overwrite a value"),
        (
            'a = 1\nb = """\nnever\nclosed\n',
            "x.toml:4: is not valid TOML: Unterminated string; the quote at its end may be missing",
        ),
        ("a = 1\nb = [1", "x.toml:2: is not valid TOML: Unclosed array"),
    ],
)
def test_malformed_toml_is_refused_with_its_line(text, message):
    assert refused(text) == [message]


@pytest.mark.parametrize("text", ['name = "mine\nseeds = [0]', "name = 'mine\nseeds = [0]", 'name = "mine', 'a = """b'])
def test_a_quote_that_is_never_closed_is_told_to_be_missing(text):
    (line,) = refused(text)
    assert "is not valid TOML: " in line
    assert line.endswith("; the quote at its end may be missing")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('path = "C:\\Users\\me"', "x.toml:1: is not valid TOML: Invalid hex value"),
        ('path = "D:\\me"', "x.toml:1: is not valid TOML: Unescaped '\\' in a string"),
        ('path = "C:\\faces\\"', "x.toml:1: is not valid TOML: Unterminated string"),
        ('path = "C:\\faces\\"\nb = 1', "x.toml:1: is not valid TOML: Illegal character '\\n'"),
        ('path = "D:\\xyz"', "x.toml:1: is not valid TOML: Unescaped '\\' in a string"),
        ('path = "D:\\ud800"', "x.toml:1: is not valid TOML: Escaped character is not a Unicode scalar value"),
    ],
)
def test_a_windows_path_in_double_quotes_is_told_what_to_write(text, where):
    (line,) = refused(text)
    assert line.startswith(where)
    assert line.endswith("; write a Windows path in 'single quotes', or with forward slashes (/)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = " + "[" * 5000, "x.toml:2: lists and tables are nested more than 16 levels deep, which no experiment needs"),
        ("a." * 20_000 + "a = 1", "x.toml:1: a key has more than 16 parts, which no experiment needs"),
        ("a = " + "9" * 5000, "x.toml:1: a number or a key without quotes has more than 1,000 letters, which no experiment needs"),
        ("[a.b.c.d]\ne.f.g.h = [[[[[[[[[1]]]]]]]]]", "x.toml:2: a.b.c.d.e.f.g.h[0][0][0][0][0][0][0][0][0]: is nested more than 16 levels deep, which no experiment needs"),
        ("[a]\nb = [1, 9223372036854775808]", "x.toml:2: a.b[1]: is a whole number of more than 64 bits, which TOML does not have"),
        ("a = 0x" + "f" * 900, "x.toml:1: a: is a whole number of more than 64 bits, which TOML does not have"),
        ('"k\\u0000" = "a"', "x.toml:1: 'k\\x00': holds a null character, which no name of a file and no text can"),
        ('a = "b\\u0000"', "x.toml:1: a: holds a null character, which no name of a file and no text can"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_no_experiment_holds_is_refused_in_one_line(text, message):
    assert refused(text) == [message]


def test_odd_keys_are_shown_in_quotes_and_cut():
    assert toml.spell(("a b", "", "c.d", "é", "\n")) == "'a b'.''.'c.d'.é.'\\n'"
    assert len(toml.spell(("k" * 5000, 0))) < 70


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "null", "empty", "long", "missing"])
def test_only_an_ordinary_file_is_read(tmp_path, kind):
    path = tmp_path / "x.toml"
    message = {
        "pipe": "is a pipe, not an ordinary file",
        "device": "is a device, not an ordinary file",
        "folder": "is a folder, not an ordinary file",
        "empty": "is a folder, not an ordinary file",
        "loop": "cannot be read: ",
        "null": "is no name of a file",
        "long": "cannot be read: ",
        "missing": "no such file",
    }[kind]
    named: str | Path = path
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind != "missing":
        named = {"device": "/dev/zero", "null": "a\0b", "empty": "", "long": "x" * 100_000}[kind]
    for spelled in (named, str(named), os.fsencode(named)):
        with pytest.raises(InputError, match="; an experiment is a TOML file") as caught:
            toml.read(spelled)
        (problem,) = caught.value.problems
        assert problem.message.startswith(message)
        assert len(problem.where) < 700
        assert problem.where.isprintable()


# Overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("finetune.steps=7", ("finetune", "steps"), 7),
        ("finetune.steps = 7", ("finetune", "steps"), 7),
        ("finetune.learning_rate=1e-4", ("finetune", "learning_rate"), 1e-4),
        ("name=plain", ("name",), "plain"),
        ("name='quoted'", ("name",), "quoted"),
        ("description=two words = three", ("description",), "two words = three"),
        ("seeds=[4, 5]", ("seeds",), [4, 5]),
        ("seeds.1=9", ("seeds", 1), 9),
        ("losses.0.margin=3.0", ("losses", 0, "margin"), 3.0),
        ("losses[0].margin=3.0", ("losses", 0, "margin"), 3.0),
        ("augment.flip=true", ("augment", "flip"), True),
        ("pretrain={ enabled = false }", ("pretrain",), {"enabled": False}),
    ],
)
def test_an_override_replaces_or_adds_a_value(override, path, value):
    document = toml.parse_text(BASE + '[[losses]]\nplugin = "pull"\n', "x.toml", (override,))
    found = document.data
    for part in path:
        found = found[part]
    assert found == value
    assert document.where(path) == f"--set {override}"


def test_later_overrides_win():
    assert parsed(overrides=("finetune.steps=7", "finetune.steps=8"))[0].finetune.steps == 8


def test_overrides_that_make_no_sense_are_refused_together():
    wrong = ("steps", "=3", "losses.4.margin=1", "name.x=1", "losses.x=1", "seeds.²=1")
    assert refused(BASE + '[[losses]]\nplugin = "pull"\n', wrong) == [
        "--set steps: write it as table.key=value, for instance finetune.steps=100",
        "--set =3: write it as table.key=value, for instance finetune.steps=100",
        "--set losses.4.margin=1: there is no 4 to set 'margin' in",
        "--set name.x=1: 'x' cannot be set there",
        "--set losses.x=1: 'x' cannot be set there",
        "--set seeds.²=1: '²' cannot be set there",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("=1", "write it as table.key=value, for instance finetune.steps=100"),
        (".=1", "write it as table.key=value, for instance finetune.steps=100"),
        ("a..b=1", "write it as table.key=value, for instance finetune.steps=100"),
        ("[0]=1", "write it as table.key=value, for instance finetune.steps=100"),
        ("losses[99999999].x=1", "there is no 99999999 to set 'x' in"),
        (f"losses[{'9' * 5000}].x=1", f"there is no {'9' * 57}... to set 'x' in"),
        ("losses.-1.x=1", "there is no -1 to set 'x' in"),
        ("a" + "[0]" * 10_000 + "=1", "the key has more than 16 parts"),
        ("a." * 10_000 + "a=1", "the key has more than 16 parts"),
        ("description=\udcff", "is not UTF-8 text"),
        ("a\udcff=1", "is not UTF-8 text"),
    ],
    ids=range(11),
)
def test_an_odd_override_is_refused_in_one_short_line(override, message):
    (line,) = refused(BASE + '[[losses]]\nplugin = "pull"\n', (override,))
    assert line.startswith("--set ")
    assert line.endswith(f": {message}")
    assert len(line) < 400
    assert line.isprintable()


@pytest.mark.parametrize("text", ["[" * 2000, "9" * 5000, "99999999999999999999", "1\n[x]\ny = 2", "2024-11-25T", "[1"])
def test_what_is_no_value_of_toml_is_text(text):
    assert toml.parse_text("", "x.toml", (f"a={text}",)).data == {"a": text}


def test_a_number_counts_the_items_of_a_list_and_is_a_name_in_a_table():
    assert toml.parse_text("[a]\nb = [5, 6]\n", "x.toml", ("a.0=1", "a.b.1=7")).data == {"a": {"0": 1, "b": [5, 7]}}


def test_a_mistake_in_an_override_is_reported_there():
    assert mistakes(overrides=("finetune.stepz=3", "no.such.table=1", "seeds.0=-1")) == [
        "--set seeds.0=-1: seeds[0]: must be greater than or equal to 0, not -1",
        "--set finetune.stepz=3: finetune.stepz: unknown key; did you mean 'steps'?",
        (
            "--set no.such.table=1: no: unknown key; known: augment, baselines, dataset, description, device, evaluation, executor, finetune, keep, "
            "limits, losses, model, name, preprocess, pretrain, pretrained, protocol, published, search, seeds, test_sets, trackers, verdict"
        ),
    ]


# What a file means


def test_a_plugins_own_options_are_told_apart_from_the_tables():
    experiment, references = parsed('[[losses]]\nplugin = "pull"\nmargin = 1.0\n')
    assert experiment.dataset == PluginRef(plugin="faces", options={"people": 20})
    assert (experiment.model.embedding_dim, experiment.model.options) == (64, {"depth": 3})
    assert experiment.finetune.sampler.options == {"classes": 8, "images": 2}
    assert experiment.losses[0].options == {"margin": 1.0}
    assert [(r.kind, r.name, dict(r.options), r.path) for r in references] == [
        ("dataset", "faces", {"people": 20}, ("dataset",)),
        ("model", "trunk", {"depth": 3}, ("model",)),
        ("sampler", "drawn", {"classes": 8, "images": 2}, ("finetune", "sampler")),
        ("loss", "pull", {"margin": 1.0}, ("losses", 0)),
    ]


def test_what_a_file_leaves_out_has_defaults():
    experiment, _ = parsed()
    assert experiment.preprocess.size == (96, 96)
    assert experiment.protocol.folds == 1
    assert experiment.finetune.trainable == "embedding"
    assert experiment.baselines == ("pixels", "pca", "untrained", "phase1")


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ('[[losses]]\nplugin = "pull"', ["pull"]),
        ('[[losses]]\nplugin = "pull"\nmargin = 30.0\npairs = "all"', ["pull(margin=30, pairs=all)"]),
        ('[[losses]]\nplugin = "pull"\nnormalize = true', ["pull(normalize=true)"]),
        ('[[losses]]\nplugin = "pull"\nmargin = 30.0\nlabel = "mine"', ["mine"]),
        ('[[losses]]\nplugin = "pull"\ngrid = { margin = [1.0, 0.25] }', ["pull(margin=1)", "pull(margin=0.25)"]),
        ('[[losses]]\nplugin = "pull"\nlabel = "mine"\ngrid = { margin = [1.0] }', ["mine(margin=1)"]),
        ('[[losses]]\nplugin = "pull"\npairs = "all"\ngrid = { margin = [1.0] }', ["pull(margin=1)"]),
        (
            '[[losses]]\nplugin = "pull"\ngrid = { margin = [1.0, 2.0], pairs = ["all", "halves"] }',
            [f"pull(margin={margin}, pairs={pairs})" for margin in (1, 2) for pairs in ("all", "halves")],
        ),
        (
            '[[losses]]\nplugin = "pull"\ngrid = { margin = [1.0000001, 1.0000002] }',
            ["pull(margin=1.0000001)", "pull(margin=1.0000002)"],
        ),
    ],
)
def test_labels(losses, expected):
    assert labels(losses) == expected


def test_a_grid_gives_one_loss_for_each_point():
    experiment, references = parsed('[[losses]]\nplugin = "pull"\npairs = "all"\ngrid = { margin = [1.0, 2.0] }\n')
    expected = [{"pairs": "all", "margin": 1.0}, {"pairs": "all", "margin": 2.0}]
    assert [entry.options for entry in experiment.losses] == expected
    assert [reference.options for reference in references if reference.kind == "loss"] == expected


def test_a_loss_may_be_trained_in_its_own_way():
    experiment, _ = parsed(
        """
[[losses]]
plugin = "pull"
[[losses]]
plugin = "push"
pretrain = { enabled = false }
finetune = { trainable = "all", learning_rate = 1e-4 }
"""
    )
    shared, own = experiment.losses
    assert (shared.pretrain, shared.finetune) == (experiment.pretrain, experiment.finetune)
    assert (own.pretrain.enabled, own.pretrain.epochs) == (False, 10)
    assert (own.finetune.trainable, own.finetune.learning_rate, own.finetune.steps) == ("all", 1e-4, 100)
    assert own.finetune.sampler == experiment.finetune.sampler


def test_options_of_a_sampler_change_the_shared_one_and_another_sampler_starts_afresh():
    experiment, references = parsed(
        """
[[losses]]
plugin = "pull"
finetune = { sampler = { images = 4 } }
[[losses]]
plugin = "push"
finetune = { sampler = { plugin = "other" } }
"""
    )
    merged, replaced = (entry.finetune.sampler for entry in experiment.losses)
    assert merged == PluginRef(plugin="drawn", options={"classes": 8, "images": 4})
    assert replaced == PluginRef(plugin="other")
    assert [reference.name for reference in references if reference.kind == "sampler"] == ["drawn", "drawn", "other"]


# Mistakes


def test_every_mistake_is_reported_in_one_pass_where_it_stands():
    text = """\
name = "two words"
seeds = [1, 1]
colour = "gray"
[dataset]
people = 20
[preprocess]
size = [4, 96]
color = "grey"
[protocol]
kind = "open"
folds = "5"
test_fraction = 1.0
[model]
plugin = 3
embedding_dim = 0
[pretrain]
enabled = 1
epoch = 3
[finetune]
steps = 1.5
sampler = "drawn"
[[losses]]
margin = 1.0
[[losses]]
plugin = "pull"
label = ""
[[losses]]
plugin = "pull"
grid = { margin = 1.0 }
[[losses]]
plugin = "push"
margin = 1.0
grid = { margin = [1.0], label = ["a"] }
"""
    names = "`faceexp list-plugins` shows the names"
    assert mistakes(text, base="") == [
        "x.toml:1: name: must be letters, digits, '.', '_' and '-', beginning with a letter or digit, not 'two words'",
        "x.toml:2: seeds: values must not repeat (is [1, 1])",
        (
            "x.toml:3: colour: unknown key; known: augment, baselines, dataset, description, device, evaluation, executor, finetune, keep, "
            "limits, losses, model, name, preprocess, pretrain, pretrained, protocol, published, search, seeds, test_sets, trackers, verdict"
        ),
        f'x.toml:4: dataset: names no plugin; add plugin = "..." (dataset); {names}',
        "x.toml:7: preprocess.size[0]: must be greater than or equal to 8, not 4",
        "x.toml:8: preprocess.color: must be 'gray' or 'rgb', not 'grey'",
        "x.toml:10: protocol.kind: must be 'open_set', 'closed_set', 'pairs_file' or 'listed', not 'open'",
        "x.toml:11: protocol.folds: must be a whole number, not '5'",
        "x.toml:12: protocol.test_fraction: must be less than 1, not 1.0",
        "x.toml:14: model.plugin: must be text in quotes, not 3",
        "x.toml:15: model.embedding_dim: must be greater than or equal to 1, not 0",
        "x.toml:17: pretrain.enabled: must be true or false, not 1",
        "x.toml:18: pretrain.epoch: unknown key; did you mean 'epochs'?",
        "x.toml:20: finetune.steps: must be a whole number, not 1.5",
        "x.toml:21: finetune.sampler: must be a table, not 'drawn'",
        f'x.toml:22: losses[0]: names no plugin; add plugin = "..." (loss); {names}',
        "x.toml:26: losses[1].label: must be a text, not empty",
        "x.toml:29: losses[2].grid: must be a table of lists: grid = { margin = [0.5, 1.0] }",
        "x.toml:33: losses[3].grid.margin: is also given outside the grid; a grid holds options of the loss",
        "x.toml:33: losses[3].grid.label: is reserved; a grid holds options of the loss",
    ]


def test_an_empty_file_says_what_an_experiment_needs():
    names = "`faceexp list-plugins` shows the names"
    assert mistakes("", base="") == [
        f'x.toml: losses: no loss to compare; add [[losses]] with plugin = "..."; {names}',
        "x.toml: name: is missing; add name",
        "x.toml: dataset: is missing; add [dataset]",
        "x.toml: protocol: is missing; add [protocol]",
        "x.toml: model: is missing; add [model]",
        "x.toml: finetune: is missing; add [finetune]",
    ]


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ("dataset = 3", "dataset: must be a table, not 3"),
        ("model = []", "model: must be a table, not []"),
        ('finetune = "x"', "finetune: must be a table, not 'x'"),
        ("protocol = 1", "protocol: must be a table, not 1"),
        ("seeds = 1", "seeds: must be a list, not 1"),
        ("seeds = []", "seeds: must be a list of at least 1, not []"),
        ("seeds = [true]", "seeds[0]: must be a whole number, not True"),
        ("preprocess = { size = [1, 2, 3] }", "preprocess.size: must be a list of at most 2, not [1, 2, 3]"),
        (
            "pretrain = { learning_rate = 1e300 }",
            "pretrain.learning_rate: must be less than or equal to 1000000000000000, not 1e+300",
        ),
        ("preprocess = { size = [96] }", "preprocess.size[1]: is missing; the list is too short"),
        ("baselines = ['eigen']", "baselines[0]: must be 'pixels', 'pca', 'untrained' or 'phase1', not 'eigen'"),
        ("losses = 1", "losses: no loss to compare"),
        ("losses = []", "losses: no loss to compare"),
        ("losses = [1]", "losses: no loss to compare"),
    ],
)
def test_what_is_no_table_or_no_list_is_refused(tables, expected):
    own = tables.partition(" ")[0]
    found = [line for line in mistakes(tables, base="") if line.startswith("x.toml:1:")]
    assert len(found) == 1
    assert found[0].startswith(f"x.toml:1: {expected}")
    assert own in found[0]


def test_finetune_without_a_sampler_says_how_to_name_one():
    assert mistakes(base=BASE.replace("[finetune.sampler]", "[finetune.samplr]")) == [
        (
            'x.toml:14: finetune: names no sampler; add [finetune.sampler] with plugin = "..."; '
            "`faceexp list-plugins` shows the names"
        ),
        "x.toml:16: finetune.samplr: unknown key; did you mean 'sampler'?",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("finetune = { stepz = 3 }", "losses[0].finetune.stepz: unknown key; did you mean 'steps'?"),
        ("finetune = { steps = 0 }", "losses[0].finetune.steps: must be greater than or equal to 1, not 0"),
        ("finetune = { sampler = 3 }", "losses[0].finetune.sampler: must be a table, not 3"),
        ("finetune = 3", "losses[0].finetune: must be a table"),
        ("pretrain = { enabled = 0 }", "losses[0].pretrain.enabled: must be true or false, not 0"),
        ("pretrain = [1]", "losses[0].pretrain: must be a table"),
        ("label = 3", "losses[0].label: must be a text, not empty"),
        (
            'label = "a\\u001bb"',
            "losses[0].label: must be printable and of 200 letters at most, not 'a\\x1bb'; set a shorter label",
        ),
        ("grid = { margin = [] }", "losses[0].grid: must be a table of lists: grid = { margin = [0.5, 1.0] }"),
    ],
)
def test_a_mistake_in_a_loss_is_reported_in_its_table(override, expected):
    assert mistakes(f'[[losses]]\nplugin = "pull"\n{override}\n') == [f"x.toml:22: {expected}"]


def test_a_label_that_is_too_long_is_refused_even_if_options_made_it():
    (problem,) = mistakes(f'[[losses]]\nplugin = "pull"\npath = "{"x" * 200}"\n')
    assert problem.startswith("x.toml:20: losses[0].label: must be printable and of 200 letters at most")


def test_two_losses_with_one_label_are_refused():
    losses = '[[losses]]\nplugin = "pull"\n[[losses]]\nplugin = "push"\nlabel = "pull"\n'
    assert mistakes(losses) == [
        "x.toml:22: losses[1]: label 'pull' is already that of losses[0]; give each its own label"
    ]


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_names_are_no_options(name):
    (problem, *_) = mistakes(f'[[losses]]\nplugin = "pull"\ngrid = {{ {name} = ["a"] }}\n')
    assert problem == f"x.toml:22: losses[0].grid.{name}: is reserved; a grid holds options of the loss"


def test_plugins_are_named_for_checking_although_there_are_mistakes():
    text = BASE.replace("steps = 100", "steps = 0") + '[[losses]]\nplugin = "pull"\nmargin = 1.0\n'
    experiment, problems, references = parse.parse(toml.parse_text(text, "x.toml"))
    assert experiment is None
    assert len(problems) == 1
    assert [reference.kind for reference in references] == ["dataset", "model", "sampler", "loss"]


def test_problems_come_in_the_order_of_the_file_each_once():
    late, early, nowhere = Problem("a", "x.toml:10"), Problem("b", "x.toml:9"), Problem("c", "x.toml")
    assert parse.in_order([late, early, late, nowhere]) == [nowhere, early, late]


@pytest.mark.parametrize(
    ("grid", "points"),
    [
        (", ".join(f"k{key} = {[*range(20)]}" for key in range(5)), "3,200,000"),
        (", ".join(f"k{key} = [1, 2]" for key in range(60)), "more than 10^15"),
        (f"margin = {[*range(1001)]}", "1,001"),
    ],
)
def test_a_grid_of_too_many_points_is_refused_at_its_line_before_it_is_made(grid, points):
    (line,) = mistakes(f'[[losses]]\nplugin = "pull"\ngrid = {{ {grid} }}\n')
    assert line.startswith(
        f"x.toml:22: losses[0].grid: has {points} points, and the experiment compares {points} settings;"
    )
    assert line.endswith("1,000 are the most: leave some values out")


def test_all_grids_and_losses_together_are_a_thousand_at_most():
    half = f'[[losses]]\nplugin = "pull"\nlabel = "{{label}}"\ngrid = {{{{ margin = {[*range(500)]} }}}}\n'
    assert len(labels(half.format(label="a") + half.format(label="b"))) == 1000
    (line,) = mistakes(half.format(label="a") + half.format(label="b") + '[[losses]]\nplugin = "push"\n')
    assert line.startswith(
        "x.toml:23: losses[0].grid: has 500 points, and the experiment compares 1,001 settings; 1,000"
    )
    (line,) = mistakes('[[losses]]\nplugin = "pull"\n' * 1001)
    assert line.startswith("x.toml:20: losses: compares 1,001 settings; 1,000 are the most")


def test_a_run_has_a_hundred_thousand_trials_at_most():
    base = BASE.replace("[0, 1]", str([*range(1000)])).replace('"open_set"', '"open_set"\nfolds = 100')
    assert len(parsed(base=f"baselines = []\n{base}")[0].seeds) == 1000
    assert mistakes('[[losses]]\nplugin = "pull"\n[[losses]]\nplugin = "push"\n', base=base) == [
        "x.toml:2: seeds: 1,000 seeds x 100 folds x 6 rows (losses: 2, baselines: 4) are 600,000 trials; 100,000 are the "
        "most of one run"
    ]
    no_phase_1 = base.replace("epochs = 10", "enabled = false")
    assert mistakes('[[losses]]\nplugin = "pull"\n', base=no_phase_1) == [
        "x.toml:2: seeds: 1,000 seeds x 100 folds x 4 rows (losses: 1, baselines: 3) are 400,000 trials; 100,000 are the "
        "most of one run"
    ]


def test_a_table_of_very_many_mistakes_shows_the_first():
    found = mistakes(base=BASE.replace("[0, 1]", str(["a"] * 5000)))
    assert len(found) == 100
    assert found[0] == "x.toml:2: seeds[0]: must be a whole number, not 'a'"


# Written again


def written_again(experiment):
    again, problems, _ = parse.parse(toml.parse_text(toml.dump(experiment), "spec.toml"))
    assert problems == []
    # Points of a grid are tables of their own in what is written.
    return again.model_copy(
        update={
            "losses": tuple(
                new.model_copy(update={"index": old.index})
                for new, old in zip(again.losses, experiment.losses, strict=True)
            )
        }
    )


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_survives_being_written(path):
    document = toml.read(path)
    # Where the file has ranges, what is written has a value in the place of each.
    experiment, problems, _ = parse.parse(settled(document, ranges_of(document).spaces))
    assert problems == []
    assert written_again(experiment) == experiment


def test_grids_and_overrides_survive_being_written():
    experiment, _ = parsed(
        """
[[losses]]
plugin = "pull"
label = 'a "quoted" label'
grid = { margin = [1.0, 2.5], pairs = ["all", "halves"] }
[[losses]]
plugin = "push"
pretrain = { enabled = false }
finetune = { steps = 7, sampler = { images = 4 } }
[[losses]]
plugin = "push"
label = "patient"
pretrain = { patience = 3 }
"""
    )
    assert experiment.losses[-1].pretrain.patience == 3
    assert written_again(experiment) == experiment


# TOML has the null character; experiment files do not.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(TEXTS.filter(lambda key: key not in RESERVED), VALUES, max_size=4))
def test_whatever_options_a_loss_has_survive_being_written(options):
    losses = [{"plugin": "pull", "label": "a", **options}]
    experiment, _ = parsed(tomli_w.dumps(tomllib.loads(BASE) | {"losses": losses}), base="")
    assert experiment.losses[0].options == options
    assert written_again(experiment) == experiment


LISTS = 'train = "a"\nvalidation = "b"\ntest = "c"'


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ('kind = "listed"', "listed needs train and validation and test, the list of each part"),
        ('kind = "listed"\ntrain = "a"\ntest = "b"', "listed needs validation, the list of each part"),
        ('kind = "open_set"\ntrain = "a"', "train belongs to listed, not to open_set"),
        (
            'kind = "pairs_file"\npath = "x"\ntrain = "a"\ntest = "b"',
            "train and test belong to listed, not to pairs_file",
        ),
        (f'kind = "listed"\n{LISTS}\nfolds = 2', "listed takes its parts from the lists; leave folds out"),
        (f'kind = "listed"\n{LISTS}\nsplit_seed = 2', "listed takes its parts from the lists; leave split_seed out"),
        (f'kind = "listed"\n{LISTS}\npath = "x"', "path belongs to pairs_file, not to listed"),
    ],
)
def test_what_belongs_to_lists_of_parts(protocol, message):
    assert mistakes(base=BASE.replace('kind = "open_set"', protocol)) == [f"x.toml:6: protocol: {message}"]


TEMPLATES = 'path = "pairs.txt"\ntemplate_list = "templates.txt"'


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (f'kind = "listed"\n{LISTS}\ntemplate_list = "t"', ": template_list does not go with listed, whose lists name"),
        (
            'kind = "pairs_file"\ntemplate_list = ["a", "b"]',
            ": template_list needs path, the list of pairs of templates",
        ),
        ('kind = "open_set"\ntemplate_list = 3', ".template_list: must be a list, not 3"),
        ('kind = "open_set"\ntemplate_list = []', ".template_list: must be a list of at least 1, not []"),
        ('kind = "open_set"\ntemplate_list = ["a", "a"]', ".template_list: values must not repeat"),
    ],
)
def test_what_goes_with_a_list_of_templates(protocol, message):
    found = mistakes(base=BASE.replace('kind = "open_set"', protocol))
    assert len(found) == 1
    assert f"protocol{message}" in found[0]


def test_a_list_of_templates_is_judged_by_the_column_that_it_makes():
    of_templates = BASE.replace('kind = "open_set"', f'kind = "pairs_file"\n{TEMPLATES}')
    experiment, _ = parsed(base=of_templates)
    assert experiment.evaluation.templates == "template"
    assert experiment.protocol.template_list == ("templates.txt",)
    assert written_again(experiment) == experiment
    named, _ = parsed('[evaluation]\ntemplates = "video"\n[[losses]]\nplugin = "pull"\n', of_templates)
    assert named.evaluation.templates == "video"
    of_set, _ = parsed(SET.replace('path = "pairs.txt"', 'path = "pairs.txt", template_list = ["a.csv", "b.csv"]'))
    assert of_set.evaluation.templates == "template"
    assert of_set.test_sets[0].protocol.template_list == ("a.csv", "b.csv")
    assert written_again(of_set) == of_set
    assert parsed(SET)[0].evaluation.templates is None
    assert "template_list" not in parsed(SET)[0].test_sets[0].protocol.model_dump()


def test_keys_that_came_later_change_no_digest_of_a_file_without_them():
    """A run's folder is named after a digest of the experiment, and runs of before have to be found again."""
    written = parsed()[0].protocol.model_dump(mode="json")
    assert set(written) == {"kind", "path", "folds", "test_fraction", "validation_fraction", "min_images"}
    fixed = parsed(base=BASE.replace('"open_set"', '"open_set"\nsplit_seed = 0'))[0].protocol
    assert fixed.model_dump(mode="json") == {**written, "split_seed": 0}
    whole = parsed()[0].model_dump(mode="json")
    assert "evaluation" not in whole
    # A table without anything in it asks for nothing.
    assert parsed('[evaluation]\n[[losses]]\nplugin = "pull"\n')[0].model_dump(mode="json") == whole


def test_what_is_measured_besides_survives_being_written():
    experiment, _ = parsed('[evaluation]\nfars = [1e-3, 1e-6]\nidentification = true\n[[losses]]\nplugin = "pull"\n')
    assert (experiment.evaluation.fars, experiment.evaluation.identification) == ((1e-3, 1e-6), True)
    assert written_again(experiment) == experiment
    assert experiment.model_dump(mode="json")["evaluation"] == {"fars": [1e-3, 1e-6], "identification": True}


def test_what_is_asked_without_being_told():
    """MAP@R tells losses apart; a list of pairs is judged as its field does, by accuracy."""
    asked = parsed()[0].verdict
    assert (asked.metric, asked.questions, asked.equivalence) == ("map_at_r", ("helps", "best"), 0.01)
    of_pairs = BASE.replace('kind = "open_set"', 'kind = "pairs_file"\npath = "pairs.txt"')
    assert parsed(base=of_pairs)[0].verdict.metric == "accuracy"
    assert (
        parsed('[verdict]\nequivalence = 0.02\n[[losses]]\nplugin = "pull"\n', of_pairs)[0].verdict.metric == "accuracy"
    )
    assert parsed('[verdict]\nmetric = "auc"\n[[losses]]\nplugin = "pull"\n', of_pairs)[0].verdict.metric == "auc"


def test_what_is_asked_survives_being_written():
    experiment, _ = parsed('[verdict]\nmetric = "eer"\nquestions = ["best"]\n[[losses]]\nplugin = "pull"\n')
    assert experiment.verdict.questions == ("best",)
    assert written_again(experiment) == experiment


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('questions = ["helps", "helps"]', "questions: values must not repeat (is ['helps', 'helps'])"),
        ("questions = []", "questions: must be a list of at least 1, not []"),
        ('questions = ["worst"]', "questions[0]: must be 'helps' or 'best', not 'worst'"),
        ("equivalence = 0", "equivalence: must be greater than 0, not 0"),
        ("equivalence = 1.5", "equivalence: must be less than 1, not 1.5"),
        ('metrics = "auc"', "metrics: unknown key; did you mean 'metric'?"),
    ],
)
def test_mistakes_in_what_is_asked(line, message):
    (found,) = mistakes(f'[verdict]\n{line}\n[[losses]]\nplugin = "pull"\n')
    assert found.startswith(f"x.toml:{BASE.count(chr(10)) + 2}: verdict.{message}")


def test_listed_pairs_cannot_choose_by_neighbours():
    of_pairs = BASE.replace('kind = "open_set"', 'kind = "pairs_file"\npath = "pairs.txt"')
    (message,) = mistakes('[[losses]]\nplugin = "pull"\n[evaluation]\nchoose_by = "map_at_r"\n', base=of_pairs)
    assert message.endswith('evaluation.choose_by = "map_at_r" needs all pairs of images; the list has some')


def test_a_verdict_that_is_no_table_is_one_mistake():
    of_pairs = BASE.replace('kind = "open_set"', 'kind = "pairs_file"\npath = "pairs.txt"')
    (found,) = mistakes(base="verdict = 3\n" + of_pairs)
    assert found == "x.toml:1: verdict: must be a table, not 3"


SET = """
[[losses]]
plugin = "pull"
[[test_sets]]
name = "lfw"
overlap = "warn"
dataset = { plugin = "folder", path = "lfw" }
protocol = { kind = "pairs_file", path = "pairs.txt" }
[[test_sets]]
name = "own"
[test_sets.dataset]
plugin = "photos"
"""


def test_test_sets_name_plugins_as_the_data_set_does():
    experiment, references = parsed(SET)
    first, second = experiment.test_sets
    assert (first.dataset.plugin, first.dataset.options) == ("folder", {"path": "lfw"})
    assert (first.protocol.kind, first.protocol.path, first.overlap) == ("pairs_file", "pairs.txt", "warn")
    assert (second.protocol.kind, second.overlap) == ("all_pairs", "error")
    assert [reference.path for reference in references if reference.kind == "dataset"] == [
        ("dataset",),
        ("test_sets", 0, "dataset"),
        ("test_sets", 1, "dataset"),
    ]
    again, _, _ = parse.parse(toml.parse_text(toml.dump(experiment), "x.toml"))
    assert again == experiment


def test_a_file_without_test_sets_means_what_it_meant_before_there_were_any():
    experiment, _ = parsed()
    assert experiment.test_sets == ()
    assert "test_sets" not in experiment.model_dump()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"own"', '"LFW"', "test_sets[1].name: is already the name of test_sets[0]; give each its own"),
        ('"own"', '"test"', "test_sets[1].name: must not be what a run calls a part of its own data; choose another"),
        ('"own"', '"a/b"', "test_sets[1].name: must be 1 to 40 letters and digits of ASCII, with _ . and - between"),
        ('"warn"', '"ignore"', "test_sets[0].overlap: must be 'error', 'warn' or 'drop', not 'ignore'"),
        ('kind = "pairs_file", ', "", "test_sets[0].protocol: path belongs to pairs_file, not to all_pairs"),
        ('path = "pairs.txt"', 'template_list = "t"', "test_sets[0].protocol: template_list needs path, the list of"),
        ('"pairs_file"', '"open_set"', "test_sets[0].protocol.kind: must be 'all_pairs' or 'pairs_file'"),
        ('plugin = "photos"', 'path = "x"', 'test_sets[1].dataset: names no plugin; add plugin = "..." (dataset)'),
        ('name = "own"\n', "", "test_sets[1].name: is missing; add name"),
        ('name = "own"\n', 'name = "own"\nfolds = 2\n', "test_sets[1].folds: unknown key"),
    ],
)
def test_a_mistake_of_a_test_set_is_told_at_its_place(old, new, message):
    assert old in SET
    (told,) = mistakes(SET.replace(old, new))
    assert message in told
