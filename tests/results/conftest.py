"""A small run of everything that a run can leave, made once for the tests of its files."""

from __future__ import annotations

from typing import ClassVar

import pytest

import faceexp
from faceexp.contract import Distance, LossPlugin
from faceexp.experiment import toml
from faceexp.experiment.published import Published
from faceexp.pipeline import Study
from faceexp.run import Run


class OutOfOrder(LossPlugin):
    """Fails, so that a run has a trial without numbers."""

    reference: ClassVar[str] = "here"
    distance: ClassVar[Distance] = "euclidean"

    def build(self, ctx):
        raise RuntimeError("out of order")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, resolved) -> Run:
    """Two seeds of two losses that train, of one that fails and of a baseline; with results of others."""
    home = tmp_path_factory.mktemp("small_run")
    losses = {name: faceexp.plugin("loss", name) for name in ("contrastive", "npairs")}
    published = {
        "source": "a study",
        "pairs": 134,
        "results": [{"label": "x", "right": 111}, {"label": "y", "right": 114, "sim_diff_ratio": 0.7}],
    }
    checked = resolved(
        losses | {"out_of_order": OutOfOrder()},
        seeds=(0, 1),
        baselines=("pixels",),
        published=Published.model_validate(published),
    )
    study = Study(toml.parse_text("", "small.toml"), checked.experiment, checked)
    return study.run(home / "runs", store=home / "store")
