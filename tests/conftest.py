"""What the core's tests share: faces made by arithmetic, an experiment that trains in a second, plugins without entry points."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from faceexp import cli
from faceexp.contract import DatasetPlugin, FaceData, LossPlugin, Plugin, SamplerPlugin, option
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import (
    Augment,
    Experiment,
    Finetune,
    LossEntry,
    ModelRef,
    PluginRef,
    Preprocess,
    Pretrain,
)
from faceexp.planning.prepare import prepare
from faceexp.registry.bases import kind_of
from faceexp.registry.installed import ConfiguredPlugin, InstalledPlugin, Registry, discover
from faceexp.store import Store, digest
from faceexp.values import Plan, Resolved, ResolvedLoss

SIZE = 16
TINY_MODEL = {"widths": [4], "kernel_sizes": [3]}


def made_faces(people: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (N, 16, 16) and labels: each person has waves of their own, each image its own noise and light."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    pictures = []
    for person in range(people):
        own = np.random.default_rng([person, 7])
        waves = [np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in own.uniform(-2, 2, (3, 3))]
        for image in range(images):
            each = np.random.default_rng([person, image, 8])
            light = each.uniform(-15, 15)
            noise = each.normal(0, 12, (SIZE, SIZE))
            pictures.append(np.clip(128 + 35 * sum(waves) + light + noise, 0, 255).astype(np.uint8))
    return np.stack(pictures), np.repeat(np.arange(people, dtype=np.int32), images)


class MadeFaces(DatasetPlugin):
    """Faces made by arithmetic."""

    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "arithmetic"

    people: int = option(12, "People.")
    images: int = option(6, "Images of each.")
    inverted: tuple[int, ...] = option((), "Images of which light and dark are exchanged.")

    def build(self, seed: int) -> FaceData:
        pixels, labels = made_faces(self.people, self.images)
        if self.inverted:
            pixels[list(self.inverted)] = 255 - pixels[list(self.inverted)]
        names = tuple(f"person {number}" for number in range(self.people))
        return FaceData(pixels, labels, names, digest(pixels.tolist()), self.licence, self.source)


@pytest.fixture
def command(monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Run a command: ``command("report", folder)`` gives exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "140")

    def call(*arguments):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["faceexp", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capfd.readouterr()
        return caught.value.code or 0, out, err

    return call


@pytest.fixture(scope="session")
def faces() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``faces(people, images)``: pixels and labels."""
    return made_faces


@pytest.fixture(scope="session")
def face_folder(tmp_path_factory) -> Path:
    """The same faces as image files, one folder a person."""
    root = tmp_path_factory.mktemp("faces")
    pixels, labels = made_faces(12, 6)
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / f"p{label:02}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number % 6}.png")
    return root


@pytest.fixture(scope="session")
def chosen() -> Callable[..., ConfiguredPlugin]:
    """Wrap a plugin as if the registry had found it: ``chosen("made", plugin)``."""

    def wrap(name: str, plugin: Plugin) -> ConfiguredPlugin:
        kind = kind_of(plugin)
        return ConfiguredPlugin(
            InstalledPlugin(kind, name, "faceexp-tests", "0", "module_of_no_file", type(plugin).__name__), plugin
        )

    return wrap


@pytest.fixture(scope="session")
def made(chosen) -> Callable[..., ConfiguredPlugin]:
    """The data set of faces made by arithmetic, with options."""
    return lambda **options: chosen("made", MadeFaces(**options))


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Experiment]:
    """An experiment that trains in a second; keyword arguments replace its tables, ``losses`` are plugin names."""

    def build(losses: tuple[str, ...] = ("contrastive",), **tables: Any) -> Experiment:
        given = {
            "name": "tiny",
            "seeds": (0,),
            "dataset": PluginRef(plugin="made"),
            "preprocess": Preprocess(size=(SIZE, SIZE)),
            "augment": Augment(),
            "protocol": Protocol(kind="open_set"),
            "model": ModelRef(plugin="thin_vgg", options=TINY_MODEL, embedding_dim=8),
            "pretrain": Pretrain(epochs=2, batch_size=12),
            "finetune": Finetune(
                sampler=PluginRef(plugin="balanced", options={"classes_per_batch": 4, "images_per_class": 2}),
                steps=10,
                validate_every=5,
                learning_rate=1e-3,
            ),
            "baselines": (),
        } | tables
        entries = tuple(
            LossEntry(
                plugin=name, label=name, options={}, pretrain=given["pretrain"], finetune=given["finetune"], index=index
            )
            for index, name in enumerate(losses)
        )
        return Experiment(**given, losses=entries)

    return build


