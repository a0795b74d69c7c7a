"""`client.routing`, blocking and asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ossa.sdk.async_sender import AsyncSender
from ossa.sdk.calls import routing as calls
from ossa.sdk.sender import Sender
from ossa.sdk.values.routing import Policy, RolledBack, RouterModel, RouterModels, RouterStatus


class RoutingCalls:
    """Policies need a key with the scope `admin`; promoting and rolling back need `fleet:write`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def status(self) -> RouterStatus:
        """What decides now, in the replica that answers."""
        return self._sender.send(calls.status())

    def policy(self, *, tenant: str | None = None) -> Policy:
        """The policy that holds for the key's tenant; another one's, or that of `*`, is the operator's to see."""
        return self._sender.send(calls.policy(tenant))

    def set_policy(self, settings: Mapping[str, Any], *, tenant: str | None = None) -> Policy:
        """Replaces the whole policy; what `settings` leaves out is as usual."""
        return self._sender.send(calls.set_policy(settings, tenant))

    def remove_policy(self, *, tenant: str | None = None) -> Policy:
        """Returns what holds from now on."""
        return self._sender.send(calls.remove_policy(tenant))

    def models(self, *, kind: str | None = None) -> RouterModels:
        """Newest first."""
        return self._sender.send(calls.models(kind))

    def promote(self, kind: str, version: int) -> RouterModel:
        return self._sender.send(calls.promote(kind, version))

    def roll_back(self, kind: str) -> RolledBack:
        """To the model that was live before; without one to the packaged model (`forecast`: to simple methods)."""
        return self._sender.send(calls.roll_back(kind))


class AsyncRoutingCalls:
    """Policies need a key with the scope `admin`; promoting and rolling back need `fleet:write`."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def status(self) -> RouterStatus:
        """What decides now, in the replica that answers."""
        return await self._sender.send(calls.status())

    async def policy(self, *, tenant: str | None = None) -> Policy:
        """The policy that holds for the key's tenant; another one's, or that of `*`, is the operator's to see."""
        return await self._sender.send(calls.policy(tenant))

    async def set_policy(self, settings: Mapping[str, Any], *, tenant: str | None = None) -> Policy:
        """Replaces the whole policy; what `settings` leaves out is as usual."""
        return await self._sender.send(calls.set_policy(settings, tenant))

    async def remove_policy(self, *, tenant: str | None = None) -> Policy:
        """Returns what holds from now on."""
        return await self._sender.send(calls.remove_policy(tenant))

    async def models(self, *, kind: str | None = None) -> RouterModels:
        """Newest first."""
        return await self._sender.send(calls.models(kind))

    async def promote(self, kind: str, version: int) -> RouterModel:
        return await self._sender.send(calls.promote(kind, version))

    async def roll_back(self, kind: str) -> RolledBack:
        """To the model that was live before; without one to the packaged model (`forecast`: to simple methods)."""
        return await self._sender.send(calls.roll_back(kind))
