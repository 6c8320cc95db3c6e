"""SCRFD's answers become boxes and points as its paper says; a file that is no such network is refused in words.

The networks of these tests are made here: what they answer is known, and depends on the photo only in one of them.
"""

from __future__ import annotations

import sys

import faceexp_detector_scrfd
import numpy as np
import pytest
from faceexp_detector_scrfd import Scrfd, decoded, shared
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from faceexp.contract import Hint
from faceexp.errors import InputError
from faceexp.experiment.detect import Detect
from faceexp.registry.installed import discover
from faceexp.testing import DetectorContract
from faceexp.testing.detector import made_photos

onnx = pytest.importorskip("onnx")
STRIDES = (8, 16, 32)
ANCHORS = 2


def answers_of(size, faces, *, points=True, batched=False):
    """Return what a network answers: at each place, of (stride, row, column, anchor, score, distances, points), a face."""
    height, width = size
    rows = {stride: (-(-height // stride), -(-width // stride)) for stride in STRIDES}
    kinds = [1, 4, 10] if points else [1, 4]
    maps = {
        (kind, stride): np.zeros((rows[stride][0] * rows[stride][1] * ANCHORS, kind), np.float32)
        for kind in kinds
        for stride in STRIDES
    }
    for stride, row, column, anchor, score, distances, five in faces:
        index = (row * rows[stride][1] + column) * ANCHORS + anchor
        maps[1, stride][index] = score
        maps[4, stride][index] = distances
        if points:
            maps[10, stride][index] = np.ravel(five)
    return [array[None] if batched else array for array in maps.values()]


def network(path, answers, size=(64, 64)):
    """Write a network that gives the same answers to every image, if the image has the given size."""
    image = onnx.helper.make_tensor_value_info("input.1", onnx.TensorProto.FLOAT, [1, 3, *(size or ("?", "?"))])
    outputs, nodes, constants = [], [], []
    nodes.append(onnx.helper.make_node("ReduceSum", ["input.1"], ["sum"], keepdims=0))
    nodes.append(onnx.helper.make_node("Mul", ["sum", "nothing"], ["zero"]))
    constants.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
    for number, answer in enumerate(answers):
        constants.append(onnx.numpy_helper.from_array(answer, f"known{number}"))
        nodes.append(onnx.helper.make_node("Add", [f"known{number}", "zero"], [f"out{number}"]))
        outputs.append(onnx.helper.make_tensor_value_info(f"out{number}", onnx.TensorProto.FLOAT, answer.shape))
    graph = onnx.helper.make_graph(nodes, "made", [image], outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return str(path)


FIVE = [[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [-0.8, 1.0], [0.8, 1.0]]
FACES = [
    (8, 3, 4, 0, 0.9, [1.0, 1.5, 2.0, 2.5], FIVE),
    (8, 3, 5, 1, 0.8, [2.0, 1.5, 1.0, 2.5], FIVE),  # the same face once more
    (16, 0, 3, 0, 0.7, [0.5, 0.0, 0.5, 1.0], FIVE),
    (32, 1, 0, 1, 0.6, [0.0, 0.5, 0.4, 0.5], FIVE),
    (32, 0, 1, 0, 0.3, [0.5, 0.5, 0.5, 0.5], FIVE),  # not sure enough
]


@pytest.fixture
def path(tmp_path):
    return network(tmp_path / "det.onnx", answers_of((64, 64), FACES))


class TestScrfdContract(DetectorContract):
    @pytest.fixture(params=[True, False], ids=["landmarks", "boxes"])
    def plugin(self, request, tmp_path):
        answers = answers_of((64, 64), FACES, points=request.param)
        return Scrfd(path=network(tmp_path / "det.onnx", answers))

    @pytest.fixture
    def searches(self):
        return [*made_photos(), (np.zeros((64, 64, 3), np.uint8), Hint(0.01))]


def naive(faces, threshold):
    """Return (box, score, points) of each face by the formulas of the paper, one by one."""
    found = []
    for stride, row, column, _, score, (left, top, right, bottom), five in faces:
        if score >= threshold:
            x, y = column * stride, row * stride
            box = (x - left * stride, y - top * stride, x + right * stride, y + bottom * stride)
            found.append((box, score, [(x + dx * stride, y + dy * stride) for dx, dy in five]))
    found.sort(key=lambda face: -face[1])
    kept: list[tuple] = []
    for face in found:
        if all(overlap(face[0], other[0]) <= 0.4 for other in kept):
            kept.append(face)
    return kept


def overlap(one, other):
    across = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / max(sum(areas) - across * down, 1e-12)


some = st.floats(0.0625, 4, width=32)
maybe_faces = st.lists(
    st.tuples(
        st.sampled_from(STRIDES),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(30, 99).map(lambda score: score / 100),
        st.tuples(some, some, some, some),
        st.lists(st.tuples(some, some), min_size=5, max_size=5),
    ),
    max_size=12,
    unique_by=(lambda face: face[:4], lambda face: face[4]),
)


@settings(max_examples=50, deadline=None)
@given(maybe_faces, st.booleans(), st.booleans())
def test_answers_are_decoded_as_the_paper_says(faces, points, batched):
    size = (64, 96)
    answers = answers_of(size, faces, points=points, batched=batched)
    given_faces, expected = list(decoded(answers, size, 0.5, 0.4)), naive(faces, 0.5)
    assert [score for _, score, _ in given_faces] == pytest.approx([score for _, score, _ in expected])
    for (box, _, five), (known, _, known_five) in zip(given_faces, expected, strict=True):
        np.testing.assert_allclose(box, known, rtol=1e-5, atol=1e-4)
        assert (five is not None) == points
        if points:
            np.testing.assert_allclose(five, known_five, rtol=1e-5, atol=1e-4)


def test_shared_area_is_that_of_both_over_that_of_either():
    assert shared(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])) == pytest.approx(2 / 6)
    assert shared(np.array([0.0, 0, 2, 2]), np.array([5.0, 5, 6, 6])) == 0


def test_boxes_and_points_are_in_pixels_of_the_photo(path):
    # 128 x 96 pixels become 64 x 48, in the upper left of the 64 x 64 that the network wants.
    first, *others = Scrfd(path=path).detect(np.zeros((96, 128, 3), np.uint8), Hint(0.01))
    assert len(others) == 2
    np.testing.assert_allclose([first.left, first.top, first.width, first.height], [48, 24, 48, 64])
    np.testing.assert_allclose(first.landmarks, (np.array([32, 24]) + 8 * np.array(FIVE) + 0.5) * 2 - 0.5)
    assert first.score == pytest.approx(0.9)


def test_faces_smaller_than_what_is_looked_for_do_not_count(path):
    photo = np.zeros((64, 64, 3), np.uint8)
    assert len(Scrfd(path=path).detect(photo, Hint(0.01))) == 3
    assert len(Scrfd(path=path).detect(photo, Hint(0.4))) == 2


def test_a_file_of_any_size_gets_the_size_of_the_option(tmp_path):
    path = network(tmp_path / "det.onnx", answers_of((96, 96), FACES), size=None)
    first, *_ = Scrfd(path=path, size=96).detect(np.zeros((96, 96, 3), np.uint8), Hint(0.01))
    np.testing.assert_allclose([first.left, first.top, first.width, first.height], [24, 12, 24, 32])


def test_it_gives_landmarks_where_the_file_does(tmp_path, path):
    assert Scrfd(path=path).gives() == "five"
    boxes = network(tmp_path / "boxes.onnx", answers_of((64, 64), FACES, points=False))
    assert Scrfd(path=boxes).gives() == "none"
    configured = discover().configure("detector", "scrfd", {"path": boxes})
    assert configured.gives() == "none"
    assert Detect(plugin="scrfd", align="none", options={"path": boxes}).model_dump()["align"] is False


def test_what_is_no_such_network_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"text\.onnx: is no network that ONNX Runtime can run"):
        Scrfd(path=str(tmp_path / "text.onnx")).prepare()
    other = network(tmp_path / "other.onnx", answers_of((64, 64), [])[:2])
    with pytest.raises(InputError, match=r"is no SCRFD network: it has 1 inputs and 2 outputs; such a network takes"):
        Scrfd(path=other).prepare()


def test_what_is_no_file_is_refused_when_options_are_read(tmp_path):
    with pytest.raises(ValidationError, match="No such file"):
        Scrfd(path=str(tmp_path / "nowhere.onnx"))
    with pytest.raises(ValidationError, match="is a folder, not an ordinary file"):
        Scrfd(path=str(tmp_path))


def test_another_file_of_that_name_is_another_detector(path):
    before = Scrfd(path=path)
    network(path, answers_of((64, 64), FACES[2:]))
    after = Scrfd(path=path)
    assert before.sha256 != after.sha256
    assert len(after.detect(np.zeros((64, 64, 3), np.uint8), Hint(0.01))) == 2
    with pytest.raises(ValidationError, match="is another file: its digest is"):
        Scrfd(path=path, sha256=before.sha256)


def test_without_onnx_runtime_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    faceexp_detector_scrfd.network_of.cache_clear()
    with pytest.raises(InputError, match="run: pip install onnxruntime"):
        Scrfd(path=path).prepare()
