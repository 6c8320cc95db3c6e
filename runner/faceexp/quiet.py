"""For plugins around libraries that talk while they load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def silence() -> Iterator[None]:
    """Discard what Python writes to standard output and error, and what C++ writes past it while libraries load."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        saved = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in saved:
                os.dup2(nowhere.fileno(), number)
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
        finally:
            for number, duplicate in saved.items():
                os.dup2(duplicate, number)
                os.close(duplicate)
