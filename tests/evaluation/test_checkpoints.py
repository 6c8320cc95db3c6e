"""Which images choose a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.evaluation import checkpoints
from faceexp.evaluation.checkpoints import validation_auc, validation_score


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


def test_map_at_r_may_choose_checkpoints():
    # By hand: for each image, precision at each hit among its R nearest others; then the mean of each person's images.
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), [2, 3, 4, 5, 6, 7])
    rows = random.normal(size=(6, 3))[labels] + 0.8 * random.normal(size=(len(labels), 3))
    values = []
    for query, label in enumerate(labels):
        others = np.delete(np.arange(len(labels)), query)
        nearest = others[np.argsort(np.linalg.norm(rows[others] - rows[query], axis=1))]
        right = labels[nearest[: np.sum(labels == label) - 1]] == label
        values.append(np.sum(right * np.cumsum(right) / np.arange(1, len(right) + 1)) / len(right))
    expected = np.mean([np.mean(np.array(values)[labels == person]) for person in range(6)])
    score = validation_score("map_at_r")
    assert score(rows.astype(np.float32), labels, "euclidean") == pytest.approx(expected, abs=1e-12)
    assert (score.name, validation_score("auc").name) == ("MAP@R", "AUC")
    assert score.key != validation_score("auc").key


def test_map_at_r_of_listed_pairs_is_refused():
    with pytest.raises(ValueError, match="not on listed pairs"):
        validation_score("map_at_r")(np.eye(4), np.array([0, 0, 1, 1]), "euclidean", np.array([[0, 1]]))
