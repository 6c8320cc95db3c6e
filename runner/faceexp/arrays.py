"""The names of NumPy's array types, for annotations; arrays in files; how many cores share the work on small arrays.

Importing it does not import NumPy.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import DTypeLike
    from threadpoolctl import ThreadpoolController

    AnyArray = np.ndarray[Any, np.dtype[Any]]
    BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
    FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
    IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]
else:
    # Only annotations name these types; importing NumPy for them would cost every command a tenth of a second.
    AnyArray = BoolArray = ByteArray = FloatArray = IntArray = Any

ZEROS = bytes(2**20)

# Arrays of at most so many numbers, 2,000 embeddings of 512, are small: one core takes less than a tenth of a second
# for the matrix product of two of them.
SMALL = 2**20


@contextlib.contextmanager
def on_one_core(numbers: int) -> Iterator[None]:
    """Let linear algebra use one core inside this context, if the arrays are small.

    The threads of a matrix product stay busy for some milliseconds afterwards, in case there is another one. After a
    small product that costs more than they have gained, and takes the cores from whatever comes next.

    Args:
        numbers: How many numbers the largest array has; for more than ``SMALL``, nothing is changed.
    """
    if numbers > SMALL:
        yield
        return
    with _controller(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@functools.lru_cache(maxsize=1)
def _controller(modules: int) -> ThreadpoolController:  # noqa: ARG001 - a new module may bring a library of its own
    """Return what knows the libraries of linear algebra that are loaded; to look for them takes ten milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def new_array_file(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[Any]]:
    """Return a new array of zeros that lies in a .npy file, mapped into memory, all of whose room on disk is reserved.

    Without the room, writing to such an array on a full disk would end the process, by a signal that Python does not
    see.

    Raises:
        OSError: The file cannot be made, or the disk has too little room.
    """
    import numpy as np

    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except (AttributeError, OSError) as error:
            # Some systems do not know this function, and some kinds of disk do not serve it: then zeros are written.
            if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            file.seek(path.stat().st_size - array.nbytes)
            for begin in range(0, array.nbytes, len(ZEROS)):
                file.write(ZEROS[: array.nbytes - begin])
    return array
