"""What every table of an experiment file has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

# Options of a plugin: the plugin itself says of which types they are.
Options = dict[str, Any]


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values, or refuse them where one is there twice."""
    if len(set(values)) != len(values):
        raise ValueError("values must not repeat")
    return values


class Table(BaseModel):
    """A table of the file: frozen, unknown keys refused, text never taken for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class PluginRef(Table):
    """A plugin by name, with its options as written."""

    plugin: str = Field(description="Name of an installed plugin; `faceexp list-plugins` shows them.")
    options: Options = Field(default_factory=dict, description="The plugin's own options.")
