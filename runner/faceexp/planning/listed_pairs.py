"""The pairs that a list names, as images of the data set."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from faceexp.arrays import IntArray
from faceexp.contract import FaceData
from faceexp.data.pairs_file import PairsFile
from faceexp.errors import MAX_LISTED, InputError, Problem, did_you_mean


def listed_images(data: FaceData, pairs: PairsFile) -> list[IntArray]:
    """Return for each fold the images of its pairs, int (P, 2).

    Raises:
        InputError: With the line of every pair of which the data lack an identity or an image.
    """
    places = {}
    ends = np.cumsum(np.bincount(data.labels, minlength=len(data.identities)))
    everyone = np.split(np.argsort(data.labels, kind="stable"), ends[:-1])
    for name, rows in zip(data.identities, everyone, strict=True):
        indices = rows.tolist()
        for number, index in zip(_numbers(data, indices), indices, strict=True):
            places[name, number] = index
    identities = set(data.identities)
    folds: list[IntArray] = []
    problems: list[Problem] = []
    for fold in pairs.folds:
        images = []
        for pair in fold:
            lost = [image for image in (pair.first, pair.second) if image not in places]
            for name, number in lost[:1]:
                message = (
                    f"the data set has no image {number} of {name!r}"
                    if name in identities
                    else f"the data set has nobody called {name!r}; {did_you_mean(name, identities, always_list=False)}"
                )
                problems.append(pairs.problem(pair, message.removesuffix("; ")))
            if not lost:
                images.append((places[pair.first], places[pair.second]))
        folds.append(np.array(images, dtype=np.int64).reshape(-1, 2))
    if problems:
        more = [Problem(f"and {len(problems) - MAX_LISTED} more pairs", pairs.name)]
        raise InputError(problems[:MAX_LISTED] + (more if len(problems) > MAX_LISTED else []))
    return folds


def _numbers(data: FaceData, indices: list[int]) -> list[int]:
    """Return the numbers by which a list names a person's images.

    They are those at the end of the files' names where every name has a different one, else 1, 2, 3, ...
    """
    stems = [source.stem for source in (data.images[index] for index in indices) if isinstance(source, Path)]
    numbers = [int(match[1]) for match in (re.search(r"(\d{1,9})$", stem) for stem in stems) if match]
    return numbers if len(set(numbers)) == len(indices) else list(range(1, len(indices) + 1))
