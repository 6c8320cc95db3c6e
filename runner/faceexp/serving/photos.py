"""What people hand over: folders of photos, galleries of people, lists of pairs."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from faceexp.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faceexp.arrays import FloatArray


def gallery_of(folder: str | Path) -> dict[str, list[Path]]:
    """Return the photos of a gallery by person: a folder each, named after them; or one photo each, so named.

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
    """Return every photo in a folder and the folders in it, by name; hidden files are left out.

    Raises:
        InputError: There is none.
    """
    root = Path(folder)
    known = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    if not root.is_dir():
        raise InputError(Problem("no such folder; name one that holds photos", str(folder)))
    found = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in known
        and file.is_file()
        and not any(p.startswith(".") for p in file.relative_to(root).parts)
    )
    if not found:
        raise InputError(Problem("holds no photo that can be read; name a folder of images", str(folder)))
    return found


def read_pairs(file: str | Path) -> Iterator[tuple[str, str, bool | None]]:
    """Yield the pairs of a CSV file: two paths a line, and in a column ``same``, where there is one, 1 or 0.

    Paths are relative to the file's own folder. The first line names the columns: ``a,b`` or ``a,b,same``.

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
    """Return what writes photos and their embeddings to a file, by its ending; a row a photo.

    Raises:
        InputError: The ending is none that can be written, or what it needs is not installed.
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
    import pandas as pd

    pd.DataFrame({"photo": photos, "embedding": list(embeddings)}).to_parquet(output, index=False)


def _csv(output: Path, photos: Sequence[str], embeddings: FloatArray) -> None:
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["photo", *(f"e{number}" for number in range(embeddings.shape[1]))])
        writer.writerows([photo, *row] for photo, row in zip(photos, embeddings.tolist(), strict=True))


def _npz(output: Path, photos: Sequence[str], embeddings: FloatArray) -> None:
    import numpy as np

    np.savez(output, photos=np.array(photos), embeddings=embeddings)
