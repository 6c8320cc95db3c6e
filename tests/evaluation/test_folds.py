"""The accuracy that papers report of lists of pairs, against the script with which they compute it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from faceexp.evaluation.folds import THRESHOLDS, accuracy, best_threshold, error_over_folds, squared_distances
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import roc
from faceexp.evaluation.verification import balanced_accuracy, balanced_threshold


def usual_script(embeddings, pairs, same, folds=10):
    """Return the accuracy of each fold, computed as the field's own scripts do: every threshold, every fold, a loop."""
    embeddings = normalize(embeddings)
    dist = np.sum(np.square(np.subtract(embeddings[pairs[:, 0]], embeddings[pairs[:, 1]])), 1)
    thresholds = np.arange(0, 4, 0.01)
    accuracies = np.zeros(folds)

    def share_right(threshold, rows):
        predicted = np.less(dist[rows], threshold)
        tp = np.sum(np.logical_and(predicted, same[rows]))
        tn = np.sum(np.logical_and(np.logical_not(predicted), np.logical_not(same[rows])))
        return float(tp + tn) / len(rows)

    for fold, (train, test) in enumerate(KFold(n_splits=folds, shuffle=False).split(np.arange(len(same)))):
        acc_train = np.zeros(len(thresholds))
        for place, threshold in enumerate(thresholds):
            acc_train[place] = share_right(threshold, train)
        accuracies[fold] = share_right(thresholds[np.argmax(acc_train)], test)
    return accuracies


def listed(pairs=1200, noise=0.8, seed=0, dim=8):
    """Return embeddings and pairs of ten folds in LFW's order: in each fold similar pairs, then different ones."""
    random = np.random.default_rng(seed)
    same = np.tile(np.repeat([True, False], pairs // 20), 10)
    first = random.normal(size=(pairs, dim))
    second = np.where(same[:, None], first, random.normal(size=(pairs, dim))) + noise * random.normal(size=(pairs, dim))
    rows = np.concatenate([first, second]) * random.uniform(0.1, 30, (2 * pairs, 1))  # lengths do not matter
    return rows, np.column_stack([np.arange(pairs), np.arange(pairs, 2 * pairs)]), same


def ours(rows, pairs, same):
    squared = squared_distances(rows, pairs)
    fold = np.repeat(np.arange(10), len(same) // 10)
    return [
        accuracy(squared[fold == each], same[fold == each], best_threshold(squared[fold != each], same[fold != each]))
        for each in range(10)
    ]


@pytest.mark.parametrize(("noise", "seed"), [(0.1, 0), (0.5, 1), (0.8, 2), (1.5, 3), (5.0, 4)])
def test_every_fold_has_the_accuracy_of_the_usual_script_to_the_last_digit(noise, seed):
    rows, pairs, same = listed(noise=noise, seed=seed)
    expected = usual_script(rows, pairs, same)
    assert ours(rows, pairs, same) == expected.tolist()
    error, folds = error_over_folds({(0, fold): value for fold, value in enumerate(expected)})
    assert folds == 10
    assert error == pytest.approx(math.sqrt(sum((x - expected.mean()) ** 2 for x in expected) / 9) / math.sqrt(10))


def test_a_distance_that_is_a_threshold_is_refused_as_the_script_refuses_it():
    rows, pairs = np.eye(4), np.array([[0, 1], [0, 0], [2, 3], [2, 2]])
    squared = squared_distances(rows, pairs)
    assert squared.tolist() == [2, 0, 2, 0]
    assert THRESHOLDS[200] == 2
    assert accuracy(squared, np.array([True, True, True, True]), 2.0) == 0.5
    assert best_threshold(squared, np.array([False, True, False, True])) == 0.01


def test_a_finer_search_gives_the_same_accuracy_but_for_a_few_pairs():
    """``accuracy`` tries every threshold there is. In large folds it hardly differs from the one of the field."""
    for noise in (0.3, 0.8, 1.5):
        rows, pairs, same = listed(pairs=6000, noise=noise, seed=5)
        labels = np.arange(12_000)
        labels[pairs[same, 1]] = labels[pairs[same, 0]]
        measured = pair_distances(rows / np.linalg.norm(rows, axis=1, keepdims=True), labels, "euclidean", pairs)
        fold = np.repeat(np.arange(10), 600)
        exact = []
        for each in range(10):
            parts = [type(measured)(measured.distance[chosen], same[chosen]) for chosen in (fold != each, fold == each)]
            exact.append(balanced_accuracy(parts[1], balanced_threshold(roc(parts[0]))))
        assert np.mean(exact) == pytest.approx(np.mean(ours(rows, pairs, same)), abs=0.002)


def test_bytes_are_rows_as_well():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 20), dtype=np.uint8)
    pairs = np.array([[0, 1], [2, 5]])
    unit = normalize(pixels.astype(np.float64))
    assert squared_distances(pixels, pairs) == pytest.approx(((unit[pairs[:, 0]] - unit[pairs[:, 1]]) ** 2).sum(1))


def test_seeds_of_a_fold_are_averaged_first():
    values = {(0, 0): 0.8, (1, 0): 0.9, (0, 1): 0.7, (1, 1): 0.7, (0, 2): 1.0, (1, 2): 0.9}
    error, folds = error_over_folds(values)
    assert folds == 3
    assert error == pytest.approx(np.std([0.85, 0.7, 0.95], ddof=1) / math.sqrt(3))
    assert error_over_folds({(0, 0): 0.5}) == (None, 1)
    assert error_over_folds({}) == (None, 0)
