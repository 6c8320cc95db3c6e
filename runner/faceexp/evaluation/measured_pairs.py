"""The distances of pairs and whether they are similar: in memory, or in a file where they are very many.

Whoever looks at them takes them a chunk at a time (``chunks``), so that no more memory is needed for more pairs.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from faceexp.evaluation.people import pair_weights

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator

    from faceexp.arrays import BoolArray, FloatArray, IntArray
    from faceexp.evaluation.people import PairWeights

Item = TypeVar("Item")
Result = TypeVar("Result")

# Pairs that are looked at at a time, 32 MiB as float64: several such chunks are at work in threads.
CHUNK = 1 << 22
# Threads that look at chunks. More would be little faster, and each holds the arrays that it makes of its chunk.
_THREADS = 8


@dataclass(frozen=True, eq=False)
class PairDistances:
    """The distance of each pair, and whether both images show the same identity.

    Attributes:
        distance: float (P,), at least 0; float64, or float32 if there are more than 16.8 million pairs.
        similar: bool (P,), true where both images show the same identity.
        weights: How much each pair counts in rates and means; ``None``: every pair counts alike.
    """

    distance: FloatArray
    similar: BoolArray
    weights: PairWeights | None = None

    def __len__(self) -> int:
        """P."""
        return len(self.distance)

    def chunks(self, size: int) -> Iterator[PairDistances]:
        """Yield views of at most ``size`` consecutive pairs each; without pairs, a single empty one."""
        return _chunks(self, size)

    def weight_of_each(self) -> FloatArray:
        """Return how much each pair counts, float (P,); the weights of all pairs of one kind add up to 1."""
        if self.weights is not None:
            return self.weights.values(self.similar)
        n_similar = int(np.count_nonzero(self.similar))
        return np.where(self.similar, 1 / max(1, n_similar), 1 / max(1, len(self.similar) - n_similar))

    def part(self, start: int, stop: int) -> tuple[FloatArray, BoolArray]:
        """Return distances of some pairs, and whether they are similar."""
        return self.distance[start:stop], self.similar[start:stop]

    def pooled(self) -> PairDistances:
        """Return the same pairs, of which every one counts alike."""
        return replace(self, weights=None)

    def person_averaged(self, labels: IntArray) -> PairDistances:
        """Return the same pairs, where every person counts alike; see :func:`~faceexp.evaluation.people.pair_weights`.

        Args:
            labels: int (N,), the identities of the rows, every pair of which was measured.
        """
        return replace(self, weights=pair_weights(labels))


class DistanceFile:
    """Distances in a temporary file, which has no name and is gone with this object, or with the process.

    A distance is never below 0, so its sign says whether the pair is similar: it is negative if it is, -0 among them.
    """

    def __init__(self, file: io.BufferedRandom) -> None:
        self._file = file

    def __del__(self) -> None:
        """Close the file."""
        self._file.close()

    def append(self, distance: FloatArray, similar: BoolArray) -> None:
        """Write the distances of some pairs behind those that were written before."""
        values = distance.astype(np.float32)
        self._file.write(np.negative(values, out=values, where=similar).data)

    def read(self, start: int, count: int) -> tuple[FloatArray, BoolArray]:
        """Return so many distances, and whether the pairs are similar."""
        values = np.empty(count, np.float32)
        self._file.seek(start * values.itemsize)
        if self._file.readinto(values.data) < values.nbytes:
            raise OSError("a temporary file of distances ends too early")
        similar = np.signbit(values)
        return np.abs(values, out=values), similar


@dataclass(frozen=True, eq=False)
class PairsOnDisk:
    """The same as :class:`PairDistances`, where distances, as float32, lie in a file.

    Attributes:
        file: Where they lie.
        count: P.
        weights: How much each pair counts; see :class:`PairDistances`.
    """

    file: DistanceFile
    count: int
    weights: PairWeights | None = None

    def __len__(self) -> int:
        """P."""
        return self.count

    @property
    def distance(self) -> FloatArray:
        """All distances, read into memory."""
        return self.part(0, self.count)[0]

    @property
    def similar(self) -> BoolArray:
        """Whether each pair is similar, read into memory."""
        return self.part(0, self.count)[1]

    def chunks(self, size: int) -> Iterator[PairDistances]:
        """Yield at most ``size`` consecutive pairs at a time, each read when it is asked for."""
        return _chunks(self, size)

    def part(self, start: int, stop: int) -> tuple[FloatArray, BoolArray]:
        """Return distances of some pairs, and whether they are similar."""
        return self.file.read(start, min(stop, self.count) - start)

    def pooled(self) -> PairsOnDisk:
        """Return the same pairs, of which every one counts alike."""
        return replace(self, weights=None)

    def person_averaged(self, labels: IntArray) -> PairsOnDisk:
        """Return the same pairs, where every person counts alike; see :meth:`PairDistances.person_averaged`."""
        return replace(self, weights=pair_weights(labels))


Pairs: TypeAlias = PairDistances | PairsOnDisk


def _chunks(pairs: Pairs, size: int) -> Iterator[PairDistances]:
    for start in range(0, max(1, len(pairs)), size):
        weights = pairs.weights and pairs.weights.part(start, start + size)
        yield PairDistances(*pairs.part(start, start + size), weights)


def room_on_disk(count: int) -> PairsOnDisk | None:
    """Return pairs whose distances can be appended to a file; nothing where there is no room for so many.

    The room is reserved, so that a disk that others fill meanwhile does no harm.
    """
    try:
        opened = tempfile.TemporaryFile(prefix="faceexp-")  # noqa: SIM115 - it is open as long as the pairs are
        file = DistanceFile(opened)
        os.posix_fallocate(opened.fileno(), 0, 4 * count)
    except (OSError, AttributeError):  # not every system knows how to reserve room
        return None
    return PairsOnDisk(file, count)


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed in several threads; items are taken as needed.

    That is faster because NumPy lets other threads run while it computes.
    """
    rest = iter(items)
    first = list(itertools.islice(rest, 2))
    if len(first) < 2:
        yield from map(function, first)
        return
    workers = min(os.cpu_count() or 1, _THREADS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in itertools.chain(first, rest):
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:  # not more at a time, since each result may be large
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
