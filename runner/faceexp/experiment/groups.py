"""What the key ``groups`` of the table [evaluation] names: a column of the data, and bands where it holds numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

# The edges of bands stand behind the last colon of a text: ``age:0-30-50-120``.
_BANDS = re.compile(r"(?P<column>.+):(?P<edges>[0-9.]+(?:-[0-9.]+)+)", re.DOTALL)


@dataclass(frozen=True)
class Grouping:
    """A column whose values are groups.

    Attributes:
        column: The name of the column.
        edges: Where bands of numbers begin, and behind them where the last one ends; empty where each value is a group.
    """

    column: str
    edges: tuple[float, ...] = ()

    @classmethod
    def of(cls, text: str) -> Grouping:
        """Return what a text such as ``sex`` or ``age:0-30-50-120`` means.

        Raises:
            ValueError: The edges of bands are no numbers, or do not ascend.
        """
        written = _BANDS.fullmatch(text)
        if written is None:
            return cls(text)
        try:
            edges = tuple(float(edge) for edge in written["edges"].split("-"))
        except ValueError:
            raise ValueError(f"{written['edges']!r} are no edges of bands; write age:0-30-50-120") from None
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError("the edges of bands have to ascend, as in age:0-30-50-120")
        return cls(written["column"], edges)

    @property
    def bands(self) -> tuple[str, ...]:
        """What the bands are called. A band holds its lower edge; only the last one holds its upper edge, too."""
        return tuple(f"{low:g} to {high:g}" for low, high in pairwise(self.edges))
