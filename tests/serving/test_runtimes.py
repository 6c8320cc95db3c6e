"""Which files of networks are opened at all. None of the libraries that open them is imported."""

from __future__ import annotations

import os

import numpy as np
import pytest

from faceexp.errors import InputError
from faceexp.network_files.onnx import ELSEWHERE
from faceexp.network_files.tflite import OF_TENSORFLOW
from faceexp.results.folder import NETWORK_FILES, ModelFolder
from faceexp.serving.runtimes import network_of

PIXELS = np.zeros((1, 8, 8, 1), np.uint8)


def test_a_saved_model_is_opened_only_if_it_is_trusted(tmp_path):
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(InputError, match="saved_model: is a program, .* --trust-saved-model"):
        network_of(ModelFolder(tmp_path))
    assert callable(network_of(ModelFolder(tmp_path), trust_saved_model=True))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("form", ["onnx", "tflite", "keras"])
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, form):
    file = tmp_path / NETWORK_FILES[form]
    os.mkfifo(file)
    with pytest.raises(InputError, match="is a pipe, not an ordinary file; export the model again"):
        network_of(ModelFolder(tmp_path))
    for target, message in (("/dev/zero", "is a device"), (file, "cannot be read: "), ("nowhere", "cannot be read: ")):
        file.unlink()
        file.symlink_to(target)
        with pytest.raises(InputError, match=message):
            network_of(ModelFolder(tmp_path))


def test_a_large_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("faceexp.network_files.network.MAX_BYTES", 10)
    (tmp_path / "model.onnx").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="has 11 bytes; 10 are the most that are read"):
        network_of(ModelFolder(tmp_path))


def test_operations_of_tensorflow_inside_tensorflow_lite_are_refused(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3....\x0d\0\0\0FlexWriteFile\0")
    with pytest.raises(InputError, match="holds operations of TensorFlow, which could write files"):
        network_of(ModelFolder(tmp_path))(PIXELS)
    assert OF_TENSORFLOW.search(b"Flexible") is None


def test_onnx_files_with_weights_in_another_file_are_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", dims=[2], data_type=onnx.TensorProto.FLOAT, data_location="EXTERNAL")
    tensor.external_data.add(key="location", value="../../secret")
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[tensor])
    (tmp_path / "model.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(InputError, match="takes weights from another file"):
        network_of(ModelFolder(tmp_path))(PIXELS)
    # The same entry with numbers that are written longer than they need to be, which every reader takes.
    assert ELSEWHERE.search(b"\x8a\x00\x88\x80\x00location")
    assert ELSEWHERE.search(b"model/relocation/location") is None
