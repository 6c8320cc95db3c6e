"""What a search varies: dimensions, each with its values and its default."""

from __future__ import annotations

from dataclasses import dataclass

from faceexp.experiment.lines import KeyPath
from faceexp.experiment.search import Between, Space
from faceexp.experiment.toml import spell


@dataclass(frozen=True)
class Dimension:
    """One thing that a search varies.

    Attributes:
        path: Its place as people write it: inside the table of a loss, or inside the file.
        place: Its place inside a file that has this loss alone.
        space: The values.
        default: What it is where nothing is written. Where something has to be written, it is the first of several
            choices, and ``None`` for a range.
        suggested: Whether the plugin suggests the range, not the file.
        is_needed: Whether something has to be written.
    """

    path: KeyPath
    place: KeyPath
    space: Space
    default: object
    suggested: bool = False
    is_needed: bool = False

    @property
    def name(self) -> str:
        """How people write it: ``finetune.learning_rate``."""
        return spell(self.path)

    @property
    def holds_default(self) -> bool:
        """Whether the default is among the values."""
        if isinstance(self.space, Between):
            return self.space.holds(self.default)
        return self.default in self.space.choices


@dataclass(frozen=True)
class Varied:
    """Everything that one search varies.

    Attributes:
        label: What is searched, as people are told.
        dimensions: What is varied of it.
    """

    label: str
    dimensions: tuple[Dimension, ...]

    @property
    def defaults(self) -> dict[str, object] | None:
        """The default values, if all of them are among those that are searched."""
        if not all(each.holds_default for each in self.dimensions):
            return None
        return {each.name: each.default for each in self.dimensions}

    @property
    def usual(self) -> dict[str, object]:
        """The default of each dimension, or a value in the middle of its range where that does not hold it."""
        return {
            each.name: each.default
            if each.holds_default
            else each.space.middle
            if isinstance(each.space, Between)
            else each.space.choices[0]
            for each in self.dimensions
        }


@dataclass(frozen=True)
class LossSpace(Varied):
    """Everything that a search varies of one loss.

    Attributes:
        index: Which table of the file the loss has.
        plugin: Its plugin.
    """

    index: int
    plugin: str
