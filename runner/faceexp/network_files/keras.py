"""Files that Keras has saved: what is looked at before Keras opens one, because it may come from a stranger.

Keras makes a network of whatever a file describes. A small file can describe code, or arrays that fill the memory. So
its members, its layers and the sizes of its arrays are compared with those that a network of Keras' own layers needs.
"""

from __future__ import annotations

import io
import json
import math
import re
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from faceexp.files import explain_os_error, parse_json
from faceexp.network_files.network import MAX_BYTES, NetworkFileError, check_network_file, reason_of

if TYPE_CHECKING:
    import h5py

MAX_DESCRIPTION_BYTES = 16 * 2**20
# Keras does not compress, and weights can hardly be compressed. Small files may be unpacked to any share of their size.
MAX_RATIO = 20
ALWAYS_UNPACKED_BYTES = 64 * 2**20
WEIGHTS = "model.weights.h5"
# In HDF5, Keras 2 saved whole models.
CONVERT = "open it where you trust it, and save it anew: keras.models.load_model('old.h5').save('new.keras')"
ONLY_WEIGHTS = "holds weights without their network; save the whole model: model.save(...)"
# In such a file, what has no module is looked up by its name among the layers of Keras, where functions are as well.
CLASS_NAME = re.compile("[A-Z][A-Za-z0-9]*|__(keras_tensor|tensor|numpy|slice|tuple|bytes|ellipsis)__")
TYPES = frozenset({"TypeSpec", "CompositeTensor"})
MEMBERS = frozenset({"metadata.json", "config.json", WEIGHTS})
# Of Keras, but wrappers of code from elsewhere, or readers of other files.
CODE = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__typespec__"})
READERS = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
# The parts of Keras that networks are made of. Others download files, for example, and no network needs them.
PARTS = frozenset(
    {"keras.layers", "keras.models", "keras.ops", "keras.initializers", "keras.activations", "keras.regularizers"}
    | {"keras.constraints", "keras.dtype_policies", "keras.random", "keras.quantizers", "keras.optimizers"}
    | {"keras.losses", "keras.metrics"}
)
# Layers of networks in keras.applications. The other things there download weights.
OF_APPLICATIONS = frozenset({"CustomScaleLayer", "LayerScale", "StochasticDepth"})


def read_description(path: Path) -> dict[str, Any]:
    """Return what a file of Keras says of its network, after a look at its members; nothing of it is executed.

    It is a ``.keras`` file of Keras 3, or a whole model in an ``.h5`` file.

    Raises:
        NetworkFileError: It is no such file, or it unpacks to too much.
    """
    check_network_file(path)
    if is_hdf5(path):
        return _description_in_hdf5(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path.stat().st_size)
            description = parse_json(archive.read("config.json"))
    except NetworkFileError:
        raise
    except OSError as error:
        raise NetworkFileError(explain_os_error(error)) from None
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise NetworkFileError("is no file that model.save(....keras) of Keras 3 wrote") from error
    return description if isinstance(description, dict) else {}


def is_hdf5(path: Path) -> bool:
    """Return whether Keras takes a file for one of HDF5: it goes by the name alone.

    What is looked at has to be what Keras opens. A file may be two things at once: of HDF5 if it is read from its
    beginning, and an archive if it is read from its end.
    """
    return str(path).endswith((".h5", ".hdf5"))


def _description_in_hdf5(path: Path) -> dict[str, Any]:
    """Return what a whole model in an HDF5 file says of its network."""
    import h5py

    check_weights(path, path.stat().st_size)
    try:
        with h5py.File(path, "r") as opened:
            if "model_config" not in opened.attrs:
                raise NetworkFileError(ONLY_WEIGHTS)  # noqa: TRY301
            declared = opened.attrs.get_id("model_config")
            is_short = declared.shape == () and declared.dtype.itemsize <= MAX_DESCRIPTION_BYTES
            text = opened.attrs["model_config"] if is_short else ""
        content = text.encode() if isinstance(text, str) else bytes(text)
        if not 0 < len(content) <= MAX_DESCRIPTION_BYTES:
            raise NetworkFileError("does not describe its network in a text that is read")  # noqa: TRY301
        description = parse_json(content)
    except NetworkFileError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises nearly everything on damaged files
        raise NetworkFileError(f"does not describe its network: {reason_of(error)}") from None
    return description if isinstance(description, dict) else {}


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive with other members than Keras writes, or with larger ones."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if strange := sorted(set(names) - MEMBERS):
        if "config.json" not in names:
            raise NetworkFileError("is no file that model.save(....keras) of Keras 3 wrote")
        raise NetworkFileError(f"holds {strange[0][:100]!r}, which no network of Keras's own layers needs")
    if len(set(names)) < len(names):
        raise NetworkFileError("holds a file twice, so that nobody can say which one counts")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_BYTES:
        raise NetworkFileError(f"unpacks to more than the {MAX_BYTES:,} bytes that are read")
    if unpacked > max(ALWAYS_UNPACKED_BYTES, MAX_RATIO * size):
        raise NetworkFileError(f"unpacks to {unpacked:,} bytes, more than {MAX_RATIO} times its size")
    if archive.getinfo("config.json").file_size > MAX_DESCRIPTION_BYTES:
        raise NetworkFileError(f"describes its model in more than {MAX_DESCRIPTION_BYTES:,} bytes")


def check_network(path: Path) -> dict[str, Any]:
    """Refuse a file of Keras with code, or with arrays that it does not hold; return what it says of its network.

    Neither Keras nor TensorFlow is imported.

    Raises:
        NetworkFileError: See above, and :func:`read_description`.
    """
    description = read_description(path)
    strange = sorted({*foreign(description), *(_unknown(description) if is_hdf5(path) else ())})
    if strange:
        raise NetworkFileError(f"holds {', '.join(strange[:5])}; only models of Keras's own layers are loaded")
    _weights_inside(path)
    return description


