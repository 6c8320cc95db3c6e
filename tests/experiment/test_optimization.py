"""Optimisers, schedules and clipping in a file: what is read, what is refused at its line, what older files mean."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types

import pytest

from faceexp.experiment import keras_optimizers, parse, toml
from faceexp.experiment.optimization import NOT_TAKEN
from faceexp.experiment.schema import Experiment, Finetune, Pretrain

BASE = """\
name = "example"
dataset = { plugin = "faces" }
protocol = { kind = "open_set" }
model = { plugin = "trunk" }
losses = [{ plugin = "pull" }]
[finetune]
sampler = { plugin = "drawn" }
steps = 100
"""


def parsed(line: str, base: str = BASE) -> Experiment:
    """Return the experiment of a file with one more line in [finetune]."""
    experiment, problems, _ = parse.parse(toml.parse_text(f"{base}{line}\n", "x.toml"))
    assert problems == []
    assert experiment is not None
    return experiment


def settings(line: str) -> Finetune:
    finetune = parsed(line).finetune
    assert finetune is not None
    return finetune


def mistakes(line: str, base: str = BASE) -> list[str]:
    """Return every mistake of a file with one more line in [finetune], which is its ninth."""
    experiment, problems, _ = parse.parse(toml.parse_text(f"{base}{line}\n", "x.toml"))
    assert experiment is None
    return [str(problem) for problem in parse.in_order(problems)]


def test_names_and_options_are_those_of_keras() -> None:
    """What is read from the source is what the classes take, those apart that wrap other optimisers."""
    from faceexp.engine.backend import tensorflow

    optimizers = tensorflow().keras.optimizers
    classes = {name: each for name, each in vars(optimizers).items() if isinstance(each, type)}
    by_itself = {
        name.lower(): {key: each.default for key, each in taken.items() if each.kind is not each.VAR_KEYWORD}
        for name, taken in ((name, inspect.signature(each).parameters) for name, each in classes.items())
        if next(iter(taken)) == "learning_rate" and name != "Optimizer"
    }
    read = {name: dict(defaults) for name, defaults in keras_optimizers.keras_optimizers().items()}
    assert read == by_itself
    assert {"sgd", "adam", "adamw", "rmsprop"} <= read.keys()


def test_names_and_options_are_known_without_importing_keras() -> None:
    code = (
        "import sys; from faceexp.experiment.optimization import Optimizer; "
        "Optimizer(name='sgd', momentum=0.9); assert not {'keras', 'tensorflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_keras_keeps_its_source_elsewhere_nothing_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keras_optimizers.keras_optimizers.cache_clear()
    elsewhere = types.SimpleNamespace(submodule_search_locations=["nowhere"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: elsewhere)
    try:
        assert keras_optimizers.keras_optimizers() == {}
        optimizer = settings('optimizer = { name = "Novel", strength = 1 }').optimizer
    finally:
        keras_optimizers.keras_optimizers.cache_clear()
    assert optimizer is not None
    assert (optimizer.name, optimizer.options) == ("novel", {"strength": 1})


@pytest.mark.parametrize("name", ["sgd", "SGD"])
def test_an_optimizer_is_named_in_small_letters_or_as_its_class(name: str) -> None:
    found = settings(f'optimizer = {{ name = "{name}", momentum = 1, weight_decay = 5e-4, nesterov = true }}').optimizer
    assert found is not None
    assert found.name == "sgd"
    assert found.options == {"momentum": 1.0, "weight_decay": 5e-4, "nesterov": True}
    assert isinstance(found.options["momentum"], float)  # Keras refuses the integer 1


REFUSED = {
    'optimizer = { name = "sdg" }': "finetune.optimizer.name: no optimiser 'sdg'; did you mean 'sgd'?",
    "optimizer = { momentum = 0.9 }": "finetune.optimizer.name: is missing; add name",
    'optimizer = "sgd"': "finetune.optimizer: must be a table, not 'sgd'",
    'optimizer = { name = "sgd", momentm = 0.9 }': (
        "finetune.optimizer.momentm: unknown option of optimiser 'sgd'; did you mean 'momentum'?"
    ),
    'optimizer = { name = "sgd", nesterov = 1 }': "finetune.optimizer.nesterov: must be true or false, not 1",
    'optimizer = { name = "sgd", momentum = true }': "finetune.optimizer.momentum: must be a number, not True",
    'optimizer = { name = "sgd", momentum = "0.9" }': "finetune.optimizer.momentum: must be a number, not '0.9'",
    'optimizer = { name = "adam", epsilon = 1e300 }': "finetune.optimizer.epsilon: must be a number, not 1e+300",
    'optimizer = { name = "adam", use_ema = true }': (
        "finetune.optimizer.use_ema: changes nothing without ema_overwrite_frequency, the steps after which weights "
        "become their mean"
    ),
    'schedule = { kind = "cosin" }': "finetune.schedule.kind: must be 'constant', 'cosine' or 'step', not 'cosin'",
    'schedule = { kind = "step" }': "finetune.schedule: step needs milestones, such as milestones = [0.5, 0.75]",
    'schedule = { kind = "step", milestones = [0.5, 0.5] }': "finetune.schedule: milestones must rise, from above 0",
    'schedule = { kind = "step", milestones = [0] }': "finetune.schedule: milestones must rise, from above 0",
    "schedule = { warmup = 1.5 }": (
        "finetune.schedule.warmup: must be a share of all steps below 1, or a whole number of steps (is 1.5)"
    ),
    'schedule = { kind = "cosine", factor = 0.1 }': 'finetune.schedule: factor belongs to kind = "step", not to cosine',
    "schedule = { warmpu = 5 }": "finetune.schedule.warmpu: unknown key; did you mean 'warmup'?",
    "sampled_classes = 0": "finetune.sampled_classes: must be greater than 0, not 0",
    "sampled_classes = true": "finetune.sampled_classes: must be a number, not True",
    "sampled_classes = 1.5": (
        "finetune.sampled_classes: must be a share of all identities below 1, or a whole number of identities (is 1.5)"
    ),
    "clip_norm = 0": "finetune.clip_norm: must be greater than 0, not 0",
    "proxies = { learning_rat = 1.0 }": "finetune.proxies.learning_rat: unknown key; did you mean 'learning_rate'?",
    'proxies = { optimizer = { name = "sgd", lr = 1 } }': (
        "finetune.proxies.optimizer.lr: unknown option of optimiser 'sgd'; known: clipnorm, ema_momentum, "
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_is_one_line(line: str) -> None:
    (mistake,) = mistakes(line)
    assert mistake.startswith(f"x.toml:9: {REFUSED[line]}")


@pytest.mark.parametrize("key", NOT_TAKEN)
def test_what_stands_beside_the_optimizer_is_no_option_of_it(key: str) -> None:
    (mistake,) = mistakes(f'optimizer = {{ name = "adam", {key} = 1.0 }}')
    assert mistake == f"x.toml:9: finetune.optimizer.{key}: {NOT_TAKEN[key]}"


EMA = 'optimizer = { name = "adam", use_ema = true, ema_overwrite_frequency = 5 }'
TOGETHER = {
    f"sampled_classes = 0.1\nproxies = {{ {EMA} }}": (
        "has sampled_classes and an optimizer with use_ema, which changes weights every few steps, when others take part; "
        "leave one of them out"
    ),
    "clip_norm = 1\nclip_value = 1": "has clip_norm and clip_value; choose one of them",
    'schedule = { kind = "step", milestones = [100] }': "schedule names step 100, and there are 100 steps",
    "schedule = { warmup = 200 }": "schedule names step 200, and there are 100 steps",
}


@pytest.mark.parametrize("lines", TOGETHER)
def test_what_does_not_fit_together_is_told_at_its_table(lines: str) -> None:
    assert mistakes(lines) == [f"x.toml:6: finetune: {TOGETHER[lines]}"]


def test_what_is_wrong_only_together_with_a_losss_own_keys_is_told_there() -> None:
    base = BASE.replace(
        '[{ plugin = "pull" }]', '[{ plugin = "pull", finetune = { steps = 50 } }, { plugin = "push" }]'
    )
    found = mistakes("schedule = { warmup = 60 }", base)
    assert found == ["x.toml:5: losses[0].finetune: schedule names step 60, and there are 50 steps"]


def test_a_sample_of_classes_is_for_weights_of_the_loss_whose_optimizer_may_be_another() -> None:
    assert settings(f"{EMA}\nsampled_classes = 0.1\nproxies = {{ optimizer = {{ name = 'sgd' }} }}").sampled == 0.1


def test_a_loss_may_be_trained_without_the_sample_that_all_have_and_the_file_that_is_written_means_the_same() -> None:
    own = '{ plugin = "push", finetune = { sampled_classes = false } }'
    experiment = parsed(
        "sampled_classes = 50", BASE.replace('[{ plugin = "pull" }]', f'[{{ plugin = "pull" }}, {own}]')
    )
    assert [entry.finetune.sampled for entry in experiment.losses] == [50.0, None]
    again, _, _ = parse.parse(toml.parse_text(toml.dump(experiment), "spec.toml"))
    assert again is not None
    assert again.losses == experiment.losses


def test_a_loss_has_an_optimizer_of_its_own_and_the_file_that_is_written_means_the_same() -> None:
    own = '{ plugin = "push", finetune = { optimizer = { name = "lion" }, proxies = { learning_rate = 1.0 } } }'
    base = BASE.replace('[{ plugin = "pull" }]', f'[{{ plugin = "pull" }}, {own}]')
    line = 'optimizer = { name = "adamw", weight_decay = 0.1 }\nschedule = { kind = "step", milestones = [50] }'
    experiment = parsed(line, base)
    shared, lion = (entry.finetune for entry in experiment.losses)
    assert shared.optimizer is not None
    assert lion.optimizer is not None
    assert (shared.optimizer.name, lion.optimizer.name) == ("adamw", "lion")
    assert shared.schedule == lion.schedule is not None
    assert lion.proxies is not None
    assert lion.proxies.learning_rate == 1.0
    again, problems, _ = parse.parse(toml.parse_text(toml.dump(experiment), "spec.toml"))
    assert problems == []
    assert again is not None
    assert again.losses == experiment.losses


def test_a_file_of_before_means_what_it_meant() -> None:
    """Runs are named after a digest of this, and finished work is found by it."""
    finetune = settings("").model_dump()
    assert finetune == {
        "sampler": {"plugin": "drawn", "options": {}},
        "trainable": "embedding",
        "steps": 100,
        "learning_rate": 1e-3,
        "validate_every": 50,
    }
    assert Pretrain().model_dump() == {
        "enabled": True,
        "epochs": 15,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "dropout": 0.2,
        "patience": None,
    }
