"""A folder of images per identity as a faceexp plugin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from faceexp.contract import DatasetPlugin, FaceData, files_fingerprint, option, user_path
from faceexp.errors import InputError, Problem, did_you_mean


def image_extensions() -> frozenset[str]:
    """Return the extensions, lower case with their dot, of every format that the installed Pillow opens."""
    from PIL import Image

    return frozenset(suffix for suffix, format_ in Image.registered_extensions().items() if format_ in Image.OPEN)


def list_folder(folder: Path, extensions: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """Return the sub-folders and the images directly inside a folder, each by name; hidden entries are left out."""
    folders, images = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in extensions and entry.is_file():  # noqa: PTH122 - no Path yet
                images.append(entry.name)
    return [folder / name for name in sorted(folders)], [folder / name for name in sorted(images)]


class ImageFolder(DatasetPlugin):
    """One folder per identity, named after it, with images of any format that Pillow reads.

    Images lie directly inside the identity's folder. Hidden files and files that are no images are ignored, symbolic
    links are followed.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "A folder of the user"

    path: str = option(
        ...,
        "Folder that holds the identities' folders; relative to the current directory, ~ is your home.",
        min_length=1,
    )
    min_images: int = option(1, "Leave out identities with fewer images.", unit="images", ge=1)

    def build(self, seed: int) -> FaceData:
        """Return the absolute paths of the images, by identity and name; each file is read once for the fingerprint.

        Raises:
            InputError: The folder is missing or not laid out as one folder of images per identity.
        """
        root = user_path(self.path)
        try:
            return self._found(root)
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            raise InputError(Problem(message, where=str(error.filename or root))) from error

    def _found(self, root: Path) -> FaceData:
        import numpy as np

        people = {name: images for name, images in _people(root).items() if len(images) >= self.min_images}
        if len(people) < 2:
            few = f" with at least {self.min_images} images" if self.min_images > 1 else ""
            hint = "; lower min_images or add images" if few else "; add a folder for each other person"
            message = f"{len(people) or 'no'} identity{few}, but a comparison of faces needs two or more{hint}"
            raise InputError(Problem(message, where=str(root)))
        images = tuple(image for found in people.values() for image in found)
        counts = [len(found) for found in people.values()]
        return FaceData(
            images=images,
            labels=np.repeat(np.arange(len(people), dtype=np.int32), counts),
            identities=tuple(people),
            fingerprint=files_fingerprint({image.relative_to(root).as_posix(): image for image in images}),
            licence=self.licence,
            source=f"folder {self.path}",
        )


def _people(root: Path) -> dict[str, list[Path]]:
    """Return the images of each identity, or raise every problem of the layout at once."""
    where = str(root)
    if not root.exists():
        siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
        hint = did_you_mean(root.name, siblings, always_list=False)
        hint = hint or "give the folder that holds one folder per identity"
        raise InputError(Problem(f"no such folder; {hint}", where))
    if not root.is_dir():
        raise InputError(Problem("not a folder; give the folder that holds one folder per identity", where))

    extensions = image_extensions()
    folders, stray = list_folder(root, extensions)
    problems = []
    if stray:
        message = (
            f"images lie outside identity folders ({len(stray)}, the first is {stray[0].name!r}); "
            "put each into a folder named after the person it shows"
        )
        problems.append(Problem(message, where))
    elif not folders:
        problems.append(Problem("no identity folders in it; make one folder of images per person", where))

    people = {folder.name: list_folder(folder, extensions)[1] for folder in folders}
    problems += [
        Problem("no image directly inside this identity folder; add images or remove the folder", str(root / name))
        for name, images in people.items()
        if not images
    ]
    if problems:
        raise InputError(problems)
    return people
