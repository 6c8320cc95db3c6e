"""The plugins of a loss of an experiment, which may be a weighted sum of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faceexp.contract import BatchNeeds, Distance, LossTraits
from faceexp.registry.installed import ConfiguredPlugin, Registry

if TYPE_CHECKING:
    # Only annotations name it; importing it would cost every command about plugins the time of reading experiments.
    from faceexp.experiment.schema import LossEntry


class MismatchError(Exception):
    """The parts of a sum do not go together; the text says why, and what to do."""


@dataclass(frozen=True)
class CombinedLoss:
    """A weighted sum of losses, which takes the place of one.

    Attributes:
        parts: The losses.
        weights: What the value of each is multiplied by.
        distance: The distance by which embeddings are compared; without it, the one that all parts are made for.
    """

    parts: tuple[ConfiguredPlugin, ...]
    weights: tuple[float, ...]
    distance: Distance | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything about the sum that determines a result."""
        return {
            "kind": "loss",
            "combine": [
                {**part.identity, "weight": weight} for part, weight in zip(self.parts, self.weights, strict=True)
            ],
            "distance": self.distance,
        }

    def traits(self) -> LossTraits:
        """Return what the sum is made for: batches that suit every part, and the distance of all.

        Raises:
            BrokenPluginError: A part cannot say.
            MismatchError: They are made for different distances, and the file names none; or no batch suits them all.
        """
        traits = [part.traits() for part in self.parts]
        distances = {each.distance for each in traits} if self.distance is None else {self.distance}
        if len(distances) > 1:
            made = [f"{part.installed.name!r} {each.distance}" for part, each in zip(self.parts, traits, strict=True)]
            raise MismatchError(
                f"its parts are made for different distances ({', '.join(made)}); write beside combine by which one "
                'embeddings are compared: distance = "cosine" or "euclidean"'
            )
        orders = {each.needs.halves for each in traits} - {None}
        if len(orders) > 1:
            raise MismatchError(
                "no batch suits all parts: one needs rows i and i + B/2 of the same identity, another needs some of "
                "different ones"
            )
        needs = BatchNeeds(
            max(each.needs.classes for each in traits),
            max(each.needs.images_per_class for each in traits),
            next(iter(orders), None),
        )
        return LossTraits(distances.pop(), needs, all(each.xla for each in traits))


def configured_loss(entry: LossEntry, registry: Registry) -> ConfiguredPlugin | CombinedLoss:
    """Return the loss of a row with its options.

    Raises:
        InputError: A plugin is not installed, or broken.
        pydantic.ValidationError: The options are wrong.
    """
    parts = tuple(registry.configure("loss", part.plugin, part.options) for part in entry.parts)
    weights = tuple(part.weight for part in entry.combine)
    return CombinedLoss(parts, weights, entry.distance) if weights else parts[0]
