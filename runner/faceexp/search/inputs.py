"""What determines a search: with any of it changed, another journal begins."""

from __future__ import annotations

from faceexp.data.splits import Split
from faceexp.engine.backend import versions
from faceexp.engine.shared import training_labels
from faceexp.experiment.search import Search
from faceexp.planning.dimensions import Varied
from faceexp.store import Inputs, digest
from faceexp.values import Plan, Resolved, Score


def search_of(resolved: Resolved) -> Search:
    """Return how an experiment searches; nobody asks of one that does not."""
    search = resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    return search


def inputs_of(plan: Plan, search: Search, score: Score, space: Varied) -> Inputs:
    """Return what determines every search of a plan, whatever is searched.

    Args:
        plan: Its splits are those of the search.
        search: How settings are proposed.
        score: Judges a training on its validation images.
        space: What is searched.
    """
    experiment = plan.resolved.experiment
    return {
        "search": search.model_dump(mode="json", exclude={"defaults", "suggested"}),
        "space": [[each.name, each.space.model_dump(mode="json"), each.default] for each in space.dimensions],
        "model": plan.resolved.trunk.identity,
        **experiment.trunk.model_dump(include={"embedding_dim", "precision"}),
        "augment": experiment.augment.model_dump(),
        "images": plan.images_key,
        "splits": digest([_people(plan, split) for split in plan.splits]),
        "flip": experiment.evaluation.flip,
        "score": score.key,
        "versions": versions(experiment.device),
    }


def _people(plan: Plan, split: Split) -> list[object]:
    """Return what a split trains and validates on: images and people, and pairs where a list has them."""
    people = training_labels(plan.labels, split.train)[split.train]
    judged = split.validation, plan.labels[split.validation]
    pairs = None if split.validation_pairs is None else split.validation_pairs.tolist()
    return [split.train.tolist(), people.tolist(), *(each.tolist() for each in judged), pairs]
