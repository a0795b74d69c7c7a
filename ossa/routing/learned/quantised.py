"""Tables of weights in a byte a number: each row is scaled by its largest entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MOST = 127


def quantise(table: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """(rows x columns of int8, a scale a row)."""
    scale = np.maximum(np.abs(table).max(axis=1, initial=0.0) / MOST, 1e-7).astype(np.float16)
    rounded = np.clip(np.round(table / np.maximum(scale.astype(np.float32), 1e-7)[:, None]), -MOST, MOST)
    return rounded.astype(np.int8), scale


def restore(table: NDArray[np.int8], scale: NDArray[np.float16]) -> Floats:
    found: Floats = table.astype(np.float32) * scale.astype(np.float32)[:, None]
    return found
