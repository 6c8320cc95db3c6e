"""Seconds and memory that it takes to list the images of record files and tar shards, without reading one.

    python benchmarks/listing.py [--images 100000] [--bytes 3000] [--folder DIR]

The files are made by this script, ten images per identity: records with those that list the identities, records whose
headers alone say whom they show, and ten tar shards as the library webdataset writes them, with the time of each member
in a header of its own. Each is listed in a process of its own, twice: the first time its bytes are read for the
fingerprint, the second time their digest is remembered. ``--folder`` keeps the files for the next time; a million
images need 13 gigabytes.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import resource
import struct
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import faceexp

IMAGES_PER_IDENTITY = 10
SHARDS = 10
MAGIC = struct.pack("<I", 0xCED7230A)


def contents(images: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the identity and the bytes of each image, which are no image: nobody reads them."""
    noise = os.urandom(size + 4096)
    return ((number // IMAGES_PER_IDENTITY, noise[number % 4096 :][:size]) for number in range(images))


def write_records(folder: Path, images: int, size: int, *, lists_identities: bool) -> Path:
    """Write train.rec and train.idx."""
    folder.mkdir(parents=True)
    identities = -(-images // IMAGES_PER_IDENTITY)
    place = 0
    with (folder / "train.rec").open("wb", buffering=2**22) as file, (folder / "train.idx").open("w") as index:

        def write(key: int, labels: tuple[float, float], content: bytes = b"") -> None:
            nonlocal place
            payload = struct.pack("<IfQQff", 2, 0, key, 0, *labels) + content
            record = MAGIC + struct.pack("<I", len(payload)) + payload + bytes(-len(payload) % 4)
            index.write(f"{key}\t{place}\n")
            place += file.write(record)

        if lists_identities:
            write(0, (images + 1, images + 1 + identities))
        for key, (identity, content) in enumerate(contents(images, size), 1):
            write(key, (identity, 1), content)
        for identity in range(identities if lists_identities else 0):
            first = 1 + identity * IMAGES_PER_IDENTITY
            write(images + 1 + identity, (first, min(first + IMAGES_PER_IDENTITY, images + 1)))
    return folder


def write_shards(folder: Path, images: int, size: int) -> Path:
    """Write tar shards with two members for each image: itself, and the number of the person."""
    folder.mkdir(parents=True)
    made = enumerate(contents(images, size))
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard:03d}.tar", "w") as archive:
            for _, (number, (identity, content)) in zip(range(images // SHARDS), made, strict=False):
                for ending, data in (("jpg", content), ("cls", str(identity).encode())):
                    member = tarfile.TarInfo(f"{number:08d}.{ending}")
                    member.size, member.mtime = len(data), time.time()
                    archive.addfile(member, io.BytesIO(data))
    return folder


def listed(plugin: str, folder: Path) -> str:
    """List the images; return what it took."""
    dataset: Any = faceexp.plugin("dataset", plugin, path=str(folder))
    began, before = time.perf_counter(), time.process_time()
    data = dataset.build(seed=0)
    seconds, busy = time.perf_counter() - began, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    people = len(data.identities)
    return (
        f"{len(data.images):,} images of {people:,} people   {seconds:6.1f} s ({busy:.1f} s busy), peak {peak:.2f} GiB"
    )


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=100_000)
    arguments.add_argument("--bytes", type=int, default=3000, help="of each image")
    arguments.add_argument("--folder", type=Path, help="keep the files here")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)) / f"{chosen.images}-{chosen.bytes}"
        sizes = (chosen.images, chosen.bytes)
        kinds = {
            "identities": lambda place: write_records(place, *sizes, lists_identities=True),
            "headers": lambda place: write_records(place, *sizes, lists_identities=False),
            "shards": lambda place: write_shards(place, *sizes),
        }
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary) / "cache")
        for kind, write in kinds.items():
            if not (folder / kind).exists():
                write(folder / kind)
                time.sleep(3)  # what was written just now is not remembered
            plugin = "webdataset" if kind == "shards" else "insightface_rec"
            for what in ("first", "again"):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    print(f"{kind:<10} {what:<5}  {pool.submit(listed, plugin, folder / kind).result()}", flush=True)


if __name__ == "__main__":
    main()
