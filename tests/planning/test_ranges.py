"""Ranges in the place of values: every mistake is one line with its place, before anything trains."""

from __future__ import annotations

import re

import pytest

from faceexp import pipeline
from faceexp.errors import InputError
from faceexp.experiment.search import Between, OneOf
from faceexp.store import Store

FILE = """\
name = "x"
seeds = [0, 1]
[dataset]
plugin = "synthetic"
people = 12
images_per_person = 6
size = 16
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = 8
[pretrain]
epochs = 1
batch_size = 12
[finetune]
steps = 10
validate_every = 5
learning_rate = 1e-3
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
[search]
trials = 2
[[losses]]
plugin = "contrastive"
[[losses]]
plugin = "npairs"
"""


def with_lines(*replacements):
    text = FILE
    for old, new in replacements:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


def mistakes(text):
    with pytest.raises(InputError) as caught:
        pipeline.loads(text, "x.toml")
    return [str(problem) for problem in caught.value.problems]


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


CONTRASTIVE = '[[losses]]\nplugin = "contrastive"\n'
NO_SEARCH = ("[search]\ntrials = 2\n", "")


def margin(value):
    return (CONTRASTIVE, f"{CONTRASTIVE}margin = {value}\n")


# What is written, a part of the line that is to be named, and what is said of it.
BAD = {
    "low is high": ([margin("{ low = 2, high = 2 }")], "margin", "low = 2 is not below high = 2"),
    "low above high": ([margin("{ low = 3, high = 1 }")], "margin", "low = 3 is not below high = 1"),
    "log from 0": ([margin("{ low = 0, high = 1, log = true }")], "margin", "log = true needs low > 0"),
    "log below 0": ([margin("{ low = -1.0, high = 1.0, log = true }")], "margin", "log = true needs low > 0"),
    "log and step": (
        [margin("{ low = 1, high = 9, log = true, step = 2 }")],
        "margin",
        "log and step exclude each other",
    ),
    "step of 0": ([margin("{ low = 1, high = 9, step = 0 }")], "margin", "step = 0 is not above 0"),
    "step too large": ([margin("{ low = 1, high = 9, step = 10 }")], "margin", "step is larger than the range"),
    "text for a number": ([margin('{ low = "1", high = 9 }')], "margin", "margin.low: must be a number"),
    "true for a number": ([margin("{ low = true, high = 9 }")], "margin", "margin.low: must be a number"),
    "infinite": ([margin("{ low = 1, high = inf }")], "margin", "margin.high"),
    "no high": ([margin("{ low = 1 }")], "margin", "margin.high: is missing; add high"),
    "unknown key": (
        [margin("{ low = 1, high = 9, lgo = true }")],
        "margin",
        "margin.lgo: unknown key; did you mean",
    ),
    "low beside choices": ([margin("{ choices = [1, 2], low = 1 }")], "margin", "margin.low: unknown key"),
    "one choice": ([margin("{ choices = [1] }")], "margin", "a list of at least 2"),
    "no list of choices": ([margin('{ choices = "a" }')], "margin", "must be a list"),
    "choices that repeat": ([margin("{ choices = [1, 2, 1] }")], "margin", "choices must not repeat"),
    "an end that the option refuses": ([margin("{ low = -3, high = 1 }")], "margin", "option of"),
    "a choice that the option refuses": ([margin('{ choices = [1.0, "much"] }')], "margin", "must be a number"),
    "fractions for whole numbers": (
        [("images_per_class = 2", "images_per_class = { low = 2.5, high = 4.5 }")],
        "images_per_class",
        "option of",
    ),
    "steps of fractions for whole numbers": (
        [("images_per_class = 2", "images_per_class = { low = 2, high = 4, step = 0.5 }")],
        "images_per_class",
        "option of",
    ),
    "a choice of sampler that is not installed": (
        [
            (
                '[finetune.sampler]\nplugin = "balanced"\nclasses_per_batch = 4\nimages_per_class = 2\n',
                '[finetune.sampler]\nplugin = { choices = ["balanced", "balancd"] }\n',
            )
        ],
        "choices",
        "no sampler plugin 'balancd'",
    ),
    "an option that one of the samplers lacks": (
        [
            ("images_per_class = 2\n", ""),
            ('plugin = "balanced"', 'plugin = { choices = ["balanced", "pairs"] }'),
        ],
        "classes_per_batch",
        "unknown option of",
    ),
    "no search": ([NO_SEARCH, margin("{ low = 1, high = 9 }")], "margin", "is a range; add [search]"),
    "a grid": ([(CONTRASTIVE, f"{CONTRASTIVE}grid = {{ margin = [1.0, 2.0] }}\n")], "grid", "is not searched"),
    "steps": ([("steps = 10", "steps = { low = 10, high = 20 }")], "steps = ", "every loss gets the same steps"),
    "validate_every": (
        [("validate_every = 5", "validate_every = { choices = [5, 10] }")],
        "validate_every",
        "every loss gets the same validate_every",
    ),
    "steps of a loss": (
        [(CONTRASTIVE, f"{CONTRASTIVE}finetune = {{ steps = 20 }}\n")],
        "finetune = ",
        "every loss gets the same steps where settings are searched",
    ),
    "a range of steps of a loss": (
        [(CONTRASTIVE, f"{CONTRASTIVE}finetune = {{ steps = {{ low = 1, high = 2 }} }}\n")],
        "finetune = ",
        "every loss gets the same steps; write one number in [finetune]",
    ),
    "epochs of a loss": (
        [(CONTRASTIVE, f"{CONTRASTIVE}pretrain = {{ epochs = 9 }}\n")],
        "pretrain = ",
        "every loss gets the same epochs where settings are searched",
    ),
    "a range of epochs of a loss": (
        [(CONTRASTIVE, f"{CONTRASTIVE}pretrain = {{ epochs = {{ low = 1, high = 2 }} }}\n")],
        "pretrain = ",
        "every loss gets the same epochs; write one number in [pretrain]",
    ),
    "a choice of losses": (
        [(CONTRASTIVE, '[[losses]]\nplugin = { choices = ["contrastive", "supcon"] }\n')],
        "choices",
        "cannot be searched for; write a [[losses]] table for each plugin",
    ),
    "a range of the data set": (
        [("people = 12", "people = { low = 10, high = 20 }")],
        "people",
        "[dataset] is the same for every loss; write one value",
    ),
    "a range of the protocol": (
        [('kind = "open_set"', 'kind = "open_set"\ntest_fraction = { low = 0.1, high = 0.3 }')],
        "test_fraction",
        "[protocol] is the same for every loss; write one value",
    ),
    "choices of the protocol": (
        [('kind = "open_set"', 'kind = { choices = ["open_set", "closed_set"] }')],
        "choices",
        "[protocol] is the same for every loss; write one value",
    ),
    "choices of precisions": (
        [("embedding_dim = 8", 'embedding_dim = 8\nprecision = { choices = ["float32", "mixed_float16"] }')],
        "precision",
        "its values differ by how they round, so chance would choose; write one of them",
    ),
    "choices of replicas": (
        [("[pretrain]\n", "[pretrain]\nreplicas = { choices = [1, 2] }\n")],
        "replicas",
        "its values differ by how they round, so chance would choose; write one of them",
    ),
    "seeds of the comparison": (
        [("trials = 2", "trials = 2\nseeds = [7, 1]")],
        "",
        "seed 1 is one of the comparison as well; give the search other seeds",
    ),
    "no trials": ([("trials = 2", "trials = 0")], "trials", "search.trials"),
    "an unknown sampler of settings": ([("trials = 2", 'sampler = "bayes"')], 'sampler = "bayes"', "search.sampler"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_range_is_one_line_at_its_place(name):
    replacements, part, said = BAD[name]
    text = with_lines(*replacements)
    (told,) = mistakes(text)
    assert said in told
    if part:
        assert told.startswith(f"x.toml:{line_of(text, part)}: "), told


def test_each_of_several_bad_ranges_is_told(tmp_path):
    text = with_lines(
        margin("{ low = 3, high = 1 }"),
        ("learning_rate = 1e-3", "learning_rate = { low = 0, high = 1 }"),
        ('plugin = "npairs"', 'plugin = "npairs"\nnonsense = { choices = [1, 2] }'),
    )
    told = mistakes(text)
    assert [line.split(":")[1] for line in told] == ["30", "33"]
    assert "low = 3 is not below high = 1" in told[0]
    assert "nonsense: unknown option" in told[1]
    # Whether options take the ends of ranges is asked once all of these are ranges.
    (end,) = mistakes(with_lines(("learning_rate = 1e-3", "learning_rate = { low = 0, high = 1 }")))
    assert end.startswith("x.toml:21: finetune.learning_rate: must be greater than 0")


@pytest.mark.parametrize("command_name", ["validate", "run"])
def test_the_command_ends_with_2_before_anything_trains(command, tmp_path, command_name):
    file = tmp_path / "x.toml"
    file.write_text(with_lines(margin("{ low = 3, high = 1 }")), encoding="utf-8")
    options = ["--out", tmp_path / "runs", "--store", tmp_path / "store"] if command_name == "run" else []
    code, _, err = command(command_name, file, *options)
    assert code == 2
    assert err.strip().splitlines() == [f"error: {file}:30: losses[0].margin: low = 3 is not below high = 1"]
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "store").exists()


def told_of_data(text, tmp_path):
    """What is said where the data are known, which is before anything trains as well."""
    with pytest.raises(InputError) as caught:
        pipeline.loads(text, "x.toml").run(tmp_path / "runs", store=tmp_path / "store")
    assert not list(tmp_path.glob("store/pretrain/*"))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("replacements", "part", "said"),
    [
        (
            [("classes_per_batch = 4", "classes_per_batch = { choices = [4, 2] }")],
            "[finetune.sampler]",
            "a batch of contrastive has 4 images, one of contrastive has 8",
        ),
        (
            [
                (CONTRASTIVE, f"{CONTRASTIVE}finetune = {{ sampler = {{ classes_per_batch = 2 }} }}\n"),
                ("learning_rate = 1e-3\n", ""),
            ],
            "[finetune.sampler]",
            "where settings are searched for, every loss sees as many images",
        ),
        ([("batch_size = 12", "batch_size = { low = 8, high = 64 }")], "batch_size", "64 is more than the"),
        (
            [("epochs = 1", "epochs = { low = 1, high = 2 }\nenabled = false")],
            "enabled",
            "has to be on: what is searched in [model] and [pretrain] is judged by the embedding of phase 1",
        ),
        ([("trials = 2", "trials = 2\nsuggested = false")], "[search]", "there is nothing to search"),
        (
            [
                margin("{ low = 1, high = 2 }"),
                ('plugin = "npairs"', 'plugin = "npairs"\nlabel = "contrastive (defaults)"'),
            ],
            "label",
            "is what the row of contrastive at its defaults is called",
        ),
    ],
)
def test_what_only_the_data_show_is_told_before_anything_trains(replacements, part, said, tmp_path):
    text = with_lines(*replacements)
    told = [each for each in told_of_data(text, tmp_path) if said in each]
    assert len(told) >= 1, told
    number = line_of(text, part)
    assert re.match(rf"x\.toml:{number}: ", told[0]), (number, told)


