"""The network of a model that a plugin opens: an embedding that exists already, or a trunk that nobody trains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.images import shape
from faceexp.errors import InputError, Problem
from faceexp.experiment.messages import explain, mistakes
from faceexp.registry.installed import ConfiguredPlugin, discover
from faceexp.registry.path_options import path_options
from faceexp.results.folder import NETWORK_FILES
from faceexp.serving.runtimes import Network, network_of

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray
    from faceexp.results.folder import ModelFolder
    from faceexp.results.model_schema import ModelRecord, UsedPluginRecord

IS_PROGRAM = (
    "opens a program, which could do anything on this computer; if you trust whoever made it, say so with "
    "--trust-saved-model (in Python: load_model(path, trust_saved_model=True))"
)


def trunk_plugin(folder: ModelFolder, used: UsedPluginRecord, *, trust_saved_model: bool = False) -> ConfiguredPlugin:
    """Return the plugin that opens a trunk, with its options; relative paths are inside the folder of the model.

    Raises:
        InputError: It is not installed, or does not take these options: a file may be missing or another one; or it
            would open a program, which nobody has said to trust.
    """
    registry = discover()
    try:
        cls = registry.find("model", used.name).load()
        of_paths = path_options(cls)
        options = {
            key: _placed(folder.root, value) if key in of_paths else value for key, value in used.options.items()
        }
        configured = registry.configure("model", used.name, options)
    except InputError as error:
        raise InputError([Problem(problem.message, str(folder.record)) for problem in error.problems]) from None
    except ValidationError as error:
        reasons = [f"trunk.options.{'.'.join(map(str, each['loc']))}: {explain(each, [])}" for each in mistakes(error)]
        raise InputError([Problem(reason, str(folder.record)) for reason in reasons]) from None
    if getattr(configured.plugin, "is_program", False) and not trust_saved_model:
        raise InputError(Problem(f"its trunk {used.name!r} {IS_PROGRAM}", str(folder.record)))
    return configured


def on_trunk(
    folder: ModelFolder, record: ModelRecord, head: Network | None, *, trust_saved_model: bool = False
) -> Network:
    """Return the network of a model whose trunk a plugin opens, which happens when it is called first.

    Args:
        folder: The folder of the model.
        record: What it says of itself, a trunk among that.
        head: From features to embeddings; without one, the features are the embeddings.
        trust_saved_model: Whether a trunk may be opened that is a program.

    Raises:
        InputError: The plugin cannot be used.
    """
    used = cast("UsedPluginRecord", record.trunk)
    plugin = cast(
        "ModelPlugin | FixedModelPlugin", trunk_plugin(folder, used, trust_saved_model=trust_saved_model).plugin
    )
    networks: list[Network] = []

    def run(pixels: ByteArray) -> FloatArray:
        from faceexp.engine.opened import opened

        if not networks:
            networks.append(opened(plugin, shape(record.preprocess)))
        features = networks[0](pixels)
        return features if head is None else np.asarray(head(cast("Any", features)))

    return run


def whole_network(folder: ModelFolder, record: ModelRecord, *, trust_saved_model: bool = False) -> Network:
    """Return the network of a model, from pixels to embeddings, whoever opens it.

    Raises:
        InputError: The folder holds no network, or one that must not be opened.
    """
    if record.trunk is None:
        return network_of(folder, trust_saved_model=trust_saved_model)
    has_head = any(os.path.lexists(folder.network(form)) for form in NETWORK_FILES)
    head = network_of(folder, trust_saved_model=trust_saved_model) if has_head else None
    return on_trunk(folder, record, head, trust_saved_model=trust_saved_model)


def _placed(root: Path, value: object) -> object:
    if isinstance(value, list):
        return [_placed(root, item) for item in value]
    if not isinstance(value, str) or Path(value).is_absolute():
        return value
    path = (root / value).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(f"trunk.options: {value!r} leads out of the folder of the model")
    return str(path)
