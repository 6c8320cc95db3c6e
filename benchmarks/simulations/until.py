"""Does a run that goes on until it is decided claim what is not there, and what does it spend?

    python benchmarks/simulations/until.py [--studies 200] [--losses 4] [--seed 1] [--check]

Runs are made up as in ``claims.py``: five folds a seed, 40 people, up to ten looks, each of one seed more for the
losses that are still in question. They are judged by the function that judges real runs. In the null no loss differs
from the phase-1 embedding, so that every claim at any look is false. Otherwise the first loss is 5 points better than
all others, or all losses are 10 points better than the phase-1 embedding.

With ``--check``, the exit code is 1 if more than 5 % of the runs of a null make a false claim, by more than two
standard errors.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass

import numpy as np

from faceexp.experiment.asked import Asked, Limits
from faceexp.experiment.baselines import PHASE1
from faceexp.results.judge import Sampling, judge
from faceexp.results.looks import goes_on, looked
from faceexp.results.schema import TrialRecord
from faceexp.results.verdict import LookRecord, VerdictRecord
from faceexp.statistics.power.question import ALPHA

PEOPLE, TESTED = 40, 8
RATIO = TESTED / (PEOPLE - TESTED)
NOISE = 0.02
SAMPLING = Sampling(RATIO, average_seeds=False, same_people=False, people=PEOPLE)
FOLDS = 5


@dataclass(frozen=True)
class Spent:
    """What a made run has claimed and spent: its last verdict, and the trials of each loss."""

    verdict: VerdictRecord
    trials: tuple[int, ...]


def run(effects: dict[str, float], people: float, asked: Asked, rng: np.random.Generator) -> Spent:
    """Return what a run claims whose losses are so much better than the phase-1 embedding, in units of the metric."""
    of_people = {label: rng.normal(size=PEOPLE) * math.sqrt(TESTED * people) for label in (*effects, PHASE1.label)}
    trials: list[TrialRecord] = []
    verdict = None
    labels = tuple(effects)
    while verdict is None or goes_on(verdict, asked, Limits(), 0.0):
        seed = len(verdict.looks) if verdict else 0
        labels = verdict.in_question if verdict else labels
        for fold, tested in enumerate(np.split(rng.permutation(PEOPLE), FOLDS)):
            for label in (*sorted(labels), PHASE1.label):
                noise = math.sqrt(1 - people) * rng.normal() + float(of_people[label][tested].mean())
                value = 0.8 + effects.get(label, 0.0) + NOISE * noise
                kind = "baseline" if label == PHASE1.label else "loss"
                trials.append(
                    TrialRecord.model_validate(
                        {"id": f"{label}-{seed}-{fold}", "label": label, "kind": kind, "seed": seed, "fold": fold}
                        | {"status": "ok", "metrics": {"map_at_r": value, "auc": value}}
                    )
                )
        verdict = looked(judge(trials, asked, SAMPLING, verdict), LookRecord(seeds=(seed,), trained=len(labels)))
    return Spent(verdict, tuple(sum(trial.label == label for trial in trials) for label in effects))


def _claims(verdict: VerdictRecord) -> bool:
    """Return whether anything is claimed to differ."""
    return any(claim.verdict in ("better", "worse") for claim in verdict.helps) or any(
        not standing.may_be_best for standing in verdict.best
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--losses", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    labels = [f"loss {number}" for number in range(options.losses)]
    asked = Asked(until="decided")
    worlds = {
        "null": dict.fromkeys(labels, 0.0),
        "one is 5 points better": {label: 0.05 * (label == labels[0]) for label in labels},
        "all are 10 points better": dict.fromkeys(labels, 0.1),
    }
    falsely = []
    for title, effects in worlds.items():
        for people in (0.0, 0.5, 1.0):
            runs = [run(effects, people, asked, rng) for _ in range(options.studies)]
            claiming = sum(_claims(spent.verdict) for spent in runs) / len(runs)
            falsely += [claiming] if title == "null" else []
            first = [spent.verdict.helps[0].verdict == "better" for spent in runs]
            looks = np.mean([len(spent.verdict.looks) for spent in runs])
            trials = np.mean([spent.trials for spent in runs], axis=0)
            print(
                f"{title}, people {people}: {100 * claiming:.1f} % of {len(runs)} runs claim something; the first loss "
                f"helps in {100 * np.mean(first):.0f} %; {looks:.1f} looks; trials a loss "
                + ", ".join(f"{number:.0f}" for number in trials),
                flush=True,
            )
    bound = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / options.studies)
    print(f"largest share of false claims: {100 * max(falsely):.1f} %; bound {100 * bound:.1f} %")
    if options.check and max(falsely) > bound:
        sys.exit(1)


if __name__ == "__main__":
    main()
