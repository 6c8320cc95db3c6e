"""Points at equal distances in what is searched."""

from __future__ import annotations

import itertools

from faceexp.experiment.search import Between
from faceexp.planning.dimensions import Varied


def grid(space: Varied, trials: int) -> list[dict[str, object]]:
    """Return the points of the finest grid of at most so many points, which all dimensions share evenly.

    Choices are all taken, if there are not too many; of a range, as many values as fit, the ends among them.
    """
    axes: list[list[object]] = []
    best: list[list[object]] = []
    for count in range(1, trials + 1):
        axes = [
            list(each.space.points(count)) if isinstance(each.space, Between) else list(each.space.choices)
            for each in space.dimensions
        ]
        points = 1
        for axis in axes:
            points *= len(axis)
        if points > trials:
            break
        best = axes
    names = [each.name for each in space.dimensions]
    # Where not even all choices fit, the first ones of their product are taken.
    product = itertools.product(*(best or axes))
    return [dict(zip(names, point, strict=True)) for point in itertools.islice(product, trials)]
