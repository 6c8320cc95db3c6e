"""Trackers: what they hear of a run, and their base class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from faceexp.contract.plugin import Plugin

# What a setting of a trial may be: whatever else it is in the experiment file was written as text.
Setting = str | bool | int | float
# What a tracker may ask to be told of the test images of each trial; photos come with embeddings.
FacesTold = Literal["none", "embeddings", "photos"]


@dataclass(frozen=True)
class TrackedRun:
    """A run that begins.

    Attributes:
        name: What the experiment is called.
        folder: The folder of the run, absolute. It is there already, and the same run may have filled it before.
        experiment: The experiment file with every default filled in, as data of JSON.
        rows: The labels of the rows of its table: those of the losses, of existing embeddings and of baselines.
    """

    name: str
    folder: Path
    experiment: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackedPoint:
    """One point of the training curve of a trial.

    Attributes:
        step: How many optimiser steps were done.
        loss: The mean value of the loss since the point before; nothing where it is not finite.
        validation: The score on validation images; nothing where it is not finite.
    """

    step: int
    loss: float | None
    validation: float | None


@dataclass(frozen=True)
class TrackedModel:
    """The model of a trial.

    Attributes:
        folder: Its folder, absolute, with ``calibration.json``; ``faceexp.load_model`` opens it.
        image_shape: Height, width and channels of the images uint8 (N, H, W, C) that it takes.
        embedding_dim: The D of the embeddings float32 (N, D) that it gives; nothing where that is not known.
        network: The Keras file that maps such images to embeddings; nothing where a plugin opens the network.
    """

    folder: Path
    image_shape: tuple[int, int, int]
    embedding_dim: int | None = None
    network: Path | None = None


@dataclass(frozen=True)
class TrackedTrial:
    """A trial that has ended.

    Attributes:
        id: Its name, which no other trial of the run has. It is fit for the name of a file.
        label: The row of the table that it belongs to.
        kind: A loss was trained, an embedding that exists already was measured, or it is a baseline.
        seed: The seed from which split, first weights and batches were drawn.
        fold: The fold, counted from 0.
        status: How it ended: ``diverged`` if a number was not finite, ``failed`` if an error was raised.
        reason: Why it did not end well; empty where it did.
        settings: The options of the loss and how it was trained, by flat names such as ``finetune.steps``.
        metrics: What was measured on test images, by the names of the metrics; only what is defined is there.
        curve: The training curve of phase 2; empty where nothing was trained.
        best_step: The step of phase 2 whose weights are kept.
        model: Its model; nothing where it has none, or where the run decides later whether it keeps that.
        faces: A ``.npz`` file of its test images, absolute: ``embeddings`` float32 (n, D), ``identities`` str (n,) and,
            where photos are asked for, ``photos`` uint8 (n, h, w, C), which are small. It is there only while the
            trial is recorded. Of many images, those of the first people are in it. Nothing where the tracker does not
            ask for it (see :attr:`TrackerPlugin.faces_option`), where the trial did not end well, or where its
            embeddings are not at hand.
    """

    id: str
    label: str
    kind: Literal["loss", "pretrained", "baseline"]
    seed: int
    fold: int
    status: Literal["ok", "diverged", "failed"] = "ok"
    reason: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[TrackedPoint, ...] = ()
    best_step: int = 0
    model: TrackedModel | None = None
    faces: Path | None = None


@dataclass(frozen=True)
class TrackedEnd:
    """A run that has ended.

    Attributes:
        folder: The folder of the run, absolute.
        report: Its page, ``report.html``.
        finding: What was found, in words.
        models: By the id of their trials, the models that the run has kept and no trial has told of.
    """

    folder: Path
    report: Path
    finding: str
    models: Mapping[str, TrackedModel] = field(default_factory=dict)


class Tracker(ABC):
    """What records one run. All of its methods are called in one thread, one after the other."""

    @abstractmethod
    def trial_ended(self, trial: TrackedTrial) -> None:
        """Record a trial."""

    @abstractmethod
    def run_ended(self, end: TrackedEnd) -> None:
        """Record the end of the run. It is not called if the run was interrupted or has failed."""

    def close(self) -> None:  # noqa: B027 - not every tracker has something to close
        """Close what was opened. It is called last, also after a failure and where a run was interrupted."""


class TrackerPlugin(Plugin, ABC):
    """A place outside of faceexp in which runs are recorded.

    It works in a process of its own. What it raises or prints, how long it takes, and what it changes there reaches
    neither the trials nor the screen: whoever runs the experiment is told once why something was not recorded.

    Attributes:
        faces_option: The name of its option of the type :data:`FacesTold`, which says what it is told of the test
            images of each trial. Embeddings and photos of people are personal data, so by default that should be
            ``"none"``. Without such an option it is told nothing of them, and nothing is written for it.
    """

    faces_option: ClassVar[str | None] = None

    @abstractmethod
    def open(self, run: TrackedRun) -> Tracker:
        """Return what records a run.

        Raises:
            InputError: It cannot be recorded; the text is what people read. Whatever else is raised is told as well.
        """