@pytest.fixture(scope="session")
def resolved(tiny, made, chosen) -> Callable[..., Resolved]:
    """A resolved experiment of loss plugins given as values: ``resolved({"mine": MyLoss()}, data={...}, seeds=(0, 1))``.

    ``entries`` gives a loss tables of its own: ``entries={"mine": {"finetune": ...}}``; ``classifier`` is the loss of
    phase 1.
    """

    def build(
        losses: dict[str, LossPlugin],
        *,
        data: dict[str, Any] | None = None,
        dataset: DatasetPlugin | None = None,
        sampler: SamplerPlugin | None = None,
        entries: dict[str, dict[str, Any]] | None = None,
        classifier: LossPlugin | None = None,
        **tables: Any,
    ) -> Resolved:
        registry = discover()
        reference = PluginRef(plugin="classifier")
        if classifier:
            tables = {"pretrain": Pretrain(epochs=2, batch_size=12, loss=reference), **tables}
        experiment = tiny(tuple(losses), **tables)
        experiment = experiment.model_copy(
            update={"losses": tuple(e.model_copy(update=(entries or {}).get(e.label, {})) for e in experiment.losses)}
        )
        served, detect = experiment.finetune.sampler, experiment.preprocess.detect
        drawn = chosen("own", sampler) if sampler else registry.configure("sampler", served.plugin, served.options)
        return Resolved(
            experiment,
            chosen("own", dataset) if dataset else made(**(data or {})),
            registry.configure("model", "thin_vgg", experiment.model.options),
            tuple(
                ResolvedLoss(entry, chosen(entry.plugin, losses[entry.plugin]), drawn, losses[entry.plugin].traits())
                for entry in experiment.losses
            ),
            detector=registry.configure("detector", detect.plugin, detect.options) if detect else None,
            classifiers={reference.key: chosen("classifier", classifier)} if classifier else {},
        )

    return build


SMALL_SPEC = """\
name = "{name}"
seeds = [0, 1]
baselines = ["pixels", "phase1"]
[dataset]
plugin = "image_folder"
path = "{folder}"
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8
[pretrain]
epochs = 1
batch_size = 12
[finetune]
steps = 10
validate_every = 5
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
"""


@pytest.fixture(scope="session")
def small_spec() -> Callable[..., str]:
    """``small_spec(name, folder, "npairs", ...)``: a file with two seeds that other processes run in a moment."""

    def text(name: str, folder: Path, *losses: str) -> str:
        tables = "".join(f'[[losses]]\nplugin = "{loss}"\n' for loss in losses)
        return SMALL_SPEC.format(name=name, folder=folder) + tables

    return text


@pytest.fixture(scope="session")
def planned(resolved) -> Callable[..., Plan]:
    """``planned(store folder, losses, ...)``: :func:`resolved`, and then the plan."""

    def build(store: Path, losses: dict[str, LossPlugin], **rest: Any) -> Plan:
        return prepare(resolved(losses, **rest), Store(store), lambda event: None)

    return build


@pytest.fixture(scope="session")
def with_losses() -> Callable[..., AbstractContextManager[None]]:
    """``with_losses(folder, module, text, "Mine", ...)``: losses of a module that other processes can import as well."""

    @contextmanager
    def installed(folder: Path, module: str, text: str, *names: str) -> Iterator[None]:
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(folder))
            importlib.import_module(module)
            made = [InstalledPlugin("loss", n.lower(), f"faceexp-loss-{n.lower()}", "1.0", module, n) for n in names]
            patch.setattr("faceexp.pipeline.discover", lambda: Registry((*discover().plugins, *made)))
            yield

    return installed
