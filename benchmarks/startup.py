"""Seconds from a command to its end, or for ``run`` to the first steps of phase 1; medians, and ratios within the run.

    python benchmarks/startup.py [--repeats 10] [--runs 3]

Short commands are compared with an interpreter that does nothing, ``run`` with TensorFlow's import. Every command is
tried once before it counts, so that files are in memory, compiled code is written where Python may write it, and
``list-plugins`` knows which plugins import; "first" is that first time, with an empty store. Each ``run`` has an empty
store and folder, and ends when phase 1 reports its first steps, sixteen of them, which is after compiling them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FACEEXP = Path(sys.executable).with_name("faceexp")
# The command itself, in a process that says when the first steps are done.
RUN = """
import sys
from faceexp import cli
from faceexp import pipeline

whole = pipeline.Study.run

def run(study, *arguments, on_event, **options):
    def hear(event):
        if event.stage == "pretrain" and event.done:
            print("first steps", flush=True)
        on_event(event)

    return whole(study, *arguments, on_event=hear, **options)

pipeline.Study.run = run
sys.argv[0] = "faceexp"
cli.main()
"""


def to_the_end(command: Sequence[str | Path], store: Path) -> float:
    """Return the seconds of a command."""
    began = time.perf_counter()
    where = {**os.environ, "FACEEXP_STORE": str(store)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=where)  # noqa: S603
    return time.perf_counter() - began


def to_the_first_steps(spec: Path) -> float:
    """Return the seconds from ``faceexp run`` to the first steps of phase 1, with nothing in the store."""
    with tempfile.TemporaryDirectory() as home:
        folders = [f"--out={home}/runs", f"--store={home}/store"]
        began = time.perf_counter()
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", RUN, "run", spec, *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            said = process.stdout.readline() if process.stdout else ""
            seconds = time.perf_counter() - began
            process.kill()
            errors = process.communicate()[1]
    if said != "first steps\n":
        sys.exit(f"{errors}`faceexp run {spec}` ended before phase 1 began")
    return seconds


def measure(call: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Return the seconds of the first call, and the median of those after it."""
    first = call()
    return first, statistics.median(call() for _ in range(repeats))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3, help="repeats of what imports TensorFlow")
    chosen = parser.parse_args()
    python = "python -c pass"
    tensorflow = "python -c 'import tensorflow'"
    commands: dict[str, list[str | Path]] = {
        python: [sys.executable, "-c", "pass"],
        "faceexp --help": [FACEEXP, "--help"],
        "faceexp list-plugins": [FACEEXP, "list-plugins"],
        "faceexp validate all_losses.toml": [FACEEXP, "validate", EXPERIMENTS / "all_losses.toml"],
        tensorflow: [sys.executable, "-c", "import tensorflow"],
    }
    print(f"{'command':<36} {'first s':>8} {'median s':>9}  ratio")
    medians: dict[str, float] = {}

    def show(name: str, seconds: tuple[float, float], beside: str) -> None:
        medians[name] = seconds[1]
        ratio = "" if name == beside else f"{seconds[1] / medians[beside]:.1f} x {beside}"
        print(f"{name:<36} {seconds[0]:8.3f} {seconds[1]:9.3f}  {ratio}", flush=True)

    with tempfile.TemporaryDirectory() as home:
        for name, command in commands.items():
            repeats = chosen.runs if name == tensorflow else chosen.repeats
            show(name, measure(partial(to_the_end, command, Path(home)), repeats), python)
    smoke = EXPERIMENTS / "smoke.toml"
    show("faceexp run smoke.toml, first steps", measure(partial(to_the_first_steps, smoke), chosen.runs), tensorflow)


if __name__ == "__main__":
    main()
