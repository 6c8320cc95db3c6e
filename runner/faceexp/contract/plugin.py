"""What every plugin is: options that are read from TOML, and the entry-point group of its kind."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

# Training computes with numbers of 32 bits. The square of this, summed over the pairs of a batch, still is one.
LARGEST_NUMBER = 1e15

# Keys of a [[losses]] table that belong to the experiment: no loss may use them for an option; then those of each kind.
RESERVED = frozenset({"plugin", "combine", "label", "setting_of", "grid", "pretrain", "finetune"})
RESERVED_OF_KIND: dict[str, frozenset[str]] = {
    "loss": RESERVED,
    "model": frozenset({"plugin", "embedding_dim", "precision", "label", "distance"}),
    "dataset": frozenset({"plugin"}),
    "sampler": frozenset({"plugin"}),
    "detector": frozenset({"plugin", "align", "margin", "smallest", "several", "template", "template_size"}),
    "tracker": frozenset({"plugin"}),
    "executor": frozenset({"plugin", "cpus", "gpus", "memory", "minutes", "trials_per_job"}),
}

GROUPS: dict[str, str] = {
    "loss": "faceexp.losses",
    "model": "faceexp.models",
    "dataset": "faceexp.datasets",
    "sampler": "faceexp.samplers",
    "detector": "faceexp.detectors",
    "tracker": "faceexp.trackers",
    "executor": "faceexp.executors",
}


def option(
    default: Any,  # noqa: ANN401 - as pydantic's Field
    description: str,
    *,
    unit: str = "none",
    search: Mapping[str, Any] | Sequence[Any] | None = None,
    **bounds: Any,  # noqa: ANN401 - as pydantic's Field
) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare one TOML option of a plugin.

    Args:
        default: Its value where the file gives none; ``...`` makes it required.
        description: What it does, one sentence.
        unit: What the number counts: ``"distance"``, ``"radians"``, ``"images"``, ``"none"``.
        search: The values that ``[search]`` tries where the file gives none, as a paper or experience suggests: a range
            as in a file, ``{"low": 0.1, "high": 10.0, "log": True}``, or a list of choices.
        bounds: pydantic's own (``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ...).
    """
    told: dict[str, Any] = {"unit": unit} | ({} if search is None else {"search": search})
    return Field(default, description=description, json_schema_extra=told, **bounds)


class Plugin(BaseModel):
    """What every plugin is: a frozen set of options, unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
    # Whether `faceexp init` takes it for a first experiment: it suits most data and needs no option; of a data set, the
    # one option that is required names the folder of photos.
    suggested: ClassVar[bool] = False

    @classmethod
    def from_toml(cls, options: Mapping[str, Any]) -> Self:
        """Return the plugin with options as a TOML file gives them: lists for tuples, but no text for numbers.

        Raises:
            pydantic.ValidationError: An option is unknown, missing, ill-typed or out of bounds.
        """
        plugin = cls.model_validate_json(json.dumps(options, default=str), strict=True)
        misread = [
            InitErrorDetails(type=PydanticCustomError("option", wanted), loc=(name, *place), input=given)
            for name, value in options.items()
            for place, given, wanted in _misread(value, getattr(plugin, name, value))
        ]
        if misread:
            raise ValidationError.from_exception_data(cls.__name__, misread)
        return plugin


def _misread(given: object, read: object) -> Iterator[tuple[tuple[int | str, ...], object, str]]:
    """Yield the place of each value that pydantic has taken and should not have, the value, and what it should be.

    To Python, true is 1: a choice of numbers takes it. Larger numbers become infinite in training.
    """
    if isinstance(given, list) and isinstance(read, list | tuple):
        pairs: Iterable[tuple[int | str, object, object]] = zip(itertools.count(), given, read, strict=False)
    elif isinstance(given, dict) and isinstance(read, dict):
        pairs = ((key, given[key], read[key]) for key in given.keys() & read.keys())
    else:
        pairs = ()
        if isinstance(given, bool) and isinstance(read, int | float) and not isinstance(read, bool):
            yield (), given, "Input should be a number"
        elif isinstance(read, bool) and isinstance(given, int | float) and not isinstance(given, bool):
            yield (), given, "Input should be true or false"
        elif isinstance(read, float) and abs(read) > LARGEST_NUMBER:
            yield (), given, f"Input should be between -{LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}"
    for key, inner, inner_read in pairs:
        yield from (((key, *place), value, wanted) for place, value, wanted in _misread(inner, inner_read))
