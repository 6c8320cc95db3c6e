"""Which images and people a run loses because images cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.lost import Lost, LostOfList
from faceexp.data.splits import Parts
from faceexp.data.test_set import set_in_words
from faceexp.planning.templates import Members
from faceexp.values import Note


def lost_images(
    labels: IntArray,
    wanted: IntArray,
    readable: IntArray,
    used: IntArray,
    pairs_of_folds: Sequence[IntArray] = (),
    parts_of_lists: Parts | None = None,
    members: Members = Members(None),  # noqa: B008 - it is frozen
) -> Lost | None:
    """Return which images are lost and whom they show; ``None`` where every image can be used.

    All images are given by their place in the data set.

    Args:
        labels: int (N,), whom each image of the data set shows.
        wanted: The images of the people who were to take part, as far as was known before images were decoded.
        readable: The images that can be used.
        used: Those of people who have enough of them; their people take part.
        pairs_of_folds: ``pairs_file``: for each fold the images of its pairs.
        parts_of_lists: ``listed``: the images of training, validation and test.
        members: What listed pairs stand for; of a template, that is the first image that can be used, as far as there
            is one.
    """
    lost = np.setdiff1d(wanted, readable)
    if not len(lost):
        return None
    people = np.unique(labels[used])
    place = np.searchsorted(people, labels[lost])
    takes_part = np.isin(labels[lost], people)
    tested = [_of_pairs(labels, pairs, lost, used, members) for pairs in pairs_of_folds]
    if parts_of_lists is not None:
        tested.append(_of_images(labels, np.intersect1d(parts_of_lists[2], wanted), lost, used))
    without = len(np.setdiff1d(labels[wanted], people))
    return Lost(np.where(takes_part, place, -1), without, tuple(tested), of_templates=members.template is not None)


def _of_images(labels: IntArray, images: IntArray, lost: IntArray, used: IntArray) -> LostOfList:
    """Return what is lost of some images; usable images of people who do not take part are neither used nor lost."""
    named = images[np.isin(images, used) | np.isin(images, lost)]
    people = np.unique(labels[images])
    left = np.unique(labels[images[np.isin(images, used)]])
    return LostOfList(len(named), int(np.isin(named, lost).sum()), len(people), len(people) - len(left))


def _of_pairs(labels: IntArray, pairs: IntArray, lost: IntArray, used: IntArray, members: Members) -> LostOfList:
    """Return what is lost of the pairs of a fold; of pairs of templates, a template counts as a person does."""
    who = labels if members.template is None else members.template
    of_images = _of_images(who, members.images([pairs]), lost, used)
    similar = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    judged = np.isin(pairs, used).all(axis=1)
    counts = (similar, similar & ~judged, ~similar, ~similar & ~judged)
    return LostOfList(
        of_images.images,
        of_images.lost_images,
        of_images.people,
        of_images.lost_people,
        *(int(np.count_nonzero(chosen)) for chosen in counts),
    )


def lost_note(
    lost: Lost | None,
    images: int,
    people: int,
    *,
    closed: bool = False,
    templates: bool = False,
    name: str | None = None,
) -> list[Note]:
    """Return what is to be known of images that are lost; nothing where none is.

    Args:
        lost: What is lost.
        images: How many images are used.
        people: How many people take part.
        closed: Whether images and not people are dealt to parts.
        templates: Whether templates are judged in the place of images.
        name: The name of the test set; ``None`` for the data set of the experiment.
    """
    if lost is None:
        return []
    owner = set_in_words(name)
    of_images = f"{len(lost.labels)} of {images + len(lost.labels)} images of {owner} could not be used"
    of_people = f", so that {lost.people} of {people + lost.people} people are left out" if lost.people else ""
    counted = "FRR and FAR count these as rejected"
    if lost.of_templates:
        tested = lost.tested
        gone, listed = (sum(getattr(each, name) for each in tested) for name in ("lost_people", "people"))
        pairs = sum(each.lost_similar + each.lost_different for each in tested)
        of_people += f"; no image is left of {gone} of {listed} listed templates, in {pairs:,} pairs"
    elif templates:
        counted = "FRR and FAR are not given, since a template is not lost with an image"
    text = f"{of_images}{of_people}; FNMR and FMR are about what was compared, {counted}"
    if closed:
        text += "; they belong to no part, so the share of all images stands for that of the test part"
    return [Note("failures", text)]
