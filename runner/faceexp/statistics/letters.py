"""Letters that show which rows can be told apart: two rows share a letter if and only if no test separates them.

References:
    Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons", Journal of Computational and
    Graphical Statistics 13 (2004).
"""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Nobody can read a table in which rows have letters out of more than this.
MOST_LETTERS = 6


def letters(ranked: Sequence[str], different: set[frozenset[str]], most: int = MOST_LETTERS) -> dict[str, str]:
    """Return a compact letter display: two labels share a letter if and only if they are not different.

    "Cannot be told apart" need not be transitive, so a label may have several letters. Each letter stands for a set of
    labels no two of which are different, and every two labels that are not different are together in such a set. The
    sets are found by Piepho's steps of insert, absorb and sweep: labels come in one after the other and split the sets
    in which they differ from some labels; sets that are part of others go, and so does every set, and at the end every
    single letter of a label, that the others make superfluous. So there are never more sets than pairs of labels, and
    the work is bounded. The smallest possible number of sets is not sought, since that takes exponential time.

    Args:
        ranked: Labels, the best first. Letters are given in this order, so that the first label has an ``a``.
        different: Pairs of labels that are different.
        most: So many letters may be used. If more are needed, for all labels or already for the best of them, every
            label has the empty string, and the display says nothing.
    """
    alike = {label: {other for other in ranked if frozenset((label, other)) not in different} for label in ranked}
    columns: list[set[str]] = []
    for label in ranked:
        # Every column splits into the part that may stay with the label, and itself without the label.
        columns = _absorb([{label}, *({label} | (column & alike[label]) for column in columns), *columns])
        for column in reversed(columns.copy()):
            if all(_superfluous(member, column, columns) for member in column):
                columns.remove(column)
        if len(columns) > most:
            return dict.fromkeys(ranked, "")
    rank = {label: position for position, label in enumerate(ranked)}
    for column in reversed(columns):
        # The lowest ranked lose their letters first.
        for member in sorted(column, key=lambda label: -rank[label]):
            if _superfluous(member, column, columns):
                column.remove(member)
    columns.sort(key=lambda column: sorted(rank[label] for label in column))
    return {
        label: "".join(_letter(index) for index, column in enumerate(columns) if label in column) for label in ranked
    }


def _absorb(columns: Iterable[set[str]]) -> list[set[str]]:
    """Return the columns that are not part of others, the largest first."""
    absorbed: list[set[str]] = []
    for column in sorted(columns, key=len, reverse=True):
        if not any(column <= other for other in absorbed):
            absorbed.append(column)
    return absorbed


def _superfluous(member: str, column: set[str], columns: list[set[str]]) -> bool:
    """Return whether a label shares another column with each label of this one."""
    others = (other for other in columns if member in other and other is not column)
    return column <= set().union(*others)


def _letter(index: int) -> str:
    """Return a, b, ..., z, A, ..., Z, a1, b1, ..."""
    turn, letter = divmod(index, len(ascii_letters))
    return ascii_letters[letter] + (str(turn) if turn else "")
