"""How weights follow their gradients: optimiser, learning rate and its schedule, and what large gradients become."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from faceexp.contract.plugin import LARGEST_NUMBER
from faceexp.errors import did_you_mean
from faceexp.experiment.detect import OWN_TABLE
from faceexp.experiment.keras_optimizers import Defaults, keras_optimizers
from faceexp.experiment.messages import short
from faceexp.experiment.table import Options, Table, refusal

# The optimiser where a file names none; with options of its own, it is that of Keras.
USUAL_OPTIMIZER = "adam"
# Options of Keras that cannot be given, and what to do instead.
NOT_TAKEN = {
    "learning_rate": "is a key beside optimizer",
    "global_clipnorm": "is the key clip_norm beside optimizer",
    "clipvalue": "is the key clip_value beside optimizer",
    "loss_scale_factor": "belongs to losses that are scaled, and none is",
}
USUAL_FACTOR = 0.1
Rate = Annotated[float, Field(gt=0, le=LARGEST_NUMBER)]


class Optimizer(Table):
    """An optimiser of Keras by its name, with its own options."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(str.lower)] = Field(
        description="Name of an optimiser of keras.optimizers, such as adam, adamw or sgd."
    )

    @property
    def options(self) -> Options:
        """Its own options, as Keras takes them."""
        return dict(self.model_extra or {})

    @property
    def is_usual(self) -> bool:
        """Whether it does what is done where no optimiser is named."""
        return self.name == USUAL_OPTIMIZER and not self.model_extra

    @model_validator(mode="before")
    @classmethod
    def _as_keras_takes_it(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file says
        """Check name and options without Keras, whose import takes seconds; it checks them again before training."""
        known = keras_optimizers()
        if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not known:
            return given
        name = given["name"].lower()
        if name not in known:
            message = f"no optimiser {short(given['name'])}; {did_you_mean(name, known)}"
            raise ValidationError.from_exception_data(cls.__name__, [refusal(("name",), message, given["name"])])
        options = {key: value for key, value in given.items() if key != "name"}
        refused = [refusal((key,), why, options[key]) for key, why in _refused(name, options, known[name])]
        if refused:
            raise ValidationError.from_exception_data(cls.__name__, refused)
        # Keras tells 0 from 0.0.
        decimals = {key: float(value) for key, value in options.items() if isinstance(known[name][key], float)}
        return {**given, **decimals, "name": name}


def _refused(name: str, options: Options, defaults: Defaults) -> Iterator[tuple[str, str]]:
    """Yield which options an optimiser does not take, and why."""
    taken = sorted(defaults.keys() - NOT_TAKEN.keys() - {"name"})
    for key, value in options.items():
        default = defaults.get(key)
        if key in NOT_TAKEN:
            yield key, NOT_TAKEN[key]
        elif key not in taken:
            yield key, f"unknown option of optimiser {name!r}; {did_you_mean(key, taken)}"
        elif isinstance(default, bool) and not isinstance(value, bool):
            yield key, f"must be true or false, not {short(value)}"
        elif isinstance(default, int | float) and not isinstance(default, bool):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
                yield key, f"must be a number, not {short(value)}"
    if options.get("use_ema") and not options.get("ema_overwrite_frequency"):
        yield (
            "use_ema",
            "changes nothing without ema_overwrite_frequency, the steps after which weights become their mean",
        )


def _whole_from_one_on(value: float) -> float:
    if value >= 1 and value != int(value):
        raise ValueError("must be a share of all steps below 1, or a whole number of steps")
    return value


# Below 1 it is a share of all steps; from 1 on it counts steps.
Steps = Annotated[float, Field(ge=0, le=LARGEST_NUMBER), AfterValidator(_whole_from_one_on)]


class Schedule(Table):
    """What the learning rate is multiplied by from step to step."""

    kind: Literal["constant", "cosine", "step"] = Field(
        "constant",
        description="constant: as it is; cosine: down to 0 at the last step, along half a wave; step: by a factor at "
        "each milestone.",
    )
    warmup: Steps = Field(
        0.0,
        description="Steps in which the rate first rises from 0 along a line; a share of all steps if it is below 1.",
    )
    milestones: Annotated[tuple[Steps, ...], Field(min_length=1, strict=False)] | None = Field(
        None, description="step: after how many steps the rate falls, each a share of all steps if it is below 1."
    )
    factor: float | None = Field(
        None, gt=0, lt=1, description=f"step: what a milestone multiplies the rate by; {USUAL_FACTOR:g} by default."
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_factor(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file says
        return {"factor": USUAL_FACTOR, **given} if isinstance(given, dict) and given.get("kind") == "step" else given

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Schedule:
        if self.kind == "step":
            if self.milestones is None:
                raise ValueError("step needs milestones, such as milestones = [0.5, 0.75]")
            # Shares and steps can only be compared with their own kind.
            for group in ([m for m in self.milestones if m < 1], [m for m in self.milestones if m >= 1]):
                if any(later <= earlier for earlier, later in itertools.pairwise([0.0, *group])):
                    raise ValueError("milestones must rise, from above 0")
            return self
        for key in ("milestones", "factor"):
            if getattr(self, key) is not None:
                raise ValueError(f'{key} belongs to kind = "step", not to {self.kind}')
        return self

    @property
    def counted(self) -> list[float]:
        """What counts steps, so that it can lie beyond the last one."""
        return [steps for steps in (self.warmup, *(self.milestones or ())) if steps >= 1]


def _share_or_number(value: float) -> float:
    if value >= 1 and value != int(value):
        raise ValueError("must be a share of all identities below 1, or a whole number of identities")
    return value


# Of identities: below 1 a share of all, from 1 on a number. With false, a row has no sample where the others have one.
Sample = Annotated[float, Field(gt=0, le=LARGEST_NUMBER), AfterValidator(_share_or_number)]
MaybeSample = Annotated[
    Annotated[Literal[False], Tag("none")] | Annotated[Sample, Tag(OWN_TABLE)],
    Discriminator(lambda given: "none" if given is False else OWN_TABLE),
]
# Options of Keras that do something every few steps, when most rows of a sample have been exchanged for others.
EVERY_FEW_STEPS = ("use_ema", "gradient_accumulation_steps")


def sample_size(sampled: float, classes: int) -> int:
    """Return how many identities take part in each step, of those that there are."""
    return round(sampled * classes) if sampled < 1 else int(sampled)


class Optimization(Table):
    """What every phase of training says of its steps."""

    # Keys that older files do not have: a run's folder is named after a digest of the file, as in Protocol.
    later: ClassVar[tuple[str, ...]] = ("optimizer", "schedule", "clip_norm", "clip_value", "sampled_classes")

    learning_rate: Rate = Field(
        1e-3,
        description="Learning rate of the optimiser.",
        json_schema_extra={"search": {"low": 1e-5, "high": 1e-2, "log": True}},
    )
    optimizer: Optimizer | None = Field(None, description="The optimiser; without it Adam, with its usual options.")
    schedule: Schedule | None = Field(
        None, description="How the learning rate changes from step to step; without it, it stays."
    )
    clip_norm: Rate | None = Field(
        None, description="Shorten all gradients together, so that their length is this at most."
    )
    clip_value: Rate | None = Field(None, description="Cut each number of a gradient at this size.")
    sampled_classes: MaybeSample | None = Field(
        None,
        description="How many identities' class weights each step sees and changes: those of its batch, and others "
        "drawn at random; a share of all identities if it is below 1. Without it, or with false, all.",
    )

    @model_validator(mode="after")
    def _clips_in_one_way(self) -> Optimization:
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("has clip_norm and clip_value; choose one of them")
        return self

    @property
    def sampled(self) -> float | None:
        """How many identities each step sees, or their share; nothing where it sees all."""
        return self.sampled_classes or None

    @model_validator(mode="after")
    def _changes_rows_at_each_step(self) -> Optimization:
        differing = getattr(self, "proxies", None)
        optimizer = (differing and differing.optimizer) or self.optimizer
        if self.sampled and optimizer:
            for key in EVERY_FEW_STEPS:
                if optimizer.options.get(key):
                    raise ValueError(
                        f"has sampled_classes and an optimizer with {key}, which changes weights every few steps, when "
                        "others take part; leave one of them out"
                    )
        return self

    @model_serializer(mode="wrap")
    def _without_what_older_files_lack(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if key not in self.later or value is not None}


class Proxies(Table):
    """What differs for the weights of a loss, such as its proxies; the rest is as for the network."""

    learning_rate: Rate | None = Field(None, description="Their learning rate; by default that of the network.")
    optimizer: Optimizer | None = Field(None, description="Their optimiser; by default that of the network.")
