"""tensorflow-similarity's MultiShotMemorySampler as a faceexp plugin."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from faceexp.contract import BatchSupply, IntArray, SamplerPlugin, option
from faceexp.errors import InputError, Problem
from faceexp.quiet import silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tensorflow_similarity.samplers import MultiShotMemorySampler


@contextmanager
def drawing_from(own: random.Random) -> Iterator[None]:
    """Let the global functions of ``random`` draw from ``own``, and leave the state that others see as it was."""
    outside = random.getstate()
    random.setstate(own.getstate())
    try:
        yield
    finally:
        own.setstate(random.getstate())
        random.setstate(outside)


class TfsimMultishot(SamplerPlugin):
    """Balanced batches of tensorflow-similarity: P identities drawn at random with K different images each.

    Unlike the sampler 'balanced', each batch draws its identities anew, so that some come more often than others.
    Rows are ordered by image: the first images of all P identities, then their second images, and so on; for even K
    rows i and i + B/2 show the same identity. Identities with fewer than K images are never drawn.
    """

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
        identities, counts = np.unique(labels, return_counts=True)
        enough = identities[counts >= k]
        if len(enough) < p:
            message = (
                f"a batch takes {k} images of each of {p} identities, but only {len(enough)} identities of the "
                f"training part have that many; lower classes_per_batch or images_per_class"
            )
            raise InputError(Problem(message, where="sampler 'tfsim_multishot'"))

        own = random.Random(seed)  # noqa: S311 - no cryptography
        # Importing the library draws random numbers too, but only once in a process: not from our own.
        with drawing_from(random.Random()), silence():  # noqa: S311
            import tensorflow as tf
            from tensorflow_similarity.samplers import MultiShotMemorySampler

            tf.constant(0)  # The first tensor starts the devices, which log; in a draw nothing is silenced.
        with drawing_from(own), silence():
            sampler = MultiShotMemorySampler(
                np.arange(len(labels), dtype=np.int64),
                np.asarray(labels),
                classes_per_batch=p,
                examples_per_class_per_batch=k,
                class_list=enough.tolist(),
            )
        return self._batches(sampler, own)

    def _batches(self, sampler: MultiShotMemorySampler, own: random.Random) -> Iterator[IntArray]:
        """Yield batches; the library orders rows by identity, we by image."""
        while True:
            with drawing_from(own):
                indices, _ = sampler[0]
            yield indices.numpy().reshape(self.classes_per_batch, self.images_per_class).T.ravel()
