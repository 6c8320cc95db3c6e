"""The JSON schema of experiment files is there, whatever plugins are installed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from faceexp.experiment import toml
from faceexp.planning.words import with_words
from faceexp.registry import json_schema
from faceexp.registry.installed import discover

SOURCE = """
from collections.abc import Callable
from typing import ClassVar
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    '''A loss with an option that no file can give.'''

    reference: ClassVar[str] = "a test"
    distance: ClassVar = "cosine"
    function: Callable = option(print, "A function.")

    def build(self, ctx):
        return None
"""


def test_a_plugin_whose_options_json_cannot_describe_is_left_out(install):
    install("callable-dist", "loss", "with_a_function", SOURCE)
    losses = json_schema.schema()["properties"]["losses"]["items"]["properties"]["plugin"]["enum"]
    assert "contrastive" in losses
    assert "with_a_function" not in losses


def test_such_a_plugin_decides_nothing_about_what_is_set(install):
    install("callable-dist", "loss", "with_a_function", SOURCE)
    text = '[[losses]]\nplugin = "with_a_function"\n'
    document = with_words(toml.parse_text(text, "x.toml", ("losses[0].function=1",)), discover())
    assert document.data["losses"][0]["function"] == 1


ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "experiments" / "experiment.schema.json"
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))

SPEC = """
name = "example"
[dataset]
plugin = "orl"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
[finetune.sampler]
plugin = "balanced"
[[losses]]
plugin = "contrastive"
margin = 1.0
[[losses]]
plugin = "supcon"
grid = { temperature = [0.1, 0.2] }
[losses.finetune.sampler]
images_per_class = 4
"""


@pytest.fixture(scope="module")
def checked():
    """Return what an editor says about a text: the place and the message of each mistake."""
    schema = json_schema.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator: Any = jsonschema.Draft202012Validator(schema)

    def mistakes(text):
        errors = validator.iter_errors(tomllib.loads(text))
        return sorted((".".join(map(str, error.absolute_path)), error.message) for error in errors)

    return mistakes


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_shipped_experiments_are_valid_and_name_the_schema_beside_them(checked, path):
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"#:schema ./{SHIPPED.name}"
    assert checked(text) == []


UNEXPECTED = "Additional properties are not allowed ({} was unexpected)"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("margin = 1.0", "margn = 1.0", ("losses.0", UNEXPECTED.format("'margn'"))),
        ("margin = 1.0", 'margin = "1.0"', ("losses.0.margin", "'1.0' is not of type 'number'")),
        ("temperature =", "temprature =", ("losses.1.grid", UNEXPECTED.format("'temprature'"))),
        ('plugin = "orl"', 'plugin = "orl"\npeopel = 10', ("dataset", UNEXPECTED.format("'peopel'"))),
        ('plugin = "orl"', 'plugin = "orl"\npeople = "ten"', ("dataset.people", "'ten' is not of type 'integer'")),
        (
            'plugin = "balanced"',
            'plugin = "balanced"\nclasses = 4',
            ("finetune.sampler", UNEXPECTED.format("'classes'")),
        ),
        ('plugin = "orl"', "", ("dataset", "'plugin' is a required property")),
        (
            "images_per_class = 4",
            'plugin = "balanced"\nimages = 4',
            ("losses.1.finetune.sampler", UNEXPECTED.format("'images'")),
        ),
        ("[model]", '[model]\nembedding_dim = "wide"', ("model.embedding_dim", "'wide' is not of type 'integer'")),
    ],
)
def test_a_mistake_is_told_for_the_plugin_that_is_named(checked, old, new, expected):
    assert checked(SPEC) == []
    assert checked(SPEC.replace(old, new)) == [expected]


DETECTION = """
[preprocess.detect]
plugin = "haar"
margin = 0.2
[[test_sets]]
name = "others"
dataset = { plugin = "orl" }
detect = { plugin = "mtcnn", align = "five_points" }
[[test_sets]]
name = "more"
dataset = { plugin = "orl" }
detect = { margin = 0.1 }
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("detect = { margin = 0.1 }", "detect = false", None),
        ("detect = { margin = 0.1 }", "detect = true", ("test_sets.1.detect", "False was expected")),
        ("margin = 0.2", "margin = 9", ("preprocess.detect.margin", "9 is greater than the maximum of 2")),
        (
            '"mtcnn", align = "five_points"',
            '"mtcnn", algn = "eyes"',
            ("test_sets.0.detect", UNEXPECTED.format("'algn'")),
        ),
        ("[preprocess.detect]", "[preprocess]\ndetect = false\n[augment]", None),
    ],
)
def test_faces_may_be_found_or_not_and_otherwise_in_a_test_set(checked, old, new, expected):
    text = DETECTION
    if "[augment]" in new:
        text = text.replace('plugin = "haar"\nmargin = 0.2\n', "")
    assert checked(SPEC + text) == []
    # A key that every detector has is checked with those of the table, and with the options of the detector.
    assert set(checked(SPEC + text.replace(old, new))) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('loss = "arcface"', None),
        ('loss = { plugin = "arcface", margin = 10.0 }', None),
        ('loss = "arcfac"', "pretrain.loss"),
        ('loss = { plugin = "arcfac" }', "pretrain.loss.plugin"),
        ("loss = { margin = 10.0 }", "pretrain.loss"),
        ("loss = 3", "pretrain.loss"),
    ],
)
def test_a_loss_of_phase_1_is_a_name_or_a_table(checked, line, place):
    shared, own = f"{SPEC}[pretrain]\n{line}\n", f"{SPEC}[losses.pretrain]\n{line}\n"
    assert {where for where, _ in checked(shared)} == ({place} if place else set())
    assert {where for where, _ in checked(own)} == ({f"losses.1.{place}"} if place else set())


