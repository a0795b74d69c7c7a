"""Whether the fake is up."""

from __future__ import annotations

from ossa.contracts.errors import StoreUnavailable

DOWN = "The store in memory was told to be down."


class Gate:
    def __init__(self) -> None:
        self.open = True
        self.reason = DOWN

    def check(self) -> None:
        """Raises `StoreUnavailable` while the fake is down."""
        if not self.open:
            raise StoreUnavailable(self.reason, retry_after_s=1.0)
