"""What a Ray cluster costs and saves: one process, two nodes, and two nodes of which one goes away midway.

    python benchmarks/cluster.py [--seeds 3] [--steps 60] [--people 24] [--rounds 1] [--losses contrastive npairs ...]

Both nodes are processes of this machine, with a core each, so their wall time says what a cluster saves only where this
machine has two cores that nothing else uses. Each way has an empty store of its own and a new process; the ways follow
one another in every round. All of them give every trial one thread, and their results are compared bit for bit.

What was measured then answers, by calculation, how long 10,000 trials take on 100 nodes of one slot each. The program
prints the assumptions with the answer.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EXPERIMENT = """\
name = "cluster"
seeds = {seeds}
[dataset]
plugin = "synthetic"
people = {people}
images_per_person = 8
size = 48
[preprocess]
size = [48, 48]
[protocol]
kind = "open_set"
[model]
plugin = "thin_vgg"
embedding_dim = 16
[pretrain]
epochs = 2
[finetune]
steps = {steps}
[finetune.sampler]
plugin = "balanced"
classes_per_batch = 8
images_per_class = 2
"""
LOSSES = ("contrastive", "npairs", "supcon", "triplet_margin")
WAYS = ("one process", "two nodes", "two nodes, one lost")
TRIALS, NODES, CELLS = 10_000, 100, 200


def run_one(way: str, spec: Path, folder: Path) -> None:
    """Run the experiment in this process in one of the ways, and print what it took as a line of JSON."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import faceexp
    from faceexp.results.events import TrialEnded
    from faceexp.running import course
    from faceexp.values import Event

    cluster: Any = None
    overrides = ["executor={plugin='local', processes=1}"]
    if way != WAYS[0]:
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        overrides = ["executor={plugin='ray'}", f"executor.address={cluster.address}"]
    ends: list[float] = []
    first: list[float] = []
    finishing: list[float] = []
    finish = vars(course)["finish"]

    def timed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever it takes and gives
        began = time.perf_counter()
        try:
            return finish(*arguments, **options)
        finally:
            finishing.append(time.perf_counter() - began)

    setattr(course, "finish", timed)  # noqa: B010 - mypy refuses a plain assignment

    def on_event(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ends.append(time.monotonic() - began)
            if event.trial.kind == "loss":
                first.append(ends[-1])
            if way == WAYS[2] and len(ends) == event.total // 2:
                lost = next(node for node in cluster.list_all_nodes() if not node.head)
                cluster.remove_node(lost, allow_graceful=False)

    study = faceexp.load(spec, overrides=overrides)
    began = time.monotonic()
    run = study.run(folder / "runs", store=folder / "store", on_event=on_event)
    wall = time.monotonic() - began
    if cluster is not None:
        import ray

        ray.shutdown()
        cluster.shutdown()
    trained = [trial for trial in run.trials if trial.kind == "loss"]
    shared = [trial.seconds.get("pretrain", 0.0) + trial.seconds.get("features", 0.0) for trial in run.trials]
    numbers = {
        path.name: {
            key: value for key, value in json.loads(path.read_text()).items() if key not in ("seconds", "reused")
        }
        for path in sorted((run.folder / "trials").glob("*.json"))
    }
    measured = {
        "wall": wall,
        "first": first[0],
        "trials": len(run.trials),
        "training": statistics.median(trial.seconds["finetune"] for trial in trained),
        "shared": max(shared),
        "finishing": statistics.median(finishing),
        "ok": all(trial.status == "ok" for trial in run.trials),
        "numbers": numbers,
    }
    print(json.dumps(measured))


def measured(way: str, spec: Path) -> dict[str, Any]:
    """Return what one run took, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--way", way, "--spec", str(spec), "--folder", folder]
        said = subprocess.run(  # noqa: S603 - this very program
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def calculation(one: dict[str, Any], two: dict[str, Any], busy: float) -> str:
    """Return how long many trials take on many nodes, with what is assumed.

    Args:
        one: What one process took.
        two: What two nodes took.
        busy: Seconds that trainings and phases 1 took there, all together.
    """
    # What a trial costs its node beside its training: the time of both nodes that nothing else explains.
    beside = max(0.0, (2 * two["wall"] - busy) / two["trials"])
    rounds = math.ceil(CELLS / NODES)
    many = f"{TRIALS:,} trials of {CELLS} seeds and folds on {NODES} nodes of one slot each, by calculation"
    assumed = (
        f"the first loss has ended after {two['first']:.1f} s",
        f"beside its training, a trial takes {beside:.2f} s of its node, starts and compilations included",
        f"it takes {one['finishing']:.3f} s of the machine that starts the run, which finishes one after the other",
        f"phase 1 takes {one['shared'] / one['training']:.1f} times as long as a training, as here",
        "no node is lost, and network drive and scheduler keep up with all of them",
    )
    lines = [f"{many}; assumed:", *(f"  - {each}" for each in assumed)]
    for training, text in ((one["training"], "as here"), (60.0, "a minute"), (1800.0, "half an hour")):
        phase1 = one["shared"] / one["training"] * training
        nodes = two["first"] + rounds * phase1 + TRIALS / NODES * (training + beside)
        starting = TRIALS * one["finishing"]
        alone = TRIALS * (training + one["finishing"]) + CELLS * phase1
        together = max(nodes, starting)
        parts = f"nodes {nodes / 3600:.1f}, starting machine {starting / 3600:.1f}"
        beside_one = f"one process {alone / 3600:,.1f} h, {alone / together:.0f} times as long"
        lines.append(f"  a training of {training:7.2f} s ({text}): {together / 3600:.1f} h ({parts}); {beside_one}")
    return "\n".join(lines)


def main() -> None:
    """Measure all ways, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--losses", nargs="+", default=LOSSES)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--spec", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_one(arguments.way, arguments.spec, arguments.folder)
        return
    values = {"seeds": [*range(arguments.seeds)], "steps": arguments.steps, "people": arguments.people}
    text = EXPERIMENT.format(**values) + "".join(f'[[losses]]\nplugin = "{loss}"\n' for loss in arguments.losses)
    taken: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "cluster.toml")
        spec.write_text(text, encoding="utf-8")
        for _ in range(arguments.rounds):
            for way in WAYS:
                taken[way].append(measured(way, spec))
    reference = taken[WAYS[0]][0]
    print(f"{reference['trials']} trials; wall time in seconds, the first trial's end, and beside one process")
    for way, rounds in taken.items():
        wall, first = (statistics.median(each[key] for each in rounds) for key in ("wall", "first"))
        ratios = [each["wall"] / one["wall"] for each, one in zip(rounds, taken[WAYS[0]], strict=True)]
        same = all(each["numbers"] == reference["numbers"] for each in rounds)
        said = "the same bits" if same else "OTHER BITS"
        well = "all ok" if all(each["ok"] for each in rounds) else "NOT ALL OK"
        print(f"  {way:20} {wall:6.1f} {first:6.1f}  x{statistics.median(ratios):.2f}  {said}, {well}")
    one, two = taken[WAYS[0]][0], taken[WAYS[1]][0]
    losses = arguments.seeds * len(arguments.losses)
    print(calculation(one, two, losses * two["training"] + arguments.seeds * two["shared"]))


if __name__ == "__main__":
    main()