def _weights_inside(path: Path) -> int:
    """Return how many numbers the weights of a file of Keras hold."""
    if is_hdf5(path):
        return check_weights(path, path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS not in archive.namelist():
                return 0
            content = archive.read(WEIGHTS)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise NetworkFileError(f"is damaged: {error}") from None
    return check_weights(io.BytesIO(content), len(content))


def foreign(description: object) -> Iterator[str]:
    """Yield what in the description of a network is code, or is not of Keras itself."""
    left = [description]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left += part
        if not isinstance(part, dict):
            continue
        left += part.values()
        name, module = str(part.get("class_name")), str(part.get("module"))
        if name in CODE:
            yield "a Lambda layer" if name == "__lambda__" else f"a {name} layer"
        elif name in READERS:
            yield f"a {name} layer, which may read other files"
        elif module == "builtins" and name == "function":
            yield f"the function {part.get('config')!r}"
        elif ("registered_name" in part or part.get("module") is not None) and not _of_keras(module, name):
            yield f"the class {part.get('registered_name') or name!r}"


def _unknown(description: object) -> Iterator[str]:
    """Yield what is named without a module in a network of HDF5 and cannot be a layer of Keras."""
    left = [description]
    while left:
        part = left.pop()
        left += part if isinstance(part, list) else part.values() if isinstance(part, dict) else ()
        if isinstance(part, dict) and "class_name" in part and part.get("module") is None:
            name = str(part["class_name"])
            if name not in CODE and (name in TYPES or not CLASS_NAME.fullmatch(name)):
                yield f"{name!r}, which is no layer of Keras"


def _of_keras(module: str, name: str) -> bool:
    """Return whether a class or function belongs to the parts of Keras that networks are made of."""
    if module in ("builtins", "keras"):
        return True
    part = ".".join(module.replace("keras.src.", "keras.", 1).split(".")[:2])
    return part in PARTS or (part == "keras.applications" and name in OF_APPLICATIONS)


def check_weights(file: Path | BinaryIO, size: int) -> int:
    """Refuse an HDF5 file of weights that declares more than it holds; return how many numbers it holds.

    Args:
        file: The file.
        size: How many bytes it has.

    Raises:
        NetworkFileError: It is no such file, it declares larger arrays than it holds, or it leads to other files.
    """
    import h5py

    try:
        with h5py.File(file, "r") as opened:
            arrays = list(_arrays(opened))
            strange = any(array.external or array.is_virtual for array in arrays)
            sizes = [(math.prod(array.shape or ()), array.dtype.itemsize) for array in arrays]
    except NetworkFileError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises nearly everything on damaged files
        reason = " ".join(str(error).split())
        raise NetworkFileError(f"holds no weights that can be read: {reason}") from None
    if strange:
        raise NetworkFileError("takes weights from another file")
    declared = sum(count * itemsize for count, itemsize in sizes)
    if declared > size:
        raise NetworkFileError(f"declares weights of {declared:,} bytes in a file of {size:,}")
    return sum(count for count, _ in sizes)


def _arrays(root: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield each array of an HDF5 file, in which nothing may lead elsewhere."""
    import h5py

    groups: list[h5py.Group] = [root]
    seen: set[int] = set()
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise NetworkFileError("leads to another place than itself, as no file of weights does")
            inner = group[name]
            place = h5py.h5o.get_info(inner.id).addr
            if place in seen:  # groups may hold each other
                continue
            seen.add(place)
            if isinstance(inner, h5py.Group):
                groups.append(inner)
            elif isinstance(inner, h5py.Dataset):
                yield inner


def _layers_of_keras(description: dict[str, Any]) -> Any:  # noqa: ANN401 - Keras has no types
    import keras

    return keras.saving.deserialize_keras_object({**description, "compile_config": None}, safe_mode=True)


def _layers_of_hdf5(description: dict[str, Any]) -> Any:  # noqa: ANN401 - Keras has no types
    """Make the layers as Keras does when it loads such a file; only parts that are not public can do it."""
    try:
        from keras.src.legacy.saving import json_utils, saving_utils
    except ImportError:
        raise NetworkFileError(f"is of an old format, into which this Keras offers no look; {CONVERT}") from None
    return saving_utils.model_from_config(json_utils.decode(json.dumps(description)))


def check_layers(path: Path) -> None:
    """Refuse a file of Keras whose layers need more weights than the file holds: they would fill the memory.

    Keras makes the layers before it looks for their weights. So it is asked first to make them without any.

    Raises:
        NetworkFileError: The file does not hold the weights of its layers.
        Exception: Keras cannot make a network of it.
    """
    import keras

    description = read_description(path)
    make = _layers_of_hdf5 if is_hdf5(path) else _layers_of_keras
    outcome: list[int | Exception] = []

    def count() -> None:
        try:
            with keras.StatelessScope(initialize_variables=False):
                network = make(description)
                outcome.append(sum(math.prod(variable.shape) for variable in network.variables))
        except Exception as error:  # noqa: BLE001 - it is raised again below, in the thread that waits for it
            outcome.append(error)

    # Keras remembers for each thread which weights have no values yet. It forgets these with the thread.
    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    (needed,) = outcome
    if isinstance(needed, Exception):
        raise needed
    held = _weights_inside(path)
    # Some layers keep a state that is not saved, such as the seed of a dropout. What counts is the order of magnitude.
    if needed > 2 * held + 10**6:
        raise NetworkFileError(f"describes layers with {needed:,} weights, but holds {held:,}")
