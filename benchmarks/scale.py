"""Seconds and memory of each stage of a run, on folders of more and more images, and how they grow.

    python benchmarks/scale.py [--images 10000 100000] [--folder DIR] [--set KEY=VALUE ...]

The images are made by this script, ten per identity. An identity is an ORL face under a warp, brightness and mirroring
of its own, and each of its images is changed a little more. ``--folder`` keeps the images for the next time. Each size
is run as ``faceexp run`` does it: in a process of its own, with an empty store and every baseline.

The seconds of a stage end with its last event, and memory is sampled. The process's own memory is shown beside the
pages of mapped files, which the system may take back at any time; the peak of both together is the resident memory. The
number of pairs grows with the square of the number of images, and so does the time of evaluation, which looks at each
pair.
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

    from faceexp.results.schema import TrialRecord
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
IMAGES_PER_IDENTITY = 10
INTERVAL = 0.05  # seconds between samples
GIB = 2**30
# The stages in the order of a run. An event tells that a part of its stage has ended, so the time before it belongs to
# that stage.
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
    """Memory of a process and its children in bytes: what is their own, and pages of mapped files."""

    time: float
    own: int
    mapped: int

    @property
    def whole(self) -> int:
        """The resident memory."""
        return self.own + self.mapped


@dataclass(frozen=True)
class Measured:
    """What was measured of a run: seconds and peak memory of each stage, the system's own peak, and the results."""

    seconds: dict[str, float]
    peaks: dict[str, Sample]
    resident: int
    trials: tuple[TrialRecord, ...]
    notes: tuple[str, ...]


