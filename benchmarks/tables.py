"""Seconds and memory that it takes to list the images of large tables, each in a process of its own.

    python benchmarks/tables.py [--images 1000000] [--folder DIR]

The images are few small files under a million names; ``--folder`` keeps them for the next time. Listing is all that
comes before decoding: reading the table, looking up each image, labels, columns, fingerprint. The check that each run
makes of what a data set gives is measured beside it, since it looks at each image once more.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import csv, parquet

import faceexp
from faceexp.data.face_data import mistakes_of

SHARDS = 10
ROWS_OF_A_GROUP = 1000
NAMES_OF_A_FILE = 10_000  # file systems limit how many names a file may have
FILES_OF_A_PERSON = 100
LANDMARKS = [f"{axis}{point}" for point in range(1, 6) for axis in "xy"]


def picture(number: int) -> bytes:
    """Return a small image file."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def make(folder: Path, images: int) -> None:
    """Write the images, a table of their names as CSV and as Parquet, and Parquet files that hold them."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    names, source = [], folder / "0.png"
    for number in range(images):
        if number % NAMES_OF_A_FILE == 0:
            source = folder / f"{number}.png"
            source.write_bytes(picture(number))
        person = f"p{number // FILES_OF_A_PERSON:06}"
        if number % FILES_OF_A_PERSON == 0:
            (folder / person).mkdir()
        names.append(f"{person}/{number}.png")
        os.link(source, folder / names[-1])
    known = {
        "sex": pa.array(np.array(["f", "m"])[random.integers(0, 2, images)]),
        "age": pa.array(random.integers(18, 80, images)),
        **{name: pa.array(random.uniform(0, 16, images).round(2)) for name in LANDMARKS},
    }
    people = pa.array([name.partition("/")[0] for name in names])
    table = pa.table({"path": names, "identity": people, **known})
    csv.write_csv(table, folder / "list.csv")
    parquet.write_table(table, folder / "list.parquet")
    content = [picture(number) for number in range(1000)]
    inside = pa.array([{"bytes": content[number % 1000], "path": name} for number, name in enumerate(names)])
    whole = pa.table({"image": inside, "label": people, **known})
    size = images // SHARDS
    for shard in range(SHARDS):
        file = folder / f"train-{shard:05}-of-{SHARDS:05}.parquet"
        parquet.write_table(whole.slice(shard * size, size), file, row_group_size=ROWS_OF_A_GROUP)


def measure(name: str, path: str, answers: multiprocessing.Queue[tuple[int, float, float, float, float]]) -> None:
    """List the images of a data set; tell how many there are, the seconds, and the memory before and at its peak."""
    plugin = faceexp.plugin("dataset", name, path=path)
    import pyarrow.compute  # noqa: F401 - what the libraries take is not the data's

    before = peak()
    began = time.perf_counter()
    faces = plugin.build(seed=0)
    listed = time.perf_counter()
    at_peak = peak()
    assert mistakes_of(faces) == []  # noqa: S101 - else nothing was measured
    answers.put((len(faces.images), listed - began, time.perf_counter() - listed, before, at_peak))


def peak() -> float:
    """Return the most memory that this process has had, in GiB; only Linux tells, from the start of the program on."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, help="keep the images here; else they are removed at the end")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)) / f"tables-{chosen.images}"
        if not folder.is_dir():
            began = time.perf_counter()
            make(folder, chosen.images)
            print(f"made {chosen.images:,} images in {time.perf_counter() - began:.0f} s", flush=True)
        context = multiprocessing.get_context("spawn")
        print(f"{'data set':<16}{'table':<24}{'images':>10}{'list, s':>9}{'check, s':>10}   GiB before and at the peak")
        for name, table in (
            ("image_list", "list.csv"),
            ("image_list", "list.parquet"),
            ("parquet_images", "train-*.parquet"),
        ):
            answers = context.Queue()
            process = context.Process(target=measure, args=(name, str(folder / table), answers))
            process.start()
            images, listed, checked, before, at_peak = answers.get()
            process.join()
            print(f"{name:<16}{table:<24}{images:>10,}{listed:>9.1f}{checked:>10.1f}   {before:.2f} {at_peak:.2f}")


if __name__ == "__main__":
    main()
