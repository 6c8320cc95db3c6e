"""YuNet is run by OpenCV from a file, and what it answers is put into the photo's own pixels.

The weights of YuNet do not come along: the network of these tests is made here. It has the inputs and the outputs of
YuNet, and takes each bright cell of a photo for the middle of a face of known size and points.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from faceexp_detector_yunet import Yunet
from pydantic import ValidationError

from faceexp.contract import Hint
from faceexp.errors import InputError
from faceexp.testing import DetectorContract
from faceexp.testing.detector import made_photos

onnx = pytest.importorskip("onnx")
STRIDES = (8, 16, 32)
# In units of the stride, from the corner of the cell: the middle of the box, the logarithms of its sides, five points.
BOX = [0.5, 0.25, math.log(3), math.log(4)]
FIVE = [-0.5, -0.5, 1.5, -0.5, 0.5, 0.25, -0.25, 1.0, 1.25, 1.0]


def network(path, least=0.0):
    """Write a network of YuNet's shape: the mean brightness of a cell is the score, once for each of its two factors."""
    tensor, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    nodes, constants, outputs = [], [], []
    for stride in STRIDES:
        cell = f"cell{stride}"
        nodes.append(node("AveragePool", ["input"], [cell], kernel_shape=[stride] * 2, strides=[stride] * 2))
        for kind, answer in (("cls", None), ("obj", None), ("bbox", BOX), ("kps", FIVE)):
            name, channels = f"{kind}_{stride}", len(answer or [0])
            weights = np.full((channels, 3, 1, 1), 0 if answer else 1 / (3 * 255), np.float32)
            # Only the middle stride answers, so that each face is found once.
            weights *= stride == 16
            constants.append(onnx.numpy_helper.from_array(weights, f"w_{name}"))
            constants.append(onnx.numpy_helper.from_array(np.array(answer or [least], np.float32), f"b_{name}"))
            constants.append(onnx.numpy_helper.from_array(np.array([1, -1, channels], np.int64), f"s_{name}"))
            nodes.append(node("Conv", [cell, f"w_{name}", f"b_{name}"], [f"c_{name}"], kernel_shape=[1, 1]))
            nodes.append(node("Transpose", [f"c_{name}"], [f"t_{name}"], perm=[0, 2, 3, 1]))
            nodes.append(node("Reshape", [f"t_{name}", f"s_{name}"], [name]))
            outputs.append(tensor(name, onnx.TensorProto.FLOAT, [1, (640 // stride) ** 2, channels]))
    outputs.sort(key=lambda output: ["cls", "obj", "bbox", "kps"].index(output.name.partition("_")[0]))
    image = tensor("input", onnx.TensorProto.FLOAT, [1, 3, 640, 640])
    graph = onnx.helper.make_graph(nodes, "made", [image], outputs, constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    return str(path)


@pytest.fixture
def path(tmp_path):
    return network(tmp_path / "yunet.onnx")


def bright(*cells, size=(96, 128), brightness=230):
    """Return a black photo with bright cells, by row and column."""
    photo = np.zeros((*size, 3), np.uint8)
    for row, column in cells:
        photo[16 * row : 16 * (row + 1), 16 * column : 16 * (column + 1)] = brightness
    return photo


class TestYunetContract(DetectorContract):
    @pytest.fixture
    def plugin(self, path):
        return Yunet(path=path)

    @pytest.fixture
    def searches(self):
        return [*made_photos(), (bright((2, 3)), Hint(0.1)), (bright((1, 1), (4, 6)), Hint(0.1))]


def test_answers_become_boxes_and_points_of_the_photo(path):
    (face,) = Yunet(path=path).detect(bright((2, 3)), Hint(0.1))
    across, down = 16 * 3, 16 * 4
    middle = np.array([16 * 3.5, 16 * 2.25])
    expected = [middle[0] - across / 2, middle[1] - down / 2, across, down]
    np.testing.assert_allclose([face.left, face.top, face.width, face.height], expected, atol=1e-3)
    np.testing.assert_allclose(face.landmarks, 16 * np.array(FIVE).reshape(5, 2) + [48, 32], atol=1e-3)
    assert face.score == pytest.approx(230 / 255, abs=1e-3)


def test_a_large_photo_is_searched_small_and_its_faces_are_in_its_own_pixels(path):
    photo = np.kron(bright((2, 3), size=(288, 384)), np.ones((4, 4, 1), np.uint8))
    # A tenth of the shorter side, 115 pixels, becomes 30.
    (face,) = Yunet(path=path).detect(photo, Hint(30 / 288))
    assert face.width == pytest.approx(4 * 48, rel=0.01)
    np.testing.assert_allclose((face.landmarks + 0.5) / 4 - 0.5, 16 * np.array(FIVE).reshape(5, 2) + [48, 32], atol=0.5)


def test_colours_are_given_in_the_order_that_opencv_wants(tmp_path):
    path = network(tmp_path / "yunet.onnx")
    model = onnx.load(path)
    for constant in model.graph.initializer:
        if constant.name in ("w_cls_16", "w_obj_16"):
            only_blue = np.array([1 / 255, 0, 0], np.float32).reshape(1, 3, 1, 1)
            constant.CopyFrom(onnx.numpy_helper.from_array(only_blue, constant.name))
    onnx.save(model, path)
    red, blue = bright((2, 3)), bright((2, 3))
    red[..., 1:], blue[..., :2] = 0, 0
    assert [len(Yunet(path=path).detect(photo, Hint())) for photo in (red, blue)] == [0, 1]


@pytest.mark.parametrize(("brightness", "count"), [(120, 0), (250, 1)])
def test_what_it_is_not_sure_of_is_no_face(path, brightness, count):
    assert len(Yunet(path=path).detect(bright((2, 3), brightness=brightness), Hint())) == count
    assert len(Yunet(path=path, threshold=0.1).detect(bright((2, 3), brightness=brightness), Hint())) == 1


def test_faces_smaller_than_what_is_looked_for_do_not_count(path):
    assert [len(Yunet(path=path).detect(bright((2, 3)), Hint(smallest))) for smallest in (0.3, 0.9)] == [1, 0]


def test_what_is_no_such_network_is_refused(tmp_path, capfd):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"text\.onnx: is no YuNet network that OpenCV can run"):
        Yunet(path=str(tmp_path / "text.onnx")).prepare()


def test_what_is_no_file_is_refused_when_options_are_read(tmp_path):
    with pytest.raises(ValidationError, match="No such file"):
        Yunet(path=str(tmp_path / "nowhere.onnx"))
    with pytest.raises(ValidationError, match="is a folder, not an ordinary file"):
        Yunet(path=str(tmp_path))


def test_another_file_of_that_name_is_another_detector(path):
    before = Yunet(path=path)
    assert before.detect(bright((2, 3)), Hint())
    network(path, least=-1.0)
    after = Yunet(path=path)
    assert before.sha256 != after.sha256
    assert not after.detect(bright((2, 3)), Hint())
    with pytest.raises(ValidationError, match="is another file: its digest is"):
        Yunet(path=path, sha256=before.sha256)


def test_without_opencv_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="run: pip install opencv-python-headless"):
        Yunet(path=path).prepare()
