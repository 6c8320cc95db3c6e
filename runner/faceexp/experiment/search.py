"""What an experiment searches for: the table [search], and the ranges that stand in the place of values."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from faceexp.experiment.table import Table, unique

# More trials of one loss than this are no search any more, but a week of computing.
MAX_TRIALS = 10_000
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Search(Table):
    """Settings are searched for on validation people, with equal budgets for every loss, before losses are compared."""

    trials: int = Field(30, ge=1, le=MAX_TRIALS, description="How many settings are tried of every loss.")
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe",
        description="How they are chosen: tpe learns from the trials so far (Optuna's tree-structured Parzen "
        "estimator), random does not, grid takes points at equal distances and random ones for what is left.",
    )
    pruner: Literal["none", "median", "hyperband"] = Field(
        "none",
        description="Whether a trial ends after the seeds or folds in which it does worse than others; its budget "
        "counts as spent.",
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False), AfterValidator(unique)] = Field(
        (100, 101),
        description="Each trial is trained with these seeds, none of which may be a seed of the comparison; its score "
        "is the mean over them and their folds.",
    )
    suggested: bool = Field(
        True,
        description="Also search the options that the file does not write, over the ranges that plugins suggest.",
    )
    defaults: bool = Field(
        True,
        description="Also train every loss at its default settings in the comparison, to tell what tuning gained.",
    )


def _is_number(given: object, read: ValidatorFunctionWrapHandler) -> object:
    """Tell once what is no number, not once for each kind of number."""
    try:
        return read(given)
    except ValidationError:
        raise PydanticCustomError("float_type", "Input should be a valid number") from None


End = Annotated[int | float, WrapValidator(_is_number)]


class Between(Table):
    """A range of numbers, written in the place of one: ``{ low = 0.1, high = 10.0, log = true }``."""

    low: End = Field(description="The smallest value.")
    high: End = Field(description="The largest value.")
    log: bool = Field(False, description="Whether to search by orders of magnitude.")
    step: Annotated[int | float | None, WrapValidator(_is_number)] = Field(
        None, description="The distance between two values; without it, any value between low and high."
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Between:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError("log = true needs low > 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step = {self.step:g} is not above 0")
        if self.step is not None and self.low + self.step > self.high:
            raise ValueError("step is larger than the range")
        return self

    @property
    def whole(self) -> bool:
        """Whether both ends, and the step if there is one, are whole numbers."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))

    @property
    def last(self) -> int | float:
        """The largest value that is taken, which steps may not reach."""
        if self.step is None:
            return self.high
        return min(self.high, _short(self.low + self._steps * self.step))

    @property
    def _steps(self) -> int:
        return math.floor((self.high - self.low) / self.step + 1e-9) if self.step else 0

    @property
    def middle(self) -> int | float:
        """A value in the middle, by orders of magnitude where the range is searched so."""
        return self.points(3)[1]

    def points(self, count: int) -> list[int | float]:
        """Return so many values at equal distances, both ends among them; fewer where there are not as many."""
        shares = [index / (count - 1) for index in range(count)] if count > 1 else [0.5]
        if self.step is not None:
            values: list[int | float] = [self.low + round(share * self._steps) * self.step for share in shares]
        elif self.log:
            values = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            values = [self.low + (self.high - self.low) * share for share in shares]
        if count > 1 and self.step is None:
            values[0], values[-1] = self.low, self.high
        return list(dict.fromkeys(round(value) if self.whole else _short(value) for value in values))

    @property
    def of_fractions(self) -> Between:
        """The range with every number between its ends, even where the ends are whole."""
        return self.model_copy(update={"low": float(self.low), "high": float(self.high)})

    def holds(self, value: object) -> bool:
        """Return whether a value lies in the range, and on one of its steps."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < 1e-9

    def __str__(self) -> str:
        """Return it in words, such as ``0.1 to 10, by orders of magnitude``."""
        how = ", by orders of magnitude" if self.log else f", in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{how}"


class OneOf(Table):
    """A list of values, one of which is taken: ``{ choices = ["balanced", "random"] }``."""

    choices: list[Any] = Field(min_length=2, description="The values.")

    @model_validator(mode="after")
    def _are_different(self) -> OneOf:
        if any(value in self.choices[:place] for place, value in enumerate(self.choices)):
            raise ValueError("choices must not repeat")
        return self

    def __str__(self) -> str:
        """Return it in words, such as ``one of "a", "b"``."""
        return f"one of {', '.join(json.dumps(value, default=str) for value in self.choices)}"


Space = Between | OneOf


def suggestion(written: object) -> Space:
    """Return a range as a plugin suggests it: a table as in a file, or a list of choices.

    Raises:
        pydantic.ValidationError: It is none.
    """
    table = {"choices": list(written)} if isinstance(written, list | tuple) else written
    space: Space = TypeAdapter(Space).validate_python(table)
    return space


def _short(value: float) -> float:
    """Return a number without what sums of decimal fractions leave behind: 0.1 + 2 * 0.1 is 0.3."""
    return float(f"{value:.12g}")
