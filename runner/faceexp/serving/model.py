"""A trained model at work: do these two photos show the same person, and who is this?

A model is a folder with a network and ``calibration.json``: one of a run's ``models/``, or what ``faceexp export``
wrote.
Photos take the very way of the training images. An exported ONNX model needs no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from faceexp.data.images import Picture, UnreadableImageError, decode, prepare
from faceexp.errors import InputError, Problem
from faceexp.evaluation.calibration import probability
from faceexp.evaluation.pairs import pair_distances
from faceexp.experiment.schema import Preprocess
from faceexp.serving.find import find, read_calibration
from faceexp.serving.runtimes import Network, network_of

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray
    from faceexp.contract import Distance

    Photo = str | Path | Image.Image | ByteArray


BATCH = 64


def _deaf(done: int) -> None:
    """Hear nothing."""


@dataclass(frozen=True)
class Verification:
    """What a model says of two photos.

    Attributes:
        distance: Between their embeddings.
        threshold: The distance up to which two photos count as of one person.
        same: Whether they do.
        probability: That they show one person, if that is as likely as not before one looks; ``nan`` where validation
            had one kind of pair only.
        far: The false accept rate of the threshold on validation pairs.
        faces: How many faces each photo shows; the largest is compared.
    """

    distance: float
    threshold: float
    same: bool
    probability: float
    far: float
    faces: tuple[int, int] = (1, 1)

    @property
    def decision(self) -> str:
        """``"same"`` or ``"different"``, the word for ``same``."""
        return "same" if self.same else "different"


@dataclass(frozen=True)
class Candidate:
    """A person of a gallery, by the nearest of their photos."""

    name: str
    photo: str
    distance: float
    probability: float


@dataclass(frozen=True)
class Identification:
    """Who a photo may show.

    Attributes:
        candidates: The people of the gallery, the nearest first.
        threshold: The distance up to which one is accepted.
        somebody: Whether the nearest is; else the photo shows nobody in the gallery.
        far: The false accept rate of the threshold, of one pair.
    """

    candidates: tuple[Candidate, ...]
    threshold: float
    somebody: bool
    far: float


@dataclass(frozen=True)
class FaceModel:
    """A network with its preprocessing and its thresholds.

    Attributes:
        folder: Where it lies.
        label: The loss it was trained with.
        distance: What embeddings are compared by.
        preprocess: How photos become pixels.
        calibration: Content of ``calibration.json``.
        network: From pixels uint8 (N, H, W, C) to embeddings float32 (N, D).
    """

    folder: Path
    label: str
    distance: Distance
    preprocess: Preprocess
    calibration: Mapping[str, Any]
    network: Network

    def embed(self, photos: Iterable[Photo]) -> FloatArray:
        """Return the embeddings of photos, float32 (N, D).

        Args:
            photos: Paths, Pillow images, or arrays uint8 (H, W) or (H, W, 3).

        Raises:
            InputError: With every photo that cannot be used.
        """
        return self.embed_pictures([picture.pixels for picture in self.read(photos)])

    def embed_pictures(self, pixels: Sequence[ByteArray], tell: Callable[[int], None] = _deaf) -> FloatArray:
        """Return the embeddings of photos that were read; ``tell`` hears how many are done."""
        blocks = []
        for start in range(0, len(pixels), BATCH):
            blocks.append(np.asarray(self.network(np.stack(pixels[start : start + BATCH])), dtype=np.float32))
            tell(min(start + BATCH, len(pixels)))
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
        known = self.calibration.get("calibration") or {}
        if far is None:
            rate = known.get("far")
            return float(self.calibration["threshold"]), math.nan if rate is None else float(rate)
        stored: Mapping[str, float | None] = known.get("thresholds") or {}
        found = next((threshold for rate, threshold in stored.items() if math.isclose(float(rate), far)), None)
        if found is not None:
            return float(found), far
        ready = ", ".join(rate for rate, threshold in stored.items() if threshold is not None) or "none"
        pairs = known.get("n_different")
        unsupported = any(math.isclose(float(rate), far) for rate in stored)
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
        tell: Callable[[int], None] = _deaf,
    ) -> list[Verification]:
        """Judge many pairs of files; each file is read and embedded once.

        Raises:
            InputError: With every photo that cannot be used.
        """
        threshold, rate = self.threshold_at(far)
        files = list(dict.fromkeys(file for pair in pairs for file in pair))
        place = {file: index for index, file in enumerate(files)}
        pictures = self.read(files)
        embeddings = self.embed_pictures([picture.pixels for picture in pictures], tell)
        distances = self.distances(embeddings, [(place[a], place[b]) for a, b in pairs])
        return [
            self._judged(float(distance), threshold, rate, (pictures[place[a]].faces, pictures[place[b]].faces))
            for (a, b), distance in zip(pairs, distances, strict=True)
        ]

    def embed_files(
        self, files: Sequence[Path], tell: Callable[[int], None] = _deaf
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
            tell(min(start + BATCH, len(files)))
        return kept, np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32), problems

    def identify(
        self,
        gallery: Mapping[str, Sequence[Path]],
        photo: Photo,
        far: float | None = None,
        tell: Callable[[int], None] = _deaf,
    ) -> Identification:
        """Rank the people of a gallery by how near their nearest photo is.

        Args:
            gallery: Photos by the name of the person; see :func:`gallery_of`.
            photo: Whom to look for.
            far: See :meth:`verify`.
            tell: Hears how many photos are embedded.

        Raises:
            InputError: With every photo that cannot be used.
        """
        threshold, rate = self.threshold_at(far)
        files = [(name, file) for name, own in gallery.items() for file in own]
        pictures = self.read([photo, *(file for _, file in files)])
        embeddings = self.embed_pictures([picture.pixels for picture in pictures], tell)
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
        known = self.calibration.get("calibration") or {}
        if known.get("slope") is None:
            return math.nan
        return probability(distance, known["slope"], known["intercept"])


def tally(truth: Sequence[bool | None], said: Sequence[bool]) -> dict[str, Any]:
    """Return how many pairs were judged and how many rightly; the balanced accuracy where both kinds are known."""
    known = [(is_same, judged) for is_same, judged in zip(truth, said, strict=True) if is_same is not None]
    rates = []
    for kind in (True, False):
        own = [judged == kind for is_same, judged in known if is_same == kind]
        rates += [sum(own) / len(own)] if own else []
    return {
        "pairs": len(said),
        "accepted": sum(said),
        "known": len(known),
        "right": sum(is_same == judged for is_same, judged in known) if known else None,
        "accuracy": sum(rates) / 2 if len(rates) == 2 else None,
    }


def as_json(value: Verification | Identification) -> dict[str, Any]:
    """Return what a model said as JSON data; numbers that are none become null."""

    def plain(item: object) -> object:
        if isinstance(item, dict):
            return {key: plain(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [plain(inner) for inner in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    found = {key: plain(item) for key, item in asdict(value).items()}
    return found | {"decision": value.decision} if isinstance(value, Verification) else found


def load_model(path: str | Path) -> FaceModel:
    """Open a model: a run (its best loss by validation), ``RUN:label``, one of a run's models, or an exported folder.

    Raises:
        InputError: There is no such model, or it is damaged.
    """
    folder = find(str(path))
    file = folder / "calibration.json"
    info = read_calibration(file)
    try:
        preprocess = Preprocess.model_validate(info["preprocess"])
        label, distance, threshold = info["label"], info["distance"], info["threshold"]
    except (KeyError, ValidationError) as error:
        raise InputError(
            Problem(f"does not describe a model ({type(error).__name__}); export it again", str(file))
        ) from None
    if distance not in ("euclidean", "cosine") or threshold is None:
        raise InputError(Problem("has no threshold, so it can decide nothing", str(file)))
    return FaceModel(folder, label, distance, preprocess, info, network_of(folder))
