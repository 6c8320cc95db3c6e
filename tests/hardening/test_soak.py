"""An engine that trains hundreds of trials needs no more memory and no more open files than after the first fifty."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from pathlib import Path
from typing import ClassVar

import pytest

import faceexp
from faceexp.contract import Distance, LossPlugin, option
from faceexp.engine.backend import tensorflow
from faceexp.engine.training import train
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.store import Store

# How much more may be used at the end than after the first trials. A process holds few files, and a pipe or two may be
# open at the moment of counting, so a few more are allowed for as well; a leak of one per trial is more than that.
ALLOWED = 1.10
FILES = 2
EARLY = 50


class Pulls(LossPlugin):
    """Pulls similar pairs together, more or less."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"
    weight: float = option(1.0, "Factor of the loss.")

    def build(self, ctx):
        tf = tensorflow()

        def loss(labels, embeddings):
            similar = tf.cast(labels[:, None] == labels[None, :], tf.float32)
            squared = tf.reduce_sum(tf.square(embeddings[:, None] - embeddings[None, :]), axis=2)
            return self.weight * tf.reduce_mean(similar * squared + (1 - similar) * tf.nn.relu(9.0 - squared))

        return loss


def used(process):
    """Return the megabytes of memory that a process has resident, and the number of its open files."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(list(Path(f"/proc/{process}/fd").iterdir()))


def check(form, kind, figures, tell):
    """Compare the largest figures of all trials with those of the first."""
    early = EARLY if form.trials > EARLY else form.trials // 2
    memory, files = (max(column) for column in zip(*figures[:early], strict=True))
    most_memory, most_files = (max(column) for column in zip(*figures, strict=True))
    told = f"{memory:.0f} MB and {files} files in {early} trials, {most_memory:.0f} MB and {most_files} in all"
    tell(f"soak of {kind}", told)
    assert len(figures) == form.trials
    assert most_files <= files * ALLOWED + FILES, told
    if form.name == "full":  # the first trials compile and import, which a short form cannot tell from growing
        assert most_memory <= memory * ALLOWED, told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and open files are read from /proc")
def test_an_engine_does_not_grow_with_seeds(form, planned, tmp_path, tell):
    losses = {"weak": Pulls(weight=0.5), "strong": Pulls(weight=2.0)}
    plan = planned(tmp_path / "data", losses, seeds=tuple(range(form.trials // 2)), baselines=())
    figures = []
    for done in train(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None):
        assert done.status == "ok", done.reason
        gc.collect()
        figures.append(used(os.getpid()))
    check(form, "seeds", figures, tell)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and open files are read from /proc")
def test_a_worker_does_not_grow_with_settings(form, spec, tmp_path, tell):
    """TensorFlow keeps the compiled step of every setting, so another worker goes on after some of them."""
    margins = [1 + number / 1000 for number in range(form.trials)]
    file = spec(
        ("seeds = [0, 1]", "seeds = [0]"),
        ('baselines = ["pixels", "phase1"]', "baselines = []"),
        ('plugin = "npairs"', f'plugin = "contrastive"\ngrid = {{ margin = {margins} }}'),
        ('[[losses]]\nplugin = "supcon"\n', ""),
    )
    store = Store(tmp_path / "store")
    plan = faceexp.load(file).plan(store)
    figures = []
    for done in train(plan, store, ValidationAuc(), lambda event: None, jobs=1):
        assert done.status == "ok", done.reason
        workers = [used(worker.pid) for worker in multiprocessing.active_children()]
        figures.append(max(workers, default=(0.0, 0)))
    check(form, "settings", figures, tell)