def spaces_of(text):
    study = pipeline.loads(text, "x.toml")
    return {space.label: space for space in study.candidates.spaces()}, study.candidates


def dimensions_of(space):
    return {each.name: each for each in space.dimensions}


def test_ranges_of_a_loss_of_finetune_and_of_suggestions_come_together():
    text = with_lines(
        margin("{ low = 1, high = 20, log = true }"),
        ("learning_rate = 1e-3", "learning_rate = { low = 1e-4, high = 1e-2, log = true }"),
        ("images_per_class = 2", "images_per_class = 2\n"),
    )
    spaces, _ = spaces_of(text)
    assert set(dimensions_of(spaces["contrastive"])) >= {"finetune.learning_rate", "margin"}
    assert "finetune.learning_rate" in dimensions_of(spaces["npairs"])
    rate = dimensions_of(spaces["npairs"])["finetune.learning_rate"]
    assert (rate.default, rate.suggested) == (1e-3, False)


def test_whole_ends_mean_fractions_where_an_option_takes_them_and_whole_numbers_where_not():
    text = with_lines(
        margin("{ low = 1, high = 20 }"),
        ("embedding_dim = 8", "embedding_dim = { low = 4, high = 16 }"),
        ("epochs = 1", "epochs = 1\ndropout = { low = 0, high = 0.5 }"),
    )
    spaces, candidates = spaces_of(text)
    assert not dimensions_of(spaces["contrastive"])["margin"].space.whole
    of_phase1 = dimensions_of(candidates.phase1())
    assert of_phase1["model.embedding_dim"].space.whole
    assert not of_phase1["pretrain.dropout"].space.whole


