"""Letters that show which rows can be told apart: two rows share a letter if and only if no test separates them.

References:
    Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons", Journal of Computational and
    Graphical Statistics 13 (2004).
"""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def letters(ranked: Sequence[str], different: set[frozenset[str]]) -> dict[str, str]:
    """Return a compact letter display: two labels share a letter if and only if they are not different.

    There is one letter for each set of labels no two of which are different and to which no other label can be added.
    "Cannot be told apart" need not be transitive, so a label may have several letters. The sets are found by the method
    of insert and absorb: start with one set of all labels, split it at each difference, and drop sets that are part of
    others.

    Args:
        ranked: Labels, the best first. Letters are given in this order, so that the first label has an ``a``.
        different: Pairs of labels that are different.
    """
    columns = [frozenset(ranked)] if ranked else []
    for pair in sorted(different, key=sorted):
        split = {column - {label} if pair <= column else column for column in columns for label in pair}
        columns = [column for column in split if not any(column < other for other in split)]
    rank = {label: position for position, label in enumerate(ranked)}
    columns.sort(key=lambda column: sorted(rank[label] for label in column))
    return {
        label: "".join(_letter(index) for index, column in enumerate(columns) if label in column) for label in ranked
    }


def _letter(index: int) -> str:
    """Return a, b, ..., z, A, ..., Z, a1, b1, ..."""
    turn, letter = divmod(index, len(ascii_letters))
    return ascii_letters[letter] + (str(turn) if turn else "")
