"""Balanced batches as a faceexp plugin: P identities with K images each."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchSupply, IntArray, SamplerPlugin, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

BLOCK = 32  # Batches drawn at a time, which spares most of NumPy's cost per call.


def walk(rng: np.random.Generator, count: int, size: int) -> Iterator[IntArray]:
    """Yield, endlessly, groups of ``size`` different numbers below ``count``, all visited equally often.

    A permutation is walked through to its end. The group that crosses into the next permutation takes what it lacks
    from the first numbers there that it does not hold yet; those it steps over come directly after it.
    """
    import numpy as np

    rest = rng.permutation(count)
    while True:
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
        fresh = rng.permutation(count)
        held = np.zeros(count, np.bool_)
        held[rest] = True
        new = np.flatnonzero(~held[fresh])[: size - len(rest)]
        yield np.concatenate([rest, fresh[new]])
        rest = np.delete(fresh, new)


def draw(rng: np.random.Generator, counts: IntArray, k: int) -> IntArray:
    """Return (len(counts), k): in row i, k different numbers below ``counts[i]``, every choice and order as likely.

    R. Floyd's algorithm on all rows at once: the j-th of the k steps draws t from the first ``counts - k + j + 1``
    numbers, and takes the last of these where t is taken already. It is uniform over sets, not over orders, hence
    the shuffle at the end.

    Reference: J. Bentley, R. Floyd, A sample of brilliance, Communications of the ACM 30(9), 1987.
    """
    import numpy as np

    drawn = np.empty((len(counts), k), np.int64)
    for j in range(k):
        last = counts - k + j
        t = rng.integers(0, last, endpoint=True)
        taken = (drawn[:, :j] == t[:, None]).any(axis=1)
        drawn[:, j] = np.where(taken, last, t)
    return rng.permuted(drawn, axis=1)


class Balanced(SamplerPlugin):
    """Balanced batches: P identities, all visited equally often, with K different images each.

    Rows are ordered by image: the first images of all P identities, then their second images, and so on; for even K
    rows i and i + B/2 show the same identity. Identities with fewer than K images are never drawn.
    """

    suggested: ClassVar[bool] = True

    classes_per_batch: int = option(16, "Identities in a batch, P.", unit="identities", ge=1)
    images_per_class: int = option(2, "Different images of each identity in a batch, K.", unit="images", ge=1)

    def supply(self) -> BatchSupply:
        """Return P K rows of P identities, K images each; the halves are similar where K is even."""
        return BatchSupply.by_image(self.classes_per_batch, self.images_per_class)

    def build(self, labels: IntArray, seed: int) -> Iterator[IntArray]:
        """Return an endless iterator of int64 (P K,).

        Raises:
            InputError: Fewer than P identities have K images.
        """
        import numpy as np

        p, k = self.classes_per_batch, self.images_per_class
        order = np.argsort(labels, kind="stable")
        _, starts, counts = np.unique(np.asarray(labels)[order], return_index=True, return_counts=True)
        enough = counts >= k
        if enough.sum() < p:
            message = (
                f"a batch takes {k} images of each of {p} identities, but only {enough.sum()} identities of the "
                f"training part have that many; lower classes_per_batch or images_per_class"
            )
            raise InputError(Problem(message, where="sampler 'balanced'"))

        return self._batches(order, starts[enough], counts[enough], np.random.default_rng(seed))

    def _batches(
        self, order: IntArray, starts: IntArray, counts: IntArray, rng: np.random.Generator
    ) -> Iterator[IntArray]:
        """Yield batches; the images of identity i are ``order[starts[i] + range(counts[i])]``."""
        import numpy as np

        groups = walk(rng, len(counts), self.classes_per_batch)
        while True:
            block = np.stack(list(islice(groups, BLOCK)))
            drawn = draw(rng, counts[block.ravel()], self.images_per_class).reshape(*block.shape, -1)
            images = order[starts[block][:, :, None] + drawn]
            yield from images.transpose(0, 2, 1).reshape(BLOCK, -1)
