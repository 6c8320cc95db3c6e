"""Labeled Faces in the Wild as a faceexp plugin, from the folder in which scikit-learn keeps it."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar, Literal

from faceexp.contract import AnyPath, DatasetPlugin, FaceData, files_fingerprint, option, user_path
from faceexp.errors import InputError, Problem

Variant = Literal["funneled", "original"]


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its name, address, size in words, and the SHA-256 of its content."""

    name: str
    url: str
    size: str
    sha256: str


# Names, addresses and checksums are those of scikit-learn; a test compares them with the installed one.
ARCHIVES: dict[str, Remote] = {
    "funneled": Remote(
        "lfw-funneled.tgz",
        "https://ndownloader.figshare.com/files/5976015",
        "about 233 MB",
        "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
    ),
    "original": Remote(
        "lfw.tgz",
        "https://ndownloader.figshare.com/files/5976018",
        "about 173 MB",
        "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0",
    ),
}
PAIRS = Remote(
    "pairs.txt",
    "https://ndownloader.figshare.com/files/5976006",
    "about 0.2 MB",
    "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592",
)
FOLDERS: dict[str, str] = {"funneled": "lfw_funneled", "original": "lfw"}


def data_folder(data_home: AnyPath | None) -> Path:
    """Return scikit-learn's data folder, without making it as its own function does."""
    folder = data_home or os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data"
    return user_path(folder)


class Lfw(DatasetPlugin):
    """Labeled Faces in the Wild: 13,233 news photographs of 5,749 people, 250x250 pixels in colour.

    Images are the files ``lfw_funneled/<Name>/<Name>_0001.jpg`` (or ``lfw/...``) in the folder ``lfw_home`` where
    scikit-learn keeps them, so that names and numbers are those of LFW's ``pairs.txt``, which lies beside them. What
    scikit-learn has fetched before is used as it is. The network is used with ``download = true`` alone, through
    scikit-learn, which checks the SHA-256 of what it fetched; an archive put into the folder by hand is checked too.
    ``protocol.kind = "pairs_file"`` reads its list before any data, so ``pairs.txt`` has to be there by then.
    """

    licence: ClassVar[str] = (
        "None is stated: photographs from news sites, whose owners keep their rights; published for research on face "
        "verification"
    )
    source: ClassVar[str] = (
        "http://vis-www.cs.umass.edu/lfw/; G. B. Huang, M. Ramesh, T. Berg, E. Learned-Miller: Labeled Faces in the "
        "Wild. University of Massachusetts, Amherst, Technical Report 07-49 (2007)"
    )

    data_home: AnyPath | None = option(
        None,
        "Data folder of scikit-learn, which holds lfw_home; $SCIKIT_LEARN_DATA or ~/scikit_learn_data if not given.",
    )
    variant: Variant = option(
        "funneled", "funneled: aligned by congealing, as scikit-learn has them; original: as they were detected."
    )
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)
    download: bool = option(False, "Fetch what is missing from the network, once; nothing is fetched otherwise.")

    def build(self, seed: int) -> FaceData:
        """Return the paths of the images, by identity and number; each file is read once for the fingerprint.

        Raises:
            InputError: Images are missing, with what to fetch from where; or min_images leaves too few people.
        """
        import numpy as np

        home = data_folder(self.data_home) / "lfw_home"
        folder = home / FOLDERS[self.variant]
        try:
            if not folder.is_dir():
                self._unpack(home, folder.name)
            if self.download and not (home / PAIRS.name).is_file():
                self._fetch(home, PAIRS)
            everyone = {name: images for name, images in _people(folder) if images}
            people = {name: images for name, images in everyone.items() if len(images) >= self.min_images}
            if len(people) < 2:
                message = (
                    f"{len(people) or 'no'} identity with at least {self.min_images} images, but a comparison of faces "
                    "needs two or more; lower min_images, or remove this folder if it was not unpacked to the end"
                )
                raise InputError(Problem(message, where=str(folder)))
            left = len(everyone) - len(people)
            note = f"min_images = {self.min_images} of the data set leaves out {left} of {len(everyone)} people"
            images = tuple(image for found in people.values() for image in found)
            return FaceData(
                images=images,
                labels=np.repeat(np.arange(len(people), dtype=np.int32), [len(found) for found in people.values()]),
                identities=tuple(people),
                fingerprint=files_fingerprint({image.relative_to(folder).as_posix(): image for image in images}),
                licence=self.licence,
                source=f"LFW ({self.variant}), {self.source}",
                notes=(note,) if left else (),
            )
        except OSError as error:
            message = f"cannot be used: {error.strerror or error}"
            raise InputError(Problem(message, where=str(error.filename or folder))) from error

    def _unpack(self, home: Path, name: str) -> None:
        remote = ARCHIVES[self.variant]
        archive = home / remote.name
        if self.download:
            self._fetch(home, remote)
        elif not archive.is_file():
            wanted = [remote] if (home / PAIRS.name).is_file() else [remote, PAIRS]
            raise InputError(_missing(home, remote) for remote in wanted)
        else:
            with archive.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != remote.sha256:
                message = f"damaged or another file: SHA-256 is {found}, not {remote.sha256}; fetch {remote.url} again"
                raise InputError(Problem(message, where=str(archive)))
        # Renamed when it is complete: a folder that is there has all images.
        with tempfile.TemporaryDirectory(dir=home) as unpacked, tarfile.open(archive, "r:gz") as tar:
            tar.extractall(unpacked, filter="data")
            Path(unpacked, name).rename(home / name)

    @staticmethod
    def _fetch(home: Path, remote: Remote) -> None:
        from sklearn.datasets import fetch_file

        home.mkdir(parents=True, exist_ok=True)
        try:
            fetch_file(remote.url, folder=home, local_filename=remote.name, sha256=remote.sha256, n_retries=0)
        except (OSError, HTTPException) as error:
            raise InputError(_missing(home, remote, f"cannot be fetched ({error})")) from error


def _missing(home: Path, remote: Remote, reason: str = "missing") -> Problem:
    purpose = ' (only protocol.kind = "pairs_file" needs it)' if remote is PAIRS else ""
    how = f"download {remote.url} ({remote.size}, SHA-256 {remote.sha256}) and save it under this name"
    other = "" if reason != "missing" else ", or set download = true in [dataset]"
    return Problem(f"{reason}{purpose}; {how}{other}", where=str(home / remote.name))


def _people(folder: Path) -> Iterable[tuple[str, list[Path]]]:
    """Yield each identity with its images, by name and number; other files, of which the archive has some, are not."""
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        pattern = re.compile(rf"{re.escape(person.name)}_\d{{4}}\.jpg")
        yield person.name, sorted(image for image in person.iterdir() if pattern.fullmatch(image.name))
