"""Seconds of each stage, and the memory, of one run on folders of more and more images, and their ratios.

    python benchmarks/scale.py [--images 10000 100000] [--folder DIR] [--set KEY=VALUE ...]

The images are made: ten of each identity, which is an ORL face under a warp, brightness and mirroring of its own, each
image changed a little more. ``--folder`` keeps them for the next time. Each size is run as ``faceexp run`` runs it, in
a process of its own, with an empty store and every baseline. A stage's seconds end with its last event; memory is
sampled. Pages of mapped files, which the system may take back at any time, are shown beside the memory that is the
process's own; the peak of both together is what counts as resident. Pairs grow with the square of the images, and so
does what looks at each of them: evaluation.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
from PIL import Image

import faceexp

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from faceexp.values import Event

EXPERIMENT = """\
name = "scale"
[dataset]
plugin = "image_folder"
path = "{folder}"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = 128
[pretrain]
epochs = 1
[finetune]
steps = 300
validate_every = 100
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 64
[[losses]]
plugin = "contrastive"
margin = 10.0
[[losses]]
plugin = "npairs"
"""
IMAGES_OF_EACH = 10
INTERVAL = 0.05  # seconds between samples
GIB = 2**30
# In the order of a run. A stage's events tell of its end, so that what leads up to one belongs to it.
STAGES = {
    "listing": "listing, fingerprint",
    "images": "decoding",
    "planning": "splits, checks",
    "backend": "starting TensorFlow",
    "pretrain": "phase 1",
    "features": "trunk features",
    "finetune": "phase 2",
    "baseline": "pixels, PCA, storing",
    "evaluate": "evaluation",
    "report": "statistics, report",
}


@dataclass(frozen=True)
class Sample:
    """Memory of a process and its children, bytes: their own, and pages of files."""

    time: float
    own: int
    mapped: int

    @property
    def whole(self) -> int:
        """What is resident."""
        return self.own + self.mapped


@dataclass(frozen=True)
class Measured:
    """A run: seconds and peak memory of each stage, the peak resident memory as the system counts it, the results."""

    seconds: dict[str, float]
    peaks: dict[str, Sample]
    resident: int
    trials: list[dict[str, Any]]
    notes: list[str]


def faces(folder: Path, images: int) -> Path:
    """Return a folder of so many images in one folder an identity; made if it is not there."""
    whole = folder / f"faces-{images}"
    if whole.is_dir():
        return whole
    # The plugin knows where the files are.
    sources = [np.asarray(Image.open(path)) for path in faceexp.plugin("dataset", "orl").build(seed=0).images]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as unfinished, ThreadPoolExecutor(os.cpu_count()) as pool:
        people = range(images // IMAGES_OF_EACH)
        list(pool.map(lambda person: identity(Path(unfinished, "faces"), sources, person), people))
        Path(unfinished, "faces").rename(whole)
    print(f"made {images:,} images of {len(people):,} identities in {time.perf_counter() - began:.0f} s", flush=True)
    return whole


def identity(folder: Path, sources: list[np.ndarray], person: int) -> None:
    """Write one identity's images."""
    random = np.random.default_rng([0, person])
    own = folder / f"p{person:06}"
    own.mkdir(parents=True)
    source = Image.fromarray(sources[person % len(sources)])
    if random.random() < 0.5:
        source = source.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shape = warp(random, source.size, turn=15, zoom=0.15, shear=0.15, shift=6)
    brightness, contrast = random.uniform(-40, 40), random.uniform(0.6, 1.4)
    for number in range(IMAGES_OF_EACH):
        matrix = shape @ warp(random, source.size, turn=4, zoom=0.04, shear=0.03, shift=2)
        image = source.transform(
            source.size, Image.Transform.AFFINE, tuple(matrix[:2].ravel()), Image.Resampling.BILINEAR, fillcolor=90
        )
        offset, factor = brightness + random.uniform(-10, 10), contrast * random.uniform(0.9, 1.1)
        levels = np.clip((np.arange(256) - 128) * factor + 128 + offset, 0, 255).astype(np.uint8)
        image.point(levels.tolist()).save(own / f"{number}.jpg", quality=90)


def warp(
    random: np.random.Generator, size: tuple[int, int], turn: float, zoom: float, shear: float, shift: float
) -> np.ndarray:
    """Return a random affine map about the centre of an image as a matrix (3, 3)."""
    angle, scale = math.radians(random.uniform(-turn, turn)), 1 + random.uniform(-zoom, zoom)
    slant, (x, y) = random.uniform(-shear, shear), random.uniform(-shift, shift, 2)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    centre = np.array([[1, 0, size[0] / 2], [0, 1, size[1] / 2], [0, 0, 1]])
    linear = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]]) @ np.array([[1, slant, 0], [0, 1, 0], [0, 0, 1]])
    return centre @ linear @ np.linalg.inv(centre)


