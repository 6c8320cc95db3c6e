"""What a data set's plugin builds, checked before anything relies on it."""

from __future__ import annotations

import dataclasses
from typing import cast

import numpy as np

from faceexp.contract import DatasetPlugin, FaceData
from faceexp.data.face_data import mistakes_of
from faceexp.errors import InputError, Problem
from faceexp.registry.guard import PluginFaultError, ask
from faceexp.registry.installed import ConfiguredPlugin


def build_data(dataset: ConfiguredPlugin) -> FaceData:
    """Return what a data set's plugin builds, once it is known to be what it promises.

    Raises:
        InputError: The data are missing or unusable, as the plugin says; or the plugin itself is at fault, which the
            message names.
    """

    def build() -> tuple[FaceData, list[str]]:
        faces = cast("DatasetPlugin", dataset.plugin).build(seed=0)
        return faces, list(mistakes_of(faces))

    try:
        faces, mistakes = ask(build)
    except PluginFaultError as fault:
        if isinstance(fault.__cause__, InputError):
            if fault.__cause__.problems:
                raise fault.__cause__ from fault.__cause__.__cause__
            raise InputError(Problem(f"{dataset.installed} refuses the data and does not say why")) from fault
        message = f"{dataset.installed} failed: {fault}; check its options, or tell its author"
        raise InputError(Problem(message)) from fault
    if mistakes:
        raise InputError([Problem(f"{dataset.installed} is at fault: {mistake}") for mistake in mistakes])
    return dataclasses.replace(faces, labels=faces.labels.astype(np.int32))
