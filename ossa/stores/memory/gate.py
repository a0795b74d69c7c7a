"""Whether the fake is up."""

from __future__ import annotations

from ossa.contracts.errors import StoreUnavailable


class Gate:
    def __init__(self) -> None:
        self.open = True

    def check(self) -> None:
        """Raises `StoreUnavailable` while the fake is down."""
        if not self.open:
            raise StoreUnavailable("The store in memory was told to be down.", retry_after_s=1.0)
