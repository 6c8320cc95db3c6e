"""Weighted sums of losses in a file: what they are called, what they need, what is searched, and every mistake's line."""

from __future__ import annotations

import functools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp import pipeline
from faceexp.errors import InputError
from faceexp.experiment import parse, toml
from faceexp.experiment.schema import LossEntry
from faceexp.planning.spelled_out import asked, settled_experiment

BASE = """\
name = "summed"
seeds = [0, 1]
dataset = { plugin = "synthetic" }
protocol = { kind = "open_set" }
model = { plugin = "thin_vgg" }
finetune = { sampler = { plugin = "balanced", classes_per_batch = 4, images_per_class = 2 } }
"""
EXAMPLE = """\
[[losses]]
distance = "cosine"
combine = [
  { plugin = "arcface", margin = 20.0 },
  { plugin = "center", weight = 0.01 },
]
"""


def loaded(losses):
    return pipeline.loads(BASE + losses, "x.toml")


def rows(losses):
    return loaded(losses).experiment.losses


def mistakes(losses, base=BASE):
    """Return each mistake without the name of the file; its line is counted from the line of [[losses]]."""
    with pytest.raises(InputError) as caught:
        pipeline.loads(base + losses, "x.toml")
    above = base.count("\n")
    lines = [re.fullmatch(r"x\.toml:(\d+): losses\[0\]\.?(.*)", str(problem)) for problem in caught.value.problems]
    return [(int(line[1]) - above, line[2]) for line in lines if line]


@functools.cache
def plain():
    """Return an experiment without a sum."""
    return loaded('[[losses]]\nplugin = "arcface"\n').experiment


def parts(*written, beside=""):
    """Return a table of losses with such parts, each on a line of its own: the first one on the third line."""
    return "[[losses]]\ncombine = [\n" + "".join(f"  {{ {part} }},\n" for part in written) + f"]\n{beside}"


class TestNames:
    @pytest.mark.parametrize(
        ("written", "label"),
        [
            (['plugin = "arcface"', 'plugin = "p2sgrad", weight = 0.01'], "arcface + 0.01 p2sgrad"),
            (['plugin = "arcface", margin = 20.0, weight = 1.0', 'plugin = "vpl"'], "arcface(margin=20) + vpl"),
            (['plugin = "arcface", weight = 2'], "2 arcface"),
            (['plugin = "arcface"', 'plugin = "arcface", weight = 0.5'], "arcface + 0.5 arcface"),
        ],
    )
    def test_a_row_is_called_by_its_parts(self, written, label):
        (row,) = rows(parts(*written))
        assert row.label == label
        assert row.name == " + ".join(part.plugin for part in row.combine)

    def test_a_label_takes_the_place_of_that(self):
        (row,) = rows(EXAMPLE.replace("distance", 'label = "both"\ndistance'))
        assert row.label == "both"

    def test_two_rows_of_one_name_are_refused(self):
        with pytest.raises(InputError, match=r"losses\[1\]: label .* is already that of losses\[0\]"):
            loaded(EXAMPLE + EXAMPLE)


class TestParts:
    def test_weights_are_1_unless_written_and_options_are_those_of_each_plugin(self):
        (row,) = rows(EXAMPLE)
        written = [(part.plugin, part.weight, part.options) for part in row.combine]
        assert written == [("arcface", 1.0, {"margin": 20.0}), ("center", 0.01, {})]

    def test_an_option_that_is_called_weight_stands_in_options(self):
        both = EXAMPLE.replace("weight = 0.01", "weight = 0.01, options = { weight = 0.5 }, alpha = 0.25")
        (loss,) = loaded(both).resolved.losses
        center = loss.loss.parts[1].plugin.model_dump()
        assert (loss.entry.combine[1].weight, center) == (0.01, {"weight": 0.5, "alpha": 0.25})

    def test_tables_of_an_array_are_parts_as_well(self):
        arrays = '[[losses]]\ndistance = "cosine"\n[[losses.combine]]\nplugin = "arcface"\nmargin = 20.0\n'
        assert rows(arrays + '[[losses.combine]]\nplugin = "center"\nweight = 0.01\n') == rows(EXAMPLE)

    def test_the_same_plugin_may_be_there_twice(self):
        (loss,) = loaded(parts('plugin = "arcface"', 'plugin = "arcface", margin = 10.0')).resolved.losses
        assert [part.installed.name for part in loss.loss.parts] == ["arcface", "arcface"]

    def test_one_loss_may_be_weighted(self):
        (loss,) = loaded(parts('plugin = "arcface", weight = 0.5')).resolved.losses
        assert loss.loss.weights == (0.5,)

    def test_settings_of_training_are_those_of_the_sum(self):
        (row,) = rows(EXAMPLE + "[losses.finetune]\nproxies = { learning_rate = 0.1 }\n")
        assert row.finetune.proxies.learning_rate == 0.1

    def test_set_changes_a_part(self):
        text = toml.parse_text(BASE + EXAMPLE, "x.toml", ("losses[0].combine[1].weight=2",))
        experiment, problems, _ = parse.parse(text)
        assert problems == []
        assert experiment.losses[0].combine[1].weight == 2.0


