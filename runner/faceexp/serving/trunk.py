"""The network of a model that a plugin opens: an embedding that exists already, or a trunk that nobody trains."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from faceexp.contract import FixedModelPlugin, ModelPlugin
from faceexp.data.images import shape
from faceexp.engine.inputs import with_mirrored
from faceexp.errors import InputError, Problem
from faceexp.experiment.messages import explain, mistakes
from faceexp.files import at_home
from faceexp.registry.installed import ConfiguredPlugin, discover
from faceexp.registry.path_options import path_options
from faceexp.serving.runtimes import HOW_TO_TRUST, Network, network_of

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray
    from faceexp.results.folder import ModelFolder
    from faceexp.results.model_schema import ModelRecord, UsedPluginRecord

IS_PROGRAM = (
    "opens a program, which could do anything on this computer; if you trust whoever made it, say so with "
    f"{HOW_TO_TRUST}"
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


def copy_trunk(folder: ModelFolder, record: ModelRecord, made: ModelFolder) -> ModelRecord:
    """Copy the files of a trunk, and what is trained behind it, into the folder of an exported model.

    Returns:
        The record of the copy, whose options are paths inside the folder.

    Raises:
        InputError: The plugin of the trunk cannot be used, or a file is missing.
    """
    used = cast("UsedPluginRecord", record.trunk)
    # What is a program is copied as well: nothing is opened here.
    configured = trunk_plugin(folder, used, trust_saved_model=True)
    options = configured.plugin.model_dump(mode="json", exclude_none=True)
    home = made.root / "trunk"
    home.mkdir()
    for name in path_options(type(configured.plugin)):
        if name in options:
            options[name] = _copied(options[name], home)
    if folder.network("keras").is_file():
        shutil.copyfile(folder.network("keras"), made.network("keras"))
    return record.model_copy(update={"trunk": used.model_copy(update={"options": options})})


def _copied(value: object, home: Path) -> object:
    """Copy the files or folders that an option names, and return their paths inside the folder of the model."""
    if isinstance(value, list):
        return [_copied(each, home) for each in value]
    source = Path(at_home(str(value)))
    target = (
        home / f"{len(list(home.iterdir()))}-{source.name}" if (home / source.name).exists() else home / source.name
    )
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return f"{home.name}/{target.name}"


def whole_network(folder: ModelFolder, record: ModelRecord, *, trust_saved_model: bool = False) -> Network:
    """Return the network of a model, from pixels to embeddings, whoever opens it.

    Raises:
        InputError: The folder holds no network, or one that must not be opened.
    """
    network = _of_photos(folder, record, trust_saved_model=trust_saved_model)
    if not record.flip:
        return network
    return lambda pixels: with_mirrored(network(pixels), network(np.ascontiguousarray(pixels[:, :, ::-1])))


def _of_photos(folder: ModelFolder, record: ModelRecord, *, trust_saved_model: bool) -> Network:
    """Return the network of a model as it embeds a photo, without the mirror image."""
    if record.trunk is None:
        return network_of(folder, trust_saved_model=trust_saved_model)
    head = network_of(folder, trust_saved_model=trust_saved_model) if folder.has_network else None
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
