"""The FERET faces, colour and grey, as a faceexp plugin."""

from __future__ import annotations

import bz2
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from faceexp.contract import (
    AnyPath,
    DatasetPlugin,
    FaceData,
    InputFolder,
    files_fingerprint,
    option,
    readable_name,
    user_path,
)
from faceexp.errors import InputError, Problem, did_you_mean, first_of

Edition = Literal["color", "gray"]
Size = Literal["images", "smaller", "thumbnails"]
Pose = Annotated[str, Field(pattern="^[a-z]{2}$")]

# 00001_930831_fa_a: subject, date, pose and, where one sitting has several such images, a letter.
# 00001fa010_930831: subject, pose, three flags, maybe a letter, date.
NAMES: dict[Edition, re.Pattern[str]] = {
    "color": re.compile(r"(?P<person>\d{5})_\d{6}_(?P<pose>[a-z]{2})(_[a-z])?"),
    "gray": re.compile(r"(?P<person>\d{5})(?P<pose>[a-z]{2})\d{3}[a-z]?_\d{6}"),
}
EXAMPLES = "00001_930831_fa_a.ppm.bz2 (color) or 00001fa010_930831.tif.bz2 (gray)"
SIZES: frozenset[str] = frozenset({"images", "smaller", "thumbnails"})
SUFFIXES = frozenset({".ppm", ".pgm", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"})
# An image of the largest size, 512x768 in colour, has 1.2 MB.
MAX_UNPACKED_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Photograph:
    """One image file: its name without extensions, and what the name says."""

    name: str
    edition: Edition
    person: str
    pose: str
    file: Path


class Feret(DatasetPlugin):
    """FERET: 994 people in colour or about 1,200 in grey, from frontal views to profiles; you must have the files.

    ``path`` is NIST's tree or any part of it, as it is on the discs:

        dvd1/data/images/00001/00001_930831_fa_a.ppm.bz2             (color)
        dvd2/gray_feret_cd1/data/images/00001fa010_930831.tif.bz2    (gray)

    The names of files say who is shown and in which pose; folders matter to the choice of a size alone, so copies that
    were unpacked, converted or sorted otherwise serve too. Of two files of one name, extensions aside, the unpacked one
    is used, then the first. Symbolic links are followed. Identities are the five-digit subject numbers.

    Poses: fa, fb frontal, the second with another expression; ba, bj, bk frontal, with another expression, under other
    light; ql, qr quarter, hl, hr half and pl, pr full profiles to the left and right; bb to bi and ra to re at other
    angles.

    Files ending in .bz2 are unpacked on first use, into your cache folder or the folder ``unpacked``; that takes 1.2 MB
    an image in the largest size. Results are the same whether you unpacked them or the plugin did.
    """

    licence: ClassVar[str] = (
        "For research on face recognition, under the agreement with NIST by which you got them; not to be passed on"
    )
    source: ClassVar[str] = (
        "NIST, https://www.nist.gov/programs-projects/face-recognition-technology-feret; P. J. Phillips, H. Moon, "
        "S. A. Rizvi, P. J. Rauss: The FERET evaluation methodology for face-recognition algorithms. IEEE Transactions "
        "on Pattern Analysis and Machine Intelligence 22(10), 2000. Collected under the FERET program, sponsored by "
        "the DOD Counterdrug Technology Development Program Office"
    )

    path: InputFolder = option(
        ..., "Folder that holds the images, at any depth; relative to the experiment file, ~ is your home."
    )
    edition: Edition | None = option(
        None, "color or gray; needed where the folder holds both, since they show the same photographs."
    )
    size: Size = option(
        "images", "Which size of the colour images: images 512x768, smaller 256x384, thumbnails 128x192 pixels."
    )
    poses: tuple[Pose, ...] = option(("fa", "fb"), "Poses to use, by their two letters.", min_length=1)
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)
    unpacked: AnyPath | None = option(None, "Folder for unpacked copies of .bz2 files; one in your cache if not given.")

    def build(self, seed: int) -> FaceData:
        """Return the absolute paths of unpacked images, by identity and name; each is read once for the fingerprint.

        Raises:
            InputError: The folder has no FERET images as asked for, or a .bz2 file is damaged or too large.
        """
        import numpy as np
        import platformdirs

        root = user_path(self.path)
        cache = user_path(self.unpacked) if self.unpacked else Path(platformdirs.user_cache_dir("faceexp"), "feret")
        try:
            chosen, notes = self._chosen(root)
            images = unpack([photograph.file for photograph in chosen], cache)
            names = [photograph.name for photograph in chosen]
            fingerprint = files_fingerprint(dict(zip(names, images, strict=True)))
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            raise InputError(Problem(message, where=str(error.filename or root))) from error
        identities, labels = np.unique([photograph.person for photograph in chosen], return_inverse=True)
        return FaceData(
            images=images,
            labels=labels.astype(np.int32),
            identities=tuple(identities.tolist()),
            fingerprint=fingerprint,
            licence=self.licence,
            source=f"FERET ({chosen[0].edition}), poses {', '.join(self.poses)}; {self.source}",
            notes=tuple(notes),
        )

    def _chosen(self, root: Path) -> tuple[list[Photograph], list[str]]:
        """Return the photographs that the options ask for, by identity and name, and what was left out."""
        where = str(root)
        found, unusable = self._of_edition(root)
        notes = []
        if unusable:
            first = readable_name(unusable[0].name)
            notes.append(f"the data set leaves out {len(unusable)} files that lead nowhere or are none, as {first}")
        poses = sorted({photograph.pose for photograph in found})
        problems = [
            Problem(f"no image of pose {pose!r} in it; there are {', '.join(poses)}", where)
            for pose in dict.fromkeys(self.poses)
            if pose not in poses
        ]
        if problems:
            raise InputError(problems)
        posed = sorted((one for one in found if one.pose in self.poses), key=lambda one: one.name)
        counts = Counter(photograph.person for photograph in posed)
        people = sum(count >= self.min_images for count in counts.values())
        if people < 2:
            message = f"{people or 'no'} identity with at least {self.min_images} images of these poses"
            hint = "a comparison of faces needs two or more; lower min_images or use more poses"
            raise InputError(Problem(f"{message}, but {hint}", where))
        if people < len(counts):
            left = f"{len(counts) - people} of {len(counts)} people"
            notes.append(f"min_images = {self.min_images} of the data set leaves out {left}")
        return [photograph for photograph in posed if counts[photograph.person] >= self.min_images], notes

    def _of_edition(self, root: Path) -> tuple[list[Photograph], list[Path]]:
        where = str(root)
        if not root.is_dir():
            siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
            hint = did_you_mean(root.name, siblings, always_list=False) or "give the folder that holds FERET's images"
            raise InputError(Problem(f"no such folder; {hint}", where))
        found, unusable = find(root, self.size)
        editions = sorted({photograph.edition for photograph in found})
        if self.edition is None and len(editions) > 1:
            message = "holds FERET in color and in gray, which show the same photographs"
            raise InputError(Problem(f'{message}; set edition = "color" or edition = "gray" in [dataset]', where))
        wanted = [photograph for photograph in found if self.edition in (None, photograph.edition)]
        if not wanted:
            there = f"all of its images are in {editions[0]}" if editions else f"names have to be like {EXAMPLES}"
            asked = f" in {self.edition}" if self.edition else ""
            raise InputError(Problem(f"no FERET image{asked} of size {self.size!r} in it; {there}", where))
        return wanted, unusable


def find(root: Path, size: str) -> tuple[list[Photograph], list[Path]]:
    """Return what lies in a folder at any depth, but not in folders named as other sizes; one file a photograph.

    Besides, return what is called as a photograph and is a link that leads nowhere or no ordinary file.
    """

    def fail(error: OSError) -> None:
        raise error

    found: list[tuple[bool, Path, Photograph]] = []
    unusable: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        # A link may lead to a folder around it: without this, the walk would go round and round.
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if name not in SIZES or name == size]
        for name in files:
            plain = name.lower().removesuffix(".bz2")
            stem, suffix = os.path.splitext(plain)  # noqa: PTH122 - no Path yet, there are many
            for edition, pattern in NAMES.items():
                match = pattern.fullmatch(stem) if suffix in SUFFIXES else None
                if match:
                    file = Path(folder, name)
                    if not file.is_file():
                        unusable.append(file)
                        continue
                    photograph = Photograph(stem, edition, match["person"], match["pose"], file)
                    found.append((plain != name.lower(), file, photograph))
    # The last one of a name stays: an unpacked one before packed ones, then that which sorts first.
    chosen = {one.name: one for _, _, one in sorted(found, key=lambda item: item[:2], reverse=True)}
    return list(chosen.values()), sorted(unusable)