class TestTraits:
    def test_a_sum_needs_what_any_of_its_parts_needs(self):
        (loss,) = loaded(parts('plugin = "npairs"', 'plugin = "arcface"')).resolved.losses
        needs = loss.traits.needs
        assert (needs.classes, needs.images_per_class, needs.halves) == (2, 2, "similar")
        assert (loss.traits.distance, loss.traits.xla) == ("cosine", True)

    def test_it_is_compiled_by_xla_where_every_part_can_be(self, install):
        install(
            "slow-dist", "loss", "slow", OUTSIDE.replace("Plugin(LossPlugin):", "Plugin(LossPlugin):\n    xla = False")
        )
        (loss,) = loaded(parts('plugin = "arcface"', 'plugin = "slow"')).resolved.losses
        assert not loss.traits.xla

    def test_the_file_may_say_by_which_distance_embeddings_are_compared(self):
        compared = {rows(EXAMPLE.replace("cosine", name))[0].distance for name in ("cosine", "euclidean")}
        assert compared == {"cosine", "euclidean"}
        (loss,) = loaded(EXAMPLE.replace("cosine", "euclidean")).resolved.losses
        assert loss.traits.distance == "euclidean"

    def test_what_determines_a_result_is_the_parts_and_their_weights(self):
        def identity(losses):
            (loss,) = loaded(losses).resolved.losses
            return loss.loss.identity

        changes = [("0.01", "0.02"), ("20.0", "21.0"), ("cosine", "euclidean"), ('"center"', '"p2sgrad"')]
        others = [identity(EXAMPLE.replace(*change)) for change in changes]
        assert identity(EXAMPLE) == identity(EXAMPLE.replace("20.0 }", "20.0, weight = 1.0, scale = 64.0 }"))
        assert all(other != identity(EXAMPLE) for other in others)


