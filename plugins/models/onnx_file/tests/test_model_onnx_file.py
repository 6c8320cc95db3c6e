"""Networks written by hand with onnx.helper, against the same arithmetic in NumPy."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from faceexp_model_onnx_file import OnnxFile
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper
from pydantic import ValidationError

import faceexp
from faceexp.errors import InputError
from faceexp.testing import FixedModelContract

FLOAT = onnx.TensorProto.FLOAT
RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = RANDOM.normal(size=(4, 5)).astype(np.float32)
PIXELS = RANDOM.integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)


def write(path, nodes, outputs, *, shape=("n", 3, 12, 10), inputs=("x",), kind=FLOAT, domains=(), edit=None):
    """Write a network; every output is a float tensor, of which ONNX finds the shape itself."""
    weights = [numpy_helper.from_array(KERNEL, "kernel"), numpy_helper.from_array(DENSE, "dense")]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(name, 17) for name in ("", *domains)], ir_version=8
    )
    if edit:
        edit(model)
    path.write_bytes(model.SerializeToString())
    return str(path)


MAP = [helper.make_node("Conv", ["x", "kernel"], ["map"])]
FEATURES = [
    *MAP,
    helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["flat"]),
    helper.make_node("MatMul", ["flat", "dense"], ["features"]),
]


@pytest.fixture
def saved(tmp_path):
    """Write a network, say where."""
    return lambda *args, name="net.onnx", **kwargs: write(tmp_path / name, *args, **kwargs)


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("onnx") / "net.onnx", FEATURES, ["features"])


@pytest.fixture(scope="session")
def fixed(tmp_path_factory):
    return write(tmp_path_factory.mktemp("onnx") / "fixed.onnx", FEATURES, ["features"], shape=(2, 3, 12, 10))


def convolved(images):
    """The map of the network, float64 (B, H, W, 4), of images (B, H, W, 3)."""
    windows = sliding_window_view(np.asarray(images, np.float64), (3, 3), axis=(1, 2))
    return np.einsum("bhwcij,ocij->bhwo", windows, KERNEL)


def expected(images):
    return convolved(images).mean(axis=(1, 2)) @ DENSE


def features(plugin, images=PIXELS):
    return plugin.open(images.shape[1:])(images)


def close(here, there):
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5 * np.abs(there).max())


def message(plugin, shape=(12, 10, 3)):
    with pytest.raises(InputError) as caught:
        plugin.open(shape)
    return str(caught.value).removeprefix(f"{plugin.path}: ")


class TestOnnxFileContract(FixedModelContract):
    shapes: ClassVar = ((12, 10, 3), (12, 10, 1))
    refused: ClassVar = ((10, 12, 3), (12, 10, 2))

    @pytest.fixture(params=["free", "fixed", "map"])
    def plugin(self, path, fixed, request):
        return {
            "free": OnnxFile(path=path),
            "fixed": OnnxFile(path=fixed, mean=127.5, scale=127.5, channels="bgr"),
            "map": OnnxFile(path=path, output="map", mean=(1.0, 2.0, 3.0), scale=(10.0, 20.0, 30.0)),
        }[request.param]


# What it gives


def test_it_gives_what_the_same_arithmetic_gives(path):
    close(features(OnnxFile(path=path)), expected(PIXELS))


def test_pixels_are_scaled_as_the_options_say(path):
    close(features(OnnxFile(path=path, mean=127.5, scale=128.0)), expected((PIXELS - 127.5) / 128))
    mean, scale = (104.0, 117.0, 123.0), (1.0, 2.0, 4.0)
    bgr = PIXELS[..., ::-1]
    plugin = OnnxFile(path=path, mean=mean, scale=scale, channels="bgr")
    close(features(plugin), expected((bgr - np.array(mean)) / np.array(scale)))


def test_grey_images_are_repeated(path):
    grey = PIXELS[..., :1]
    close(features(OnnxFile(path=path), grey), expected(np.repeat(grey, 3, axis=3)))


def test_a_batch_of_fixed_size_is_filled_up(path, fixed):
    close(features(OnnxFile(path=fixed)), features(OnnxFile(path=path)))
    assert features(OnnxFile(path=fixed), PIXELS[:0]).shape == (0, 5)


def test_of_a_map_each_channels_mean_is_the_feature(saved):
    close(features(OnnxFile(path=saved(MAP, ["map"]))), convolved(PIXELS).mean(axis=(1, 2)))


def test_channels_may_come_last(saved):
    nodes = [helper.make_node("Transpose", ["pixels"], ["x"], perm=[0, 3, 1, 2]), *FEATURES]
    last = saved(nodes, ["features"], inputs=["pixels"], shape=("n", 12, 10, 3))
    close(features(OnnxFile(path=last)), expected(PIXELS))
    free = saved(nodes, ["features"], inputs=["pixels"], shape=("n", "a", "b", "c"))
    assert 'does not say where the channels are; set layout = "nchw" or "nhwc"' in message(OnnxFile(path=free))
    close(features(OnnxFile(path=free, layout="nhwc")), expected(PIXELS))


def test_one_of_several_outputs_is_named(saved):
    two = saved(FEATURES, ["map", "features"])
    assert message(OnnxFile(path=two)) == (
        "gives 2 outputs (map, features); name the one with the features, such as output = 'map'"
    )
    close(features(OnnxFile(path=two, output="features")), expected(PIXELS))


def test_what_is_computed_inside_can_be_the_output(path):
    close(features(OnnxFile(path=path, output="flat")), convolved(PIXELS).mean(axis=(1, 2)))
    assert message(OnnxFile(path=path, output="nothing")) == "computes nothing that is called 'nothing'"


def test_whole_numbers_are_taken_as_they_are(saved):
    nodes = [helper.make_node("Cast", ["bytes"], ["x"], to=FLOAT), *FEATURES]
    whole = saved(nodes, ["features"], inputs=["bytes"], kind=onnx.TensorProto.UINT8)
    close(features(OnnxFile(path=whole)), expected(PIXELS))
    assert message(OnnxFile(path=whole, mean=127.5)) == "takes whole numbers from 0 to 255; leave out mean and scale"


def test_the_digest_of_the_file_is_an_option(path, fixed):
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert OnnxFile(path=path).sha256 == OnnxFile(path=path, sha256=digest).sha256 == digest
    with pytest.raises(ValidationError, match="is another file: its digest is "):
        OnnxFile(path=fixed, sha256=digest)


def test_the_share_of_a_worker_does_not_change_the_features(path, monkeypatch):
    alone = features(OnnxFile(path=path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    close(features(OnnxFile(path=path)), alone)


# What faceexp exports


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model of faceexp as it lies in a run, made by hand without training, and what `faceexp export` makes of it."""
    import keras

    from faceexp.serving.export import export_model

    folder = tmp_path_factory.mktemp("ours")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    first = layers.Conv2D(8, 3, activation="relu")
    network = keras.Sequential(
        [keras.Input((12, 10, 3)), layers.Rescaling(1 / 64, -2), first, layers.Flatten(), layers.Dense(6)]
    )
    (folder / "trained").mkdir()
    network.save(folder / "trained" / "model.keras")
    preprocess = {"size": [12, 10], "color": "rgb"}
    record = {"label": "arcface", "distance": "cosine", "threshold": 0.5, "preprocess": preprocess}
    (folder / "trained" / "calibration.json").write_text(json.dumps(record), encoding="utf-8")
    export_model(folder / "trained", folder / "exported", ["onnx"])
    return folder


