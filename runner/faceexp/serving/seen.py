"""Whether a model saw a photo in its training: then its accuracy on new people says nothing about this photo."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceexp.data.seen_photos import digest_of, read_packed
from faceexp.errors import InputError, Problem
from faceexp.files import MAX_IMAGE_BYTES, explain_os_error, read_bytes
from faceexp.results.folder import ModelFolder
from faceexp.results.model_schema import ModelRecord

if TYPE_CHECKING:
    from faceexp.arrays import IntArray
    from faceexp.serving.given import Photo


@dataclass(frozen=True)
class SeenPhotos:
    """The photos that a model saw in its training, as far as that is known.

    Attributes:
        digests: The digests of their files; ``None`` if they are not known.
    """

    digests: frozenset[bytes] | None = None

    def holds(self, photo: Photo) -> bool | None:
        """Return whether it is the very file of such a photo; ``None`` where that is not known.

        A copy that was saved again, resized or cropped is another file. Of pixels nobody knows which file they were.
        """
        if self.digests is None or not isinstance(photo, str | os.PathLike | bytes):
            return None
        try:
            content = photo if isinstance(photo, bytes) else read_bytes(Path(photo), MAX_IMAGE_BYTES)
        except OSError:
            return None
        return digest_of(content) in self.digests

    def count(self, photos: Iterable[Photo]) -> int | None:
        """Return how many of some photos it holds; ``None`` where that is not known of all of them."""
        return None if self.digests is None else count_of(map(self.holds, photos))


def count_of(seen: Iterable[bool | None]) -> int | None:
    """Return how many of some photos were seen; ``None`` where that is not known of all of them."""
    outcomes = list(seen)
    return None if None in outcomes else sum(map(bool, outcomes))


def of_pairs(seen: Sequence[bool | None], rows: IntArray) -> list[int | None]:
    """Return how many photos of each pair were seen, 0 to 2; ``None`` where that is not known of both.

    Args:
        seen: Whether each photo was seen.
        rows: int (P, 2), both photos of each pair, as places in ``seen``.
    """
    # What is not known makes the sum negative.
    counts = np.array([-2 if each is None else each for each in seen], np.int8)[rows].sum(axis=1)
    return [None if count < 0 else count for count in counts.tolist()]


def seen_photos(folder: ModelFolder, record: ModelRecord) -> SeenPhotos:
    """Return the photos that a model saw in its training. Older and exported models do not know them.

    Whoever passes on a run may have removed the file.

    Raises:
        InputError: The file that holds them is damaged.
    """
    known = record.seen_photos
    if known is None or not os.path.lexists(folder.seen_photos):
        return SeenPhotos()
    try:
        return SeenPhotos(read_packed(folder.seen_photos, known.count, known.sha256))
    except OSError as error:
        message = f"{explain_os_error(error)}; remove it, or run the experiment again"
        raise InputError(Problem(message, str(folder.seen_photos))) from None