OUTSIDE = """
from typing import ClassVar
from faceexp.contract import LossPlugin, option

class Plugin(LossPlugin):
    '''A loss of somebody else.'''

    reference: ClassVar[str] = "a test"
    distance: ClassVar = "cosine"
    file: str = option("", "A text.")

    def build(self, ctx):
        return None
"""
ARCFACE = 'plugin = "arcface"'
# What is written, then the line and what is said of it.
BAD = {
    "no such plugin": (
        [ARCFACE, 'plugin = "centre"'],
        (4, "combine[1].plugin: no loss plugin 'centre' is installed; did you mean 'center'?"),
    ),
    "no plugin": (
        ["margin = 1.0", ARCFACE],
        (3, 'combine[0]: names no plugin; add plugin = "..." (loss); `faceexp list-plugins` shows the names'),
    ),
    "weight 0": ([ARCFACE, 'plugin = "vpl", weight = 0'], (4, "combine[1].weight: must be greater than 0, not 0")),
    "weight below 0": (
        [ARCFACE, 'plugin = "vpl", weight = -0.5'],
        (4, "combine[1].weight: must be greater than 0, not -0.5"),
    ),
    "weight infinite": (
        [ARCFACE, 'plugin = "vpl", weight = inf'],
        (4, "combine[1].weight: must be a finite number, not inf"),
    ),
    "weight no number": (
        [ARCFACE, 'plugin = "vpl", weight = nan'],
        (4, "combine[1].weight: must be a finite number, not nan"),
    ),
    "weight a text": ([ARCFACE, 'plugin = "vpl", weight = "a"'], (4, "combine[1].weight: must be a number, not 'a'")),
    "weight a truth": (
        [ARCFACE, 'plugin = "vpl", weight = true'],
        (4, "combine[1].weight: must be a number, not True"),
    ),
    "option unknown": (
        ['plugin = "arcface", margn = 1.0', 'plugin = "vpl"'],
        (
            3,
            "combine[0].margn: unknown option of loss 'arcface' (faceexp-loss-arcface 0.1.0); did you mean 'margin'?",
        ),
    ),
    "weight misspelled": (
        [ARCFACE, 'plugin = "vpl", wieght = 0.1'],
        (4, "combine[1].wieght: unknown option of loss 'vpl' (faceexp-loss-vpl 0.1.0); did you mean 'weight'?"),
    ),
    "option out of bounds": (
        [ARCFACE, 'plugin = "arcface", scale = 0'],
        (
            4,
            "combine[1].scale: must be greater than 0, not 0; option of loss 'arcface' (faceexp-loss-arcface 0.1.0)",
        ),
    ),
    "option in options": (
        [ARCFACE, 'plugin = "uniface", options = { weight = -1.0 }'],
        (
            4,
            "combine[1].options.weight: must be greater than or equal to 0, not -1.0; option of loss 'uniface' "
            "(faceexp-loss-uniface 0.1.0)",
        ),
    ),
    "option twice": (
        [ARCFACE, 'plugin = "arcface", margin = 1.0, options = { margin = 2.0 }'],
        (4, "combine[1].options.margin: is also written beside options; write it once"),
    ),
    "key of the table": (
        [ARCFACE, 'plugin = "vpl", label = "x"'],
        (4, "combine[1].label: is no key of a part; write it beside combine"),
    ),
    "grid in a part": (
        [ARCFACE, 'plugin = "vpl", grid = { margin = [1.0] }'],
        (
            4,
            "combine[1].grid: is no key of a part; write a [[losses]] table for each setting, all with one setting_of",
        ),
    ),
    "sum in a part": (
        [ARCFACE, 'combine = [{ plugin = "vpl" }, { plugin = "nca" }]'],
        (
            4,
            "combine[1].combine: is a sum within a sum; write its parts beside the others, each with its weight times "
            "that of the sum",
        ),
    ),
    "one part": (
        [ARCFACE],
        (
            2,
            "combine: has one part of weight 1, which is that loss alone; add a part, or write its plugin without combine",
        ),
    ),
    "distances": (
        [ARCFACE, 'plugin = "center"'],
        (
            2,
            "combine: its parts are made for different distances ('arcface' cosine, 'center' euclidean); write beside "
            'combine by which one embeddings are compared: distance = "cosine" or "euclidean"',
        ),
    ),
    "orders": (
        ['plugin = "npairs"', 'plugin = "contrastive", pairs = "halves", measure = "cosine"'],
        (
            2,
            "combine: no batch suits all parts: one needs rows i and i + B/2 of the same identity, another needs some "
            "of different ones",
        ),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_mistake_is_one_line_at_its_part(what):
    written, told = BAD[what]
    assert mistakes(parts(*written)) == [told]


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ('plugin = "arcface"', (6, "plugin: stands beside combine; write one of them")),
        (
            "grid = { margin = [1.0, 2.0] }",
            (
                6,
                "grid: does not vary the parts of combine; write a [[losses]] table for each setting, all with one "
                "setting_of",
            ),
        ),
        ("margin = 1.0", (6, "margin: is no key of a table with combine; options stand in the parts")),
        ('lable = "a"', (6, "lable: is no key of a table with combine; did you mean 'label'?")),
        ('distance = "cos"', (6, "distance: must be 'euclidean' or 'cosine', not 'cos'")),
        ("finetune = { stepz = 3 }", (6, "finetune.stepz: unknown key; did you mean 'steps'?")),
    ],
)
def test_a_mistake_beside_the_parts_is_told_there(beside, told):
    assert mistakes(parts(ARCFACE, 'plugin = "vpl"', beside=f"{beside}\n")) == [told]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("3", "combine: must be a list, not 3"),
        ("[]", "combine: must be a list of at least 1, not []"),
        ('{ plugin = "arcface" }', "combine: must be a list, not {'plugin': 'arcface'}"),
        ("[3]", "combine[0]: must be a table, not 3"),
    ],
)
def test_what_is_no_list_of_tables_is_refused(value, told):
    assert mistakes(f"[[losses]]\ncombine = {value}\n") == [(2, told)]