def test_an_export_of_faceexp_gives_the_embeddings_of_the_model(exported):
    given = features(OnnxFile(path=str(exported / "exported" / "model.onnx")))
    # The same file, opened by the program that exported it, and the network that it was made from.
    np.testing.assert_array_equal(given, faceexp.load_model(exported / "exported").network(PIXELS))
    np.testing.assert_allclose(given, faceexp.load_model(exported / "trained").network(PIXELS), rtol=1e-5, atol=1e-5)


# What readers are told


def test_it_is_called_by_the_name_of_its_file(path):
    assert OnnxFile(path=path).trained == "net.onnx"
    assert OnnxFile(path=path).notes == ()


def test_a_classifier_at_the_end_is_noticed(saved):
    bias = helper.make_node("Add", ["features", "features"], ["logits"])
    end = helper.make_node("Softmax", ["logits"], ["probabilities"])
    plugin = OnnxFile(path=saved([*FEATURES, bias, end], ["probabilities"]))
    assert plugin.notes == (
        "net.onnx ends in a classifier, whose output 'probabilities' is no embedding; its last layer takes 'flat': set "
        "output = 'flat'",
    )
    assert OnnxFile(path=plugin.path, output="flat").notes == ()
    close(features(OnnxFile(path=plugin.path, output="flat")), convolved(PIXELS).mean(axis=(1, 2)))


