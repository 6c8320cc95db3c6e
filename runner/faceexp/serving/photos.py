"""What people give to a model: folders of photos, galleries of people, lists of pairs; and files of embeddings."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from faceexp.errors import InputError, Problem, did_you_mean
from faceexp.results.spreadsheets import csv_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        people.setdefault(inside.parts[0] if len(inside.parts) > 1 else file.stem, []).append(file)
    return people


def photos_in(folder: str | Path) -> list[Path]:
    """Return every photo in a folder and in the folders inside it, in the order of their names, without hidden files.

    Raises:
        InputError: There is no photo.
    """
    root = Path(folder)
    suffixes = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    if not root.is_dir():
        raise InputError(Problem("no such folder; name one that holds photos", str(folder)))
    photos = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in suffixes
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
    )
    if not photos:
        raise InputError(Problem("holds no photo that can be read; name a folder of images", str(folder)))
    return photos


def read_pairs(file: str | Path) -> Iterator[tuple[str, str, bool | None]]:
    """Yield the pairs of a CSV file: two paths per line, and 1 or 0 in the column ``same``, if there is one.

    Paths are relative to the folder of the file. The first line names the columns: ``a,b`` or ``a,b,same``.

    Raises:
        InputError: With every line that is wrong.
    """
    path = Path(file)
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(Problem(f"cannot be read as a list of pairs: {error}", str(file))) from None
    head = [cell.strip() for cell in lines[0]] if lines else []
    if head not in (["a", "b"], ["a", "b", "same"]):
        raise InputError(Problem("the first line has to name the columns: a,b or a,b,same", f"{file}:1"))
    meanings = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False}
    problems, pairs = [], []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(head):
            problems.append(Problem(f"has {len(cells)} columns, the first line {len(head)}", f"{file}:{number}"))
            continue
        same = cells[2].strip().lower() if len(cells) == 3 else None
        if same is not None and same not in meanings:
            problems.append(Problem(f"{cells[2]!r} is neither 1 nor 0", f"{file}:{number}"))
            continue
        first, second = (str(path.parent / cell.strip()) for cell in cells[:2])
        pairs.append((first, second, None if same is None else meanings[same]))
    if problems:
        raise InputError(problems)
    yield from pairs


def writer_of(output: Path) -> Callable[[Sequence[str], FloatArray], None]:
    """Return the function that writes photos and their embeddings to a file, one row per photo. The ending decides.

    Raises:
        InputError: Files with that ending cannot be written, or the package that is needed is not installed.
    """
    writers = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}
    if output.suffix not in writers:
        message = f"{output.suffix or 'no ending'} cannot be written; {did_you_mean(output.suffix, writers)}"
        raise InputError(Problem(message, f"--output {output}"))
    if output.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        message = "writing .parquet needs pyarrow; run: pip install 'faceexp[parquet]', or write .csv or .npz"
        raise InputError(Problem(message, f"--output {output}"))
    write = writers[output.suffix]
    return lambda photos, embeddings: write(output, photos, embeddings)


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
