"""Images decoded for a plan: what is wrong with them, and what to be warned of, names the set that they belong to."""

from __future__ import annotations

from faceexp.contract import FaceData
from faceexp.data.decode import UnusableImagesError, decoded_images, sought_in
from faceexp.data.detectors import TABLE
from faceexp.data.test_set import set_in_words
from faceexp.errors import InputError, Problem
from faceexp.experiment.schema import Preprocess
from faceexp.registry.installed import ConfiguredPlugin
from faceexp.store import Artefact, Store, StoreError
from faceexp.values import Event, EventCallback, Note


def decoded_of(
    data: FaceData,
    preprocess: Preprocess,
    detector: ConfiguredPlugin | None,
    store: Store,
    on_event: EventCallback,
    name: str | None = None,
) -> tuple[Artefact, list[Note]]:
    """Return the images of a data set, and a warning if they seem to be crops in which faces are looked for.

    Args:
        data: The data set, or a test set.
        preprocess: How its images become arrays.
        detector: What finds faces in them, if anything does.
        store: Where finished work is kept.
        on_event: Is called with progress.
        name: The name of the test set; ``None`` for the data set of the experiment.

    Raises:
        InputError: The detector or an image cannot be used, and that is to be an error.
    """
    owner = set_in_words(name)
    table = "[preprocess]" if name is None else "its table [[test_sets]]"
    remedy = f"if its images are crops already, set detect = false in {table}"
    try:
        artefact = decoded_images(
            data, preprocess, store, lambda done, total: on_event(Event("images", done, total)), detector
        )
    except StoreError:
        raise
    except InputError as error:
        # A detector that cannot be used may be of use for other faces.
        problems = [
            Problem(f"{each.message}; {remedy}", each.where) if each.where == TABLE else each for each in error.problems
        ]
        if name is not None:
            problems = [Problem(each.message, f"{owner}: {each.where}" if each.where else owner) for each in problems]
        if isinstance(error, UnusableImagesError) and (suspicion := error.sought.suspicion):
            problems.append(Problem(f"{suspicion}; {remedy}", owner))
        raise InputError(problems) from error
    suspicion = sought_in(artefact).suspicion
    return artefact, [Note("crops", f"{owner}: {suspicion}; {remedy}")] if suspicion else []
