"""Paths of an experiment: relative to its file, those of ``--set`` to the current directory; missing ones have a line."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

import faceexp
from faceexp.errors import InputError
from faceexp.experiment import toml

SPEC = """\
name = "mine"
[dataset]
plugin = "image_folder"
path = "faces"
[protocol]
kind = "listed"
train = "lists/train.txt"
validation = "lists/validation.txt"
test = "lists/test.txt"
[model]
plugin = "thin_vgg"
[finetune.sampler]
plugin = "balanced"
[[losses]]
plugin = "weighed"
files = ["weights/a.npy"]
label = "fixed"
[[losses]]
plugin = "weighed"
grid = { file = ["weights/a.npy", "weights/b.npy"] }
"""

# As somebody would write it who has not read what the contract offers: with pydantic's types.
WEIGHED = '''
from pathlib import Path
from typing import ClassVar

from pydantic import FilePath

from faceexp.contract import LossPlugin, option


class Plugin(LossPlugin):
    """A loss with files."""

    reference: ClassVar[str] = "a test"
    distance: ClassVar = "cosine"
    file: FilePath | None = option(None, "A file.")
    files: tuple[FilePath, ...] = option((), "Files.")
    kept_in: Path | None = option(None, "Where something is kept; it need not exist.")
    word: str = option("", "A text that is no path.")

    def build(self, ctx):
        return None
'''


@pytest.fixture
def study(tmp_path, monkeypatch, install):
    """The folder of an experiment with everything that it names; the current directory is another one."""
    install("weighed-dist", "loss", "weighed", WEIGHED)
    folder = tmp_path / "study"
    for part in ("faces", "lists", "weights"):
        (folder / part).mkdir(parents=True)
    for name in ("train", "validation", "test"):
        (folder / "lists" / f"{name}.txt").write_text(f"{name}\n", encoding="utf-8")
    for name in ("a", "b"):
        (folder / "weights" / f"{name}.npy").write_bytes(b"")
    (folder / "x.toml").write_text(SPEC, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return folder


def mistakes(file, *overrides):
    with pytest.raises(InputError) as caught:
        faceexp.load(file, overrides=overrides)
    return [str(problem) for problem in caught.value.problems]


def test_paths_are_relative_to_the_file(study):
    experiment = faceexp.load(study / "x.toml").experiment
    assert experiment.dataset.options == {"path": str(study / "faces")}
    assert experiment.protocol.train == str(study / "lists" / "train.txt")
    assert [loss.options for loss in experiment.losses] == [
        {"files": [str(study / "weights" / "a.npy")]},
        {"file": str(study / "weights" / "a.npy")},
        {"file": str(study / "weights" / "b.npy")},
    ]


def test_rows_are_called_as_the_file_says(study):
    labels = [loss.label for loss in faceexp.load(study / "x.toml").experiment.losses]
    assert labels == ["fixed", "weighed(file=weights/a.npy)", "weighed(file=weights/b.npy)"]


def test_an_experiment_means_the_same_from_every_folder(study, monkeypatch):
    there = faceexp.load(study / "x.toml")
    monkeypatch.chdir(study)
    here = faceexp.load("x.toml")
    assert here.experiment == there.experiment
    assert here.spec_hash == there.spec_hash
    assert [loss.loss.identity for loss in here.resolved.losses] == [
        loss.loss.identity for loss in there.resolved.losses
    ]


def test_an_experiment_can_be_moved(study, tmp_path):
    moved = Path(shutil.move(study, tmp_path / "other place"))
    assert faceexp.load(moved / "x.toml").experiment.dataset.options == {"path": str(moved / "faces")}


def test_the_spec_of_a_run_means_the_same_in_its_own_folder(study, tmp_path):
    whole = faceexp.load(study / "x.toml")
    spec = tmp_path / "runs" / "spec.toml"
    spec.parent.mkdir()
    spec.write_text(toml.dump(whole.experiment), encoding="utf-8")
    assert tomllib.loads(spec.read_text(encoding="utf-8"))["dataset"]["path"] == str(study / "faces")
    assert faceexp.load(spec).spec_hash == whole.spec_hash


def test_paths_of_set_are_relative_to_the_current_directory(study):
    here = Path.cwd()
    (here / "others").mkdir()
    (here / "c.npy").write_bytes(b"")
    overrides = (
        "dataset.path=others",
        "losses[0].files[0]=c.npy",
        'losses[1].grid.file=["c.npy"]',
        "losses[1].kept_in=made/later",
        "losses[1].word=faces",
    )
    experiment = faceexp.load(study / "x.toml", overrides=overrides).experiment
    assert experiment.dataset.options == {"path": str(here / "others")}
    assert experiment.protocol.train == str(study / "lists" / "train.txt")
    assert [loss.options for loss in experiment.losses] == [
        {"files": [str(here / "c.npy")]},
        {"kept_in": str(here / "made" / "later"), "word": "faces", "file": str(here / "c.npy")},
    ]


def test_a_path_may_be_absolute_or_begin_at_home_or_lead_upwards(study, monkeypatch):
    monkeypatch.setenv("HOME", str(study))
    monkeypatch.setenv("USERPROFILE", str(study))
    text = SPEC.replace('"faces"', '"~/faces"').replace('"lists/train.txt"', f"'{study / 'lists' / 'train.txt'}'")
    (study / "lists" / "y.toml").write_text(
        text.replace('"lists/', '"').replace('"weights/', '"../weights/'), encoding="utf-8"
    )
    experiment = faceexp.load(study / "lists" / "y.toml").experiment
    assert experiment.dataset.options == {"path": str(study / "faces")}
    assert experiment.protocol.train == str(study / "lists" / "train.txt")
    assert experiment.losses[0].options == {"files": [str(study / "weights" / "a.npy")]}


def test_a_path_behind_a_link_leads_where_the_system_says(study, tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "people").mkdir()
    (study / "link").symlink_to(tmp_path / "far" / "deep")
    (study / "x.toml").write_text(SPEC.replace('"faces"', '"link/../people"'), encoding="utf-8")
    path = faceexp.load(study / "x.toml").experiment.dataset.options["path"]
    assert Path(path).samefile(tmp_path / "far" / "people")


def test_each_missing_file_is_one_line_with_its_place(study):
    file = study / "x.toml"
    shutil.rmtree(study / "faces")
    (study / "lists" / "test.txt").unlink()
    (study / "lists" / "test.txt").mkdir()
    (study / "weights" / "b.npy").unlink()
    (study / "weights" / "a.npy").rename(study / "weights" / "aa.npy")
    path, test, files, first, second = mistakes(file)
    assert path == (
        f"{file}:4: dataset.path: no such folder: {study / 'faces'}; "
        "paths are relative to the folder of the file that names them"
    )
    assert test == f"{file}:9: protocol.test: {study / 'lists' / 'test.txt'} is no ordinary file"
    a, b = (study / "weights" / f"{name}.npy" for name in "ab")
    assert files == f"{file}:16: losses[0].files[0]: no such file: {a}; did you mean 'aa.npy'?"
    assert first.startswith(f"{file}:20: losses[1].grid.file[0]: no such file: {a}")
    assert second.startswith(f"{file}:20: losses[1].grid.file[1]: no such file: {b}")


def test_a_path_that_was_meant_from_the_current_directory_is_told(study):
    (study / "faces").rmdir()
    Path("faces").mkdir()
    (line,) = mistakes(study / "x.toml")
    assert line == (
        f"{study / 'x.toml'}:4: dataset.path: no such folder: {study / 'faces'}; paths are relative to the folder of "
        f'the file that names them; for {Path.cwd() / "faces"} write "../elsewhere/faces"'
    )


def test_what_set_names_and_is_missing_is_told_as_such(study):
    (line,) = mistakes(study / "x.toml", "dataset.path=nowhere")
    here = Path.cwd() / "nowhere"
    expected = f"no such folder: {here}; paths are relative to the current directory"
    assert line == f"--set dataset.path=nowhere: dataset.path: {expected}"


def test_names_that_no_file_can_have_are_missing(study):
    (study / "x.toml").write_text(SPEC.replace('"faces"', f'"{"x" * 5000}"'), encoding="utf-8")
    (line,) = mistakes(study / "x.toml")
    assert "dataset.path: no such folder: " in line


def test_an_empty_path_is_refused_by_its_option(study):
    (study / "x.toml").write_text(SPEC.replace('"faces"', '""'), encoding="utf-8")
    (line,) = mistakes(study / "x.toml")
    assert "dataset.path: " in line
    assert "at least 1" in line


def test_a_sampler_that_losses_share_keeps_the_base_of_its_paths(study, install):
    install(
        "drawn-dist",
        "sampler",
        "drawn",
        '''
from faceexp.contract import BatchSupply, InputFile, SamplerPlugin, option


class Plugin(SamplerPlugin):
    """A sampler with a file."""

    order: InputFile = option(..., "The order.")
    size: int = option(8, "Rows.")

    def supply(self):
        return BatchSupply(self.size, 2, 2)

    def build(self, labels, seed):
        return iter(())
''',
    )
    Path("order.txt").write_bytes(b"")
    text = SPEC.replace('plugin = "balanced"', 'plugin = "drawn"\norder = "unused"')
    (study / "x.toml").write_text(text + "[losses.finetune.sampler]\nsize = 4\n", encoding="utf-8")
    experiment = faceexp.load(study / "x.toml", overrides=["finetune.sampler.order=order.txt"]).experiment
    orders = {loss.finetune.sampler.options["order"] for loss in experiment.losses}
    assert orders == {str(Path.cwd() / "order.txt")} == {experiment.finetune.sampler.options["order"]}


DETECTING = """
[preprocess.detect]
plugin = "yunet"
path = "weights/det.onnx"
[[test_sets]]
name = "same"
dataset = { plugin = "image_folder", path = "faces" }
detect = { margin = 0.1 }
[[test_sets]]
name = "other"
dataset = { plugin = "image_folder", path = "faces" }
detect = { path = "weights/other.onnx" }
"""


def test_the_file_of_a_detector_of_a_test_set_is_relative_to_the_file_that_names_it(study):
    for name in ("det", "other"):
        (study / "weights" / f"{name}.onnx").write_bytes(b"")
    (study / "x.toml").write_text(SPEC + DETECTING, encoding="utf-8")
    same, other = faceexp.load(study / "x.toml").experiment.test_sets
    assert same.detect.options == {"path": str(study / "weights" / "det.onnx")}
    assert other.detect.options == {"path": str(study / "weights" / "other.onnx")}
    here = Path.cwd() / "here.onnx"
    here.write_bytes(b"")
    same, other = faceexp.load(study / "x.toml", overrides=("preprocess.detect.path=here.onnx",)).experiment.test_sets
    assert (same.detect.options["path"], other.detect.options["path"]) == (str(here), str(study / "weights/other.onnx"))
    (study / "weights" / "other.onnx").unlink()
    (said,) = mistakes(study / "x.toml")
    assert "x.toml:32: test_sets[1].detect.path: no such file: " in said
