"""The names of NumPy's array types, for annotations, and arrays in files; importing it does not import NumPy."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import DTypeLike

    BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
    FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
    IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]
else:
    # Only annotations name these types; importing NumPy for them would cost every command a tenth of a second.
    BoolArray = ByteArray = FloatArray = IntArray = Any

ZEROS = bytes(2**20)


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
