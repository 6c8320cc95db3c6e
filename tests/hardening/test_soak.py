"""An engine that trains hundreds of trials needs no more memory and no more open files than after the first fifty."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from faceexp.contract import Distance, LossPlugin, option
from faceexp.engine.backend import tensorflow
from faceexp.engine.trials import train
from faceexp.evaluation.checkpoints import ValidationAuc
from faceexp.store import Store

# How much more may be used at the end than after the first trials.
ALLOWED = 1.10
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


def used():
    """Return the megabytes of memory that are resident, and the number of open files."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(list(Path("/proc/self/fd").iterdir()))


KINDS = [
    "seeds",
    # A compiled step takes some megabytes, and an engine keeps that of every setting.
    pytest.param("settings", marks=pytest.mark.xfail(reason="the compiled step of each setting is kept", strict=False)),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_does_not_grow(kind, form, planned, tmp_path, tell):
    if not sys.platform.startswith("linux"):
        pytest.skip("memory and open files are read from /proc")
    if kind == "seeds":
        losses = {"weak": Pulls(weight=0.5), "strong": Pulls(weight=2.0)}
        plan = planned(tmp_path / "data", losses, seeds=tuple(range(form.trials // 2)), baselines=())
    else:
        losses = {f"pulls {number}": Pulls(weight=1 + number / 1000) for number in range(form.trials)}
        plan = planned(tmp_path / "data", losses, baselines=())
    early = EARLY if form.trials > EARLY else form.trials // 2
    figures = []
    for number, done in enumerate(train(plan, Store(tmp_path / "store"), ValidationAuc(), lambda event: None), 1):
        assert done.status == "ok", done.reason
        if number in (early, form.trials):
            figures.append(used())
    (memory, files), (memory_at_end, files_at_end) = figures
    told = (
        f"{memory:.0f} MB and {files} files after {early} trials, {memory_at_end:.0f} MB and {files_at_end} after all"
    )
    tell(f"soak of {kind}", told)
    print(told)
    assert files_at_end <= files * ALLOWED, told
    if form.name == "full":  # the first trials compile and import, which a short form cannot tell from growing
        assert memory_at_end <= memory * ALLOWED, told
