"""Fewer tokens for the same answer: compression of context. `from ossa.vortex import compress` needs no server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ossa.contracts.compression import Compressed as Compressed
    from ossa.vortex.compression import compress as compress
    from ossa.vortex.originals import MemoryOriginals as MemoryOriginals
    from ossa.vortex.originals import decompress as decompress

_ROOMS = {
    "Compressed": "ossa.contracts.compression",
    "compress": "ossa.vortex.compression",
    "MemoryOriginals": "ossa.vortex.originals",
    "decompress": "ossa.vortex.originals",
}
__all__ = ["Compressed", "MemoryOriginals", "compress", "decompress"]


def __getattr__(name: str) -> Any:
    # Agents import this package for its small parts; numpy and the vectors are for those who compress.
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
