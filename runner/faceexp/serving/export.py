"""A trained model in one folder, for others to use: network, preprocessing, threshold, program, README, model card."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.images import shape
from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.results.folder import NETWORK_FILES, ModelFolder
from faceexp.results.model_schema import ModelRecord
from faceexp.serving.card import describe, size_of
from faceexp.serving.conversion import OF_FUNCTIONS, Convertible, convert, of_function, of_keras_file, of_trunk
from faceexp.serving.find import choose
from faceexp.serving.model import load_model
from faceexp.serving.trunk import IS_PROGRAM, copy_trunk, trunk_plugin
from faceexp.serving.worth import Worth
from faceexp.store.new_folder import in_the_way, new_folder

# The packages that a format needs beside TensorFlow.
NEEDS = {"onnx": ("onnx", "onnxruntime", "tf2onnx")}

# What a network becomes where nobody asks for a format, if it can be converted.
USUAL = "onnx"


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
        copied: The files in it that were copied as they are, since a plugin opens them.
    """

    folder: Path
    files: Mapping[str, int]
    deviations: Mapping[str, float]
    worth: Worth
    label: str
    chosen: str = ""
    copied: tuple[str, ...] = ()


def export_model(
    source: str | Path, folder: str | Path, formats: Sequence[str] = (), *, trust_saved_model: bool = False
) -> Exported:
    """Write a model into a new folder. If that fails, nothing is left behind.

    Args:
        source: Anything that :func:`faceexp.load_model` opens, if it holds the Keras file.
        folder: The folder to write. It has to be new or empty.
        formats: Names of :data:`~faceexp.results.folder.NETWORK_FILES`, in any order. Without any it is ONNX; the files
            of a network that is only run, such as one in ONNX, are copied then.
        trust_saved_model: Whether a SavedModel may be opened to convert it. It is a program, which can do whatever you
            can do; to copy it needs no trust.

    Raises:
        InputError: There is no such model, a package is missing, the folder is not empty, or the network cannot be
            converted to a format.
    """
    chosen = tuple(name for name in NETWORK_FILES if name in formats)
    target = Path(folder).resolve()
    problems = [*_unknown(formats), *_missing(chosen), *in_the_way(folder)]
    if problems:
        raise InputError(problems)
    trained, chosen_because = choose(str(source))
    way = _way(trained, trained.read(), chosen, trust_saved_model=trust_saved_model)
    if problems := _missing(way.formats):
        raise InputError(problems)
    # What is a program is not run here, unless it was trusted.
    model = load_model(trained.root, trust_saved_model=True)
    # The calibration is what makes the folder a model.
    with new_folder(folder, "calibration.json") as made:
        record = model.record.model_copy(update={"trunk": None})
        if way.copies_trunk:
            record = copy_trunk(trained, model.record, ModelFolder(made))
        deviations = convert(way.opened, way.where, way.formats, made) if way.opened else {}
        before, model = model.record.trunk, dataclasses.replace(model, record=record)
        describe(model, ModelFolder(made), target.name, deviations, before)
        files = {path.name: size_of(path) for path in sorted(made.iterdir())}
        copied = sorted(f"trunk/{path.name}" for path in (made / "trunk").glob("*"))
    return Exported(Path(folder), files, deviations, model.worth, model.label, chosen_because, tuple(copied))


@dataclasses.dataclass(frozen=True)
class _Way:
    """How a model is exported.

    Attributes:
        formats: What is converted is written in these.
        opened: Opens what is converted; nothing where all is copied.
        where: The file or folder of that.
        copies_trunk: Whether the files are copied of a network that a plugin opens.
    """

    formats: tuple[str, ...]
    opened: Callable[[], Convertible] | None
    where: Path
    copies_trunk: bool = False


def _way(trained: ModelFolder, record: ModelRecord, asked: tuple[str, ...], *, trust_saved_model: bool) -> _Way:
    """Return how a model is exported.

    Raises:
        InputError: Its network cannot be converted to a format that was asked for.
    """
    file, size = trained.network("keras"), shape(record.preprocess)
    if record.trunk is None:
        if not file.is_file():
            message = "holds no model.keras, which every other format is made from; name the run, or export from there"
            raise InputError(Problem(message, str(trained.root)))
        return _Way(asked or (USUAL,), lambda: of_keras_file(file, size), file)
    # What is a program is not opened here.
    plugin = trunk_plugin(trained, record.trunk, trust_saved_model=True).plugin
    if isinstance(plugin, ModelPlugin):
        return _Way(asked or (USUAL,), lambda: of_trunk(plugin, size), trained.root)
    fixed = cast("FixedModelPlugin", plugin)
    if not asked or set(asked) <= {fixed.form}:
        # The embedding layer that was trained behind the network is in a file of Keras, from which it can be converted.
        opened = (lambda: of_keras_file(file)) if file.is_file() else None
        return _Way((asked or ("keras",)) if opened else (), opened, file, copies_trunk=True)
    is_alone = not file.is_file()
    possible = OF_FUNCTIONS if is_alone and type(fixed).as_function is not FixedModelPlugin.as_function else ()
    impossible = [name for name in asked if name not in (*possible, fixed.form)]
    if impossible:
        raise InputError(Problem(_refusal(record.trunk.name, fixed, impossible, possible), str(trained.root)))
    if fixed.is_program and not trust_saved_model:
        raise InputError(Problem(f"its network {record.trunk.name!r} {IS_PROGRAM}", str(trained.root)))
    return _Way(asked, lambda: of_function(fixed, size), trained.root)


def _refusal(name: str, plugin: FixedModelPlugin, asked: Sequence[str], possible: Sequence[str]) -> str:
    """Return that a network cannot be converted, and what can be done with it."""
    ways = [f"give --to {plugin.form}"] if plugin.form else []
    text = f"its network, which {name!r} opens, is not converted to {' or '.join(asked)}"
    text += f"; {' or '.join(['leave out --to', *ways])}, and its files are copied"
    others = [f"--to {form}" for form in possible if form != plugin.form]
    return f"{text}; {' and '.join(others)} convert it" if others else text


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