def run(file: Path, home: Path, overrides: list[str], told: Connection) -> None:
    """Run an experiment, tell of its events, and at the end of its peak and trials: the measured process."""
    from faceexp.quiet import silence

    def on_event(event: Event) -> None:
        spent = event.finished.seconds["evaluate"] if event.finished else 0.0
        told.send((time.perf_counter(), event.stage, event.done, spent))

    told.send((time.perf_counter(), "start", 0, 0.0))
    with silence():
        finished = faceexp.load(file, overrides=overrides).run(home / "runs", store=home / "store", on_event=on_event)
    told.send((time.perf_counter(), "end", 0, 0.0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told.send((peak, finished.trials, finished.document["notes"]))


def measured(file: Path, home: Path, overrides: list[str]) -> Measured:
    """Run an experiment in a process of its own and watch it."""
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(file, home, overrides, told))
    process.start()
    told.close()
    events: list[tuple[float, str, int, float]] = []
    samples: list[Sample] = []
    try:
        while not events or events[-1][1] != "end":
            if heard.poll(INTERVAL):
                events.append(heard.recv())
            if not samples or time.perf_counter() - samples[-1].time >= INTERVAL:
                samples.append(memory(process.pid or 0))
        resident, trials, notes = heard.recv()
    except EOFError:
        raise SystemExit("the run ended early; see above") from None
    finally:
        process.join()
    seconds: dict[str, float] = defaultdict(float)
    peaks: dict[str, Sample] = {}
    for stage, begin, end, spent in stages(events):
        seconds[stage] += spent
        for sample in samples:
            if begin <= sample.time <= end and (stage not in peaks or sample.whole > peaks[stage].whole):
                peaks[stage] = sample
    return Measured(dict(seconds), peaks, resident, trials, notes)


def stages(events: list[tuple[float, str, int, float]]) -> Iterator[tuple[str, float, float, float]]:
    """Yield stage, begin, end and seconds of what lies between events."""
    for (begin, before, _, _), (end, stage, done, evaluated) in itertools.pairwise(events):
        if stage == "trial":
            # The evaluation knows its own seconds; before it come PCA, checkpoints and files.
            middle = end - evaluated
            yield "baseline", begin, middle, middle - begin
            yield "evaluate", middle, end, evaluated
        elif stage == "images" and done == 0 and before == "start":
            yield "listing", begin, end, end - begin
        elif before == "images" and stage != "images":
            yield "planning", begin, end, end - begin
        else:
            yield "report" if stage == "end" else stage, begin, end, end - begin


def memory(pid: int) -> Sample:
    """Return what a process and its children hold now; nothing where the system does not tell."""
    own = mapped = 0
    waiting = [pid]
    while waiting:
        folder = Path("/proc", str(waiting.pop()))
        try:
            lines = (folder / "status").read_text(encoding="utf-8").splitlines()
            waiting += [int(child) for file in folder.glob("task/*/children") for child in file.read_text().split()]
        except OSError:  # it is gone, or this is another system
            continue
        held = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
        own += held["RssAnon"] + held["RssShmem"]
        mapped = max(mapped, held["RssFile"])  # children map the same files
    return Sample(time.perf_counter(), own, mapped)


def show(sizes: list[int], found: list[Measured]) -> None:
    """Print what each stage took, and how it grew."""
    rows = {name: [result.seconds.get(stage, 0.0) for result in found] for stage, name in STAGES.items()}
    rows["in all"] = [sum(result.seconds.values()) for result in found]
    rows["all but evaluation"] = [sum(result.seconds.values()) - result.seconds["evaluate"] for result in found]
    peaks = {name: [result.peaks.get(stage) for result in found] for stage, name in STAGES.items()}
    print(
        f"{'seconds':<22}" + "".join(f"{size:>11,}" for size in sizes) + f"{'ratio':>9}   GiB at its peak: own + mapped"
    )
    for name, seconds in rows.items():
        ratio = f"{seconds[-1] / seconds[0]:9.1f}" if seconds[0] >= 0.1 else " " * 9
        held = [f"{peak.own / GIB:.2f} + {peak.mapped / GIB:.2f}" if peak else "" for peak in peaks.get(name, [])]
        print(f"{name:<22}" + "".join(f"{each:11.1f}" for each in seconds) + ratio + "   " + "   ".join(held))
    grown = sizes[-1] / sizes[0]
    print(f"ratio of images {grown:.1f}, of pairs that are evaluated about {grown**2:.0f}")
    for size, result in zip(sizes, found, strict=True):
        print(f"{size:,} images: peak resident memory {result.resident / GIB:.2f} GiB")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    arguments.add_argument("--folder", type=Path, help="keep the images here; else they are removed at the end")
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for faceexp run")
    chosen = arguments.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for size in chosen.images:
            where = faces(folder.absolute(), size)
            with tempfile.TemporaryDirectory(dir=folder) as home:
                file = Path(home, "scale.toml")
                file.write_text(EXPERIMENT.format(folder=where.as_posix()), encoding="utf-8")
                result = measured(file, Path(home), chosen.set)
            found.append(result)
            print(f"{size:,} images: {'; '.join(result.notes)}")
            for trial in result.trials:
                accuracy = trial["metrics"].get("accuracy")
                spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in trial["seconds"].items())
                print(f"  {trial['label']:<28} {trial['status']} accuracy {accuracy}: {spent}", flush=True)
    show(chosen.images, found)


if __name__ == "__main__":
    main()
