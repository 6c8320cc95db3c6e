"""Seconds that lists of pairs take apart from any network: ``verify --pairs``, a protocol's list, and a .bin file.

    python benchmarks/pair_lists.py [--pairs 1000000] [--photos 20000]

``verify --pairs`` runs as the command does, with a model whose embeddings are random numbers, and writes its answers to
nowhere. A protocol's list is read as a table and as VoxCeleb writes it, and its images are found in a data set. A .bin
holds pairs/10 pairs of 3,000 bytes an image. Each is measured in a process of its own; ``busy`` is processor time,
which others who use the machine do not lengthen much.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import pickle
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import faceexp

PHOTOS_PER_PERSON = 10


def name(photo: int) -> str:
    """Return the path of a photo."""
    return f"person_{photo // PHOTOS_PER_PERSON:06}/{photo % PHOTOS_PER_PERSON:04}.jpg"


def write_lists(folder: Path, pairs: int, photos: int) -> None:
    """Write the same pairs as a table and as VoxCeleb does; half of them show one person."""
    random = np.random.default_rng(0)
    first = random.integers(0, photos, pairs)
    near = first // PHOTOS_PER_PERSON * PHOTOS_PER_PERSON + random.integers(0, PHOTOS_PER_PERSON, pairs)
    second = np.where(random.random(pairs) < 0.5, near, random.integers(0, photos, pairs))
    same = first // PHOTOS_PER_PERSON == second // PHOTOS_PER_PERSON
    with (folder / "pairs.csv").open("w") as table, (folder / "pairs.txt").open("w") as plain:
        table.write("a,b,same\n")
        for one, other, truth in zip(first.tolist(), second.tolist(), same.tolist(), strict=True):
            table.write(f"{name(one)},{name(other)},{int(truth)}\n")
            plain.write(f"{int(truth)} {name(one)} {name(other)}\n")


def write_bin(folder: Path, pairs: int) -> None:
    """Write a .bin of random bytes, which are no images: nobody decodes them."""
    noise = os.urandom(7096)
    images = [number.to_bytes(4, "little") + noise[number % 4096 :][:2996] for number in range(2 * pairs)]
    with (folder / "faces.bin").open("wb") as file:
        pickle.dump((images, [number % 2 == 0 for number in range(pairs)]), file, protocol=4)


def verify(folder: Path, _: int) -> str:
    """Judge the table as the command does."""
    import faceexp.serving.model as serving
    from faceexp.cli import models
    from faceexp.results.model_schema import ModelRecord
    from faceexp.serving.answers import Embedded

    class Random(serving.FaceModel):
        """A model that looks at no photo."""

        def embed_usable(self, photos: Sequence[Any], *_: object) -> Embedded:
            """Return random embeddings."""
            embeddings = np.random.default_rng(0).normal(size=(len(photos), 128)).astype(np.float32)
            return Embedded(list(range(len(photos))), embeddings, [1] * len(photos), [])

    calibration = {"threshold": 15.0, "slope": -1.0, "intercept": 15.0, "people": 100}
    fields = {"label": "made", "distance": "euclidean", "threshold": 15.0, "preprocess": {"size": [16, 16]}}
    record = ModelRecord.model_validate({**fields, "calibration": calibration})
    model = Random(folder, record, lambda pixels: pixels.astype(np.float32))
    serving.load_model = lambda *_, **__: model
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        models._judge_pairs("made", folder / "pairs.csv", None, trust_saved_model=False, as_json=False)  # noqa: SLF001
    return "judged and written"


def protocol(folder: Path, photos: int, ending: str = "csv") -> str:
    """Read a list and find its images in a data set of as many photos."""
    from faceexp.contract import FaceData
    from faceexp.data import pairs_file
    from faceexp.planning.listed_pairs import listed_images

    labels = np.arange(photos, dtype=np.int32) // PHOTOS_PER_PERSON
    identities = tuple(f"person_{number:06}" for number in range(int(labels.max()) + 1))
    data = FaceData([folder / name(photo) for photo in range(photos)], labels, identities, "0", "none", "made")
    (rows,) = listed_images(data, pairs_file.read(str(folder / f"pairs.{ending}")))
    return f"{len(rows):,} pairs of {photos:,} images"


def plain_list(folder: Path, photos: int) -> str:
    """Do the same with a list as VoxCeleb writes it."""
    return protocol(folder, photos, "txt")


def bin_file(folder: Path, _: int) -> str:
    """List a .bin file."""
    dataset: Any = faceexp.plugin("dataset", "insightface_bin", path=str(folder / "faces.bin"))
    data = dataset.build(seed=0)
    return f"{len(data.pairs.rows):,} pairs, {(folder / 'faces.bin').stat().st_size / 2**20:,.0f} MiB"


def measured(what: Callable[[Path, int], str], folder: Path, photos: int) -> str:
    """Do something; return what it took."""
    began, before = time.perf_counter(), time.process_time()
    text = what(folder, photos)
    seconds, busy = time.perf_counter() - began, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{text:<36} {seconds:6.1f} s ({busy:.1f} s busy), peak {peak:.2f} GiB"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=1_000_000)
    arguments.add_argument("--photos", type=int, default=20_000)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_lists(folder, chosen.pairs, chosen.photos)
        write_bin(folder, chosen.pairs // 10)
        for what in (verify, protocol, plain_list, bin_file):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                print(f"{what.__name__:<10}  {pool.submit(measured, what, folder, chosen.photos).result()}", flush=True)


if __name__ == "__main__":
    main()
