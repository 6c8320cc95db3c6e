"""Every image of a data set as one array in the store, decoded once for each data set and preprocessing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from faceexp.arrays import ByteArray, IntArray, new_array_file
from faceexp.contract import DetectorPlugin, FaceData
from faceexp.data import detectors, images
from faceexp.data.face_data import place_of
from faceexp.errors import InputError, Problem, first_of
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Artefact, Store, source_digest

# What of faceexp decides the pixels that an image becomes.
SOURCES = ("data.images", "data.detection", "data.decode")
# Images that a thread decodes before it asks for more: enough that asking costs nothing, few enough that threads end
# at about the same time.
BLOCK = 64
# In so many steps at least somebody sees how many images are decoded, as far as there are so many.
STEPS = 100
# Bytes of the digest of an image's pixels: enough that two different images never have the same one.
DIGEST_BYTES = 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sought:
    """What came of looking for faces in the images of a data set.

    Attributes:
        photos: How many images could be decoded and were searched; 0 where no face is looked for.
        missed: In how many of them no face was found that could be taken.
        ready: How many have the size of the network's images already.
    """

    photos: int = 0
    missed: int = 0
    ready: int = 0

    @property
    def suspicion(self) -> str:
        """Why these images seem to be crops already, in which no face should be looked for; empty where they do not."""
        if 2 * self.missed > self.photos:
            return f"no face is found in {self.missed:,} of {self.photos:,} images"
        if self.photos and self.ready == self.photos:
            return f"all {self.photos:,} images have the size of the network's images already"
        return ""


class UnusableImagesError(InputError):
    """Images cannot be used, and none may be left out.

    Attributes:
        sought: What came of looking for faces in all of them.
    """

    def __init__(self, problems: Iterable[Problem], sought: Sought) -> None:
        self.sought = sought
        super().__init__(problems)


def decoded_images(
    data: FaceData,
    preprocess: Preprocess,
    store: Store,
    progress: Progress,
    configured: ConfiguredPlugin | None = None,
) -> Artefact:
    """Return the artefact with the images as one array; decoding happens once for each data set and preprocessing.

    Args:
        data: The data set.
        preprocess: How images become arrays.
        store: Where finished work is kept.
        progress: Is called with how many images are done, and of how many.
        configured: The detector that is to find faces, if one is.

    Raises:
        UnusableImagesError: Images cannot be used, and ``preprocess`` wants that to be an error.
        InputError: The detector cannot be used.
    """
    inputs = {
        "fingerprint": data.fingerprint,
        "preprocess": preprocess.model_dump(mode="json"),
        "code": source_digest(*SOURCES),
        "pillow": PIL.__version__,
        "detector": configured.identity if configured else None,
    }

    def make(folder: Path) -> None:
        detector = detectors.ready(configured, data.columns)
        _decode_all(data, preprocess, detector, folder, progress)

    return store.get("images", inputs, make)


def _decode_all(
    data: FaceData, preprocess: Preprocess, detector: DetectorPlugin | None, folder: Path, progress: Progress
) -> None:
    count = len(data.images)
    file = folder / "images.npy"
    array = new_array_file(file, np.uint8, (count, *images.shape(preprocess)))
    digests = np.zeros((count, DIGEST_BYTES), np.uint8)
    faces = np.ones(count, np.int32)
    sizes = np.zeros((count, 2), np.int32)
    missed = np.zeros(count, np.bool_)

    known = data.columns.get("landmarks")

    def decode(index: int) -> Problem | None:
        source, landmarks = data.images[index], None if known is None else known[index]
        try:
            if isinstance(source, np.ndarray):
                picture = images.prepare(Image.fromarray(source), preprocess, detector, landmarks)
            else:
                picture = images.decode(source, preprocess, detector, landmarks)
        except images.UnreadableImageError as error:
            if isinstance(error, images.FaceNotFoundError):
                sizes[index], missed[index] = error.size, True
            return images.unreadable(place_of(data, index), error)
        array[index], faces[index], sizes[index] = picture.pixels, picture.faces, picture.size
        # Here the pixels are at hand; later, all of them would have to be read from the file once more.
        digest = hashlib.blake2b(picture.pixels.data, digest_size=DIGEST_BYTES).digest()
        digests[index] = np.frombuffer(digest, np.uint8)
        return None

    def decode_block(start: int) -> list[tuple[int, Problem]]:
        outcomes = ((index, decode(index)) for index in range(start, min(start + block, count)))
        return [(index, problem) for index, problem in outcomes if problem]

    problems: dict[int, Problem] = {}
    # Detection takes half a second for a large photo: few images are counted one by one.
    block = min(BLOCK, 1 + count // STEPS)
    progress(0, count)
    with images.decoding_threads() as pool:
        starts = range(0, count, block)
        for start, unusable in zip(starts, pool.map(decode_block, starts), strict=True):
            progress(min(start + block, count), count)
            problems.update(unusable)
    ready = int((sizes == preprocess.size).all(axis=1).sum())
    sought = Sought(int(sizes.any(axis=1).sum()), int(missed.sum()), ready) if detector else Sought()
    if problems and preprocess.on_unreadable == "error":
        listed = first_of(list(problems.values()), "and {} more images that cannot be used")
        raise UnusableImagesError(listed, sought)
    readable = np.array([index for index in range(count) if index not in problems], dtype=np.int64)
    array.flush()
    if problems:
        everything = file.rename(folder / "everything.npy")
        _copy_rows([(everything, readable)], file)
        everything.unlink()
    np.save(folder / "kept.npy", readable, allow_pickle=False)
    np.save(folder / "digests.npy", digests[readable], allow_pickle=False)
    np.save(folder / "faces.npy", faces[readable], allow_pickle=False)
    skipped = [str(problem) for problem in problems.values()]
    (folder / "skipped.json").write_text(json.dumps(skipped, indent=1), encoding="utf-8")
    (folder / "sought.json").write_text(json.dumps(asdict(sought)), encoding="utf-8")


def sought_in(artefact: Artefact) -> Sought:
    """Return what came of looking for faces in the images of an artefact."""
    return Sought(**json.loads((artefact.path / "sought.json").read_text(encoding="utf-8")))


def alike(digests: ByteArray) -> list[IntArray]:
    """Return the rows of the images that were decoded to the same pixels, together, the first first.

    Args:
        digests: uint8 (N, 16), the digests of images, as they lie beside them in ``digests.npy``.
    """
    keys = np.ascontiguousarray(digests).view(f"V{DIGEST_BYTES}")[:, 0]
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    return sorted((rows for rows in groups if len(rows) > 1), key=lambda rows: int(rows[0]))


def selected_images(parts: Sequence[tuple[Artefact, IntArray]], store: Store) -> Artefact:
    """Return an artefact with some of the images of others: a file of its own, since they may not fit into memory.

    Args:
        parts: Artefacts of images of one size, each with the rows that are wanted of it.
        store: Where they are kept.
    """
    inputs = {"images": [artefact.key for artefact, _ in parts], "rows": [rows.tolist() for _, rows in parts]}
    sources = [(artefact.path / "images.npy", rows) for artefact, rows in parts]
    return store.get("images", inputs, lambda folder: _copy_rows(sources, folder / "images.npy"))


def _copy_rows(sources: Sequence[tuple[Path, IntArray]], target: Path) -> None:
    opened = [(np.load(source, mmap_mode="r", allow_pickle=False), rows) for source, rows in sources]
    first, begin = opened[0][0], 0
    copied = new_array_file(target, first.dtype, (sum(len(rows) for _, rows in opened), *first.shape[1:]))
    for pictures, rows in opened:
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            copied[begin + start : begin + start + len(block)] = pictures[block]
        begin += len(rows)
    copied.flush()
