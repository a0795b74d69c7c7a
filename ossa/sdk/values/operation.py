"""A change of the fleet that takes time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
