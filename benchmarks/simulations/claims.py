"""How often does a study claim what is not there, and how often does it find what is there?

    python benchmarks/simulations/claims.py [--world drawn|learners|all] [--studies 400] [--seed 1] [--check]

Both questions of ``[verdict]`` are asked of many made studies, with the functions that judge real runs. In a complete
null no loss differs from another or from the reference, so every claim is false. A table shows the share of studies
with a false claim for ``helps``, for ``best`` and for both together. Where one loss is 5 points better, it shows how
often ``helps`` finds it, and which share of the other losses ``best`` finds to be worse.

``drawn``: values are drawn. A value is training noise and the mean of what this loss makes of the 8 people who are
tested of 40; ``people`` is the share of the latter in the variance. With 0, trials are unrelated, and with 1, the
same people make all trials alike, which is the worst case. Spreads are equal, or unequal by up to a factor of about
three; the reference varies like a loss, or twice as much. The size of the noise, 2 points in each value, is that of
MAP@R in the example experiment.

``learners``: three learners of scikit-learn stand in for the model, on the faces of ORL. All losses of a study are the
same learner with other random numbers, so that they are exchangeable. Rows are drawn from a pool for each cut of the
people, which saves time; studies of the same pool are not independent.

With ``--check``, the exit code is 1 if more than 5 % of the studies of a realistic null make a false claim, by more
than two standard errors.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

import faceexp
from faceexp.arrays import IntArray, on_one_core
from faceexp.evaluation import retrieval
from faceexp.statistics.claims import against, best
from faceexp.statistics.differences import Rule
from faceexp.statistics.power.question import ALPHA

PEOPLE, TESTED = 40, 8
LOSSES = (5, 10, 37)
# Seeds and folds.
DESIGNS = {"3x1": (3, 1), "5x1": (5, 1), "10x1": (10, 1), "1x5": (1, 5), "3x5": (3, 5)}
NOISE = 0.02
BETTER = 0.05
REFERENCE = "reference"
# Of the people who are not tested, as many as were tested for each four of them.
RATIO = TESTED / (PEOPLE - TESTED)
RULE = Rule(RATIO, higher_is_better=True, equivalence=0.01, limit=1.0)

Values = np.ndarray[Any, np.dtype[np.float64]]
# Draws the values of so many losses and the reference, which is the last row, over the trials of a design.
World = Callable[[int, str, np.random.Generator], Values]


@dataclass(frozen=True)
class Drawn:
    """A world in which values are drawn."""

    people: float
    unequal: bool = False
    reference: float = 1.0
    better: float = 0.0

    def __call__(self, losses: int, design: str, rng: np.random.Generator) -> Values:
        """Return float (losses + 1, trials)."""
        tested = np.array([np.isin(np.arange(PEOPLE), people) / TESTED for people in tested_people(design, rng)])
        noise = math.sqrt(1 - self.people) * rng.normal(size=(losses + 1, len(tested)))
        of_people = math.sqrt(TESTED * self.people) * rng.normal(size=(losses + 1, PEOPLE))
        spreads = np.exp(rng.normal(0, 0.5 * self.unequal, losses + 1))
        spreads[-1] *= self.reference
        values = 0.8 + NOISE * spreads[:, None] * (noise + of_people @ tested.T)
        values[0] += self.better
        return np.asarray(values, np.float64)


def tested_people(design: str, rng: np.random.Generator) -> Iterator[IntArray]:
    """Yield the people who are tested in each trial, as an open set deals them."""
    seeds, folds = DESIGNS[design]
    for _ in range(seeds):
        order = rng.permutation(PEOPLE)
        for fold in range(folds):
            yield order[fold * TESTED : (fold + 1) * TESTED]


def judged(values: Values, design: str) -> tuple[list[bool], list[bool]]:
    """Return of each loss whether a difference from the reference is claimed, and whether it is said not to be best."""
    _, folds = DESIGNS[design]
    labels = [*map(str, range(len(values) - 1)), REFERENCE]
    rows = {
        label: {(place // folds, place % folds): float(value) for place, value in enumerate(row)}
        for label, row in zip(labels, values, strict=True)
    }
    helps = against(rows, labels[:-1], [REFERENCE], RULE)
    standings = best(rows, labels[:-1], RULE)
    return [claim.verdict in ("better", "worse") for claim in helps], [not each.may_be_best for each in standings]


def simulate(world: World, losses: int, design: str, studies: int, rng: np.random.Generator, *, null: bool) -> Values:
    """Return shares: in a null of false claims (helps, best, either); else of what is there (helps, best)."""
    shares = []
    for _ in range(studies):
        helps, worse = judged(world(losses, design, rng), design)
        shares.append([any(helps), any(worse), any(helps + worse)] if null else [helps[0], np.mean(worse[1:])])
    return np.mean(np.array(shares, float), axis=0)


class Learners:
    """A world in which all losses are the same learner of scikit-learn, with other random numbers."""

    def __init__(self, name: str, rows: int, rng: np.random.Generator) -> None:
        """Cut the people, and train and test ``rows`` rows for every cut.

        Args:
            name: ``"lda"``, ``"pca"`` or ``"network"``.
            rows: How many rows the pool has.
            rng: Cuts the people and seeds the learners.
        """
        faces, labels = _faces()
        # Designs share their cuts: each takes the first seeds, and all of their folds or the first one.
        self.columns = {
            design: [(seed, fold) for seed in range(seeds) for fold in range(folds)]
            for design, (seeds, folds) in DESIGNS.items()
        }
        orders = [rng.permutation(PEOPLE) for _ in range(max(seeds for seeds, _ in DESIGNS.values()))]
        self.pool = {
            (seed, fold): np.array(
                [
                    _map_at_r(
                        name, faces, labels, orders[seed][fold * TESTED : (fold + 1) * TESTED], int(rng.integers(2**31))
                    )
                    for _ in range(rows)
                ]
            )
            for seed, fold in sorted({cell for columns in self.columns.values() for cell in columns})
        }

    def __call__(self, losses: int, design: str, rng: np.random.Generator) -> Values:
        """Return float (losses + 1, trials): rows of the pool."""
        pool = np.array([self.pool[cell] for cell in self.columns[design]]).T
        return pool[rng.choice(len(pool), losses + 1, replace=False)]


def _faces() -> tuple[Values, IntArray]:
    """Return the faces of ORL as few pixels, and their labels."""
    data = faceexp.plugin("dataset", "orl").build(seed=0)
    pixels = [np.asarray(Image.open(path).convert("L").resize((16, 16), Image.Resampling.BOX)) for path in data.images]
    return np.array(pixels, float).reshape(len(pixels), -1) / 255, np.asarray(data.labels, np.int32)


def _map_at_r(name: str, faces: Values, labels: IntArray, tested: IntArray, seed: int) -> float:
    """Train a learner on the people who are not tested, and return MAP@R of its embedding on those who are."""
    test = np.isin(labels, tested)
    with on_one_core(faces.size):
        embedding = EMBEDDINGS[name](faces[~test], labels[~test], np.random.default_rng(seed))(faces[test])
        return retrieval.map_at_r(retrieval.ranks(embedding.astype(np.float32), labels[test], "euclidean"))


Embedding = Callable[[Values], Values]


def _lda(faces: Values, labels: IntArray, rng: np.random.Generator) -> Embedding:
    """Discriminants of a random third of the pixels."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    pixels = rng.choice(faces.shape[1], 60, replace=False)
    fitted = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.3, n_components=12).fit(faces[:, pixels], labels)
    return lambda others: np.asarray(fitted.transform(others[:, pixels]))