def test_a_loss_that_writes_a_value_has_no_range_for_it():
    text = with_lines(
        ("learning_rate = 1e-3", "learning_rate = { low = 1e-4, high = 1e-2, log = true }"),
        (CONTRASTIVE, f"{CONTRASTIVE}finetune = {{ learning_rate = 1e-3 }}\n"),
    )
    spaces, candidates = spaces_of(text)
    assert "finetune.learning_rate" not in dimensions_of(spaces["contrastive"])
    loss = candidates.loss(spaces["npairs"], {"finetune.learning_rate": 5e-3})
    assert loss.entry.finetune.learning_rate == 5e-3


def test_what_the_file_writes_is_not_suggested_and_suggestions_can_be_off():
    text = with_lines(("learning_rate = 1e-3\n", ""))
    spaces, _ = spaces_of(text)
    rate = dimensions_of(spaces["npairs"])["finetune.learning_rate"]
    assert rate.suggested
    assert (rate.space.low, rate.space.high, rate.space.log) == (1e-5, 1e-2, True)
    spaces, _ = spaces_of(FILE)
    assert "finetune.learning_rate" not in dimensions_of(spaces["npairs"])
    spaces, _ = spaces_of(text.replace("trials = 2", "trials = 2\nsuggested = false"))
    assert dimensions_of(spaces["npairs"]) == {}


