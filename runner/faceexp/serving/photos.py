"""What people give to a model: folders of photos, galleries of people; and files of embeddings."""

from __future__ import annotations

import csv
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.files import check_file, image_extensions, readable_name
from faceexp.results.spreadsheets import csv_cells

if TYPE_CHECKING:
    from faceexp.arrays import FloatArray


def gallery_of(folder: str | Path) -> dict[str, list[Path]]:
    """Return the photos of a gallery by person. A person has a folder of photos or a single photo, named after them.

    Raises:
        InputError: The folder holds no photo.
    """
    root = Path(folder)
    people: dict[str, list[Path]] = {}
    for file in photos_in(root):
        inside = file.relative_to(root)
        person = readable_name(inside.parts[0] if len(inside.parts) > 1 else file.stem)
        people.setdefault(person, []).append(file)
    return people


def photos_in(folder: str | Path) -> list[Path]:
    """Return every photo in a folder and in the folders inside it, in the order of their names, without hidden files.

    Links to folders are followed, as a data set of folders does, but a folder is looked into once.

    Raises:
        InputError: There is no photo.
    """
    root = Path(folder)
    suffixes = image_extensions()
    if not root.is_dir():
        raise InputError(Problem("no such folder; name one that holds photos", str(folder)))
    photos: list[Path] = []
    seen = {os.path.realpath(root)}
    for place, folders, names in os.walk(root, followlinks=True):
        visible = {name: os.path.realpath(Path(place, name)) for name in sorted(folders) if not name.startswith(".")}
        # Links may lead in circles, so each folder is looked into once.
        folders[:] = [name for name, real in visible.items() if real not in seen]
        seen.update(visible.values())
        files = (Path(place, name) for name in names if not name.startswith("."))
        photos += [file for file in files if file.suffix.lower() in suffixes and file.is_file()]
    if not photos:
        raise InputError(Problem("holds no photo that can be read; name a folder of images", str(folder)))
    return sorted(photos)


def writer_of(output: Path) -> Callable[[Sequence[str], FloatArray], None]:
    """Return the function that writes photos and their embeddings to a file, one row per photo. The ending decides.

    The file is either the old one or the new one, whole.

    Raises:
        InputError: Files with that ending cannot be written, nothing can be written there, another file is there, or
            the package that is needed is not installed.
    """
    if output.suffix not in _FORMATS:
        message = f"{output.suffix or 'no ending'} cannot be written; {did_you_mean(output.suffix, _FORMATS)}"
        raise InputError(Problem(message, f"--output {output}"))
    if output.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        message = "writing .parquet needs pyarrow; run: pip install 'faceexp[parquet]', or write .csv or .npz"
        raise InputError(Problem(message, f"--output {output}"))
    # What a link leads to is replaced, and not the link.
    target = output.resolve()
    form = _FORMATS[output.suffix]
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        message = f"cannot be written: {target.parent} is no folder in which you can write; name another file"
        raise InputError(Problem(message, f"--output {output}"))
    if os.path.lexists(target) and not form.is_ours(target):
        message = "is there already and holds no embeddings, so it is not overwritten; name another file"
        raise InputError(Problem(message, f"--output {output}"))

    def write(photos: Sequence[str], embeddings: FloatArray) -> None:
        with tempfile.TemporaryDirectory(prefix=".faceexp-", dir=target.parent) as temporary:
            made = Path(temporary) / target.name
            form.write(made, photos, embeddings)
            made.replace(target)

    return write


def _parquet(output: Path, photos: Sequence[str], embeddings: FloatArray) -> None:
    """Write a table with the columns ``photo`` and ``embedding``."""
    import pandas as pd

    pd.DataFrame({"photo": photos, "embedding": list(embeddings)}).to_parquet(output, index=False)


def _csv(output: Path, photos: Sequence[str], embeddings: FloatArray) -> None:
    """Write a table with the columns ``photo``, ``e0``, ``e1`` and so on."""
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["photo", *(f"e{number}" for number in range(embeddings.shape[1]))])
        writer.writerows(csv_cells([photo, *row]) for photo, row in zip(photos, embeddings.tolist(), strict=True))


def _npz(output: Path, photos: Sequence[str], embeddings: FloatArray) -> None:
    """Write the arrays ``photos`` and ``embeddings``."""
    import numpy as np

    np.savez(output, photos=np.array(photos), embeddings=embeddings)


def _begins(file: Path, start: bytes) -> bool:
    """Return whether a file is an ordinary one that begins with some bytes."""
    try:
        check_file(file, sys.maxsize)
        with file.open("rb") as opened:
            return opened.read(len(start)) == start
    except OSError:
        return False


@dataclass(frozen=True)
class _Format:
    """A format of files of embeddings: how it is written, and how a file of it begins."""

    write: Callable[[Path, Sequence[str], FloatArray], None]
    start: bytes

    def is_ours(self, file: Path) -> bool:
        """Return whether a file may be one that was written here."""
        return _begins(file, self.start)


_FORMATS = {".parquet": _Format(_parquet, b"PAR1"), ".csv": _Format(_csv, b"photo,e0"), ".npz": _Format(_npz, b"PK")}