def _pca(faces: Values, labels: IntArray, rng: np.random.Generator) -> Embedding:
    """Whitened components of a bootstrap of the people."""
    from sklearn.decomposition import PCA

    people = rng.choice(np.unique(labels), len(np.unique(labels)))
    rows = np.concatenate([np.flatnonzero(labels == person) for person in people])
    fitted = PCA(20, whiten=True, svd_solver="full").fit(faces[rows])
    return lambda others: np.asarray(fitted.transform(others))


def _network(faces: Values, labels: IntArray, rng: np.random.Generator) -> Embedding:
    """The hidden layer of a small network."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((16,), max_iter=5, learning_rate_init=0.01, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(faces, labels)
    return lambda others: np.maximum(others @ network.coefs_[0] + network.intercepts_[0], 0)


EMBEDDINGS = {"lda": _lda, "pca": _pca, "network": _network}


def _show(
    title: str, world: World, studies: int, rng: np.random.Generator, *, null: bool, losses: Sequence[int]
) -> float:
    """Print the line of each number of losses and design, and return the largest share of false claims."""
    print(f"\n{title}, {studies} studies each")
    print("losses design " + ("  helps   best  either" if null else "  helps   best") + "   (per cent)")
    largest = 0.0
    for number in losses:
        for design in DESIGNS:
            shares = simulate(world, number, design, studies, rng, null=null)
            print(f"{number:>6} {design:<6} " + " ".join(f"{100 * share:7.1f}" for share in shares), flush=True)
            largest = max(largest, float(shares.max()))
    return largest if null else 0.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=["drawn", "learners", "all"], default="all")
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--losses", type=int, nargs="+", default=list(LOSSES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rng, began = np.random.default_rng(options.seed), time.perf_counter()
    realistic = []
    if options.world != "learners":
        for people in (0.0, 0.5):
            for unequal, reference in ((False, 1.0), (True, 1.0), (False, 2.0)):
                title = f"null, people {people}, {'unequal' if unequal else 'equal'} spreads, reference x{reference:g}"
                world = Drawn(people, unequal, reference)
                realistic.append(_show(title, world, options.studies, rng, null=True, losses=options.losses))
        title = "worst case: null, people 1.0, equal spreads, reference x1"
        _show(title, Drawn(1.0), options.studies, rng, null=True, losses=options.losses)
        for people in (0.0, 0.5):
            title = f"one loss is {100 * BETTER:g} points better, people {people}, equal spreads"
            _show(title, Drawn(people, better=BETTER), options.studies, rng, null=False, losses=options.losses)
    if options.world != "drawn":
        for name in EMBEDDINGS:
            pools = [Learners(name, max(options.losses) + 11, rng) for _ in range(max(1, options.studies // 25))]

            def pooled(losses: int, design: str, rng: np.random.Generator, pools: Sequence[Learners] = pools) -> Values:
                return pools[int(rng.integers(len(pools)))](losses, design, rng)

            title = f"null, learner {name}, {len(pools)} cuts of the people"
            realistic.append(_show(title, pooled, options.studies, rng, null=True, losses=options.losses))
    print(f"\n{time.perf_counter() - began:.0f} s, seed {options.seed}")
    bound = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / options.studies)
    print(f"largest share of false claims: {100 * max(realistic):.1f} %; bound {100 * bound:.1f} %")
    if options.check and max(realistic) > bound:
        sys.exit(1)


if __name__ == "__main__":
    main()
