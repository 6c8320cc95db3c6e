"""The Keras file of a network, written often: Keras writes it once, and then only the weights in it are replaced.

Keras goes through every attribute of every layer each time it saves, which takes some 50 milliseconds even for a small
network; a trial of a comparison may take little more than that. The file of each trial has the same layers, so only its
numbers are new.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faceexp.arrays import FloatArray
from faceexp.engine.backend import KerasLayer, Variable
from faceexp.network_files.keras import WEIGHTS


class NetworkFile:
    """The file of a network as Keras has saved it, and the places of the weights in it.

    Which array belongs to which variable is found out by saving the network with other numbers: each variable is filled
    with its own position. So nothing here depends on how Keras names arrays.

    Args:
        model: The network. Its variables keep their values.
        variables: Those whose values are written; all others stay in the file as they are now.
    """

    def __init__(self, model: KerasLayer, variables: Sequence[Variable]) -> None:
        self._model, self._variables = model, variables
        values = [variable.numpy() for variable in variables]
        try:
            for position, (variable, value) in enumerate(zip(variables, values, strict=True)):
                variable.assign(_filled(value, position))
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "network.keras")
                model.save(file)
                with zipfile.ZipFile(file) as archive:
                    self._members = {name: archive.read(name) for name in archive.namelist()}
        finally:
            self._assign(values)
        self._places = _places(self._members[WEIGHTS], values)

    def write(self, path: Path, weights: Sequence[FloatArray]) -> None:
        """Write the file of the network with these weights, one for each variable. The network may get them as well."""
        import h5py

        if self._places is None:
            self._assign(weights)
            self._model.save(path)
            return
        content = io.BytesIO(self._members[WEIGHTS])
        with h5py.File(content, "r+") as opened:
            for name, value in zip(self._places, weights, strict=True):
                opened[name][...] = value
        with zipfile.ZipFile(path, "w") as archive:
            for name, member in self._members.items():
                archive.writestr(name, content.getvalue() if name == WEIGHTS else member)

    def _assign(self, values: Sequence[FloatArray]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)


def _places(file: bytes, values: Sequence[FloatArray]) -> list[str] | None:
    """Return the name of the array of each variable, or ``None`` where Keras keeps one in a form of its own."""
    import h5py

    names: dict[int, list[str]] = {position: [] for position in range(len(values))}

    def visit(name: str, entry: h5py.Group | h5py.Dataset) -> None:
        if isinstance(entry, h5py.Dataset):
            content = np.asarray(entry)
            for position, value in enumerate(values):
                same_kind = (content.shape, content.dtype) == (value.shape, value.dtype)
                if same_kind and np.array_equal(content, _filled(value, position)):
                    names[position].append(name)

    with h5py.File(io.BytesIO(file), "r") as opened:
        opened.visititems(visit)
    every_name = [name for of_one in names.values() for name in of_one]
    unambiguous = all(len(of_one) == 1 for of_one in names.values()) and len(set(every_name)) == len(values)
    return every_name if unambiguous else None


def _filled(value: FloatArray, position: int) -> FloatArray:
    """Return an array like a value, full of a number. If its type cannot hold it, another variable has the same one."""
    return np.full(value.shape, np.asarray(position).astype(value.dtype))
