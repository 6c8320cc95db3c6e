"""A trained model in one folder, for others to use: network, preprocessing, threshold, program, README, model card.

Every converted network is opened again and compared with the Keras file that it was made from.
"""

from __future__ import annotations

import dataclasses
import errno
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faceexp.data.images import shape
from faceexp.engine.backend import tensorflow
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.quiet import silence
from faceexp.results.folder import NETWORK_FILES, ModelFolder
from faceexp.serving.card import describe, size_of
from faceexp.serving.find import choose
from faceexp.serving.model import FaceModel, load_model
from faceexp.serving.runtimes import keras_model, network_of
from faceexp.serving.trunk import copy_trunk
from faceexp.serving.worth import Worth

# The packages that a format needs beside TensorFlow.
NEEDS = {"onnx": ("onnx", "onnxruntime", "tf2onnx")}

# The largest difference that an embedding may have from that of the Keras file, as a share of the largest value in any
# embedding. Another order of additions in float32 changes embeddings by about 1e-6; an operation that a converter got
# wrong changes them far more. Thresholds are not so exact that a thousandth could matter.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Exported:
    """A folder that was written.

    Attributes:
        folder: Its path.
        files: The size of each file or folder in it, in bytes, by name.
        deviations: By format, the largest difference of an embedding from that of the Keras file, as a share of the
            largest value in any embedding.
        worth: How often the model was right on its test people.
        label: The loss that the model was trained with.
        chosen: Why it is this model of a run; empty where the model itself was named.
    """

    folder: Path
    files: Mapping[str, int]
    deviations: Mapping[str, float]
    worth: Worth
    label: str
    chosen: str = ""


def export_model(source: str | Path, folder: str | Path, formats: Sequence[str] = ("onnx",)) -> Exported:
    """Write a model into a new folder. If that fails, nothing is left behind.

    Args:
        source: Anything that :func:`faceexp.load_model` opens, if it holds the Keras file.
        folder: The folder to write. It has to be new or empty.
        formats: Names of :data:`~faceexp.results.folder.NETWORK_FILES`, in any order. Of a model whose trunk a plugin
            opens, nothing is converted: its files are copied.

    Raises:
        InputError: There is no such model, a package is missing, the folder is not empty, or the network has a layer
            that a format does not have.
    """
    chosen = tuple(name for name in NETWORK_FILES if name in formats)
    target = Path(folder).resolve()
    problems = [*_unknown(formats), *_missing(chosen), *_in_the_way(target, str(folder))]
    if problems:
        raise InputError(problems)
    trained, chosen_because = choose(str(source))
    if not trained.network("keras").is_file() and not trained.read().trunk:
        message = "holds no model.keras, which every other format is made from; name the run, or export from there"
        raise InputError(Problem(message, str(trained.root)))
    model = load_model(trained.root)
    # The work is done in the nearest folder that exists. It is on the same file system, so the result can be renamed to
    # its place, and if the export fails, no parent folder has been made for nothing.
    anchor = next(place for place in (target, *target.parents) if place.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".faceexp-", dir=anchor) as temporary:
            made = Path(temporary) / "model"
            made.mkdir()
            deviations = {}
            if model.record.trunk:
                model = dataclasses.replace(model, record=copy_trunk(trained, model.record, ModelFolder(made)))
            else:
                deviations = _convert(model, chosen, made, Path(temporary) / "work")
            describe(model, ModelFolder(made), target.name, deviations)
            files = {path.name: size_of(path) for path in sorted(made.iterdir())}
            _place(made, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            Problem(f"nothing can be written there: {reason}; name a folder of yours", str(folder))
        ) from None
    return Exported(Path(folder), files, deviations, model.worth, model.label, chosen_because)


def _unknown(formats: Sequence[str]) -> list[Problem]:
    """Return a problem for each format that does not exist."""
    problems = [Problem(f"there is no format {name!r}; {did_you_mean(name, NETWORK_FILES)}") for name in formats]
    return [problem for problem, name in zip(problems, formats, strict=True) if name not in NETWORK_FILES]


