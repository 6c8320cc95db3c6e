"""The base classes of the contract that the plugins of each kind derive from."""

from __future__ import annotations

from faceexp.contract import (
    DatasetPlugin,
    DetectorPlugin,
    ExecutorPlugin,
    FixedModelPlugin,
    LossPlugin,
    ModelPlugin,
    Plugin,
    SamplerPlugin,
    TrackerPlugin,
)

# A plugin of a kind derives from one of these.
BASES: dict[str, tuple[type[Plugin], ...]] = {
    "loss": (LossPlugin,),
    "model": (ModelPlugin, FixedModelPlugin),
    "dataset": (DatasetPlugin,),
    "sampler": (SamplerPlugin,),
    "detector": (DetectorPlugin,),
    "tracker": (TrackerPlugin,),
    "executor": (ExecutorPlugin,),
}


def base_of(cls: type[Plugin], kind: str) -> type[Plugin]:
    """Return the base class that a plugin of a kind derives from."""
    return next(base for base in BASES[kind] if issubclass(cls, base))


def kind_of(plugin: Plugin) -> str:
    """Return the kind of a plugin."""
    return next(kind for kind, bases in BASES.items() if isinstance(plugin, bases))
