"""Settings, their values and their scores as words, which are the same in every report."""

from __future__ import annotations

import json
from collections.abc import Mapping

from faceexp.report.words import NOTHING


def value_text(value: object) -> str:
    """Return a value as people write it: no more digits of a number than anybody would set."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return NOTHING if value is None else json.dumps(value, default=str, ensure_ascii=False)


def values_text(values: Mapping[str, object]) -> str:
    """Return settings on one line: ``margin = 1, finetune.learning_rate = 0.00481``."""
    return ", ".join(f"{name} = {value_text(value)}" for name, value in values.items())


def score_text(score: float | None) -> str:
    """Return a validation score; a dash where there is none."""
    return NOTHING if score is None else f"{score:.4f}"
