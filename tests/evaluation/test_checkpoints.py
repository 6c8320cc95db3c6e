"""Which images choose a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.evaluation import checkpoints
from faceexp.evaluation.checkpoints import validation_auc


@pytest.mark.parametrize(
    ("people", "images"), [(40, 5), (4, 50)], ids=["images of some people", "some images of few people"]
)
def test_of_very_many_validation_images_some_choose_the_checkpoint(monkeypatch, people, images):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(people), images)
    rows = random.normal(size=(people, 4))[labels] + random.normal(size=(len(labels), 4))
    whole = validation_auc(rows, labels, "euclidean")
    monkeypatch.setattr(checkpoints, "CHECKPOINT_IMAGES", 100)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_PEOPLE", 20)
    chosen = labels % 2 == 0 if people == 40 else np.arange(len(labels)) % 2 == 0
    expected = validation_auc(rows[chosen], labels[chosen], "euclidean")
    assert validation_auc(rows, labels, "euclidean") == expected != whole
    assert expected == pytest.approx(whole, abs=0.05)
    # What a list asks for is judged, however many images it names.
    listed = np.column_stack(np.triu_indices(len(labels), 1))
    assert validation_auc(rows, labels, "euclidean", listed) == pytest.approx(whole)
