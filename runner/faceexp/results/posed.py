"""A trial as if something else were its test part: a test set, or templates in the place of images."""

from __future__ import annotations

import dataclasses

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.test_set import PlannedSet
from faceexp.evaluation.templates import pooled
from faceexp.values import Plan, TrainedTrial


def as_test_part(trained: TrainedTrial, plan: Plan, faces: PlannedSet) -> tuple[TrainedTrial, Plan]:
    """Return a trial as if a test set were its test part, and the plan with the people of the set behind its own.

    Groups are those of the images of the data set alone.
    """
    labels = np.full(int(faces.rows[-1]) + 1, -1, np.int32)
    labels[: len(plan.labels)] = plan.labels
    labels[faces.rows] = len(plan.identities) + faces.labels
    split = dataclasses.replace(trained.split, test=faces.rows, test_pairs=faces.pairs)
    embeddings = {"validation": trained.embeddings["validation"], "test": trained.embeddings[faces.name]}
    identities = (*plan.identities, *faces.identities)
    groups = []
    for each in faces.groups:
        group = np.full(len(labels), -1)
        group[faces.rows] = each.group
        groups.append(dataclasses.replace(each, group=group))
    return (
        dataclasses.replace(trained, split=split, embeddings=embeddings),
        dataclasses.replace(plan, labels=labels, identities=identities, groups=tuple(groups)),
    )


def posed(trained: TrainedTrial, plan: Plan) -> TrainedTrial:
    """Return a trial as if each template were an image, the first of its own, with the embedding of the template."""
    if plan.templates is None:
        return trained
    embeddings = dict(trained.embeddings)
    for part in embeddings.keys() & {"train", "validation", "test"}:
        rows: IntArray = getattr(trained.split, part)
        quality = None if plan.templates.quality is None else plan.templates.quality[rows]
        medium = None if plan.templates.medium is None else plan.templates.medium[rows]
        _, place = plan.templates.first_images(rows)
        embeddings[part] = pooled(embeddings[part], place, trained.distance, quality, medium)
    return dataclasses.replace(trained, split=plan.templates.posed(trained.split), embeddings=embeddings)
