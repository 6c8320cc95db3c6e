"""A trained model at work: do these two photos show the same person, and who is this?

A model is a folder with a network and ``calibration.json``: one of a run's ``models/``, or what ``faceexp export``
wrote.
Photos take the very way of the training images. An exported ONNX model needs no TensorFlow.
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

BATCH = 64


def _ignore(done: int) -> None:
    """Hear nothing."""


@dataclass(frozen=True)
class FaceModel:
    """A network with its preprocessing and its thresholds.

    Attributes:
        folder: Where it lies.
        record: What ``calibration.json`` says of it.
        network: From pixels uint8 (N, H, W, C) to embeddings float32 (N, D).
    """

    folder: Path
    record: ModelRecord
    network: Network

    @property
    def label(self) -> str:
        """The loss it was trained with, and its options."""
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
        """Return the embeddings of photos that were read; ``on_progress`` is given how many are done."""
        blocks = []
        for start in range(0, len(pixels), BATCH):
            blocks.append(np.asarray(self.network(np.stack(pixels[start : start + BATCH])), dtype=np.float32))
            on_progress(min(start + BATCH, len(pixels)))
        return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)

    def read(self, photos: Iterable[Photo]) -> list[Picture]:
        """Return photos as the network wants them.

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
        """Return a threshold and its false accept rate on validation pairs; by default that of the best accuracy.

        Raises:
            InputError: The model has no threshold at that rate.
        """
        calibration = self.record.calibration
        if far is None:
            rate = calibration.far if calibration else None
            return float(self.record.threshold or math.nan), math.nan if rate is None else rate
        thresholds = calibration.thresholds if calibration else {}
        threshold = next((value for rate, value in thresholds.items() if math.isclose(float(rate), far)), None)
        if threshold is not None:
            return threshold, far
        ready = ", ".join(rate for rate, value in thresholds.items() if value is not None) or "none"
        pairs = (calibration.n_different if calibration else None) or 0
        unsupported = any(math.isclose(float(rate), far) for rate in thresholds)
        why = f"its {pairs:,} different validation pairs are too few to set one" if unsupported else "it was not set"
        raise InputError(f"no threshold at a false accept rate of {far:g}: {why}; this model has them at {ready}")

    def verify(self, a: Photo, b: Photo, far: float | None = None) -> Verification:
        """Say whether two photos show the same person.

        Args:
            a: A path, a Pillow image or an array.
            b: The other.
            far: The false accept rate of the threshold; by default the threshold of the best accuracy on validation.

        Raises:
            InputError: A photo cannot be used, or there is no such threshold.
        """
        threshold, rate = self.threshold_at(far)
        first, second = self.read([a, b])
        distance = float(self.distances(self.embed_pictures([first.pixels, second.pixels]), [(0, 1)])[0])
        return self._judged(distance, threshold, rate, (first.faces, second.faces))

    def _judged(self, distance: float, threshold: float, rate: float, faces: tuple[int, int] = (1, 1)) -> Verification:
        return Verification(distance, threshold, distance <= threshold, self.probability(distance), rate, faces)

    def verify_pairs(
        self,
        pairs: Sequence[tuple[str, str]],
        far: float | None = None,
        on_progress: Callable[[int], None] = _ignore,
    ) -> list[Verification]:
        """Judge many pairs of files; each file is read and embedded once.

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
        """Return the files that can be used, their embeddings, and what is wrong with the others.

        Photos are read a batch at a time, so that a folder may be larger than memory.
        """
        kept: list[Path] = []
        problems: list[Problem] = []
        blocks: list[FloatArray] = []
        for start in range(0, len(files), BATCH):
            pixels = []
            for file in files[start : start + BATCH]:
                try:
                    pixels.append(decode(file, self.preprocess).pixels)
                    kept.append(file)
                except UnreadableImageError as error:
                    problems.append(Problem(str(error), str(file)))
            if pixels:
                blocks.append(self.embed_pictures(pixels))
            on_progress(min(start + BATCH, len(files)))
        return kept, np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32), problems

    def identify(
        self,
        gallery: Mapping[str, Sequence[Path]],
        photo: Photo,
        far: float | None = None,
        on_progress: Callable[[int], None] = _ignore,
    ) -> Identification:
        """Rank the people of a gallery by how near their nearest photo is.

        Args:
            gallery: Photos by the name of the person; see :func:`gallery_of`.
            photo: Whom to look for.
            far: See :meth:`verify`.
            on_progress: Hears how many photos are embedded.

        Raises:
            InputError: With every photo that cannot be used.
        """
        threshold, rate = self.threshold_at(far)
        files = [(name, file) for name, own in gallery.items() for file in own]
        pictures = self.read([photo, *(file for _, file in files)])
        embeddings = self.embed_pictures([picture.pixels for picture in pictures], on_progress)
        distances = self.distances(embeddings, [(0, index) for index in range(1, len(embeddings))])
        nearest: dict[str, Candidate] = {}
        for (name, file), distance in sorted(zip(files, distances.tolist(), strict=True), key=lambda item: item[1]):
            if name not in nearest:
                nearest[name] = Candidate(name, str(file), distance, self.probability(distance))
        candidates = tuple(nearest.values())
        return Identification(candidates, threshold, bool(candidates) and candidates[0].distance <= threshold, rate)

    def distances(self, embeddings: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
        """Return the distances of pairs of rows, as evaluation measures them."""
        listed = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        return pair_distances(embeddings, np.zeros(len(embeddings), np.int32), self.distance, listed).distance

    def probability(self, distance: float) -> float:
        """Return the probability that a pair at a distance shows one person, both kinds being equally frequent."""
        calibration = self.record.calibration
        if calibration is None or calibration.slope is None or calibration.intercept is None:
            return math.nan
        return probability(distance, calibration.slope, calibration.intercept)


def load_model(path: str | Path) -> FaceModel:
    """Open a model: a run (its best loss by validation), ``RUN:label``, one of a run's models, or an exported folder.

    Raises:
        InputError: There is no such model, or it is damaged.
    """
    folder = find(str(path))
    record = folder.read()
    if record.threshold is None:
        raise InputError(Problem("has no threshold, so it can decide nothing", str(folder.record)))
    return FaceModel(folder.root, record, network_of(folder))
