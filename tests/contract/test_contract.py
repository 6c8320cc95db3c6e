"""What plugin authors rely on: options as fields, strict where TOML is read, frozen, with defaults for the rest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from faceexp.contract import (
    GROUPS,
    BatchNeeds,
    BatchSupply,
    DatasetPlugin,
    LossContext,
    LossPlugin,
    ModelPlugin,
    SamplerPlugin,
    files_fingerprint,
    option,
    pair_traits,
    user_path,
)


class Example(LossPlugin):
    """An example, with an option of every type."""

    reference: ClassVar[str] = "a test"
    distance: ClassVar[Literal["euclidean", "cosine"]] = "cosine"

    steps: int = option(..., "A whole number that must be given.", unit="steps", ge=1)
    margin: float = option(1.0, "A number.", unit="distance", gt=0)
    widths: tuple[int, ...] = option((1, 2), "Several whole numbers.")
    pairs: Literal["all", "halves"] = option("all", "One of two words.")
    normalize: bool = option(default=False, description="A choice.")
    path: str | None = option(None, "A text, or nothing.")
    power: Literal[1, 2] = option(1, "One of two numbers.")
    weights: dict[str, tuple[Literal[0, 1] | float, ...]] = option({}, "Numbers inside of a table.")

    def build(self, ctx):
        return lambda *_: self.margin * ctx.num_classes


def mistakes(**options):
    with pytest.raises(ValidationError) as caught:
        Example.from_toml({"steps": 1, **options})
    return [(error["loc"], error["type"]) for error in caught.value.errors()]


def test_an_option_carries_default_description_unit_and_bounds():
    field = Example.model_fields["margin"]
    assert (field.default, field.description, field.json_schema_extra) == (1.0, "A number.", {"unit": "distance"})
    assert Example.model_json_schema()["properties"]["margin"] == {
        "default": 1.0,
        "description": "A number.",
        "exclusiveMinimum": 0,
        "title": "Margin",
        "type": "number",
        "unit": "distance",
    }


def test_an_option_counts_nothing_unless_it_says_what():
    assert Example.model_fields["widths"].json_schema_extra == {"unit": "none"}


def test_an_option_without_default_is_required():
    with pytest.raises(ValidationError, match="Field required"):
        Example.from_toml({})
    assert Example.from_toml({"steps": 3}).steps == 3


def test_options_are_taken_as_toml_gives_them():
    read = Example.from_toml({"steps": 2, "margin": 3, "widths": [4, 5], "pairs": "halves", "normalize": True})
    assert read == Example(steps=2, margin=3.0, widths=(4, 5), pairs="halves", normalize=True)
    assert isinstance(read.margin, float)
    assert isinstance(read.widths, tuple)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("margin", "1.0", "float_type"),
        ("margin", True, "float_type"),
        ("margin", 0, "greater_than"),
        ("margin", float("nan"), "finite_number"),
        ("steps", "1", "int_type"),
        ("steps", True, "int_type"),
        ("steps", 1.0, "int_type"),
        ("steps", 0, "greater_than_equal"),
        ("normalize", 1, "bool_type"),
        ("normalize", "true", "bool_type"),
        ("pairs", "some", "literal_error"),
        ("path", 3, "string_type"),
        ("widths", 3, "tuple_type"),
        ("power", True, "option"),
        ("power", "1", "literal_error"),
        ("margin", 1.1e15, "option"),
        ("margin", 10**300, "option"),
        ("margn", 1.0, "extra_forbidden"),
    ],
)
def test_nothing_is_taken_for_something_else(name, value, kind):
    assert mistakes(**{name: value}) == [((name,), kind)]


def test_a_mistake_in_a_list_names_its_place():
    assert mistakes(widths=[1, "2"]) == [(("widths", 1), "int_type")]


def test_truth_is_no_number_and_no_number_too_large_inside_a_table_either():
    assert mistakes(weights={"a": [1, 0.5], "b": [0, True, 1e300]}) == [
        (("weights", "b", 1), "option"),
        (("weights", "b", 2), "option"),
    ]


@pytest.mark.parametrize("margin", [5e-324, 1e-320, 1e15])
def test_numbers_that_training_can_use_are_taken(margin):
    assert Example.from_toml({"steps": 1, "margin": margin}).margin == margin


def test_a_plugin_is_frozen():
    plugin = Example(steps=1)
    with pytest.raises(ValidationError, match="frozen"):
        plugin.margin = 2.0  # type: ignore[misc]  # as the test says


def test_traits_are_the_class_variables_unless_overridden():
    traits = Example(steps=1).traits()
    assert (traits.distance, traits.needs, traits.xla) == ("cosine", BatchNeeds(classes=2, images_per_class=1), True)


@pytest.mark.parametrize(
    ("normalize", "halves", "distance", "needs"),
    [
        (False, False, "euclidean", BatchNeeds(classes=2, images_per_class=1)),
        (True, False, "cosine", BatchNeeds(classes=2, images_per_class=1)),
        (False, True, "euclidean", BatchNeeds(classes=2, images_per_class=1, halves="mixed")),
    ],
)
def test_traits_of_a_loss_of_pairs_follow_its_options(normalize, halves, distance, needs):
    traits = pair_traits(Example(steps=1), normalize=normalize, halves=halves)
    assert (traits.distance, traits.needs, traits.xla) == (distance, needs, True)


def test_the_fingerprint_of_files_is_that_of_their_names_and_contents_in_order(tmp_path):
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"second")
    files = {"x/a": tmp_path / "a", "x/b": tmp_path / "b"}
    parts = [b"x/a\0", hashlib.sha256(b"first").digest(), b"x/b\0", hashlib.sha256(b"second").digest()]
    assert files_fingerprint(files) == hashlib.sha256(b"".join(parts)).hexdigest()
    others = [dict(reversed(files.items())), {"x/a": tmp_path / "a"}, {"x/a": tmp_path / "b", "x/b": tmp_path / "a"}]
    assert len({files_fingerprint(other) for other in (files, *others)}) == 4


def test_a_users_path_is_absolute_and_knows_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_path("faces") == tmp_path / "faces"
    assert user_path("~/faces") == Path("/home/somebody/faces")
    assert user_path("~no_such_user/faces") == tmp_path / "~no_such_user" / "faces"


def test_a_batch_needs_and_promises_little_by_default():
    assert BatchNeeds() == BatchNeeds(classes=2, images_per_class=1, halves=None)
    assert BatchSupply(size=8) == BatchSupply(size=8, classes=1, images_per_class=1, halves=None)


@pytest.mark.parametrize(("images", "halves"), [(1, None), (2, "similar"), (3, None), (4, "similar")])
def test_rows_ordered_by_image_have_similar_halves_where_images_are_even(images, halves):
    labels = np.tile(np.arange(5), images)
    half = len(labels) // 2
    assert (halves == "similar") == (len(labels) % 2 == 0 and (labels[:half] == labels[half:]).all())
    assert BatchSupply.by_image(5, images) == BatchSupply(5 * images, classes=5, images_per_class=images, halves=halves)


@pytest.mark.parametrize("base", [LossPlugin, ModelPlugin, DatasetPlugin, SamplerPlugin])
def test_a_plugin_without_build_cannot_be_made(base):
    with pytest.raises(TypeError, match="abstract"):
        base()


def test_a_loss_is_built_for_the_number_of_identities():
    assert Example(steps=1, margin=2.0).build(LossContext(num_classes=40, embedding_dim=8))(None, None) == 80.0


def test_the_groups_are_those_that_plugin_authors_write_into_their_metadata():
    assert GROUPS == {
        "loss": "faceexp.losses",
        "model": "faceexp.models",
        "dataset": "faceexp.datasets",
        "sampler": "faceexp.samplers",
        "detector": "faceexp.detectors",
        "tracker": "faceexp.trackers",
        "executor": "faceexp.executors",
    }