SUM = """
[[losses]]
distance = "cosine"
combine = [{ plugin = "arcface", margin = 20.0 }, { plugin = "center", weight = 0.01, options = { weight = 0.1 } }]
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("", "", None, None),
        ("weight = 0.01", "weight = { low = 0.1, high = 1.0 }", None, None),
        ("margin = 20.0", "margin = { choices = [10.0, 20.0] }", None, None),
        ('"arcface"', '"arcfac"', "losses.2.combine.0.plugin", "'arcfac' is not one of"),
        ("margin = 20.0", 'margin = "20"', "losses.2.combine.0.margin", "'20' is not of type 'number'"),
        ("margin =", "margn =", "losses.2.combine.0", UNEXPECTED.format("'margn'")),
        ("weight = 0.01", "weight = 0", "losses.2.combine.1.weight", "0 is less than or equal to the minimum of 0"),
        ('plugin = "center", ', "", "losses.2.combine.1", "'plugin' is a required property"),
        ('"cosine"', '"cos"', "losses.2.distance", "'cos' is not one of"),
        ('distance = "cosine"', 'plugin = "arcface"', "losses.2", UNEXPECTED.format("'plugin'")),
        ('distance = "cosine"', "grid = { margin = [1.0] }", "losses.2", UNEXPECTED.format("'grid'")),
        ("combine =", "combined =", "losses.2", "'plugin' is a required property"),
    ],
)
def test_a_sum_of_losses_has_parts_in_the_place_of_a_plugin(checked, old, new, place, message):
    told = checked(SPEC + SUM.replace(old, new))
    assert (told == []) if place is None else any(at == place and message in said for at, said in told)


def test_an_optimizer_has_a_name_and_whatever_options(checked):
    optimizer = 'optimizer = { name = "sgd", momentum = 0.9 }'
    assert checked(f"{SPEC}[pretrain]\n{optimizer}\n") == []
    assert checked(f"{SPEC}[pretrain]\noptimizer = {{}}\n") == [("pretrain.optimizer", "'name' is a required property")]


def test_a_plugin_that_does_not_exist_is_told_with_those_that_do(checked):
    ((place, message),) = checked(SPEC.replace('"contrastive"', '"contrast"'))
    assert place == "losses.0.plugin"
    assert message.startswith("'contrast' is not one of ['adaface', ")


def test_editors_find_the_keys_of_plugins_where_they_look_for_them():
    # They look into anyOf and allOf, not into what follows an `if`.
    schema = json_schema.schema()
    offering = schema["properties"]["losses"]["items"]["allOf"][-1]["anyOf"]
    tables = [schema["$defs"][choice["$ref"].removeprefix("#/$defs/")] for choice in offering if choice]
    assert "margin" in next(table for table in tables if table["title"] == "contrastive")["properties"]


def test_the_shipped_schema_is_that_of_the_plugins_of_the_repository():
    shipped, now = json.loads(SHIPPED.read_text(encoding="ascii")), json_schema.schema()
    if shipped["$comment"] != now["$comment"]:
        pytest.skip("another version of pydantic writes schemas in other words")
    assert shipped == now, "run: faceexp schema --out experiments/experiment.schema.json"


# Ranges

SEARCH = """
[model]
plugin = "thin_vgg"
embedding_dim = { choices = [64, 128] }
[pretrain]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
[finetune]
learning_rate = { low = 1e-5, high = 1e-2, log = true }
[finetune.sampler]
plugin = { choices = ["balanced", "random"] }
[search]
trials = 4
[[losses]]
plugin = "contrastive"
margin = { low = 0.1, high = 10.0, log = true }
normalize = { choices = [true, false] }
[[losses]]
plugin = "npairs"
[losses.pretrain]
dropout = { low = 0.1, high = 0.5 }
[losses.finetune.sampler]
plugin = "balanced"
images_per_class = { low = 2, high = 4 }
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("high = 10.0, log", "hihg = 10.0, log", "losses.0.margin", "'high' is a required property"),
        ("low = 0.1, high = 10.0", "low = '0', high = 10.0", "losses.0.margin.low", "'0' is not of type 'number'"),
        ("{ low = 0.1, high = 10.0, log = true }", "'1'", "losses.0.margin", "'1' is not of type 'number'"),
        ("choices = [true, false]", "choices = [true]", "losses.0.normalize.choices", "[True] is too short"),
        ("learning_rate = { low = 1e-5", "steps = { low = 1", "finetune.steps", "is not of type 'integer'"),
        ('{ choices = ["balanced", "random"] }', '"balance"', "finetune.sampler.plugin", "'balance' is not one of"),
        ("dropout = {", "epochs = {", "losses.1.pretrain.epochs", "is not of type 'integer'"),
        ('"thin_vgg"', '"thin"', "model.plugin", "'thin' is not one of"),
    ],
)
def test_a_range_may_stand_in_the_place_of_a_value_and_its_mistakes_are_told(checked, old, new, place, message):
    spec = SPEC[: SPEC.index("[model]")] + SEARCH
    assert checked(spec) == []
    assert any(at == place and message in told for at, told in checked(spec.replace(old, new)))


def test_editors_are_offered_ranges_beside_values():
    schema = json_schema.schema()
    margin = schema["$defs"]["plugin.loss.contrastive"]["properties"]["margin"]
    assert {"$ref": "#/$defs/Range"} in margin["anyOf"]
    assert any(choice.get("type") == "number" for choice in margin["anyOf"])
    assert margin["description"], "it is told of the option, whatever stands in it"