def unpack(files: Iterable[Path], cache: Path) -> list[Path]:
    """Return files, with copies in the cache for those that are packed, which are unpacked if they have not been.

    Raises:
        InputError: With every file that cannot be unpacked, or is larger than images of faces are.
    """
    # Unpacking leaves Python's lock to others, so that threads make use of all processors.
    with ThreadPoolExecutor() as pool:
        results = [pool.submit(_unpacked, file, cache) if file.suffix.lower() == ".bz2" else file for file in files]
    waited = [result.exception() for result in results if isinstance(result, Future)]
    problems = [problem for error in waited if isinstance(error, InputError) for problem in error.problems]
    if problems:
        raise InputError(first_of(problems, "and {} more files"))
    return [result.result() if isinstance(result, Future) else result for result in results]


def _unpacked(file: Path, cache: Path) -> Path:
    state = file.stat()
    key = hashlib.sha256(os.fsencode(file) + f"\0{state.st_size}\0{state.st_mtime_ns}".encode()).hexdigest()[:20]
    copy = cache / key / file.stem
    if copy.exists():
        return copy
    try:
        with bz2.open(file) as packed:
            content = packed.read(MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError) as error:
        message = f"cannot be unpacked ({getattr(error, 'strerror', None) or error}); copy it from the disc again"
        raise InputError(Problem(message, where=str(file))) from error
    if len(content) > MAX_UNPACKED_BYTES:
        message = f"unpacks to more than {MAX_UNPACKED_BYTES:,} bytes, so it is no image of FERET; remove it"
        raise InputError(Problem(message, where=str(file)))
    copy.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when it is complete: runs may share the folder, and may be stopped.
    part = copy.with_name(f"{copy.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(copy)
    return copy
