"""Who is trained on and who is tested on.

Every protocol cuts the images into three parts that do not overlap: training; validation, which checkpoints and
thresholds are chosen on; and test, which nothing but the final measurement sees. In an open set, and with a list of
pairs, no person is in two parts: **this is the rule that forbids test people in training.** Where lists name the parts,
either nobody or everybody who is tested is in another part (``planning.listed_parts``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceexp.arrays import IntArray
from faceexp.experiment.protocol import Protocol

Folds = tuple[IntArray, ...]

Parts = tuple[IntArray, IntArray, IntArray]
# Share of the people outside a list without folds who are for validation, unless the file gives another one.
QUARTER = 0.25


@dataclass(frozen=True)
class Split:
    """Which images one seed and fold trains, validates and tests on; indices into the data set's images.

    Attributes:
        validation_pairs: int (P, 2), places in ``validation`` of the pairs that are judged there; ``None``: all pairs.
        test_pairs: The same for ``test``.
    """

    seed: int
    fold: int
    train: IntArray
    validation: IntArray
    test: IntArray
    validation_pairs: IntArray | None = None
    test_pairs: IntArray | None = None


class UnservableError(Exception):
    """The data cannot be cut as the protocol asks."""


def splits(
    labels: IntArray,
    protocol: Protocol,
    seed: int,
    listed_pairs: Folds = (),
    listed_parts: Parts | None = None,
    *,
    trains: bool = True,
    template: IntArray | None = None,
) -> tuple[Split, ...]:
    """Return the splits of one seed, one per fold.

    ``open_set``: people are shuffled and dealt to the parts, so that no person is in two of them. ``closed_set``: the
    images of each person are shuffled and dealt, so that every person is in all of them. ``pairs_file``: each fold of
    the list is tested once; the other folds, or a share of them, are for validation; the people whom neither names are
    trained on. Pairs for validation that show a person of the tested fold are left out. Of a list without folds, people
    whom it does not name are for validation, and all of their pairs. ``listed``: the parts are given.

    Args:
        labels: int (N,), the identity of each image.
        protocol: How to cut.
        seed: Of the trials, and of the shuffling unless the protocol has a seed for it.
        listed_pairs: ``pairs_file``: for each fold int (P, 2), the images of each pair.
        listed_parts: ``listed``: the images of training, validation and test.
        trains: Whether anything is trained; if not, the training part of a list of pairs may be empty.
        template: int (N,), a number of the template of each image, if listed pairs are those of templates: then all
            images of these take part, and not only the two that a pair gives.

    Raises:
        UnservableError: A part would lack the people or images that it needs.
    """
    # Splits draw from a stream of their own (the word "split", as far as hexadecimal can spell it), so that no other
    # random number of the program depends on how the data are cut, nor the other way round.
    random = np.random.default_rng([seed if protocol.split_seed is None else protocol.split_seed, 0x5B117])
    if protocol.kind == "pairs_file":
        if len(listed_pairs) == 1:
            return (_listed_alone(labels, protocol, seed, listed_pairs[0], random, trains=trains, template=template),)
        return tuple(
            _listed(labels, protocol, seed, fold, listed_pairs, random, trains=trains, template=template)
            for fold in range(len(listed_pairs))
        )
    if listed_parts is not None:
        return (_given(labels, seed, listed_parts),)
    deal = _open_set if protocol.kind == "open_set" else _closed_set
    parts = deal(labels, protocol, random)
    return tuple(
        Split(seed, fold, *(np.sort(np.asarray(part, dtype=np.int64)) for part in three))
        for fold, three in enumerate(parts)
    )


def test_size(number: int, protocol: Protocol) -> int:
    """Return how many of so many people, or of a person's images, the largest test part takes."""
    if protocol.folds > 1:
        return -(-number // protocol.folds)
    return max(1, round(number * protocol.test_fraction))


def validation_size(rest: int, protocol: Protocol) -> int:
    """Return how many validation takes of those who are not tested."""
    return max(1, round(rest * protocol.validation_fraction))


def _test_chunks(items: IntArray, protocol: Protocol) -> list[IntArray]:
    if protocol.folds > 1:
        return list(np.array_split(items, protocol.folds))
    return [items[: test_size(len(items), protocol)]]


def _open_set(labels: IntArray, protocol: Protocol, random: np.random.Generator) -> list[Parts]:
    people = random.permutation(np.unique(labels))
    parts: list[Parts] = []
    for test in _test_chunks(people, protocol):
        rest = people[~np.isin(people, test)]
        held = validation_size(len(rest), protocol)
        groups = {"training": rest[held:], "validation": rest[:held], "test": test}
        for name, group in groups.items():
            if len(group) < 2:
                raise UnservableError(
                    f"{len(people)} people leave {len(group)} for {name}, which needs two at least; "
                    "use more people, fewer folds or other fractions"
                )
        indices = {name: np.flatnonzero(np.isin(labels, group)) for name, group in groups.items()}
        for name in ("validation", "test"):
            if np.bincount(labels[indices[name]]).max() < 2:
                raise UnservableError(f"no person in {name} has two images, so there is no similar pair to judge")
        parts.append((indices["training"], indices["validation"], indices["test"]))
    return parts


def _closed_set(labels: IntArray, protocol: Protocol, random: np.random.Generator) -> list[Parts]:
    folds: list[tuple[list[IntArray], list[IntArray], list[IntArray]]] = [([], [], []) for _ in range(protocol.folds)]
    ends = np.cumsum(np.unique(labels, return_counts=True)[1])[:-1]
    for images_of_person in np.split(np.argsort(labels, kind="stable"), ends):
        images = random.permutation(images_of_person)
        for fold, chunk in enumerate(_test_chunks(images, protocol)):
            # However large the fractions are, two images are left: one for validation and one for training.
            test = chunk[: len(images) - 2]
            rest = images[~np.isin(images, test)]
            held = min(validation_size(len(rest), protocol), len(rest) - 1)
            for part, chosen in zip(folds[fold], (rest[held:], rest[:held], test), strict=True):
                part.append(chosen)
    parts: list[Parts] = [
        (np.concatenate(train), np.concatenate(held), np.concatenate(test)) for train, held, test in folds
    ]
    for _, validation, test in parts:
        for name, indices in (("validation", validation), ("test", test)):
            if not len(indices) or np.bincount(labels[indices]).max() < 2:
                raise UnservableError(
                    f"no person keeps two images for {name}, so there is no similar pair to judge; "
                    "use people with more images or a larger fraction"
                )
    return parts


def _listed(
    labels: IntArray,
    protocol: Protocol,
    seed: int,
    fold: int,
    listed_pairs: Folds,
    random: np.random.Generator,
    *,
    trains: bool,
    template: IntArray | None,
) -> Split:
    tested = listed_pairs[fold]
    if lacking := _lacking_kind(labels, tested):
        raise UnservableError(f"fold {fold + 1} has no {lacking} pair, so there is nothing to measure in it")
    people = np.unique(labels[tested])
    others = random.permutation([other for other in range(len(listed_pairs)) if other != fold])
    held = others[: max(1, round(len(others) * protocol.validation_fraction))]
    judged = np.concatenate([listed_pairs[other] for other in sorted(held)])
    judged = judged[~np.isin(labels[judged], people).any(axis=1)]
    if lacking := _lacking_kind(labels, judged):
        raise UnservableError(
            f"the folds beside fold {fold + 1} have no {lacking} pair without people of that fold, so there is nothing "
            "to choose a threshold on; folds must not share people"
        )
    validation = _named(judged, template)
    train = np.flatnonzero(~np.isin(labels, np.union1d(people, labels[validation])))
    if trains and len(np.unique(labels[train])) < 2:
        raise UnservableError(
            f"the list names nearly everybody: {len(np.unique(labels[train]))} people are left to train on in fold "
            f"{fold + 1}; add people, or set validation_fraction = 0.25 to train on people of other folds too"
        )
    test = _named(tested, template)
    return Split(
        seed, fold, train, validation, test, np.searchsorted(validation, judged), np.searchsorted(test, tested)
    )


def _named(pairs: IntArray, template: IntArray | None) -> IntArray:
    """Return the images of some pairs, in order; of pairs of templates, all images of these."""
    images = np.unique(pairs)
    return images if template is None else np.flatnonzero(np.isin(template, template[images]))


def _listed_alone(
    labels: IntArray,
    protocol: Protocol,
    seed: int,
    tested: IntArray,
    random: np.random.Generator,
    *,
    trains: bool,
    template: IntArray | None,
) -> Split:
    """Cut a list without folds: who is not in it is trained on, and a share of these people is for validation."""
    if lacking := _lacking_kind(labels, tested):
        raise UnservableError(f"the list has no {lacking} pair, so there is nothing to measure")
    others = random.permutation(np.setdiff1d(labels, labels[tested]))
    # All other folds, which a list with folds means by 1, would leave nobody to train on here.
    share = QUARTER if trains and protocol.validation_fraction == 1 else protocol.validation_fraction
    held = others[: max(1, round(len(others) * share))]
    validation = np.flatnonzero(np.isin(labels, held))
    if len(held) < 2 or np.bincount(labels[validation]).max() < 2:
        raise UnservableError(
            "the list has no folds, so the threshold comes from people whom it does not name, two at least and one of "
            f"them with two images; there are {len(others)}, of whom {len(held)} are for validation: add people, or a "
            "column fold to the list"
        )
    if trains and len(others) - len(held) < 2:
        raise UnservableError(f"the list names nearly everybody: {len(others) - len(held)} people are left to train on")
    test = _named(tested, template)
    train = np.flatnonzero(np.isin(labels, others[len(held) :]))
    return Split(seed, 0, train, validation, test, None, np.searchsorted(test, tested))


def _lacking_kind(labels: IntArray, pairs: IntArray) -> str:
    """Return of which kind there is no pair, or nothing; what a list says of a pair agrees with the labels."""
    similar = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    return "similar" if not similar.any() else "different" if similar.all() else ""


def _given(labels: IntArray, seed: int, parts: Parts) -> Split:
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        counts = np.bincount(labels[part])
        people = np.count_nonzero(counts)
        if people < 2:
            raise UnservableError(f"only {people} of the people in the list for {name} can be used; a part needs two")
        if name != "training" and counts.max() < 2:
            raise UnservableError(f"no person in {name} keeps two images, so there is no similar pair to judge")
    return Split(seed, 0, *parts)


def smallest(protocol: Protocol) -> int:
    """Return how many images a person must have to take part."""
    if protocol.kind in ("pairs_file", "listed"):
        return 1
    if protocol.kind == "open_set":
        return 2
    # One image for each of three parts; in cross-validation one for the test part of each fold. Two folds test on half
    # of the images, and half of three would leave only one for both other parts.
    return 4 if protocol.folds == 2 else max(3, protocol.folds)
