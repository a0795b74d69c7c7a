"""The index of a memory whose vector engine is not installed."""

from __future__ import annotations

from typing import Any, NoReturn

from ossa.contracts.errors import StoreUnavailable


class AbsentIndex:
    """`ossa.contracts.vectors.VectorIndex` without an engine. Every call raises `StoreUnavailable` with `reason`.

    A memory with this index keeps and lists its items; it cannot search by meaning.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def _refuse(self, *_args: Any, **_options: Any) -> NoReturn:
        raise StoreUnavailable(self._reason, retry_after_s=1.0)

    open = upsert = search = fetch = oldest = count = delete = delete_where = _refuse

    async def close(self) -> None:
        """Does nothing: there is nothing to close."""
