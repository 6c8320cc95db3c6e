"""Which photos a model saw in its training: digests of their files, for whoever compares them later.

A digest says nothing about a photo to somebody who does not have it. Somebody who has the same file can find out that
it was used, so the digests stay with the run and are in no exported folder.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from faceexp.arrays import ByteArray
from faceexp.contract import FaceData
from faceexp.files import MAX_IMAGE_BYTES, UnfitFileError, check_file, read_bytes
from faceexp.store import Store

# Of a SHA-256: enough that among a million photos not two have the same digest by chance.
DIGEST_BYTES = 8
# Digests of some eight million photos.
MAX_BYTES = 64 * 2**20


def digest_of(content: bytes) -> bytes:
    """Return the digest of the content of a photo's file."""
    return hashlib.sha256(content).digest()[:DIGEST_BYTES]


def file_digests(data: FaceData, store: Store) -> ByteArray | None:
    """Return the digests of a data set's files, uint8 (N, 8); nothing if its images are no files.

    They are kept in the store under what the images are, so that files are read once. That of a file that cannot be
    read is zero; no such image is ever used.
    """
    # It ends at the first that is none: there may be millions, each made when it is asked for.
    files: list[Path] = []
    for image in data.images:
        if not isinstance(image, Path):
            return None
        files.append(image)

    def make(folder: Path) -> None:
        digests = np.zeros((len(files), DIGEST_BYTES), np.uint8)
        # In threads this is no quicker: it takes a tenth of a millisecond for each file.
        for place, file in enumerate(files):
            with contextlib.suppress(OSError):
                digests[place] = np.frombuffer(digest_of(read_bytes(file, MAX_IMAGE_BYTES)), np.uint8)
        np.save(folder / "files.npy", digests, allow_pickle=False)

    artefact = store.get("files", {"fingerprint": data.fingerprint, "form": f"sha256, {DIGEST_BYTES} bytes"}, make)
    digests: ByteArray = np.load(artefact.path / "files.npy", allow_pickle=False)
    return digests


def packed(digests: Iterable[bytes]) -> bytes:
    """Return digests as the content of a file: one behind the other, sorted, each once."""
    return b"".join(sorted(set(digests)))


def count_of(content: bytes) -> int:
    """Return how many digests are packed."""
    return len(content) // DIGEST_BYTES


def sha256(content: bytes) -> str:
    """Return the digest of packed digests, by which a damaged file is told."""
    return hashlib.sha256(content).hexdigest()


def read_packed(file: Path, count: int, digest: str) -> frozenset[bytes]:
    """Return the digests of a file that :func:`packed` has made.

    Args:
        file: The file.
        count: How many digests it has to hold.
        digest: Its own, as :func:`sha256` gives it.

    Raises:
        UnfitFileError: It holds other digests, or it is no ordinary file.
        OSError: It does not exist, or it cannot be read.
    """
    check_file(file, MAX_BYTES)
    size = file.stat().st_size
    if size != count * DIGEST_BYTES:
        raise UnfitFileError(f"has {size:,} bytes; {count * DIGEST_BYTES:,} belong to this model")
    content = read_bytes(file, size)
    if sha256(content) != digest:
        raise UnfitFileError("is damaged: its content does not belong to this model")
    return frozenset(content[start : start + DIGEST_BYTES] for start in range(0, len(content), DIGEST_BYTES))
