"""What ``--set`` gives for a text is a text, in the tables of a file and in the options of plugins."""

from __future__ import annotations

import datetime as dt

import pytest

from faceexp.experiment import toml
from faceexp.planning.words import with_words
from faceexp.registry.installed import discover

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
plugin = "contrastive"
grid = { pairs = ["all", "halves"], margin = [1.0, 2.0] }
[[losses]]
plugin = "triplet_margin"
finetune = { sampler = { images_per_class = 2 } }
[preprocess.detect]
plugin = "scrfd"
[[test_sets]]
name = "crops"
detect = { margin = 0.1 }
"""
REGISTRY = discover()


def given(*overrides):
    """Return the data of the file, changed by ``--set``."""
    return with_words(toml.parse_text(SPEC, "x.toml", overrides), REGISTRY).data


def at(data, path):
    for part in path:
        data = data[part]
    return data


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        # Tables of the file.
        ("name=2024", ("name",), "2024"),
        ("name=1e3", ("name",), "1e3"),
        ("name=0x1F", ("name",), "0x1F"),
        ("name=true", ("name",), "true"),
        ("name=[1]", ("name",), "[1]"),
        ("name='2024'", ("name",), "2024"),
        ("description= 07:32:00 ", ("description",), "07:32:00"),
        ("protocol.path=2024-11-25", ("protocol", "path"), "2024-11-25"),
        ("protocol.kind=1", ("protocol", "kind"), "1"),
        ("dataset.plugin=1", ("dataset", "plugin"), "1"),
        ("test_sets[0].detect.path=1", ("test_sets", 0, "detect", "path"), "1"),
        ("test_sets[0].detect.margin=1", ("test_sets", 0, "detect", "margin"), 1),
        ("test_sets[0].detect=false", ("test_sets", 0, "detect"), False),
        ("losses[0].label=3", ("losses", 0, "label"), "3"),
        ("losses[1].finetune.trainable=false", ("losses", 1, "finetune", "trainable"), "false"),
        ("published.results=[{label = 'a', right = 1}]", ("published", "results"), [{"label": "a", "right": 1}]),
        # Options of plugins.
        ("dataset.path=2024-11-25", ("dataset", "path"), "2024-11-25"),
        ("dataset.path=100", ("dataset", "path"), "100"),
        ("losses[0].pairs=1", ("losses", 0, "pairs"), "1"),
        ("losses[0].grid.pairs[1]=1", ("losses", 0, "grid", "pairs", 1), "1"),
        # Numbers and truths stay what they are, and so does what nothing is known of.
        ("finetune.steps=7", ("finetune", "steps"), 7),
        ("augment.flip=true", ("augment", "flip"), True),
        ("preprocess.size=[32, 32]", ("preprocess", "size"), [32, 32]),
        ("protocol.min_images=2", ("protocol", "min_images"), 2),
        ("seeds=[1, 2]", ("seeds",), [1, 2]),
        ("model.embedding_dim=7", ("model", "embedding_dim"), 7),
        ("dataset.min_images=2", ("dataset", "min_images"), 2),
        ("model.widths=[4]", ("model", "widths"), [4]),
        ("finetune.sampler.classes_per_batch=4", ("finetune", "sampler", "classes_per_batch"), 4),
        ("losses[0].margin=3", ("losses", 0, "margin"), 3),
        ("losses[0].grid.margin=[3]", ("losses", 0, "grid", "margin"), [3]),
        ("losses[1].power=2", ("losses", 1, "power"), 2),
        (
            "losses[1].finetune.sampler.classes_per_batch=4",
            ("losses", 1, "finetune", "sampler", "classes_per_batch"),
            4,
        ),
        ("losses[0].no_such_option=2", ("losses", 0, "no_such_option"), 2),
        ("no.such.table=2024-11-25", ("no", "such", "table"), dt.date(2024, 11, 25)),
    ],
)
def test_a_value_is_text_where_a_text_is_wanted(override, path, value):
    assert at(given(override), path) == value


def test_another_plugin_that_is_set_decides_about_its_options():
    data = given("dataset.path=7", "dataset.plugin=npz")
    assert (data["dataset"]["plugin"], data["dataset"]["path"]) == ("npz", "7")


def test_a_plugin_that_is_not_installed_decides_nothing():
    assert given("dataset.plugin=none_such", "dataset.path=7")["dataset"]["path"] == 7


def test_a_file_decides_about_its_own_values():
    assert with_words(toml.parse_text("name = 2024\n", "x.toml"), REGISTRY).data == {"name": 2024}


def test_the_text_is_that_of_the_last_override():
    assert given("name=2024", "name=2025")["name"] == "2025"
    assert given("protocol.path=1", "protocol={ kind = 'open_set' }")["protocol"] == {"kind": "open_set"}
