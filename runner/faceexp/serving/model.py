"""A trained model at work: do these two photos show the same person, and who is this?

A model is a folder with a network and ``calibration.json``. It lies in the ``models/`` of a run, or ``faceexp export``
wrote it. Photos are decoded and resized by the same code as the images of training. An exported ONNX model needs no
TensorFlow.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceexp.contract import DetectorPlugin, Distance
from faceexp.data.detectors import ready_for
from faceexp.data.images import Picture, UnreadableImageError
from faceexp.errors import MAX_LISTED, InputError, Problem, first_of
from faceexp.evaluation.pairs import pair_distances
from faceexp.experiment.schema import Preprocess
from faceexp.results.folder import ModelFolder
from faceexp.results.model_schema import ModelRecord, OwnThresholdRecord
from faceexp.serving.answers import Candidate, Embedded, Identification, JudgedPairs, Verification
from faceexp.serving.find import choose
from faceexp.serving.given import name_of, photos_of, picture_of
from faceexp.serving.own_threshold import own_threshold
from faceexp.serving.runtimes import Network
from faceexp.serving.seen import SeenPhotos, count_of, of_pairs, seen_photos
from faceexp.serving.thresholds import Threshold, threshold_of
from faceexp.serving.trunk import whole_network
from faceexp.serving.worth import Worth, is_guessing, probability_of, why_no_probability, worth_of

if TYPE_CHECKING:
    from faceexp.arrays import ByteArray, FloatArray, IntArray
    from faceexp.serving.given import Photo

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
        chosen: Why it is this model of a run; empty where the model itself was named.
        own: The threshold that a user has set on pairs of their own, which decides instead of the record's.
        detector: What finds the face in a photo, made ready; nothing where photos are taken whole.
    """

    folder: Path
    record: ModelRecord
    network: Network
    chosen: str = ""
    own: OwnThresholdRecord | None = None
    detector: DetectorPlugin | None = None

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

    def embed(self, photos: Photo | Iterable[Photo]) -> FloatArray:
        """Return the embeddings of photos, float32 (N, D); that of a single photo is (1, D).

        Args:
            photos: Paths, Pillow images, bytes of files, open files, or arrays (H, W) or (H, W, 3) of whole numbers
                from 0 to 255.

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
        return self._whole(blocks)

    def _whole(self, blocks: Sequence[FloatArray]) -> FloatArray:
        """Return the embeddings of all batches.

        Raises:
            InputError: They are no embeddings, or not finite, as those of a damaged network.
        """
        if any(block.ndim != 2 or not np.isfinite(block).all() for block in blocks):
            raise InputError(
                Problem("its network gives no finite embeddings; export the model again", str(self.folder))
            )
        return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)

    def read(self, photos: Photo | Iterable[Photo]) -> list[Picture]:
        """Return photos as the network takes them.

        Raises:
            InputError: With every photo that cannot be used.
        """
        pictures, problems = [], []
        for number, photo in enumerate(photos_of(photos), 1):
            try:
                pictures.append(picture_of(photo, self.preprocess, self.detector))
            except UnreadableImageError as error:
                problems.append(Problem(str(error), name_of(photo, f"photo {number}")))
        if problems:
            raise InputError(problems)
        return pictures

    def embed_usable(self, photos: Sequence[Photo], on_progress: Callable[[int], None] = _ignore) -> Embedded:
        """Return the embeddings of the photos that can be used, and what is wrong with the others.

        Only one batch of photos is in memory at a time, so that a folder may be larger than the memory.
        """
        places: list[int] = []
        faces: list[int] = []
        problems: list[Problem] = []
        blocks: list[FloatArray] = []
        for start in range(0, len(photos), BATCH):
            pixels = []
            for place, photo in enumerate(photos[start : start + BATCH], start):
                try:
                    picture = picture_of(photo, self.preprocess, self.detector)
                except UnreadableImageError as error:
                    problems.append(Problem(str(error), name_of(photo, f"photo {place + 1}")))
                else:
                    pixels.append(picture.pixels)
                    faces.append(picture.faces)
                    places.append(place)
            if pixels:
                blocks.append(self.embed_pictures(pixels))
            on_progress(min(start + BATCH, len(photos)))
        return Embedded(places, self._whole(blocks), faces, problems)

    def threshold_at(self, far: float | None = None) -> tuple[float, float]:
        """Return a threshold and its false accept rate on validation pairs; by default the threshold of best accuracy.

        Raises:
            InputError: The model has no threshold for that rate.
        """
        chosen = self.threshold(far)
        return chosen.distance, chosen.far

    def threshold(self, far: float | None = None) -> Threshold:
        """Return a threshold and what is known of its false accept rate; by default the threshold of best accuracy.

        Raises:
            InputError: The model has no threshold for that rate.
        """
        return threshold_of(self.deciding, far, "" if self.own else "validation ")

    @functools.cached_property
    def deciding(self) -> ModelRecord:
        """The record with the thresholds that decide: the user's own, or else those of validation."""
        if self.own is None:
            return self.record
        known = self.own.calibration
        return self.record.model_copy(update={"threshold": known.threshold, "calibration": known})

    @functools.cached_property
    def worth(self) -> Worth:
        """How often the model was right on the test part of its run, with the threshold of its run."""
        return worth_of(self.record)

    @functools.cached_property
    def seen(self) -> SeenPhotos:
        """The photos that it saw in its training, as far as they are known."""
        return seen_photos(ModelFolder(self.folder), self.record)

    @property
    def is_guessing(self) -> bool:
        """Whether similar pairs were not nearer than different ones, so that distances say nothing."""
        return is_guessing(self.deciding.calibration)

    def verify(self, a: Photo, b: Photo, far: float | None = None) -> Verification:
        """Return whether two photos show the same person.

        Args:
            a: A path, a Pillow image or an array.
            b: The other photo.
            far: The false accept rate of the threshold. By default the threshold has the best accuracy on validation.

        Raises:
            InputError: A photo cannot be used, or there is no such threshold.
        """
        threshold = self.threshold(far)
        first, second = self.read([a, b])
        distance = float(self.distances(self.embed_pictures([first.pixels, second.pixels]), [(0, 1)])[0])
        return Verification(
            distance=distance,
            threshold=threshold.distance,
            same=distance <= threshold.distance,
            probability=self.probability(distance),
            far=threshold.far,
            faces=(first.faces, second.faces),
            far_range=threshold.far_range,
            test_far=threshold.test_far,
            seen=(self.seen.holds(a), self.seen.holds(b)),
        )

    def verify_pairs(
        self,
        pairs: Sequence[tuple[str, str]],
        far: float | None = None,
        on_progress: Callable[[int], None] = _ignore,
    ) -> JudgedPairs:
        """Judge many pairs of files. Each file is read and embedded once, even if it is in many pairs.

        Raises:
            InputError: With photos that cannot be used.
        """
        place: dict[str, int] = {}
        rows = [(place.setdefault(a, len(place)), place.setdefault(b, len(place))) for a, b in pairs]
        return self.judge(list(place), np.array(rows, np.int64).reshape(-1, 2), far, on_progress)

    def judge(
        self, files: Sequence[str], rows: IntArray, far: float | None, on_progress: Callable[[int], None]
    ) -> JudgedPairs:
        """Judge pairs of files like :meth:`verify_pairs`; ``rows``, int (P, 2), are places in ``files``."""
        threshold = self.threshold(far)
        embedded = self.embed_usable(files, on_progress)
        if embedded.problems:
            raise InputError(first_of(embedded.problems, "{:,} more photos cannot be used"))
        seen = [self.seen.holds(file) for file in files]
        distances = self.distances(embedded.embeddings, rows)
        return JudgedPairs(
            distance=distances,
            same=distances <= threshold.distance,
            probability=np.array([*map(self.probability, distances.tolist())]),
            threshold=threshold.distance,
            far=threshold.far,
            faces=dict(zip(files, embedded.faces, strict=True)),
            far_range=threshold.far_range,
            test_far=threshold.test_far,
            seen=count_of(seen),
            seen_of_pair=of_pairs(seen, rows),
        )

    def identify(
        self,
        gallery: Mapping[str, Photo | Iterable[Photo]],
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
            InputError: The photo cannot be used, or none of the gallery can. A photo of the gallery that cannot be used
                is otherwise left out, and the answer names it.
        """
        threshold = self.threshold(far)
        of_people = [(name, given) for name, photos in gallery.items() for given in photos_of(photos)]
        (sought,) = self.read([photo])
        embedded = self.embed_usable([given for _, given in of_people], lambda done: on_progress(1 + done))
        if of_people and not embedded.places:
            raise InputError(embedded.problems[:MAX_LISTED])
        known = [embedded.embeddings] if embedded.places else []
        embeddings = np.concatenate([self.embed_pictures([sought.pixels]), *known])
        distances = self.distances(embeddings, [(0, row) for row in range(1, len(embeddings))])
        usable = [(of_people[place], place + 1) for place in embedded.places]
        nearest: dict[str, Candidate] = {}
        for ((name, given), number), distance in sorted(
            zip(usable, distances.tolist(), strict=True), key=lambda scored: scored[1]
        ):
            if name not in nearest:
                photo_name = name_of(given, f"photo {number}")
                nearest[name] = Candidate(name, photo_name, distance, self.probability(distance))
        candidates = tuple(nearest.values())
        gallery_seen = self.seen.count([given for (_, given), _ in usable])
        return Identification(
            candidates=candidates,
            threshold=threshold.distance,
            somebody=bool(candidates) and candidates[0].distance <= threshold.distance,
            far=threshold.far,
            left_out=tuple(str(problem) for problem in embedded.problems),
            far_range=threshold.far_range,
            test_far=threshold.test_far,
            seen=self.seen.holds(photo),
            gallery_seen=None if gallery_seen is None else (gallery_seen, len(usable)),
        )

    def distances(self, embeddings: FloatArray, pairs: IntArray | Sequence[tuple[int, int]]) -> FloatArray:
        """Return the distances of pairs of rows, computed by the same code that measures a trial."""
        rows = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        nobody = np.zeros(len(embeddings), np.int32)  # labels say which pairs are similar, which nobody asks here
        return pair_distances(embeddings, nobody, self.distance, rows).distance

    @functools.cached_property
    def why_no_probability(self) -> str:
        """Why the model gives no probability; empty where it gives one."""
        return why_no_probability(self.deciding.calibration, self.own)

    @functools.cached_property
    def probability(self) -> Callable[[float], float]:
        """The probability that a pair at a distance shows one person, if both kinds of pairs are equally frequent.

        It is ``nan`` where it would rest on too few people; see :attr:`why_no_probability`.
        """
        return probability_of(None if self.why_no_probability else self.deciding.calibration)


def load_model(path: str | Path, *, trust_saved_model: bool = False) -> FaceModel:
    """Open a model.

    Args:
        path: A run, which means the loss that is best on validation; ``RUN:label``, which means that loss; one of the
            models of a run; or an exported folder.
        trust_saved_model: Whether a network in the format SavedModel may be opened. It is a program, which can do
            whatever you can do, so it is refused by default.

    Raises:
        InputError: There is no such model, it is damaged, or it is not safe to open.
    """
    folder, chosen = choose(os.fspath(path))
    record = folder.read()
    if record.threshold is None:
        raise InputError(Problem("has no threshold, so it can decide nothing", str(folder.record)))
    detector = ready_for(record.preprocess.detect, folder.root)
    network = whole_network(folder, record, trust_saved_model=trust_saved_model)
    return FaceModel(folder.root, record, network, chosen, own_threshold(folder, record), detector)
