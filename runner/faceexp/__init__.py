"""faceexp: which metric-learning loss is better for face verification, and is the difference real?

>>> import faceexp
>>> run = faceexp.load("experiments/smoke.toml").run()
>>> run.to_frame()
>>> faceexp.load_model(run.folder).verify("a.jpg", "b.jpg").same

Names are imported when they are used for the first time, so that ``import faceexp`` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceexp.contract import LossContext
    from faceexp.errors import InputError
    from faceexp.pipeline import Study, load
    from faceexp.registry.installed import plugin
    from faceexp.run import Run, open_run
    from faceexp.serving.model import FaceModel, load_model

__all__ = ["FaceModel", "InputError", "LossContext", "Run", "Study", "load", "load_model", "open_run", "plugin"]

_HOMES = {
    "FaceModel": "serving.model",
    "InputError": "errors",
    "LossContext": "contract",
    "Run": "run",
    "Study": "pipeline",
    "load": "pipeline",
    "load_model": "serving.model",
    "open_run": "run",
    "plugin": "registry.installed",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"faceexp.{_HOMES[name]}"), name)
