"""A change of the fleet that takes time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received
from ossa.sdk.values.task import Failure


class Operation(Received):
    """`progress` counts agents ready and wanted, by pool."""

    id: str
    kind: str
    status: str
    request: dict[str, Any] = {}
    progress: dict[str, Any] = {}
    error: Failure | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed")

    def raise_for_failure(self) -> Operation:
        """Itself when it succeeded or is still open; raises the error it failed with."""
        if self.error:
            raise self.error.to_error()
        return self


class Operations(Listing[Operation]):
    columns: ClassVar[tuple[str, ...]] = ("id", "kind", "status", "created_at", "updated_at")
