"""What tests of the search share: small experiments with ranges, and a trainer that only counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from faceexp import pipeline
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.search import phase1, rounds
from faceexp.search.tuned import Tuned, tuned
from faceexp.store import Store
from faceexp.values import Checkpoint, TrainedTrial, ignore

BASE = """\
name = "searched"
seeds = [0, 1]
baselines = []
[dataset]
plugin = "synthetic"
people = 16
images_per_person = 6
size = 16
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
"""
MODEL = """\
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8
"""
PRETRAIN = """\
[pretrain]
epochs = 1
batch_size = 12
"""
FINETUNE = """\
[finetune]
steps = 10
validate_every = 5
"""
SAMPLER = """\
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
"""


@pytest.fixture(scope="package", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Optuna waits after each line of a journal until the disk has it, which only a power failure makes a difference to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def text_of() -> Callable[..., str]:
    """``text_of("[[losses]]...", search="trials = 3")``: an experiment file; tables may be replaced."""

    def build(
        losses: str,
        *,
        search: str | None = "trials = 3",
        base: str = BASE,
        model: str = MODEL,
        pretrain: str = PRETRAIN,
        finetune: str = FINETUNE,
        sampler: str = SAMPLER,
    ) -> str:
        table = "" if search is None else f"[search]\n{search}\n"
        return f"{base}{model}{pretrain}{finetune}{sampler}{table}{losses}"

    return build


def score_of(values: object, cell: tuple[int, int]) -> float:
    """Return a score between 0.5 and 1 that only values, seed and fold decide, as if it were any function of them."""
    text = json.dumps([values, cell], sort_keys=True, default=str)
    return 0.5 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**33


class Counter:
    """Trains nothing, and keeps account of what it was asked for.

    Attributes:
        trained: Label of the loss -> steps and images of each training.
        outcome: Returns how a training ends: ``"ok"``, ``"diverged"`` or ``"failed"``.
        calls: How many trainings there were; an error is raised when there are more than ``most``.
    """

    def __init__(self) -> None:
        self.trained: dict[str, list[tuple[int, int]]] = {}
        self.outcome: Callable[[Any], str] = lambda trial: "ok"
        self.calls = 0
        self.most: float = float("inf")

    @contextlib.contextmanager
    def training(self, plan, store, score, on_event, jobs) -> Iterator[Any]:
        def train(groups):
            # Several processes end in any order.
            trials = [trial for group in groups for trial in group]
            for trial in trials if jobs is None else reversed(trials):
                yield self.run(plan, trial)

        yield train

    def phase1(self, plan, store, score, on_event, jobs) -> Iterator[TrainedTrial]:
        for trial in plan.trials:
            yield self.run(plan, trial)

    def run(self, plan, trial) -> TrainedTrial:
        self.calls += 1
        if self.calls > self.most:
            raise KeyboardInterrupt
        split = next(each for each in plan.splits if (each.seed, each.fold) == (trial.seed, trial.fold))
        experiment = plan.resolved.experiment
        if trial.loss is None:
            values: Any = [experiment.model.model_dump(), experiment.pretrain.model_dump()]
            told = np.array([score_of(values, (trial.seed, trial.fold))])
            return TrainedTrial(trial, split, self.outcome(trial), embeddings={"validation": told})
        entry, supply = trial.loss.entry, trial.loss.sampler.supply()
        steps = entry.finetune.steps
        self.trained.setdefault(trial.label.split(", trial")[0], []).append((steps, steps * supply.size))
        values = [entry.options, entry.finetune.model_dump(), entry.pretrain.model_dump()]
        point = Checkpoint(5, 1.0, score_of(values, (trial.seed, trial.fold)))
        status = self.outcome(trial)
        return TrainedTrial(trial, split, status, status, curve=(point,) if status == "ok" else ())


class TakesWhatItGets(ValidationAuc):
    """Takes the embeddings of the counter for what they are: scores."""

    def __call__(self, embeddings, labels, distance, pairs=None) -> float:
        return float(embeddings[0])


@pytest.fixture
def counter(monkeypatch) -> Counter:
    """A trainer in the place of the engine, for both kinds of searches."""
    made = Counter()
    monkeypatch.setattr(rounds, "training", made.training)
    monkeypatch.setattr(phase1, "train", made.phase1)
    return made


@pytest.fixture(scope="session")
def score() -> TakesWhatItGets:
    """What judges a training of the counter."""
    return TakesWhatItGets()


@pytest.fixture(scope="session")
def searched() -> Callable[..., Tuned]:
    """``searched(text, store folder)``: what the search of a file chooses."""

    def run(text: str, root, *, jobs: int | None = None) -> Tuned:
        study = pipeline.loads(text, "x.toml")
        assert study.candidates is not None
        return tuned(study.candidates, study.resolved, Store(root), TakesWhatItGets(), ignore, jobs)

    return run
