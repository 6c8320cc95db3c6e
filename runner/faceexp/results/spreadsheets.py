"""Cells of CSV files, which people open with a spreadsheet."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from faceexp.errors import printable

# A cell that begins with one of these is a formula, which may start programs and send data away. A spreadsheet in
# Japanese takes the wide forms for the same signs.
FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_cells(cells: Iterable[object]) -> list[object]:
    """Return the cells of a row: text is printable and never a formula, since an apostrophe makes it text.

    Numbers stay numbers. Every CSV file is written of such rows.
    """
    return [_text(cell) if isinstance(cell, str) else cell for cell in cells]


# A list of pairs names the same photos again and again.
@functools.lru_cache(maxsize=2**16)
def _text(cell: str) -> str:
    text = printable(cell)
    return f"'{text}" if text.lstrip().startswith(FORMULAS) else text