def test_too_many_parts_are_refused():
    ((line, told),) = mistakes(parts(*[ARCFACE] * 21))
    assert (line, told[:44]) == (2, "combine: must be a list of at most 20, not [")


def test_every_mistake_is_told_at_once():
    lines = mistakes(parts('plugin = "arcfac"', 'plugin = "vpl", weight = 0, margin = "a"', beside="steps = 3\n"))
    assert [line for line, _ in lines] == [3, 4, 4, 6]


def test_a_part_that_no_batch_of_the_sampler_suits_is_named():
    random = BASE.replace('"balanced", classes_per_batch = 4, images_per_class = 2', '"random"')
    ((line, told),) = mistakes(parts(ARCFACE, 'plugin = "triplet_margin"'), random)
    assert line == 4
    assert told.startswith("combine[1]: loss 'triplet_margin' needs ")
    assert "sampler 'random' does not promise that" in told


def test_a_plugin_of_somebody_else_may_be_a_part(install):
    install("outside-dist", "loss", "outside", OUTSIDE)
    (loss,) = loaded(parts(ARCFACE, 'plugin = "outside", file = "a", weight = 3')).resolved.losses
    assert loss.loss.identity["combine"][1]["distribution"] == "outside-dist"


def test_a_part_that_cannot_say_what_it_is_made_for_is_told(install):
    broken = OUTSIDE.replace("def build", "def traits(self):\n        raise KeyError('name')\n\n    def build")
    install("mute-dist", "loss", "mute", broken)
    ((line, told),) = mistakes(parts(ARCFACE, 'plugin = "mute"'))
    assert line == 2
    assert told.startswith("combine: loss 'mute' (mute-dist 1.0) is broken: traits() raises KeyError")