def faces(folder: Path, images: int) -> Path:
    """Return a folder with this many images, in one folder per identity; make it if it is not there."""
    whole = folder / f"faces-{images}"
    if whole.is_dir():
        return whole
    # The plugin knows where the files are.
    orl: Any = faceexp.plugin("dataset", "orl")
    sources = [np.asarray(Image.open(path)) for path in orl.build(seed=0).images]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as unfinished, ThreadPoolExecutor(os.cpu_count()) as pool:
        people = range(images // IMAGES_PER_IDENTITY)
        list(pool.map(lambda person: identity(Path(unfinished, "faces"), sources, person), people))
        Path(unfinished, "faces").rename(whole)
    print(f"made {images:,} images of {len(people):,} identities in {time.perf_counter() - began:.0f} s", flush=True)
    return whole


def identity(folder: Path, sources: list[np.ndarray], person: int) -> None:
    """Write the images of one identity."""
    random = np.random.default_rng([0, person])
    target = folder / f"p{person:06}"
    target.mkdir(parents=True)
    source = Image.fromarray(sources[person % len(sources)])
    if random.random() < 0.5:
        source = source.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shape = warp(random, source.size, turn=15, zoom=0.15, shear=0.15, shift=6)
    brightness, contrast = random.uniform(-40, 40), random.uniform(0.6, 1.4)
    for number in range(IMAGES_PER_IDENTITY):
        matrix = shape @ warp(random, source.size, turn=4, zoom=0.04, shear=0.03, shift=2)
        image = source.transform(
            source.size, Image.Transform.AFFINE, tuple(matrix[:2].ravel()), Image.Resampling.BILINEAR, fillcolor=90
        )
        offset, factor = brightness + random.uniform(-10, 10), contrast * random.uniform(0.9, 1.1)
        levels = np.clip((np.arange(256) - 128) * factor + 128 + offset, 0, 255).astype(np.uint8)
        image.point(levels.tolist()).save(target / f"{number}.jpg", quality=90)


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


def run(file: Path, home: Path, overrides: list[str], watcher: Connection) -> None:
    """Run an experiment in the measured process; send its events, and at the end its peak, trials and notes."""
    from faceexp.quiet import silence
    from faceexp.results.events import TrialEnded

    def on_event(event: Event) -> None:
        spent = event.trial.seconds["evaluate"] if isinstance(event, TrialEnded) else 0.0
        watcher.send((time.perf_counter(), event.stage, event.done, spent))

    watcher.send((time.perf_counter(), "start", 0, 0.0))
    with silence():
        finished = faceexp.load(file, overrides=overrides).run(home / "runs", store=home / "store", on_event=on_event)
    watcher.send((time.perf_counter(), "end", 0, 0.0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    watcher.send((peak, finished.trials, finished.results.notes))


def measured(file: Path, home: Path, overrides: list[str]) -> Measured:
    """Run an experiment in a process of its own and watch it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(file, home, overrides, sender))
    process.start()
    sender.close()
    events: list[tuple[float, str, int, float]] = []
    samples: list[Sample] = []
    try:
        while not events or events[-1][1] != "end":
            if receiver.poll(INTERVAL):
                events.append(receiver.recv())
            if not samples or time.perf_counter() - samples[-1].time >= INTERVAL:
                samples.append(memory(process.pid or 0))
        resident, trials, notes = receiver.recv()
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
    """Yield stage, begin, end and seconds of every interval between two events."""
    for (begin, before, _, _), (end, stage, done, evaluated) in itertools.pairwise(events):
        if stage == "trial":
            # The evaluation measures its own seconds; what comes before it is PCA, loading and writing files.
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
    """Return the memory of a process and its children as it is now; zeros if the system does not tell."""
    own = mapped = 0
    waiting = [pid]
    while waiting:
        folder = Path("/proc", str(waiting.pop()))
        try:
            lines = (folder / "status").read_text(encoding="utf-8").splitlines()
            waiting += [int(child) for file in folder.glob("task/*/children") for child in file.read_text().split()]
        except OSError:  # the process is gone, or the system is not Linux
            continue
        held = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
        own += held["RssAnon"] + held["RssShmem"]
        mapped = max(mapped, held["RssFile"])  # not the sum, since children map the same files
    return Sample(time.perf_counter(), own, mapped)


def show(sizes: list[int], results: list[Measured]) -> None:
    """Print the seconds and memory of each stage, and how the seconds grew."""
    rows = {name: [result.seconds.get(stage, 0.0) for result in results] for stage, name in STAGES.items()}
    rows["in all"] = [sum(result.seconds.values()) for result in results]
    rows["all but evaluation"] = [sum(result.seconds.values()) - result.seconds["evaluate"] for result in results]
    peaks = {name: [result.peaks.get(stage) for result in results] for stage, name in STAGES.items()}
    print(
        f"{'seconds':<22}" + "".join(f"{size:>11,}" for size in sizes) + f"{'ratio':>9}   GiB at its peak: own + mapped"
    )
    for name, seconds in rows.items():
        ratio = f"{seconds[-1] / seconds[0]:9.1f}" if seconds[0] >= 0.1 else " " * 9
        held = [f"{peak.own / GIB:.2f} + {peak.mapped / GIB:.2f}" if peak else "" for peak in peaks.get(name, [])]
        print(f"{name:<22}" + "".join(f"{value:11.1f}" for value in seconds) + ratio + "   " + "   ".join(held))
    grown = sizes[-1] / sizes[0]
    print(f"ratio of images {grown:.1f}, of pairs that are evaluated about {grown**2:.0f}")
    for size, result in zip(sizes, results, strict=True):
        print(f"{size:,} images: peak resident memory {result.resident / GIB:.2f} GiB")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    arguments.add_argument("--folder", type=Path, help="keep the images here; else they are removed at the end")
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for faceexp run")
    chosen = arguments.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for size in chosen.images:
            where = faces(folder.absolute(), size)
            with tempfile.TemporaryDirectory(dir=folder) as home:
                file = Path(home, "scale.toml")
                file.write_text(EXPERIMENT.format(folder=where.as_posix()), encoding="utf-8")
                result = measured(file, Path(home), chosen.set)
            results.append(result)
            print(f"{size:,} images: {'; '.join(result.notes)}")
            for trial in result.trials:
                accuracy = trial.metrics.get("accuracy")
                spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in trial.seconds.items())
                print(f"  {trial.label:<28} {trial.status} accuracy {accuracy}: {spent}", flush=True)
    show(chosen.images, results)


if __name__ == "__main__":
    main()
