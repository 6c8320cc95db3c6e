"""Time and memory that lists of templates and of their pairs take, from the files to the metrics of one embedding.

    python benchmarks/template_lists.py [--people 3531] [--lines 469376] [--pairs 15658489] [--dimensions 512]

The sizes are those of IJB-C. Lists have the form of InsightFace's, of images of which nobody but the pairs knows whom
they show; nothing is decoded, and embeddings are random numbers. ``busy`` is processor time, which others who use the
machine do not lengthen much; ``peak`` is the most memory that the process has had so far.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from faceexp.contract import FaceData, StoredImage
from faceexp.data import template_list, template_pairs
from faceexp.data.splits import Split
from faceexp.data.test_set import PlannedSet
from faceexp.experiment.evaluation import TEMPLATE, Evaluation
from faceexp.experiment.protocol import Protocol
from faceexp.experiment.schema import Preprocess
from faceexp.planning.listed_pairs import listed_images
from faceexp.planning.listed_templates import with_template_list
from faceexp.planning.templates import Members, templates_of
from faceexp.results.measure import measure
from faceexp.values import Plan, TrainedTrial, Trial

PROBES_PER_PERSON = 5.549
# People of other data, on whom the threshold is chosen: so many images of each.
OTHERS, IMAGES = 20, 6


class Crops(Sequence[Any]):
    """The paths of so many images, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - one, or several
        return StoredImage(f"loose_crop/{index + 1}.jpg", bytes)


class Steps:
    """Prints what each step took."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), time.process_time()

    def done(self, what: str) -> None:
        """Tell that a step has ended."""
        seconds, busy = time.perf_counter() - self._began, time.process_time() - self._busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{what:<40} {seconds:6.1f} s ({busy:.1f} s busy), peak {peak:.2f} GiB", flush=True)
        self._began, self._busy = time.perf_counter(), time.process_time()


def write_lists(folder: Path, people: int, lines: int, pairs: int) -> None:
    """Write both lists: everybody has a gallery template, which is compared with probes of all people."""
    random = np.random.default_rng(0)
    probes = round(people * PROBES_PER_PERSON)
    person = np.concatenate([np.arange(people), np.arange(people), random.integers(0, people, probes - people)])
    ids = random.permutation(8 * len(person))[: len(person)] + 1
    template = np.sort(np.concatenate([np.arange(len(person)), random.integers(0, len(person), lines - len(person))]))
    names = [f"{number}.jpg" for number in range(1, lines + 1)]
    media = 7 * template + random.integers(0, 4, lines)
    table = pd.DataFrame({"name": names, "template": ids[template], "medium": media})
    table.to_csv(folder / "tid_mid.txt", sep=" ", header=False, index=False)
    first = np.concatenate([person[people:], np.arange(pairs - probes) % people])
    second = people + np.concatenate([np.arange(probes), np.arange(pairs - probes) // people % probes])
    same = (person[first] == person[second]).astype(int)
    table = pd.DataFrame({"one": ids[first], "other": ids[second], "same": same})
    table.to_csv(folder / "pair_label.txt", sep=" ", header=False, index=False)


def planned(folder: Path, lines: int, steps: Steps) -> PlannedSet:
    """Return a test set of the lists, as a plan has it."""
    listed = template_list.read([str(folder / "tid_mid.txt")])
    steps.done(f"list of {len(listed.line):,} images")
    pairs = template_pairs.read(str(folder / "pair_label.txt"))
    template_pairs.check(pairs, listed)
    steps.done(f"list of {len(pairs.rows):,} pairs")
    nobody = tuple(map(str, range(lines)))
    data = FaceData(Crops(lines), np.arange(lines, dtype=np.int32), nobody, "0", "none", "made", people_known=False)
    data = with_template_list(data, listed, pairs, TEMPLATE)
    steps.done("images found, people joined")
    (judged,) = listed_images(data, pairs, TEMPLATE)
    used = Members.of(data, pairs, TEMPLATE).images([judged])
    places = np.searchsorted(used, judged)
    steps.done("pairs found")
    rows = OTHERS * IMAGES + np.arange(len(used))
    columns = {name: values[used] for name, values in data.columns.items()}
    return PlannedSet(
        "ijbc", "made", "0", rows, data.labels[used], data.identities, places, None, False, columns=columns
    )


def trial_of(faces: PlannedSet, dimensions: int) -> tuple[TrainedTrial, Plan]:
    """Return a trial with random embeddings, and a plan in which others are validated on."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(OTHERS, dtype=np.int32), IMAGES)
    of_others = random.normal(size=(len(labels), dimensions)).astype(np.float32)
    of_set = random.standard_normal((len(faces.rows), dimensions), np.float32)
    of_set += random.standard_normal((len(faces.identities), dimensions), np.float32)[faces.labels]
    split = Split(0, 0, np.arange(0), np.arange(60), np.arange(60, len(labels)))
    embeddings = {"validation": of_others[:60], "test": of_others[60:], "ijbc": of_set}
    experiment = SimpleNamespace(
        evaluation=Evaluation(fars=(1e-3, 1e-4, 1e-5)), protocol=Protocol(kind="open_set"), preprocess=Preprocess()
    )
    plan = Plan(
        resolved=cast("Any", SimpleNamespace(experiment=experiment, model=None)),
        data=cast("Any", SimpleNamespace(people_known=True)),
        images=np.zeros((1, 8, 8, 1), np.uint8),
        images_key="0",
        labels=labels,
        identities=tuple(map(str, range(OTHERS))),
        splits=(split,),
        trials=(),
        templates=templates_of({}, len(labels), [faces], TEMPLATE),
        sets=(faces,),
    )
    return TrainedTrial(Trial("x", "x", "baseline", 0, 0), split, "ok", embeddings=embeddings, distance="cosine"), plan


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("people", 3531), ("lines", 469_376), ("pairs", 15_658_489), ("dimensions", 512)):
        arguments.add_argument(f"--{name}", type=int, default=usual)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        write_lists(Path(temporary), chosen.people, chosen.lines, chosen.pairs)
        steps = Steps()
        steps.done("(files written)")
        faces = planned(Path(temporary), chosen.lines, steps)
    trial, plan = trial_of(faces, chosen.dimensions)
    steps.done("(embeddings made)")
    measured = measure(trial, plan).trial.sets["ijbc"]
    steps.done("templates and all metrics")
    print({key: value for key, value in measured.items() if key.startswith(("auc", "tar")) and "_" not in key})


if __name__ == "__main__":
    main()
