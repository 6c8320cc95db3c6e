"""A folder of images per identity as a faceexp plugin."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from faceexp.contract import (
    DatasetPlugin,
    FaceData,
    InputFolder,
    files_fingerprint,
    image_extensions,
    option,
    readable_name,
    too_few_people,
    user_path,
)
from faceexp.errors import InputError, Problem, did_you_mean

# So many of the things that were left out are named.
MAX_NAMED = 5


@dataclass
class Content:
    """What lies directly inside a folder, by name.

    Attributes:
        folders: The folders.
        images: The images.
        left_out: What looks like one of these and is not used, with the reason.
    """

    folders: list[Path]
    images: list[Path]
    left_out: list[str]


def list_folder(folder: Path, extensions: frozenset[str]) -> Content:
    """Return what is in a folder; hidden entries and files that are no images are not looked at."""
    found = Content([], [], [])
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            is_image = os.path.splitext(entry.name)[1].lower() in extensions  # noqa: PTH122 - no Path yet
            # An entry knows its kind without asking again, but raises where a link leads to itself; a path does not.
            place = path if entry.is_symlink() else entry
            if place.is_dir():
                found.folders.append(path)
            elif place.is_file():
                found.images += [path] if is_image else []
            elif entry.is_symlink():
                found.left_out.append(f"{_inside(path)} (a link that leads nowhere)")
            elif is_image:
                found.left_out.append(f"{_inside(path)} (no ordinary file)")
    return found


def _inside(path: Path) -> str:
    return readable_name(f"{path.parent.name}/{path.name}")


class ImageFolder(DatasetPlugin):
    r"""One folder per identity, named after it, with images of any photo format that Pillow decodes.

    Images lie directly inside the identity's folder. Hidden files and files that are no images are ignored, symbolic
    links are followed. The results say what else was left out: hidden folders with images, folders inside an
    identity's folder, links that lead nowhere. A folder's name that is not UTF-8 is written with its bytes, as
    ``J\xf6rg``.
    """

    licence: ClassVar[str] = "Whatever the owner of the images grants; faceexp does not know"
    source: ClassVar[str] = "A folder of the user"
    suggested: ClassVar[bool] = True

    path: InputFolder = option(
        ..., "Folder that holds the identities' folders; relative to the experiment file, ~ is your home."
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

        everyone, notes = _people(root)
        people = {name: images for name, images in everyone.items() if len(images) >= self.min_images}
        if len(people) < 2:
            hint = "lower min_images or add images" if self.min_images > 1 else "add a folder for each other person"
            message = f"{too_few_people(len(people), self.min_images)}; {hint}"
            raise InputError(Problem(message, where=str(root)))
        if len(people) < len(everyone):
            notes.append(
                f"min_images = {self.min_images} of the data set leaves out {len(everyone) - len(people)} of "
                f"{len(everyone)} people"
            )
        images = tuple(image for found in people.values() for image in found)
        counts = [len(found) for found in people.values()]
        return FaceData(
            images=images,
            labels=np.repeat(np.arange(len(people), dtype=np.int32), counts),
            identities=tuple(people),
            fingerprint=files_fingerprint({image.relative_to(root).as_posix(): image for image in images}),
            licence=self.licence,
            source=f"folder {readable_name(root.name)}",
            notes=tuple(notes),
        )


def _people(root: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the images of each identity and what was left out, or raise every problem of the layout at once."""
    where = str(root)
    if not root.exists():
        siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
        hint = did_you_mean(root.name, siblings, always_list=False)
        hint = hint or "give the folder that holds one folder per identity"
        raise InputError(Problem(f"no such folder; {hint}", where))
    if not root.is_dir():
        raise InputError(Problem("not a folder; give the folder that holds one folder per identity", where))

    extensions = image_extensions()
    top = list_folder(root, extensions)
    problems = []
    if top.images:
        message = (
            f"images lie outside identity folders ({len(top.images)}, the first is {top.images[0].name!r}); "
            "put each into a folder named after the person it shows"
        )
        problems.append(Problem(message, where))
    elif not top.folders:
        problems.append(Problem("no identity folders in it; make one folder of images per person", where))

    people: dict[str, list[Path]] = {}
    left_out = top.left_out + _hidden(root, extensions)
    for folder in top.folders:
        content = list_folder(folder, extensions)
        left_out += content.left_out
        left_out += [f"{_inside(inner)} (a folder inside that of an identity)" for inner in content.folders]
        if not content.images:
            reason = f"; {content.left_out[0]} is of no use" if content.left_out else ""
            message = f"no image directly inside this identity folder{reason}; add images or remove the folder"
            problems.append(Problem(message, str(folder)))
        people.setdefault(readable_name(folder.name), []).extend(content.images)
    # A folder may be called as the bytes of another's name are written.
    names = Counter(readable_name(folder.name) for folder in top.folders)
    problems += [
        Problem(f"{count} folders would both be called {name!r}; rename one of them", where)
        for name, count in names.items()
        if count > 1
    ]
    if problems:
        raise InputError(problems)
    return people, [_left_out(left_out)] if left_out else []


def _hidden(root: Path, extensions: frozenset[str]) -> list[str]:
    """Return the hidden folders that hold images, which may be people whose names begin with a dot."""
    hidden = [path for path in sorted(root.iterdir()) if path.name.startswith(".") and path.is_dir()]
    return [f"{readable_name(path.name)} (a hidden folder)" for path in hidden if list_folder(path, extensions).images]


def _left_out(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"the data set leaves out {', '.join(names[:MAX_NAMED])}{more}"