# What does not fit


def test_images_of_another_size_are_refused(path, saved):
    wanted = 'takes 12 x 10 RGB; set size = [12, 10] and color = "rgb" in [preprocess]'
    assert message(OnnxFile(path=path), (112, 112, 3)) == wanted
    channel = helper.make_node("Concat", ["one", "one", "one"], ["x"], axis=1)
    grey = saved([channel, *FEATURES], ["features"], inputs=["one"], shape=("n", 1, 12, 10))
    assert message(OnnxFile(path=grey)).startswith('takes 12 x 10 grey; set size = [12, 10] and color = "gray"')
    assert "takes images of 1 channels, but mean has 3 numbers" in message(
        OnnxFile(path=grey, mean=(1.0, 2.0, 3.0)), (12, 10, 1)
    )
    assert "takes images of 10 channels" in message(OnnxFile(path=path, layout="nhwc"))


def test_what_takes_no_images_is_refused(saved):
    two = saved([helper.make_node("Add", ["x", "y"], ["sum"])], ["sum"], inputs=["x", "y"])
    assert message(OnnxFile(path=two)) == "has 2 inputs (x, y); images are a single one"
    flat = saved([helper.make_node("Identity", ["x"], ["y"])], ["y"], shape=("n", 360))
    assert message(OnnxFile(path=flat)) == "takes numbers of shape any x 360, which are no batch of images"
    words = saved(
        [helper.make_node("StringNormalizer", ["x"], ["y"])], ["y"], shape=("n",), kind=onnx.TensorProto.STRING
    )
    with pytest.raises(InputError, match=r"net\.onnx: "):
        OnnxFile(path=words).open((12, 10, 3))


def test_what_gives_no_vector_is_refused(saved):
    line = saved([*MAP, helper.make_node("ReduceMean", ["map"], ["line"], axes=[3], keepdims=0)], ["line"])
    assert message(OnnxFile(path=line)) == (
        "gives 4 x 10 numbers for an image, neither a vector nor a map; name another output"
    )
    joined = saved([*FEATURES, helper.make_node("ReduceSum", ["features"], ["sum"])], ["sum"])
    assert "gives 1 vectors for 2 images" in message(OnnxFile(path=joined))


# What is not safe, and what is damaged


def test_weights_in_another_file_are_refused_before_anything_is_read(saved):
    def edit(model):
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        tensor.external_data.add(key="location", value="../secret")

    with pytest.raises(ValidationError, match="takes weights from another file; save it as one file"):
        OnnxFile(path=saved(FEATURES, ["features"], edit=edit))


def test_operators_from_elsewhere_are_refused(saved):
    own = saved([helper.make_node("Own", ["x"], ["y"], domain="com.theirs")], ["y"], domains=["com.theirs"])
    assert message(OnnxFile(path=own)) == (
        "uses the operator com.theirs:Own, which ONNX Runtime does not have; export it with operators of ONNX alone"
    )


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\x08", "cut"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, path, content):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(Path(path).read_bytes()[:-50] if content == "cut" else content)
    plugin = OnnxFile(path=str(damaged))
    assert re.fullmatch(r"cannot be loaded: [^\n]+", message(plugin))
    assert plugin.notes == ()


def test_what_is_no_file_is_refused(tmp_path, monkeypatch, path):
    for place, text in ((tmp_path / "missing.onnx", "is missing: no such file"), (tmp_path, "is a folder")):
        with pytest.raises(ValidationError, match=text):
            OnnxFile(path=str(place))
    monkeypatch.setattr("faceexp.network_files.network.MAX_BYTES", 100)
    with pytest.raises(ValidationError, match="100 are the most that are read"):
        OnnxFile(path=path)


def test_without_onnx_runtime_one_line_says_what_to_install(path):
    code = (
        "import sys; sys.modules['onnxruntime'] = None; from faceexp_model_onnx_file import OnnxFile\n"
        f"try: OnnxFile(path={path!r}).open((12, 10, 3))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"{path}: needs onnxruntime; run: pip install 'faceexp[export]'"
