"""Images in random order as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceexp.contract import BatchSupply, IntArray, SamplerPlugin, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


def batches(rng: np.random.Generator, count: int, size: int) -> Iterator[IntArray]:
    """Yield, endlessly, slices of ``size`` of one permutation of ``range(count)`` after another, without gaps."""
    import numpy as np

    rest = np.empty(0, np.int64)
    while True:
        while len(rest) < size:
            rest = np.concatenate([rest, rng.permutation(count)])
        yield rest[:size]
        rest = rest[size:]


class Random(SamplerPlugin):
    """Random batches: every image once per epoch, in random order, whatever it shows.

    Batches cross the borders of epochs, so that all are of the same size; one that does may hold an image twice.
    """

    batch_size: int = option(64, "Images in a batch.", unit="images", ge=1)

    def supply(self) -> BatchSupply:
        """Return the size; whom the images show is left to chance."""
        return BatchSupply(size=self.batch_size)

    def build(self, labels: IntArray, seed: int) -> Iterator[IntArray]:
        """Return an endless iterator of int64 (batch_size,).

        Raises:
            InputError: A batch is larger than the training part.
        """
        import numpy as np

        if self.batch_size > len(labels):
            message = (
                f"batch_size is {self.batch_size}, but the training part has only {len(labels)} images; "
                f"set batch_size to {len(labels)} or less"
            )
            raise InputError(Problem(message, where="sampler 'random'"))
        return batches(np.random.default_rng(seed), len(labels), self.batch_size)
