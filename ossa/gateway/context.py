"""What HTTP routes work with. `create_app` makes it once and keeps it on the app's state."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import Request

from ossa.gateway.core import GatewayCore
from ossa.gateway.dispatcher import Dispatcher
from ossa.gateway.hooks import Extension
from ossa.tenancy.key_ring import KeyRing

T = TypeVar("T")


@dataclass(frozen=True)
class GatewayContext:
    """A replica with its extensions by name."""

    core: GatewayCore
    dispatcher: Dispatcher
    keys: KeyRing
    extensions: Mapping[str, Extension]
    version: str
    started_at: float = field(default_factory=time.time)
    spawning: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """One lock a tenant: its own agents are counted and added to one at a time."""

    def service(self, kind: type[T], extension: str) -> T:
        """The service of an extension. Raises `LookupError` where the extension is not installed or has another one."""
        service = self.extensions[extension].service
        if not isinstance(service, kind):
            raise LookupError(f"The extension {extension!r} has no {kind.__name__}.")
        return service


def context_of(request: Request) -> GatewayContext:
    context: GatewayContext = request.app.state.context
    return context
