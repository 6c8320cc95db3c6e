"""What a run will take: how many trials are still to do, and about how many minutes and bytes that needs.

Where trials of the same experiment lie in the store, their measured times and sizes are taken. What was never measured
is estimated by a rule of thumb; the record says which of the two it was.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field

from faceexp.engine.finished import FinishedWork, MissingError
from faceexp.engine.training import finished_work, threads_of
from faceexp.engine.worker import limited_threads
from faceexp.evaluation.checkpoints import validation_score
from faceexp.experiment.baselines import PCA, PIXELS, UNTRAINED
from faceexp.experiment.keep import Models
from faceexp.results.kept import Standing
from faceexp.results.measure import measure
from faceexp.results.record import Count, Record
from faceexp.search.prospect import Prospect
from faceexp.store import Store
from faceexp.values import Plan, ResolvedLoss, TrainedTrial, Trial

# The rule of thumb, in seconds, measured on two cores with the trunk of the default experiment and grey images of
# 48 x 48 and 96 x 96 pixels, where it is right within a factor of two. A large trunk takes ten times as long and more.
START = 10.0
# For each step of phase 1, each pixel of each image that it sees, and each pixel of each image whose features are
# computed.
PRETRAIN_A_STEP = 0.015
PRETRAIN_A_PIXEL = 0.5e-6
FEATURES_A_PIXEL = 0.15e-6
# For each step of phase 2, each trial (to measure it and to write its files), and each loss (to compile it).
STEP = 0.0015
TRIAL = 0.25
COMPILE = 3.0
# Bytes that a training of a search leaves in the store, measured: its curve, and no network.
SEARCHED = 12_000
# Bytes that a float takes, and that a trial takes in the folder of the run: its record, and its share of page and
# pictures. Then those of a network beside its embedding layer.
FLOAT = 4
RECORDS = 75_000
TRUNK = 100_000
# The same trunk makes a feature of so many pixels.
PIXELS_A_FEATURE = 4

Basis = Literal["nothing left to do", "times of this experiment in the store", "partly measured", "rule of thumb"]


class OutlookRecord(Record):
    """What a run will take, as ``faceexp run --dry-run --json`` prints it."""

    trials: Count = Field(description="How many trials the run has, those of baselines included.")
    finished: Count = Field(description="How many of them lie in the store already.")
    rows: Count = Field(description="How many rows the table will have.")
    minutes: float = Field(description="About how many minutes the rest takes one process.")
    search_trainings: Count = Field(
        0, description="How many trainings the search for settings has, of all losses together; at most, with a pruner."
    )
    search_finished: Count = Field(0, description="How many of them are finished already.")
    megabytes: float = Field(description="About how much room the rest takes on the disk, store and run together.")
    basis: Basis = Field(description="Whether times were measured or estimated.")


class _Done:
    """What finished trials of an experiment took."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.pretrain: dict[tuple[int, int], float] = {}
        self.steps: list[float] = []
        self.sizes: list[int] = []
        self.networks: dict[str, tuple[Trial, int]] = {}
        self.standings: dict[str, tuple[Trial, Standing]] = {}

    def add(self, trained: TrainedTrial) -> None:
        """Count a trial; what it has embedded is not kept."""
        trial = trained.trial
        self.trials.append(trial)
        if trial.loss and trained.status == "ok":
            seconds = trained.seconds
            self.pretrain[trial.seed, trial.fold] = seconds["pretrain"] + seconds["features"]
            self.steps.append(seconds["finetune"] / trial.loss.entry.finetune.steps)
            if trained.folder:
                self.sizes.append(sum(file.stat().st_size for file in trained.folder.iterdir()))
                place = Standing.of(trained.curve, trained.best_step, trial.seed, trial.fold)
                self.standings[trial.id] = trial, place
            if trained.network:
                self.networks[trial.id] = trial, trained.network.stat().st_size

    def to_train_again(self, models: Models, unfinished: Collection[str]) -> list[Trial]:
        """Return the trials whose networks are to be kept, and are not in the store.

        Args:
            models: Which the experiment file asks for.
            unfinished: The rows of which trials are missing; nobody knows yet which of theirs will be the best.
        """
        rows: dict[str, list[tuple[Standing, Trial]]] = {}
        for trial, standing in self.standings.values():
            rows.setdefault(trial.id if models == "all" else trial.label, []).append((standing, trial))
        best = [max(row, key=lambda each: each[0])[1] for row in rows.values() if models != "none"]
        waiting = () if models == "all" else unfinished
        return [trial for trial in best if trial.id not in self.networks and trial.label not in waiting]


