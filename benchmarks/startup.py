"""Seconds of short commands, and of ``run`` until the first steps of phase 1, as medians and ratios.

    python benchmarks/startup.py [--repeats 10] [--runs 3] [--against DIR]

Short commands are compared with an interpreter that does nothing, and ``run`` with the import of TensorFlow. Every
command is called once before it counts: after that its files are in memory, compiled Python code is written where
Python may write it, and ``list-plugins`` knows which plugins can be imported. The column "first s" shows that first
call, which has an empty store. Each ``run`` has an empty store and output folder. It ends when phase 1 (pretraining)
reports its first sixteen steps, which is after they were compiled.

With ``--against DIR``, every command runs with the code of another checkout of faceexp as well, in turn with this one,
so that both see the same machine. The other checkout needs plugins of the same names; they are taken from it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
FACEEXP = Path(sys.executable).with_name("faceexp")
# The command itself, in a process that prints a line when the first steps are done.
RUN = """
import sys
from faceexp import cli
from faceexp import pipeline

whole = pipeline.Study.run

def run(study, *arguments, **options):
    (name,) = {"on_event", "listen"} & options.keys()  # older checkouts call it listen
    on_event = options[name]

    def watch(event):
        if event.stage == "pretrain" and event.done:
            print("first steps", flush=True)
        on_event(event)

    return whole(study, *arguments, **options | {name: watch})

pipeline.Study.run = run
sys.argv[0] = "faceexp"
cli.main()
"""


@dataclass(frozen=True)
class Timing:
    """Seconds of the first call of a command, and of the calls after it."""

    first: float
    later: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the later calls."""
        return statistics.median(self.later)

    def over(self, other: Timing) -> float:
        """Return the median ratio to another timing, round by round: calls of a round see the machine alike."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.later, other.later, strict=True))


def environment(checkout: Path, **variables: str) -> dict[str, str]:
    """Return the environment in which Python takes faceexp and its plugins from a checkout."""
    folders = [checkout / "runner", *sorted(checkout.glob("plugins/*/*/"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), **variables}


def to_the_end(command: Sequence[str | Path], store: Path, checkout: Path) -> float:
    """Return the seconds of a command."""
    variables = environment(checkout, FACEEXP_STORE=str(store))
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables)  # noqa: S603
    return time.perf_counter() - began


def to_the_first_steps(spec: Path, checkout: Path) -> float:
    """Return the seconds from ``faceexp run`` to the first steps of phase 1, with an empty store."""
    variables = environment(checkout)
    with tempfile.TemporaryDirectory() as home:
        folders = [f"--out={home}/runs", f"--store={home}/store"]
        began = time.perf_counter()
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", RUN, "run", spec, *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables,
        ) as process:
            line = process.stdout.readline() if process.stdout else ""
            seconds = time.perf_counter() - began
            process.kill()
            errors = process.communicate()[1]
    if line != "first steps\n":
        sys.exit(f"{errors}`faceexp run {spec}` of {checkout} ended before phase 1 began")
    return seconds


def measure(call: Callable[[Path], float], checkouts: Sequence[Path], repeats: int) -> list[Timing]:
    """Call it for each checkout in turn, once and then ``repeats`` times; return the timing of each."""
    rounds = [[call(checkout) for checkout in checkouts] for _ in range(repeats + 1)]
    return [Timing(first, tuple(later)) for first, *later in zip(*rounds, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3, help="repeats of what imports TensorFlow")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout to compare with")
    chosen = parser.parse_args()
    if chosen.against and not (chosen.against / "runner" / "faceexp").is_dir():
        parser.error(f"{chosen.against} is not a checkout of faceexp")
    checkouts = [ROOT, *([chosen.against.resolve()] if chosen.against else [])]
    python = "python -c pass"
    tensorflow = "python -c 'import tensorflow'"
    commands: dict[str, list[str | Path]] = {
        python: [sys.executable, "-c", "pass"],
        "faceexp --help": [FACEEXP, "--help"],
        "faceexp list-plugins": [FACEEXP, "list-plugins"],
        "faceexp validate all_losses.toml": [FACEEXP, "validate", EXPERIMENTS / "all_losses.toml"],
        tensorflow: [sys.executable, "-c", "import tensorflow"],
    }
    against = f" {'other s':>9} {'this / other':>13}" if chosen.against else ""
    print(f"{'command':<36} {'first s':>8} {'median s':>9}{against}  ratio")
    medians: dict[str, float] = {}

    def show(name: str, timings: list[Timing], beside: str) -> None:
        this, *others = timings
        medians[name] = this.median
        ratio = "" if name == beside else f"{this.median / medians[beside]:.1f} x {beside}"
        compared = "".join(f" {other.median:9.3f} {this.over(other):13.2f}" for other in others)
        print(f"{name:<36} {this.first:8.3f} {this.median:9.3f}{compared}  {ratio}", flush=True)

    with tempfile.TemporaryDirectory() as home:
        stores = {checkout: Path(home, str(number)) for number, checkout in enumerate(checkouts)}
        for name, command in commands.items():
            repeats = chosen.runs if name == tensorflow else chosen.repeats

            def call(checkout: Path, command: Sequence[str | Path] = command) -> float:
                return to_the_end(command, stores[checkout], checkout)

            show(name, measure(call, checkouts, repeats), python)
    smoke = EXPERIMENTS / "smoke.toml"
    timings = measure(lambda checkout: to_the_first_steps(smoke, checkout), checkouts, chosen.runs)
    show("faceexp run smoke.toml, first steps", timings, tensorflow)


if __name__ == "__main__":
    main()
