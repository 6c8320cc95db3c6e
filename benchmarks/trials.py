"""Milliseconds of processor time that a trial takes, step by step.

    python benchmarks/trials.py [--losses 6] [--folds 5] [--steps 50] [--dim 128] [--experiment FILE]

Several losses are trained and measured on every fold of ORL, in this process. Processor time, of all threads together,
depends little on what else the machine does. Time is counted where it is spent: what a step calls that is a step itself
counts there. The first trial of each loss compiles its training step, so it has a column of its own; phase 1, trunk
features and whatever happens once a run are listed below the table.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import faceexp
from faceexp import pipeline
from faceexp.quiet import silence
from faceexp.values import Event, TrainedTrial, Trial

EXPERIMENT = """\
name = "trials"
seeds = [0]
[dataset]
plugin = "orl"
[protocol]
kind = "open_set"
folds = {folds}
[model]
plugin = "thin_vgg"
embedding_dim = {dim}
[pretrain]
epochs = 2
[finetune]
steps = {steps}
validate_every = {steps}
learning_rate = 1e-4
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 16
images_per_class = 4
"""
LOSSES = ("contrastive", "arcface", "npairs", "proxy_anchor", "smooth_ap", "triplet_margin", "supcon", "margin")


class Clock:
    """Processor seconds by step; the steps that are running form a stack, and only the last of them is counted."""

    def __init__(self) -> None:
        self.seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.running = ["everything else"]
        self.column = "once"
        self.since = time.process_time()

    def count(self) -> None:
        """Give the time since the last call to the step that is running."""
        now = time.process_time()
        self.seconds[self.running[-1], self.column] += now - self.since
        self.since = now

    def watch(self, owner: object, name: str, step: str) -> None:
        """Count every call of a function as a step."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def watched(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
            self.count()
            self.running.append(step)
            try:
                return function(*arguments, **options)
            finally:
                self.count()
                self.running.pop()

        setattr(owner, name, watched)


def watch_all(clock: Clock) -> None:
    """Watch the functions that a trial consists of."""
    from faceexp.engine import finetune, network, shared, trials
    from faceexp.results import measure
    from faceexp.store import artefacts

    clock.watch(shared.PretrainedStages, "pretrained", "phase 1: find it")
    clock.watch(shared.PretrainedStages, "_pretrain", "phase 1")
    clock.watch(shared.PretrainedStages, "_extract", "trunk features")
    clock.watch(trials.Engine, "_finetuner", "build the loss and its step")
    clock.watch(finetune.Finetuner, "reset", "set initial weights")
    clock.watch(shared, "load_weights", "read phase 1's weights")
    clock.watch(trials, "resident", "training inputs into memory")
    clock.watch(finetune, "take", "draw batches")
    clock.watch(finetune.Finetuner, "_make_steps", "training steps")
    clock.watch(finetune, "outside_state", "examine the step")
    clock.watch(network.Network, "embed", "embed validation and test")
    clock.watch(network.Network, "get_weights", "copy a checkpoint's weights")
    clock.watch(network.Network, "set_weights", "set weights")
    clock.watch(network.Network, "save", "write the network's file")
    clock.watch(artefacts, "seal", "checksums of new files")
    clock.watch(artefacts, "is_whole", "checksums of old files")
    clock.watch(artefacts, "digest", "keys")
    clock.watch(measure, "_measured", "measure")
    clock.watch(measure, "to_json", "write JSON")
    clock.watch(pipeline, "_finish", "write the run's files")
    clock.watch(pipeline, "write_text", "write the run's files")
    clock.watch(pipeline, "link_or_copy", "link the network's file")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--losses", type=int, default=6)
    arguments.add_argument("--folds", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--dim", type=int, default=128)
    arguments.add_argument("--experiment", help="another experiment file; the options above do not change it")
    chosen = arguments.parse_args()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, silence():
        home = Path(folder)
        file = home / "x.toml"
        text = EXPERIMENT.format(folds=chosen.folds, dim=chosen.dim, steps=chosen.steps)
        text += "".join(f'[[losses]]\nplugin = "{name}"\n' for name in LOSSES[: chosen.losses])
        file.write_text(text, encoding="utf-8")
        study = faceexp.load(chosen.experiment or file)
        watch_all(clock)
        counts = {"first": 0, "later": 0}
        seen: set[str] = set()
        began = time.perf_counter()

        # A trial belongs to a column as soon as it begins, which is when the engine is asked for it.
        from faceexp.engine import trials

        run = trials.Engine.run

        def counted(engine: trials.Engine, trial: Trial) -> TrainedTrial:
            clock.count()
            clock.column = "baselines"
            if trial.loss:
                clock.column = "later" if trial.label in seen else "first"
                seen.add(trial.label)
                counts[clock.column] += 1
            return run(engine, trial)

        def on_event(event: Event) -> None:
            if event.stage == "trial" and event.done == event.total:
                clock.count()
                clock.column = "once"

        setattr(trials.Engine, "run", counted)  # noqa: B010 - mypy refuses a plain assignment
        study.run(home / "runs", store=home / "store", on_event=on_event)
        clock.count()
        wall = time.perf_counter() - began
        size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and "store" in path.parts)
    report(clock, counts)
    print(f"store {size / 1e6:.0f} MB, wall {wall:.1f} s")


def report(clock: Clock, counts: dict[str, int]) -> None:
    """Print the table."""
    shared = {"phase 1", "trunk features", "phase 1: find it", "training inputs into memory"}
    steps = sorted({step for step, _ in clock.seconds}, key=lambda step: -clock.seconds[step, "later"])
    print(f"{'milliseconds of processor time per trial':<42}{'first of a loss':>16}{'later':>10}")
    sums = [0.0, 0.0]
    for step in [step for step in steps if step not in shared]:
        values = [1e3 * clock.seconds[step, column] / max(1, counts[column]) for column in ("first", "later")]
        sums = [total + value for total, value in zip(sums, values, strict=True)]
        if max(values) >= 0.05:
            print(f"  {step:<40}{values[0]:>16.1f}{values[1]:>10.1f}")
    print(f"  {'together':<40}{sums[0]:>16.1f}{sums[1]:>10.1f}")
    for step in sorted(shared):
        print(f"{step}: {sum(clock.seconds[step, c] for c in ('first', 'later', 'baselines', 'once')):.1f} s in all")
    for column in ("baselines", "once"):
        rest = sum(value for (step, at), value in clock.seconds.items() if at == column and step not in shared)
        print(f"{column}: {rest:.1f} s in all")


if __name__ == "__main__":
    main()