def test_choices_of_a_samplers_plugin_and_of_whole_samplers():
    table = '[finetune.sampler]\nplugin = "balanced"\nclasses_per_batch = 4\nimages_per_class = 2\n'
    whole = (
        "learning_rate = 1e-3\n",
        "learning_rate = 1e-3\nsampler = { choices = [\n"
        '{ plugin = "balanced", classes_per_batch = 4, images_per_class = 2 },\n'
        '{ plugin = "balanced", classes_per_batch = 2, images_per_class = 4 },\n] }\n',
    )
    spaces, candidates = spaces_of(with_lines(whole, (table, "")))
    space = spaces["contrastive"]
    first, second = dimensions_of(space)["finetune.sampler"].space.choices
    assert space.defaults["finetune.sampler"] == first
    loss = candidates.loss(space, {**space.defaults, "finetune.sampler": second})
    assert (loss.sampler.supply().classes, loss.sampler.supply().images_per_class) == (2, 4)
    assert candidates.default(space).sampler.supply().classes == 4

    named = (
        'plugin = "balanced"\nclasses_per_batch = 4\nimages_per_class = 2\n',
        'plugin = { choices = ["balanced", "pairs"] }\n',
    )
    spaces, candidates = spaces_of(with_lines(named))
    space = spaces["contrastive"]
    assert space.defaults["finetune.sampler.plugin"] == "balanced"
    loss = candidates.loss(space, {**space.defaults, "finetune.sampler.plugin": "pairs"})
    assert loss.entry.finetune.sampler.plugin == "pairs"