def test_a_file_of_a_part_is_beside_the_experiment(install, tmp_path):
    reading = OUTSIDE.replace("file: str", "file: FilePath").replace(
        "from typing", "from pydantic import FilePath\nfrom typing"
    )
    install("reading-dist", "loss", "reading", reading.replace('option("",', "option(...,"))
    spec = tmp_path / "spec.toml"
    spec.write_text(BASE + parts(ARCFACE, 'plugin = "reading", file = "weights.txt"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"combine\[1\]\.file: no such file: .*weights\.txt"):
        pipeline.load(spec)
    (tmp_path / "weights.txt").write_text("1", encoding="utf-8")
    assert pipeline.load(spec).experiment.losses[0].combine[1].options == {"file": str(tmp_path / "weights.txt")}


class TestWritten:
    def test_a_loss_that_is_no_sum_is_written_as_before(self):
        (row,) = rows('[[losses]]\nplugin = "arcface"\nmargin = 20.0\n')
        assert set(row.model_dump()) == {"plugin", "label", "options", "pretrain", "finetune"}

    # Names of options, two of which are keys of a part as well.
    OPTIONS = st.dictionaries(st.sampled_from(["margin", "weight", "options"]), st.integers(-9, 9), max_size=3)
    PARTS = st.lists(st.tuples(st.floats(1e-6, 1e6), OPTIONS), min_size=2, max_size=4)

    @given(PARTS, st.sampled_from([None, "cosine", "euclidean"]))
    def test_what_is_written_of_a_sum_is_read_again(self, given_parts, distance):
        (usual,) = plain().losses
        combine = tuple({"plugin": "x", "weight": weight, "options": options} for weight, options in given_parts)
        shared = {"label": "a", "pretrain": usual.pretrain, "finetune": usual.finetune, "distance": distance}
        row = LossEntry.model_validate({**shared, "combine": combine}, strict=False)
        experiment = plain().model_copy(update={"losses": (row,)})
        again, problems, _ = parse.parse(toml.parse_text(toml.dump(experiment), "spec.toml"))
        assert problems == []
        assert again.losses == (row,)


SEARCH = '[search]\ntrials = 3\n[[losses]]\nplugin = "npairs"\n'
SEARCHED = EXAMPLE.replace("margin = 20.0", "margin = { low = 10.0, high = 40.0 }").replace(
    "weight = 0.01", "weight = { low = 1e-3, high = 1.0, log = true }"
)


class TestSearch:
    def spaces(self, text):
        (_, space) = pipeline.loads(text, "x.toml").candidates.spaces()
        return {each.name: (str(each.space), each.default, each.suggested) for each in space.dimensions}

    def test_options_and_weights_of_parts_are_searched_and_what_plugins_suggest(self):
        assert self.spaces(BASE + SEARCH + SEARCHED) == {
            "combine[0].margin": ("10 to 40", 28.6, False),
            "combine[0].scale": ("8 to 128, by orders of magnitude", 64.0, True),
            "combine[1].alpha": ("0.05 to 1", 0.5, True),
            "combine[1].options.weight": ("0.0001 to 1, by orders of magnitude", 0.003, True),
            "combine[1].weight": ("0.001 to 1, by orders of magnitude", 1.0, False),
            "finetune.learning_rate": ("1e-05 to 0.01, by orders of magnitude", 0.001, True),
        }

    def test_a_row_is_not_named_after_what_is_searched(self):
        labels = [row.label for row in loaded(SEARCH + SEARCHED).experiment.losses]
        assert labels == ["npairs", "arcface + center"]

    def test_values_go_to_their_parts(self):
        candidates = loaded(SEARCH + SEARCHED).candidates
        (_, space) = candidates.spaces()
        loss = candidates.loss(
            space, {"combine[0].margin": 12.0, "combine[1].weight": 0.5, "combine[1].options.weight": 0.25}
        )
        assert loss.loss.weights == (1.0, 0.5)
        assert (loss.loss.parts[0].plugin.margin, loss.loss.parts[1].plugin.weight) == (12.0, 0.25)
        default = candidates.default(space)
        assert (default.loss.weights, default.loss.parts[0].plugin.margin) == ((1.0, 1.0), 28.6)

    def test_what_was_asked_asks_for_the_same(self):
        text = asked(loaded(SEARCH + SEARCHED).candidates)
        now, before = self.spaces(text), self.spaces(BASE + SEARCH + SEARCHED)
        assert {name: each[:2] for name, each in now.items()} == {name: each[:2] for name, each in before.items()}

    def test_what_was_chosen_is_written_and_needs_no_search(self):
        study = loaded(SEARCH + SEARCHED)
        (_, space) = study.candidates.spaces()
        chosen = study.candidates.loss(space, {"combine[1].weight": 0.5, "combine[1].options.weight": 0.25})
        losses = (study.experiment.losses[0], chosen.entry)
        tuned = settled_experiment(study.experiment.model_copy(update={"losses": losses}))
        again = pipeline.loads(toml.dump(tuned), "tuned.toml")
        assert again.candidates is None
        assert again.resolved.losses[1].loss.identity == chosen.loss.identity

    @pytest.mark.parametrize(
        ("old", "new", "line", "told"),
        [
            ("low = 1e-3", "low = 0.0", 5, "combine[1].weight: log = true needs low > 0"),
            ("low = 1e-3, high = 1.0, log = true", "low = 0, high = 1", 5, "combine[1].weight: must be greater than 0"),
            ("high = 40.0", "high = 400.0", 4, "combine[0].margin: must be less than"),
            ('"center"', '{ choices = ["center", "vpl"] }', 5, "combine[1].plugin: cannot be searched for; write a"),
            ('"cosine"', '{ choices = ["cosine", "euclidean"] }', 2, "distance: cannot be searched for; write a"),
        ],
    )
    def test_a_mistake_in_a_range_is_told_at_its_part(self, old, new, line, told):
        losses = SEARCHED.replace(old, new)
        search = BASE + "[search]\ntrials = 3\n"
        ((at, said),) = mistakes(losses, search)
        assert (at, said[: len(told)]) == (line, told)

    def test_without_a_search_a_range_is_refused(self):
        lines = mistakes(SEARCHED)
        assert [line for line, _ in lines] == [4, 5]
        assert all("is a range; add [search]" in told for _, told in lines)


def test_the_text_of_a_set_in_a_part_is_a_text(install):
    install("outside-dist", "loss", "outside", OUTSIDE)
    spec = BASE + parts(ARCFACE, 'plugin = "outside"')
    study = pipeline.loads(spec, "x.toml", overrides=("losses[0].combine[1].file=2024",))
    assert study.experiment.losses[0].combine[1].options == {"file": "2024"}
