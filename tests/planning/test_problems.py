"""Mistakes that only plugins and files can show: each is told in one line, where it was written."""

from __future__ import annotations

import pytest

import faceexp
from faceexp.errors import InputError, Problem
from faceexp.planning.problems import hinting_at_backslashes

SPEC = """
name = "example"
[dataset]
plugin = "image_folder"
path = "faces"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
[finetune.sampler]
plugin = "balanced"
[[losses]]
plugin = "triplet_margin"
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """``load(text, override, ...)``: the mistakes of an experiment, or none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()

    def mistakes(text, *overrides):
        (tmp_path / "x.toml").write_text(text, encoding="utf-8")
        try:
            faceexp.load("x.toml", overrides=overrides)
        except InputError as error:
            return [str(problem) for problem in error.problems]
        return []

    return mistakes


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("power = true", "power: must be a number, not True"),
        ("swap = 1", "swap: must be true or false, not 1"),
        ("margin = true", "margin: must be a number, not True"),
        ("margin = 1e300", "margin: must be between -1e+15 and 1e+15, not 1e+300"),
        ("margin = 1e400", "margin: must be a finite number, not inf"),
        ("margin = 2024-11-25", "margin: must be a number, not '2024-11-25'"),
        ("margin = [1.0]", "margin: must be a number, not [1.0]"),
        ("miner = { a = 1 }", "miner: must be 'none', 'hard', 'semihard' or 'all', not {'a': 1}"),
    ],
)
def test_an_option_of_another_type_is_one_line(load, option, expected):
    (line,) = load(SPEC + option)
    name = option.partition(" ")[0]
    assert line.startswith(f"x.toml:14: losses[0].{name}: ")
    if name != "miner":
        assert line.startswith(f"x.toml:14: losses[0].{expected}; option of loss 'triplet_margin'")


def test_a_mistake_in_a_list_says_which_value(load):
    (line,) = load(SPEC.replace('"thin_vgg"', '"thin_vgg"\nwidths = [4, true, 4]'))
    assert line.startswith("x.toml:10: model.widths[1]: must be a whole number, not True")


@pytest.mark.parametrize("margin", ["5e-324", "1e15", "1"])
def test_tiny_large_and_whole_numbers_are_numbers(load, margin):
    assert load(SPEC + f"margin = {margin}\n") == []


def test_a_windows_path_in_double_quotes_is_told_what_to_write():
    with pytest.raises(InputError) as caught, hinting_at_backslashes():
        raise InputError([Problem("no such folder", "C:\temp\\me"), Problem("something else", "x.toml:3")])
    found, other = (str(problem) for problem in caught.value.problems)
    assert found.startswith('C:\\temp\\me: no such folder; in "double quotes" a backslash begins an escape')
    assert found.endswith("write a Windows path in 'single quotes', or with forward slashes (/)")
    assert other == "x.toml:3: something else"


def test_a_list_of_pairs_that_is_missing_has_the_hint(load):
    text = SPEC.replace('kind = "open_set"', 'kind = "pairs_file"\npath = "C:\\temp.csv"')
    (line,) = load(text)
    assert "single quotes" in line


def test_a_plugin_that_raises_while_it_checks_its_options_is_told(load, install):
    source = """
from typing import ClassVar
from pydantic import field_validator
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    '''A loss that did not think of this.'''

    reference: ClassVar[str] = "a test"
    distance: ClassVar = "cosine"
    path: str = option("", "A path.")

    @field_validator("path")
    @classmethod
    def _check(cls, path):
        raise RuntimeError(path)

    def build(self, ctx):
        return None
"""
    install("raising-dist", "loss", "raising", source)
    text = SPEC.replace("triplet_margin", "raising") + f'path = "{"x" * 5000}"\nlabel = "a"\n'
    (line,) = load(text)
    assert line.startswith(
        "x.toml:13: losses[0].plugin: loss 'raising' (raising-dist 1.0) is broken: RuntimeError: xxx"
    )
    assert len(line) < 1500


def test_a_long_name_of_a_plugin_is_cut(load):
    lines = load(SPEC.replace("image_folder", "x" * 100_000))
    assert all(len(line) < 1500 for line in lines)
    assert lines[0].startswith("x.toml:4: dataset.plugin: no dataset plugin 'xxx")


def test_lists_of_parts_are_read_before_any_data(tmp_path):
    (tmp_path / "faces").mkdir()
    lists = "".join(f'\n{part} = "{part}.txt"' for part in ("train", "validation", "test"))
    spec = tmp_path / "x.toml"
    spec.write_text(SPEC.replace('kind = "open_set"', 'kind = "listed"' + lists), encoding="utf-8")
    for part in ("train", "test"):
        (tmp_path / f"{part}.txt").write_text("someone\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        faceexp.load(spec)
    missing = tmp_path / "validation.txt"
    assert str(caught.value).startswith(f"{spec}:9: protocol.validation: no such file: {missing}")
    (tmp_path / "validation.txt").write_text("# nobody yet\nAnn\n", encoding="utf-8")
    study = faceexp.load(spec)
    assert study.resolved.lists is not None
    assert [file.lines for file in study.resolved.lists] == [((1, "someone"),), ((2, "Ann"),), ((1, "someone"),)]


@pytest.mark.parametrize(
    ("before", "after", "hint"),
    [
        ('plugin = "thin_vgg"\n', 'plugin = "thin_vgg"\nembeding_dim = 8\n', "did you mean 'embedding_dim'?"),
        ('plugin = "triplet_margin"\n', 'plugin = "triplet_margin"\nlabl = "x"\n', "did you mean 'label'?"),
    ],
)
def test_a_key_beside_the_options_of_a_plugin_is_suggested_too(load, before, after, hint):
    (line,) = load(SPEC.replace(before, after))
    assert line.endswith(hint)
