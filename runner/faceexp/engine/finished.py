"""What is in the store, as long as nothing has to be added to it: so a run that was finished before needs no worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from faceexp.store import Artefact, Inputs, Store


class MissingError(KeyboardInterrupt):
    """Something is not in the store.

    It comes from outside, as Ctrl-C does, and is no mistake of a plugin, so nothing that handles these must catch it.
    """


class FinishedWork(Store):
    """A store that nothing is added to."""

    def get(self, kind: str, inputs: Inputs, make: Callable[[Path], None]) -> Artefact:  # noqa: ARG002 - as in Store
        """Return the artefact of these inputs.

        Raises:
            MissingError: It is not there.
        """
        artefact = self.find(kind, inputs)
        if artefact is None:
            raise MissingError
        return artefact
