"""Similar and different pairs as a faceexp plugin, the sampler of the 2018 study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceexp.contract import BatchSupply, Halves, IntArray, SamplerPlugin, option
from faceexp.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pairs(SamplerPlugin):
    """Pairs, as in the 2018 study: anchors in a batch's first half, their partners in its second.

    A set share of the pairs is similar (another image of the anchor's identity), the others are different (an image of
    another identity). Anchors and partners are drawn independently, each image as likely as any other that fits.
    """

    batch_size: int = option(
        128, "Images in a batch, twice the number of pairs; even.", unit="images", ge=2, le=100_000, multiple_of=2
    )
    similar_share: float = option(
        0.5, "Share of pairs that show one identity, rounded to whole pairs.", unit="share", ge=0, le=1
    )

    @property
    def pairs(self) -> int:
        """Number of pairs in a batch."""
        return self.batch_size // 2

    @property
    def similar(self) -> int:
        """Number of similar pairs in a batch."""
        return round(self.similar_share * self.pairs)

    def supply(self) -> BatchSupply:
        """Return two identities, unless a batch is one similar pair; two images of one where some pair is similar."""
        any_similar, any_different = self.similar > 0, self.similar < self.pairs
        halves: Halves | None = None
        if any_similar:
            halves = "mixed" if any_different else "similar"
        classes = 2 if any_different or self.pairs > 1 else 1
        return BatchSupply(self.batch_size, classes, 1 + any_similar, halves)

    def build(self, labels: IntArray, seed: int) -> Iterator[IntArray]:
        """Return an endless iterator of int64 (batch_size,).

        Raises:
            InputError: Similar pairs are wanted and no identity has two images, or different ones and there is one
                identity only.
        """
        import numpy as np

        order = np.argsort(labels, kind="stable")
        _, starts, counts = np.unique(np.asarray(labels)[order], return_index=True, return_counts=True)
        problems = []
        if self.similar and not (counts >= 2).any():
            message = "no identity of the training part has two images for a similar pair; set similar_share = 0"
            problems.append(Problem(message, where="sampler 'pairs'"))
        if self.similar < self.pairs and len(counts) < 2:
            message = "the training part has no two identities for a different pair; set similar_share = 1"
            problems.append(Problem(message, where="sampler 'pairs'"))
        if problems:
            raise InputError(problems)
        return self._batches(order, np.repeat(starts, counts), np.repeat(counts, counts), seed)

    def _batches(self, order: IntArray, starts: IntArray, counts: IntArray, seed: int) -> Iterator[IntArray]:
        """Yield batches; ``order`` sorts images by identity, that of image i fills ``starts[i] + range(counts[i])``."""
        import numpy as np

        rng = np.random.default_rng(seed)
        with_another = np.flatnonzero(counts >= 2)
        # A batch of similar pairs alone promises two identities, too; chance rarely denies it, but it can.
        lonely = self.similar == self.pairs > 1 and len(np.unique(starts[with_another])) > 1
        while True:
            similar = rng.choice(with_another, self.similar) if self.similar else with_another[:0]
            while lonely and len(np.unique(starts[similar])) < 2:
                similar = rng.choice(with_another, self.similar)
            # Of its identity's images, all but the anchor itself.
            other = starts[similar] + rng.integers(0, counts[similar] - 1)
            same = other + (other >= similar)

            different = rng.integers(0, len(order), self.pairs - self.similar)
            # Of all images, those before and those behind the block of its identity.
            outside = rng.integers(0, len(order) - counts[different])
            foreign = outside + counts[different] * (outside >= starts[different])

            shuffled = rng.permutation(self.pairs)
            anchors = np.concatenate([similar, different])[shuffled]
            partners = np.concatenate([same, foreign])[shuffled]
            yield order[np.concatenate([anchors, partners])]
