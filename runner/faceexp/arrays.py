"""The names of NumPy's array types, for annotations; importing this module does not import NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
    FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
    IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]
else:
    # Only annotations name these types; importing NumPy for them would cost every command a tenth of a second.
    BoolArray = ByteArray = FloatArray = IntArray = Any