def test_options_beside_a_chosen_plugin_stay():
    """A choice among plugins that all take an option leaves what the file says of it."""
    text = with_lines(
        (
            'plugin = "balanced"\nclasses_per_batch = 4',
            'plugin = { choices = ["balanced", "balanced_too"] }\nclasses_per_batch = 4',
        )
    )
    (told,) = mistakes(text)
    assert "balanced_too" in told
    choice = (
        'plugin = "thin_vgg"\nembedding_dim = 8',
        'embedding_dim = 8\nplugin = { choices = ["thin_vgg", "mobilefacenet"] }',
    )
    _, candidates = spaces_of(with_lines(choice))
    study = pipeline.loads(with_lines(choice), "x.toml")
    _, resolved = candidates.with_phase1(study.resolved, candidates.phase1(), {"model.plugin": "mobilefacenet"})
    assert (resolved.experiment.model.plugin, resolved.experiment.model.embedding_dim) == ("mobilefacenet", 8)


def test_whole_trunks_may_be_choices():
    whole = (
        '[model]\nplugin = "thin_vgg"\nembedding_dim = 8\n',
        "",
    )
    first = '{ plugin = "thin_vgg", widths = [4, 4], kernel_sizes = [3, 3], embedding_dim = 8 }'
    second = '{ plugin = "thin_vgg", widths = [8], kernel_sizes = [5], embedding_dim = 16 }'
    choices = ('name = "x"\n', f'name = "x"\nmodel = {{ choices = [{first}, {second}] }}\n')
    study = pipeline.loads(with_lines(whole, choices), "x.toml")
    space = study.candidates.phase1()
    (dimension,) = space.dimensions
    assert (dimension.name, dimension.default) == ("model", dimension.space.choices[0])
    _, resolved = study.candidates.with_phase1(study.resolved, space, {"model": dimension.space.choices[1]})
    assert resolved.model.plugin.widths == (8,)
    assert resolved.experiment.model.embedding_dim == 16


def test_a_row_is_not_named_after_a_value_that_stands_for_a_range():
    text = with_lines((CONTRASTIVE, f"{CONTRASTIVE}margin = {{ low = 1, high = 2 }}\n"))
    assert [entry.label for entry in pipeline.loads(text, "x.toml").experiment.losses] == ["contrastive", "npairs"]


def test_other_ranges_are_other_runs_and_older_files_keep_their_folders():
    def hashed(text):
        return pipeline.loads(text, "x.toml").spec_hash

    one, other = (hashed(with_lines(margin(f"{{ low = 1, high = {high} }}"))) for high in (3, 4))
    assert one != other
    plain = with_lines(NO_SEARCH)
    assert "search" not in pipeline.loads(plain, "x.toml").experiment.model_dump()


@pytest.mark.parametrize(
    ("table", "count", "points"),
    [
        ({"low": 0, "high": 10}, 3, [0, 5, 10]),
        ({"low": 0, "high": 2}, 9, [0, 1, 2]),
        ({"low": 0.0, "high": 1.0}, 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"low": 0.01, "high": 1.0, "log": True}, 3, [0.01, 0.1, 1.0]),
        ({"low": 1, "high": 100, "log": True}, 3, [1, 10, 100]),
        ({"low": 0.1, "high": 0.55, "step": 0.1}, 9, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"low": 1, "high": 10, "step": 4}, 9, [1, 5, 9]),
        ({"low": 0.0, "high": 4.0}, 1, [2.0]),
    ],
)
def test_points_of_a_grid_lie_at_equal_distances(table, count, points):
    space = Between.model_validate(table)
    assert space.points(count) == points
    assert all(space.holds(point) for point in points)
    assert all(type(point) is type(points[0]) for point in space.points(count))


def test_what_a_range_holds():
    assert Between(low=1, high=9, step=4).holds(5)
    assert not any(Between(low=1, high=9, step=4).holds(value) for value in (4, 10, True, "5", None))
    assert str(Between(low=0.1, high=10, log=True)) == "0.1 to 10, by orders of magnitude"
    assert str(OneOf(choices=["a", [1, 2]])) == 'one of "a", [1, 2]'


def test_the_comparison_is_planned_before_settings_are_known(tmp_path):
    """What `--dry-run` shows, and mistakes in data that have nothing to do with the search."""
    study = pipeline.loads(with_lines(margin("{ low = 1, high = 20 }")), "x.toml")
    assert len(study.plan(Store(tmp_path)).trials) == 2 * (2 + 4)
