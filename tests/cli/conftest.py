"""What the tests of commands share: an experiment file with a folder of faces, and the results of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from faceexp.store import digest

SPEC = """\
name = "example"
[dataset]
plugin = "image_folder"
path = "FOLDER"
[preprocess]
size = [16, 16]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
widths = [4]
kernel_sizes = [3]
embedding_dim = 8
[pretrain]
epochs = 1
batch_size = 8
[finetune]
steps = 4
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 4
images_per_class = 2
[[losses]]
plugin = "contrastive"
margin = 1.0
"""


@pytest.fixture
def faceexp(command, monkeypatch, tmp_path):
    """Run a command; return exit code, standard output and standard error."""
    monkeypatch.setenv("FACEEXP_STORE", str(tmp_path / "own-store"))
    return command


@pytest.fixture
def folder(face_folder, tmp_path):
    """A folder of 12 people with 6 images each, to be spoiled."""
    return Path(shutil.copytree(face_folder, tmp_path / "faces"))


@pytest.fixture
def spec(tmp_path, folder):
    """Write the experiment with replacements; return its path: ``spec(("margin = 1.0", "margin = 0"))``."""

    def write(*replacements):
        text = SPEC
        for old, new in replacements:
            assert text.count(old) == 1
            text = text.replace(old, new)
        path = tmp_path / "x.toml"
        path.write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def trial():
    """``trial(label)``: a trial as JSON data."""

    def make(label, *, kind="loss", seed=0, status="ok", reason=None):
        return {
            "id": f"{digest(label)[:8]}-s{seed}-f0",
            "loss": label,
            "label": label,
            "kind": kind,
            "seed": seed,
            "fold": 0,
            "status": status,
            "reason": reason,
            "metrics": {"accuracy": 0.9, "auc": None} if status == "ok" else {},
        }

    return make


@pytest.fixture(scope="session")
def summary():
    """``summary(label, metric, mean, ci95)``: the mean of a row as JSON data."""

    def make(label, metric, mean, ci95, *, kind="loss", group="a"):
        return {"label": label, "kind": kind, "metric": metric, "mean": mean, "ci95": ci95, "n": 2, "group": group}

    return make


@pytest.fixture
def finished(tmp_path):
    """Write the results of a run; return its folder."""

    def write(trials, summaries, **rest):
        folder = tmp_path / "runs" / "made-12345678"
        folder.mkdir(parents=True)
        document = {
            "schema": 1,
            "name": "made",
            "spec_hash": "12345678",
            "protocol": "open_set",
            "notes": ["12 people, 72 images; a folder"],
            "trials": trials,
            "summary": summaries,
            "comparisons": [],
        } | rest
        (folder / "results.json").write_text(json.dumps(document))
        return folder

    return write


@pytest.fixture(scope="session")
def row():
    """``row(out, label)``: the one line of an output that begins with a label, its spaces made single."""

    def make(out, label):
        (line,) = [line for line in out.splitlines() if line.strip().startswith(label)]
        return " ".join(line.split())

    return make


@pytest.fixture(scope="session")
def onnx_weights():
    return np.random.default_rng(0).normal(size=(16 * 16, 6)).astype(np.float32)


@pytest.fixture(scope="session")
def onnx_network(onnx_weights, tmp_path_factory):
    """A file of ONNX that multiplies the pixels of grey images by a matrix."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "projection",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 16, 16])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(onnx_weights, "weights")],
    )
    path = tmp_path_factory.mktemp("network") / "projection.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
