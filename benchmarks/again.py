"""Seconds of two seeds in one process and in several, and of running an experiment again, unchanged or extended.

    python benchmarks/again.py [--steps 600] [--epochs 15] [--jobs 2]

Every run is measured as people use it: from the start of the command to its end, including the import of TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EXPERIMENT = """\
name = "again"
seeds = {seeds}
[dataset]
plugin = "orl"
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = 1024
[pretrain]
epochs = {epochs}
[finetune]
steps = {steps}
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 16
images_per_class = 4
"""
LOSSES = ("contrastive", "npairs", "arcface", "supcon")


def run(
    home: Path, store: str, seeds: list[int], losses: tuple[str, ...], chosen: argparse.Namespace, jobs: int
) -> tuple[float, dict[str, Any]]:
    """Run an experiment; return its seconds, and what ``--json`` prints."""
    file = home / "x.toml"
    text = EXPERIMENT.format(seeds=seeds, epochs=chosen.epochs, steps=chosen.steps)
    file.write_text(text + "".join(f'[[losses]]\nplugin = "{name}"\n' for name in losses), encoding="utf-8")
    command = [sys.executable, "-m", "faceexp", "run", str(file), "--json", f"--jobs={jobs}"]
    folders = [f"--out={home / 'runs'}", f"--store={home / store}"]
    began = time.perf_counter()
    printed = subprocess.run([*command, *folders], check=True, capture_output=True, text=True).stdout  # noqa: S603
    return time.perf_counter() - began, json.loads(printed)


def trained(document: dict[str, Any]) -> str:
    """Return how many of the trials of losses were trained, as text."""
    trials = [trial for trial in document["trials"] if trial["kind"] == "loss"]
    fresh = sum("finetune" not in trial["reused"] for trial in trials)
    return f"{fresh} of {len(trials)} trials trained"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--jobs", type=int, default=2)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        one, _ = run(home, "one", [0, 1], LOSSES, chosen, 1)
        print(f"two seeds, one after the other  {one:6.1f} s", flush=True)
        several, _ = run(home, "several", [0, 1], LOSSES, chosen, chosen.jobs)
        print(
            f"two seeds, {chosen.jobs} processes         {several:6.1f} s, {one / several:.2f} times as fast",
            flush=True,
        )
        for what, seeds, losses in (
            ("the same again", [0, 1], LOSSES),
            ("with one loss more", [0, 1], (*LOSSES, "cosface")),
            ("with one seed more", [0, 1, 2], LOSSES),
        ):
            seconds, document = run(home, "one", seeds, losses, chosen, 1)
            print(f"{what:<31} {seconds:6.1f} s, {seconds / one:.2f} of the first; {trained(document)}", flush=True)


if __name__ == "__main__":
    main()
