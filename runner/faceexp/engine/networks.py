"""The trained networks in the store, each beside what its training left, so that it can be removed alone.

Most bytes of a trained trial are those of its network, and most of these those of the embedding layer, which is
trained: to keep that layer alone would save little. So the network is an artefact of its own. Without it, a trial is
finished all the same, since its embeddings and its curve are there; whoever needs the network trains the trial again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from faceexp.store import Store, digest
from faceexp.values import NETWORK_FILE

KIND = "network"
# What is kept of the training of a trial itself.
TRAINED = "finetune"


def keep_network(store: Store, trial: str, save: Callable[[Path], None]) -> None:
    """Put the network of a trial that was trained just now into the store.

    Args:
        store: The store.
        trial: The key of what is kept of its training.
        save: Writes the network into a file.
    """
    store.forget(KIND, digest(_inputs(trial)))  # one of an earlier training; the last digits of two may differ
    store.get(KIND, _inputs(trial), lambda folder: save(folder / NETWORK_FILE))


def network_of(store: Store, trial: str) -> Path | None:
    """Return the file of the network of a trial; nothing where it is not in the store."""
    artefact = store.find(KIND, _inputs(trial))
    return artefact.path / NETWORK_FILE if artefact else None


def forget_network(store: Store, trial: str) -> None:
    """Remove the network of a trial from the store, but for one that a run has linked: that would free nothing."""
    artefact = store.find(KIND, _inputs(trial))
    if artefact and (artefact.path / NETWORK_FILE).stat().st_nlink == 1:
        store.forget(KIND, artefact.key)


def forget_training(store: Store, trial: str) -> None:
    """Remove what is kept of the training of a trial, which is trained anew then, as if nobody had done it."""
    store.forget(TRAINED, trial)


def _inputs(trial: str) -> dict[str, str]:
    return {"of": trial}