def _missing(formats: Sequence[str]) -> list[Problem]:
    """Return a problem for each package that a format needs and that is not installed."""
    return [
        Problem(f"the format {name} needs {package}, which is not installed; run: pip install 'faceexp[export]'")
        for name in formats
        for package in NEEDS.get(name, ())
        if importlib.util.find_spec(package) is None
    ]


def _in_the_way(target: Path, folder: str) -> list[Problem]:
    """Return a problem if something is at the place to write to."""
    if not target.exists():
        return []
    if not target.is_dir():
        return [Problem("is a file; name a new or an empty folder", folder)]
    if any(target.iterdir()):
        return [Problem("is not empty, and nothing is overwritten; name a new or an empty folder", folder)]
    return []


def _place(made: Path, target: Path) -> None:
    """Move everything that was made to the place where it belongs."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
        return
    # An empty folder that exists stays the same folder, because it may be the working directory or a mounted disk. The
    # calibration comes last, because it is what makes the folder a model: whoever looks earlier finds none.
    moved: list[Path] = []
    try:
        for entry in sorted(made.iterdir(), key=lambda path: path.name == "calibration.json"):
            _move_to_vacant(entry, target / entry.name)
            moved.append(entry)
    except BaseException:
        for entry in moved:
            (target / entry.name).rename(entry)
        raise


def _move_to_vacant(source: Path, target: Path) -> None:
    """Move a file or a folder to where nothing is: somebody else may have written there meanwhile.

    Raises:
        FileExistsError: Something is there.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _convert(model: FaceModel, formats: Sequence[str], made: Path, work: Path) -> dict[str, float]:
    """Write the network in every format, and return the deviation of each from the Keras file."""
    # Noise is enough to compare networks, and an image that is known to work could hide a mistake.
    noise = np.random.default_rng(0).integers(0, 256, (3, *shape(model.preprocess)), dtype=np.uint8)
    deviations = {}
    source = ModelFolder(model.folder).network("keras")
    tensorflow()
    with silence(), warnings.catch_warnings():
        # Keras and the converters warn about their own internals; nothing of ours runs in here.
        warnings.simplefilter("ignore")
        try:
            network = keras_model(source)
        except Exception as error:  # a damaged file may make it raise anything
            raise InputError(Problem(f"cannot be loaded: {_reason(error)}", str(source))) from error
        expected = np.asarray(network(noise.astype(np.float32), training=False))
        for name in formats:
            # Each format gets a folder of its own, because `network_of` opens the first format that it finds.
            alone = work / name
            alone.mkdir(parents=True)
            try:
                _write(name, network, source, alone / NETWORK_FILES[name])
            except Exception as error:  # converters raise anything
                message = f"cannot be converted to {name}: {_reason(error)}; export it to keras or saved_model"
                raise InputError(Problem(message, str(source))) from error
            converted = network_of(ModelFolder(alone), trust_saved_model=True)  # it was made above
            # Two sizes of batches are tried, because a converter may have fixed the size by mistake.
            embeddings = np.concatenate([converted(noise[:1]), converted(noise[1:])])
            deviations[name] = float(np.abs(embeddings - expected).max() / (np.abs(expected).max() or 1.0))
            if not deviations[name] <= TOLERANCE:  # which is also so if it is no number
                message = f"{name} gives embeddings that deviate by {deviations[name]:.2g}; export it to keras"
                raise InputError(Problem(message, str(source)))
            (alone / NETWORK_FILES[name]).rename(made / NETWORK_FILES[name])
    return deviations


def _write(name: str, network: Any, source: Path, file: Path) -> None:  # noqa: ANN401 - Keras has no types
    """Write a network in one format."""
    if name == "keras":
        shutil.copyfile(source, file)
    elif name == "onnx":
        network.export(file, format="onnx", verbose=False)
    elif name == "saved_model":
        network.export(file, format="tf_saved_model", verbose=False)
    else:
        with tempfile.TemporaryDirectory() as between:
            network.export(between, format="tf_saved_model", verbose=False)
            file.write_bytes(tensorflow().lite.TFLiteConverter.from_saved_model(between).convert())


def _reason(error: Exception) -> str:
    """Return the message of an error on one line, without the pages that some converters add."""
    return " ".join(str(error).split())[:300] or type(error).__name__
