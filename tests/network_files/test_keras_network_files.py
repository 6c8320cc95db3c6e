"""What is looked at in a file that Keras has saved, before Keras opens it. The files are made by hand, without Keras."""

from __future__ import annotations

import io
import json
import os
import zipfile

import h5py
import numpy as np
import pytest

from faceexp.network_files import keras as keras_files
from faceexp.network_files.keras import check_network, check_weights, foreign
from faceexp.network_files.network import NetworkFileError

DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}, "registered_name": None}
NETWORK = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {"layers": [DENSE]},
    "registered_name": None,
}


def weights(write):
    """The bytes of an HDF5 file."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write(file)
    return content.getvalue()


def small(file):
    file["layers/dense/vars/0"] = np.zeros((3, 2), np.float32)
    file["layers/dense/vars/1"] = np.zeros(2, np.float32)


@pytest.fixture
def saved(tmp_path):
    """Write a ``.keras`` file; other members take the place of those that Keras writes."""

    def write(members=(), description=NETWORK, arrays=small, method=zipfile.ZIP_STORED):
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(path, "w", method) as archive:
            whole = {
                "metadata.json": "{}",
                "config.json": json.dumps(description),
                "model.weights.h5": weights(arrays),
            }
            for name, content in (whole | dict(members)).items():
                archive.writestr(name, content)
        return path

    return write


def refusal(path):
    with pytest.raises(NetworkFileError) as caught:
        check_network(path)
    return str(caught.value)


def test_a_network_of_keras_own_layers_is_described(saved):
    assert check_network(saved()) == NETWORK
    assert check_network(saved(method=zipfile.ZIP_DEFLATED)) == NETWORK


# Members ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["assets/words.txt", "../../evil", "/etc/evil", "config.json/x"])
def test_other_members_than_those_of_keras_are_refused(saved, name):
    assert refusal(saved({name: "x"})) == f"holds {name!r}, which no network of Keras's own layers needs"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(saved):
    path = saved()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", json.dumps(NETWORK))
    assert "holds a file twice" in refusal(path)


def test_what_unpacks_to_far_more_than_its_size_is_refused(saved, monkeypatch):
    monkeypatch.setattr(keras_files, "ALWAYS_UNPACKED_BYTES", 1000)
    path = saved({"model.weights.h5": bytes(10**6)}, method=zipfile.ZIP_DEFLATED)
    assert "more than 20 times its size" in refusal(path)
    monkeypatch.setattr(keras_files, "MAX_BYTES", 10**5)
    assert refusal(path) == "unpacks to more than the 100,000 bytes that are read"


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, '{"a": ' * 5000, "{", "", '{"a": NaN}', "1" * 5000])
def test_a_description_that_is_no_sensible_json_is_refused(saved, text):
    assert refusal(saved({"config.json": text})).startswith("is no file that model.save(....keras) of Keras 3 wrote")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refusal(tmp_path / "pipe") == "is a pipe, not an ordinary file"
    assert refusal(tmp_path / "device") == "is a device, not an ordinary file"
    assert "cannot be read" in refusal(tmp_path / "loop")


# Layers -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"class_name": "Lambda"}, "a Lambda layer"),
        ({"class_name": "TFSMLayer"}, "a TFSMLayer layer"),
        ({"class_name": "StringLookup"}, "a StringLookup layer, which may read other files"),
        ({"module": "os", "class_name": "system"}, "the class 'system'"),
        ({"module": "keras.utils", "class_name": "get_file"}, "the class 'get_file'"),
        ({"module": "keras.src.utils.file_utils", "class_name": "get_file"}, "the class 'get_file'"),
        ({"module": "keras.applications", "class_name": "VGG16"}, "the class 'VGG16'"),
        ({"module": "kerasx.layers"}, "the class 'Dense'"),
        ({"module": None, "registered_name": "theirs>Own"}, "the class 'theirs>Own'"),
        ({"module": "builtins", "class_name": "function", "config": "own"}, "the function 'own'"),
    ],
)
def test_code_and_what_is_not_of_keras_is_named(changed, text):
    inner = {**NETWORK, "config": {"layers": [DENSE | changed]}}
    assert list(foreign({**NETWORK, "config": {"layers": [DENSE, inner]}})) == [text]


def test_a_module_cannot_be_left_out(saved):
    layer = {"module": "os", "class_name": "system", "config": {}}  # without registered_name
    text = refusal(saved(description={**NETWORK, "config": {"layers": [layer]}}))
    assert text == "holds the class 'system'; only models of Keras's own layers are loaded"


# Weights ----------------------------------------------------------------------------------------------------------------


def declared_only(file):
    file.create_dataset("x", shape=(10**6, 10**6), dtype="float32", chunks=(10, 10))


def linked(file):
    file["x"] = h5py.ExternalLink("/etc/hostname", "y")


def soft(file):
    file["x"] = h5py.SoftLink("/layers")


def outside(file):
    file.create_dataset("x", shape=(2,), dtype="float32", external=[("/etc/hostname", 0, 8)])


def elsewhere(file):
    layout = h5py.VirtualLayout(shape=(2,), dtype="float32")
    layout[:] = h5py.VirtualSource("/etc/hostname", "y", shape=(2,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (declared_only, "declares weights of 4,000,000,000,000 bytes in a file of "),
        (linked, "leads to another place than itself"),
        (soft, "leads to another place than itself"),
        (outside, "takes weights from another file"),
        (elsewhere, "takes weights from another file"),
    ],
)
def test_weights_that_the_file_does_not_hold_are_refused(saved, arrays, text):
    assert refusal(saved(arrays=arrays)).startswith(text)


def test_groups_that_hold_each_other_are_looked_into_once():
    def circle(file):
        small(file)
        file["layers/again"] = file["layers"]

    content = weights(circle)
    assert check_weights(io.BytesIO(content), len(content)) == 3 * 2 + 2


def test_what_is_no_file_of_weights_is_refused():
    with pytest.raises(NetworkFileError, match="holds no weights that can be read"):
        check_weights(io.BytesIO(b"nothing"), 7)


# Whole models in HDF5 ---------------------------------------------------------------------------------------------------

# As Keras 2 wrote it: what belongs to Keras has no module.
OLD_DENSE = {"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}}


@pytest.fixture
def old(tmp_path):
    """Write a whole model in the old format, whose layers are described by hand."""

    def write(*layers, name="model.h5", text=None):
        path = tmp_path / name
        description = {"class_name": "Sequential", "config": {"name": "old", "layers": list(layers)}}
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(description) if text is None else text
            small(file.create_group("model_weights"))
        return path

    return write


def test_a_whole_model_of_hdf5_is_described(old):
    assert check_network(old(OLD_DENSE))["config"]["layers"] == [OLD_DENSE]


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"class_name": "Lambda", "config": {"function": ["4wAAAA==", None, None]}}, "a Lambda layer"),
        ({"class_name": "TimeDistributed", "config": {"layer": {"class_name": "Lambda"}}}, "a Lambda layer"),
        ({"class_name": "serialize", "config": {}}, "'serialize', which is no layer of Keras"),
        ({"class_name": "theirs>Own", "config": {}}, "'theirs>Own', which is no layer of Keras"),
        ({"class_name": "TypeSpec", "type_spec": "x", "serialized": {}}, "'TypeSpec', which is no layer of Keras"),
        ({"class_name": "Dense", "module": "os", "config": {}}, "the class 'Dense'"),
    ],
)
def test_code_in_hdf5_is_named_before_keras_looks_at_it(old, layer, text):
    assert refusal(old(OLD_DENSE, layer)) == f"holds {text}; only models of Keras's own layers are loaded"


def test_hdf5_without_a_description_is_refused(tmp_path, old, monkeypatch):
    bare = tmp_path / "bare.h5"
    bare.write_bytes(weights(small))
    assert refusal(bare) == "holds weights without their network; save the whole model: model.save(...)"
    assert "does not describe its network" in refusal(old(text="{"))
    assert "does not describe its network" in refusal(old(text=np.array(["{}", "{}"], "S2")))
    monkeypatch.setattr(keras_files, "MAX_DESCRIPTION_BYTES", 10)
    assert "does not describe its network in a text that is read" in refusal(old(OLD_DENSE))


def test_what_is_looked_at_is_what_keras_opens(saved, tmp_path):
    """Keras takes a file for what its name says, whatever it begins with."""
    both = tmp_path / "both.keras"
    lambda_layer = {**NETWORK, "config": {"layers": [DENSE | {"class_name": "Lambda"}]}}
    both.write_bytes(weights(small) + saved(description=lambda_layer).read_bytes())
    assert "a Lambda layer" in refusal(both)
