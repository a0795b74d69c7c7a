"""What a live router reports of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ossa.contracts.routing import ModelKind


class RouterMeter(Protocol):
    """What is counted."""

    def serves(self, kind: ModelKind, source: str, *, aside: bool) -> None: ...

    def swapped(self, kind: ModelKind) -> None: ...

    def refused(self, kind: ModelKind) -> None:
        """A promoted model could not be used."""

    def drifted(self, kind: ModelKind, drift: Mapping[str, float], alarm: float) -> None: ...

    def failed(self) -> None:
        """A round in which the registry was not reached."""


class NoMeter:
    def serves(self, kind: ModelKind, source: str, *, aside: bool) -> None: ...

    def swapped(self, kind: ModelKind) -> None: ...

    def refused(self, kind: ModelKind) -> None: ...

    def drifted(self, kind: ModelKind, drift: Mapping[str, float], alarm: float) -> None: ...

    def failed(self) -> None: ...
