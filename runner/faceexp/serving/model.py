"""A trained model at work: do these two photos show the same person, and who is this?

A model is a folder with a network and ``calibration.json``. It lies in the ``models/`` of a run, or ``faceexp export``
wrote it. Photos are decoded and resized by the same code as the images of training. An exported ONNX model needs no
TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceexp.contract import Distance
from faceexp.data.images import Picture, UnreadableImageError, decode, prepare
from faceexp.errors import InputError, Problem
from faceexp.evaluation.calibration import probability
from faceexp.evaluation.pairs import pair_distances
from faceexp.experiment.schema import Preprocess
from faceexp.results.model_schema import ModelRecord
from faceexp.serving.answers import Candidate, Identification, Verification
from faceexp.serving.find import find
from faceexp.serving.runtimes import Network, network_of

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray

    Photo = str | Path | Image.Image | ByteArray

# So many photos go through the network at once. That is enough to use all cores, and few enough to need little memory.
BATCH = 64


def _ignore(embedded: int) -> None:
    """Do nothing: nobody waits for the progress."""


@dataclass(frozen=True)
class FaceModel:
    """A network with its preprocessing and its thresholds.

    Attributes:
        folder: The folder that it lies in.
        record: What ``calibration.json`` says about it.
        network: The function from pixels uint8 (N, H, W, C) to embeddings float32 (N, D).
    """

    folder: Path
    record: ModelRecord
    network: Network

    @property
    def label(self) -> str:
        """The loss that it was trained with, and the options in which that differs from others of the run."""
        return self.record.label

    @property
    def distance(self) -> Distance:
        """The distance by which embeddings are compared."""
        return self.record.distance

    @property
    def preprocess(self) -> Preprocess:
        """How photos become pixels."""
        return self.record.preprocess

    def embed(self, photos: Iterable[Photo]) -> FloatArray:
        """Return the embeddings of photos, float32 (N, D).

        Args:
            photos: Paths, Pillow images, or arrays uint8 (H, W) or (H, W, 3).

        Raises:
            InputError: With every photo that cannot be used.
        """
        return self.embed_pictures([picture.pixels for picture in self.read(photos)])

    def embed_pictures(self, pixels: Sequence[ByteArray], on_progress: Callable[[int], None] = _ignore) -> FloatArray:
        """Return the embeddings of photos that were read; ``on_progress`` hears how many are embedded so far."""
        blocks = []
        for start in range(0, len(pixels), BATCH):
            blocks.append(np.asarray(self.network(np.stack(pixels[start : start + BATCH])), dtype=np.float32))
            on_progress(min(start + BATCH, len(pixels)))
        return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)

    def read(self, photos: Iterable[Photo]) -> list[Picture]:
        """Return photos as the network takes them.

        Raises:
            InputError: With every photo that cannot be used.
        """
        pictures, problems = [], []
        for number, photo in enumerate(photos, 1):
            name = str(photo) if isinstance(photo, str | Path) else f"photo {number}"
            try:
                if isinstance(photo, str | Path):
                    pictures.append(decode(Path(photo), self.preprocess))
                else:
                    given = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
                    pictures.append(prepare(given, self.preprocess))
            except UnreadableImageError as error:
                problems.append(Problem(str(error), name))
        if problems:
            raise InputError(problems)
        return pictures

    def threshold_at(self, far: float | None = None) -> tuple[float, float]:
        """Return a threshold and its false accept rate on validation pairs; by default the threshold of best accuracy.

        Raises:
            InputError: The model has no threshold for that rate.
        """
        calibration = self.record.calibration
        if far is None:
            rate = calibration.far if calibration else None
            threshold = self.record.threshold
            return math.nan if threshold is None else threshold, math.nan if rate is None else rate
        thresholds = calibration.thresholds if calibration else {}
        at_rate = next((value for rate, value in thresholds.items() if math.isclose(float(rate), far)), None)
        if at_rate is not None:
            return at_rate, far
        ready = ", ".join(rate for rate, value in thresholds.items() if value is not None) or "none"
        pairs = (calibration.n_different if calibration else None) or 0
        unsupported = any(math.isclose(float(rate), far) for rate in thresholds)
        why = f"its {pairs:,} different validation pairs are too few to set one" if unsupported else "it was not set"
        raise InputError(f"no threshold at a false accept rate of {far:g}: {why}; this model has them at {ready}")

    def verify(self, a: Photo, b: Photo, far: float | None = None) -> Verification:
        """Return whether two photos show the same person.

        Args:
            a: A path, a Pillow image or an array.
            b: The other photo.
            far: The false accept rate of the threshold. By default the threshold has the best accuracy on validation.

        Raises:
            InputError: A photo cannot be used, or there is no such threshold.
        """
        threshold, rate = self.threshold_at(far)
        first, second = self.read([a, b])
        distance = float(self.distances(self.embed_pictures([first.pixels, second.pixels]), [(0, 1)])[0])
        return self._judged(distance, threshold, rate, (first.faces, second.faces))

    def _judged(self, distance: float, threshold: float, rate: float, faces: tuple[int, int] = (1, 1)) -> Verification:
        """Return the answer for a distance."""
        return Verification(distance, threshold, distance <= threshold, self.probability(distance), rate, faces)

    def verify_pairs(
        self,
        pairs: Sequence[tuple[str, str]],
        far: float | None = None,
        on_progress: Callable[[int], None] = _ignore,
    ) -> list[Verification]:
        """Judge many pairs of files. Each file is read and embedded once, even if it is in many pairs.

        Raises:
            InputError: With every photo that cannot be used.
        """
        threshold, rate = self.threshold_at(far)
        files = list(dict.fromkeys(file for pair in pairs for file in pair))
        place = {file: index for index, file in enumerate(files)}
        pictures = self.read(files)
        embeddings = self.embed_pictures([picture.pixels for picture in pictures], on_progress)
        distances = self.distances(embeddings, [(place[a], place[b]) for a, b in pairs])
        return [
            self._judged(float(distance), threshold, rate, (pictures[place[a]].faces, pictures[place[b]].faces))
            for (a, b), distance in zip(pairs, distances, strict=True)
        ]

    def embed_files(
        self, files: Sequence[Path], on_progress: Callable[[int], None] = _ignore
    ) -> tuple[list[Path], FloatArray, list[Problem]]:
        """Return the files that can be used, their embeddings, and what is wrong with the other files.

        Only one batch of photos is in memory at a time, so that a folder may be larger than the memory.
        """
        usable: list[Path] = []
        problems: list[Problem] = []
        blocks: list[FloatArray] = []
        for start in range(0, len(files), BATCH):
            pixels = []
            for file in files[start : start + BATCH]:
                try:
                    pixels.append(decode(file, self.preprocess).pixels)
                    usable.append(file)
                except UnreadableImageError as error:
                    problems.append(Problem(str(error), str(file)))
            if pixels:
                blocks.append(self.embed_pictures(pixels))
            on_progress(min(start + BATCH, len(files)))
        return usable, np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32), problems

    def identify(
        self,
        gallery: Mapping[str, Sequence[Path]],
        photo: Photo,
        far: float | None = None,
        on_progress: Callable[[int], None] = _ignore,
    ) -> Identification:
        """Return the people of a gallery in the order of how near their nearest photo is.

        Args:
            gallery: The photos of each person, by name; see :func:`faceexp.serving.photos.gallery_of`.
            photo: The photo of the person to look for.
            far: The false accept rate of the threshold; see :meth:`verify`.
            on_progress: Hears how many photos are embedded so far.

        Raises:
            InputError: With every photo that cannot be used.
        """
        threshold, rate = self.threshold_at(far)
        files = [(name, file) for name, photos in gallery.items() for file in photos]
        pictures = self.read([photo, *(file for _, file in files)])
        embeddings = self.embed_pictures([picture.pixels for picture in pictures], on_progress)
        distances = self.distances(embeddings, [(0, index) for index in range(1, len(embeddings))])
        nearest: dict[str, Candidate] = {}
        for (name, file), distance in sorted(zip(files, distances.tolist(), strict=True), key=lambda pair: pair[1]):
            if name not in nearest:
                nearest[name] = Candidate(name, str(file), distance, self.probability(distance))
        candidates = tuple(nearest.values())
        return Identification(candidates, threshold, bool(candidates) and candidates[0].distance <= threshold, rate)

    def distances(self, embeddings: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
        """Return the distances of pairs of rows, computed by the same code that measures a trial."""
        rows = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        nobody = np.zeros(len(embeddings), np.int32)  # labels say which pairs are similar, which nobody asks here
        return pair_distances(embeddings, nobody, self.distance, rows).distance

    def probability(self, distance: float) -> float:
        """Return the probability that a pair shows one person, if similar and different pairs are equally frequent."""
        calibration = self.record.calibration
        if calibration is None or calibration.slope is None or calibration.intercept is None:
            return math.nan
        return probability(distance, calibration.slope, calibration.intercept)


def load_model(path: str | Path) -> FaceModel:
    """Open a model.

    Args:
        path: A run, which means the loss that is best on validation; ``RUN:label``, which means that loss; one of the
            models of a run; or an exported folder.

    Raises:
        InputError: There is no such model, or it is damaged.
    """
    folder = find(str(path))
    record = folder.read()
    if record.threshold is None:
        raise InputError(Problem("has no threshold, so it can decide nothing", str(folder.record)))
    return FaceModel(folder.root, record, network_of(folder))
