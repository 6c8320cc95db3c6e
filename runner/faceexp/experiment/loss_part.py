"""A part of a weighted sum of losses, as ``combine`` lists it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from faceexp.contract.plugin import LARGEST_NUMBER
from faceexp.experiment import table

# Keys of a part of a sum that are no options of its plugin. An option that is called like one of them is in `options`.
OF_PART = frozenset({"plugin", "weight", "options"})


class LossPart(table.PluginRef):
    """One of the losses of a weighted sum."""

    weight: float = Field(
        1.0, gt=0, le=LARGEST_NUMBER, description="What the value of this loss is multiplied by before it is added."
    )

    @property
    def as_written(self) -> dict[str, Any]:
        """The part as a file has it."""
        apart = {key: value for key, value in self.options.items() if key in OF_PART}
        beside = {key: value for key, value in self.options.items() if key not in OF_PART}
        return {"plugin": self.plugin, "weight": self.weight, **beside, **({"options": apart} if apart else {})}
