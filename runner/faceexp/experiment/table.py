"""What every table of an experiment file has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import InitErrorDetails, PydanticCustomError

from faceexp.store import canonical

# Options of a plugin: the plugin itself says of which types they are.
Options = dict[str, Any]
# The type of an error whose message says everything.
SAID = "said"


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values, or refuse them where one is there twice."""
    if len(set(values)) != len(values):
        raise ValueError("values must not repeat")
    return values


def refusal(place: tuple[str | int, ...], message: str, value: object) -> InitErrorDetails:
    """Return an error of a value at a place inside a table, whose message is what a person is told."""
    error = PydanticCustomError(SAID, "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=place, input=value)


class Table(BaseModel):
    """A table of the file: frozen, unknown keys refused, text never taken for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class PluginRef(Table):
    """A plugin by name, with its options as written."""

    plugin: str = Field(description="Name of an installed plugin; `faceexp list-plugins` shows them.")
    options: Options = Field(default_factory=dict, description="The plugin's own options.")

    @property
    def key(self) -> str:
        """A text that is the same for the same plugin and options."""
        return canonical([self.plugin, self.options])