def outlook(plan: Plan, store: Store, jobs: int, search: Prospect | None = None) -> OutlookRecord:
    """Return what a run will take. Nothing is trained, and TensorFlow is not imported.

    Args:
        plan: What the run will do.
        store: Where finished work is looked up.
        jobs: How many processes the run will have, on which depends what counts as finished.
        search: What is still to do of the search for settings, if there is one; the plan then has any settings in the
            place of those that will be chosen, unless the search is over.
    """
    done, missing = _Done(), []
    score = validation_score(plan.resolved.experiment.evaluation.choose_by)
    finished = finished_work(plan, Store(store.root), score, jobs)
    for trial in plan.trials:
        try:
            trained = finished(trial)
            # Raw pixels are never missing. They are finished if they were measured.
            if trial.baseline == PIXELS:
                with limited_threads(threads_of(plan, jobs)):
                    measure(trained, plan, FinishedWork(store.root))
            done.add(trained)
        except MissingError:
            missing.append(trial)
    models = plan.resolved.experiment.keep.models
    again = done.to_train_again(models, {trial.label for trial in missing})
    missing += again
    cells = {(trial.seed, trial.fold) for trial in missing if trial.baseline not in (PIXELS, PCA)}
    cells -= done.pretrain.keys()
    of_losses = [(trial, trial.loss) for trial in missing if trial.loss]
    seconds, size = 0.0, 0.0
    pixels = plan.images[0].size
    # Which settings a search will choose is not known; each loss may have its default settings beside them.
    trainings = search.left if search else 0
    at_defaults = _at_defaults(plan, search) if search and trainings else []
    of_losses += at_defaults
    if missing or trainings:
        seconds += START + TRIAL * (len(missing) + len(at_defaults))
        size += RECORDS * (len(missing) - len(again) + len(at_defaults))
    if cells:
        measured = statistics.mean(done.pretrain.values()) if done.pretrain else None
        seconds += len(cells) * (_shared_seconds(plan, pixels) if measured is None else measured)
        size += len(cells) * (_network(plan, pixels) + _features(plan, pixels))
    if of_losses:
        step = statistics.median(done.steps) if done.steps else None
        labels = {trial.label for trial, _ in of_losses}
        seconds += COMPILE * len(labels)
        seconds += sum(_seconds(loss, plan, pixels, step) for _, loss in of_losses)
        # Of what is trained again, all but the network is there.
        size += (len(of_losses) - len(again)) * (statistics.mean(done.sizes) if done.sizes else _embeddings(plan))
        size += _new_networks(models, [trial for trial, _ in of_losses], done) * _size_of_network(done, plan, pixels)
        if search and trainings:
            of_one = statistics.mean(_seconds(loss, plan, pixels, step) for _, loss in of_losses)
            shared = search.phase1.left if search.phase1 else 0
            # Every training of phase 1 has features of its own.
            cells_of_search = shared + (len(search.plan.splits) if search.losses and search.losses.left else 0)
            seconds += (trainings - shared) * (TRIAL + of_one)
            seconds += cells_of_search * _shared_seconds(search.plan, pixels)
            size += (trainings - shared) * SEARCHED
            size += cells_of_search * (_network(plan, pixels) + _features(search.plan, pixels))
    all_trainings = search.trainings if search else 0
    return OutlookRecord(
        trials=len(plan.trials) + len(at_defaults),
        finished=len(done.trials) - len(again),
        rows=len({(trial.loss and trial.loss.entry.setting_of) or trial.label for trial in plan.trials}),
        search_trainings=all_trainings,
        search_finished=all_trainings - trainings,
        minutes=seconds / 60,
        megabytes=size / 1e6,
        basis=_basis(missing=bool(missing or trainings), shared=bool(cells), losses=bool(of_losses), done=done),
    )


