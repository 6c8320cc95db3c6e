"""A loss that someone else packages: installed, listed, named in a file, compared; and one that is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "{version}"
dependencies = ["faceexp"]

[project.entry-points."faceexp.losses"]
{name} = "{module}:Spread"
"""

SPREAD = '''\
"""A loss of someone else's."""

from typing import ClassVar

from faceexp.contract import LossPlugin, option


class Spread(LossPlugin):
    """Spread: pulls every embedding towards a circle around the origin."""

    reference: ClassVar[str] = "nobody"
    distance: ClassVar[str] = "euclidean"
    radius: float = option(1.0, "Radius of the circle.", unit="distance", gt=0)

    def build(self, ctx):
        import tensorflow as tf  # noqa: F401 - the true one, before there is another

        return lambda labels, embeddings: tf.reduce_mean((tf.norm(embeddings, axis=1) - self.radius) ** 2)
'''

SPEC = """\
name = "outside"
baselines = []
[dataset]
plugin = "image_folder"
path = "faces"
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
plugin = "outside_spread"
radius = 2.0
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build and install both packages as their authors would; return the folder they are in."""
    site = tmp_path_factory.mktemp("site")
    sources = {"spread": SPREAD, "broken": "raise RuntimeError('made for another machine')\n"}
    folders = []
    for name, source in sources.items():
        folder = tmp_path_factory.mktemp(name)
        module = f"outside_loss_{name}"
        metadata = {"distribution": f"outside-loss-{name}", "version": "3.1", "name": f"outside_{name}"}
        (folder / "pyproject.toml").write_text(PYPROJECT.format(module=module, **metadata))
        (folder / f"{module}.py").write_text(source)
        folders.append(folder)
    # Everything that is needed is here, so nothing is downloaded.
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *flags, "--target", site, *folders], check=True, timeout=120
    )
    return site


@pytest.fixture
def faceexp(installed, tmp_path):
    """Run a command where both packages are installed."""

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "140"}
        return subprocess.run(
            [sys.executable, "-m", "faceexp", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_it_is_listed_and_the_broken_one_says_why(faceexp):
    done = faceexp("list-plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    losses = {item["name"]: item for item in json.loads(done.stdout)["loss"]}
    spread = {"distribution": "outside-loss-spread", "version": "3.1", "module": "outside_loss_spread"}
    broken = {"distribution": "outside-loss-broken", "version": "3.1", "module": "outside_loss_broken"}
    summary = "Spread: pulls every embedding towards a circle around the origin."
    assert losses["outside_spread"] == {"name": "outside_spread", "summary": summary, **spread}
    error = "RuntimeError: made for another machine; outside_loss_broken.py:1"
    assert losses["outside_broken"] == {"name": "outside_broken", **broken, "error": error}
    assert {"contrastive", "npairs"} < set(losses)
    shown = faceexp("list-plugins").stdout
    assert f"x outside_broken (outside-loss-broken 3.1) is broken: {error}" in shown


def test_it_is_described(faceexp):
    done = faceexp("describe", "loss", "outside_spread")
    assert done.returncode == 0
    for text in ("Spread: pulls every embedding", "radius", "distance", "> 0", "outside-loss-spread 3.1"):
        assert text in done.stdout


def test_an_experiment_names_it_beside_a_broken_one(faceexp, tmp_path, face_folder):
    (tmp_path / "faces").symlink_to(face_folder)
    (tmp_path / "x.toml").write_text(SPEC)
    done = faceexp("run", "x.toml", "--out", "out", "--store", "store", "--json")
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("out/outside-*/results.json")
    document = json.loads(results.read_text())
    assert document == json.loads(done.stdout)
    (trial,) = document["trials"]
    assert (trial["loss"], trial["label"], trial["status"]) == ("outside_spread", "outside_spread(radius=2)", "ok")
    assert 0 <= trial["metrics"]["accuracy"] <= 1
    assert "outside_spread(radius=2)" in {item["label"] for item in document["summary"]}
    plugins = json.loads((results.parent / "environment.json").read_text())["plugins"]
    used = {"kind": "loss", "name": "outside_spread", "distribution": "outside-loss-spread", "version": "3.1"}
    assert used.items() <= plugins[0].items()


def test_an_experiment_that_names_the_broken_one_is_refused(faceexp, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "x.toml").write_text(SPEC.replace("outside_spread", "outside_broken"))
    done = faceexp("run", "x.toml", "--out", "out", "--store", "store")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: x.toml:25: losses[0].plugin: loss 'outside_broken' (outside-loss-broken 3.1) is broken: "
        "RuntimeError: made for another machine; outside_loss_broken.py:1; mend it there or remove outside-loss-broken\n"
    )