def _at_defaults(plan: Plan, search: Prospect) -> list[tuple[Trial, ResolvedLoss]]:
    """Return the trials of losses that are searched, which their default settings have as well, if these are asked."""
    asked = search.plan.resolved.experiment.search
    losses = search.losses.chances.losses if asked and asked.defaults and search.losses else ()
    searched = {loss.label for loss in losses}
    return [(trial, trial.loss) for trial in plan.trials if trial.loss and trial.label in searched]


def _basis(*, missing: bool, shared: bool, losses: bool, done: _Done) -> Basis:
    if not missing:
        return "nothing left to do"
    measured = [bool(kind) for wanted, kind in ((shared, done.pretrain), (losses, done.steps)) if wanted]
    if all(measured) and done.trials:
        return "times of this experiment in the store"
    return "partly measured" if any(measured) else "rule of thumb"


def _shared_seconds(plan: Plan, pixels: int) -> float:
    """Return how long phase 1 and the features of one seed and fold take, by the rule of thumb."""
    experiment = plan.resolved.experiment
    largest = max(len(split.train) for split in plan.splits)
    seen = largest * experiment.pretrain.epochs if experiment.pretrain.enabled else 0
    steps = seen / experiment.pretrain.batch_size
    of_features = FEATURES_A_PIXEL * pixels * _views(plan) * len(plan.images)
    return PRETRAIN_A_STEP * steps + PRETRAIN_A_PIXEL * pixels * seen + of_features


def _seconds(loss: ResolvedLoss, plan: Plan, pixels: int, measured: float | None) -> float:
    """Return how long phase 2 of one trial takes; ``measured`` is the time of a step."""
    finetune = loss.entry.finetune
    if measured is None:
        through_trunk = finetune.trainable == "all" or (plan.resolved.experiment.augment.phase2)
        images = loss.sampler.supply().size if through_trunk else 0
        measured = STEP + PRETRAIN_A_PIXEL * pixels * images
    return measured * finetune.steps


def _network(plan: Plan, pixels: int) -> float:
    """Return how many bytes a network takes: nearly all of them are the embedding layer's."""
    return TRUNK + FLOAT * pixels / PIXELS_A_FEATURE * plan.resolved.experiment.trunk.embedding_dim


def _features(plan: Plan, pixels: int) -> float:
    """Return how many bytes the features of one seed and fold take, those of the untrained trunk included."""
    experiment = plan.resolved.experiment
    trunks = 1 + (UNTRAINED.key in experiment.baselines)
    return FLOAT * trunks * _views(plan) * len(plan.images) * pixels / PIXELS_A_FEATURE


def _new_networks(models: Models, trained: Sequence[Trial], done: _Done) -> int:
    """Return how many networks trials add that are to be trained: one that takes the place of another adds nothing."""
    if models == "best":
        return len({trial.label for trial in trained} - {trial.label for trial, _ in done.networks.values()})
    return len(trained) if models == "all" else 0


def _size_of_network(done: _Done, plan: Plan, pixels: int) -> float:
    """Return how many bytes the network of a trial takes, measured where there is one."""
    sizes = [size for _, size in done.networks.values()]
    return statistics.mean(sizes) if sizes else _network(plan, pixels)


def _embeddings(plan: Plan) -> float:
    """Return how many bytes the embeddings of a trained trial take, which are measured."""
    measured = max(len(split.validation) + len(split.test) for split in plan.splits)
    return FLOAT * measured * plan.resolved.experiment.trunk.embedding_dim


def _views(plan: Plan) -> int:
    return plan.resolved.experiment.views
