"""`client.memory`: remember, recall, forget, grant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ossa.sdk.async_sender import AsyncSender
from ossa.sdk.calls import memory as calls
from ossa.sdk.sender import Sender
from ossa.sdk.values.memory import ForgetProof, MemoryGrant, MemoryGrants, Recollections, Remembered


class MemoryCalls:
    """`client.memory`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def remember(
        self,
        content: str,
        *,
        id: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        facts: Mapping[str, Any] | None = None,
        lasts_s: float | None = None,
        if_version: int | None = None,
    ) -> Remembered:
        """Durable when it returns. Under a known `id` it replaces; `subject` is the person it is about."""
        call = calls.remember(
            content, id=id, kind=kind, subject=subject, facts=facts, lasts_s=lasts_s, if_version=if_version
        )
        return self._sender.send(call)

    def get(self, id: str, *, of: str | None = None) -> Remembered:
        """The newest version; `of` another tenant, by its grant. Raises `NotFound`."""
        return self._sender.send(calls.get(id, of=of))

    def recall(
        self,
        text: str = "",
        *,
        kind: str | None = None,
        subject: str | None = None,
        facts: Mapping[str, Any] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 10,
        least_score: float | None = None,
        of: str | None = None,
    ) -> Recollections:
        """By meaning, the nearest first; without a text by time, the newest first."""
        call = calls.recall(
            text,
            kind=kind,
            subject=subject,
            facts=facts,
            since=since,
            until=until,
            limit=limit,
            least_score=least_score,
            of=of,
        )
        return self._sender.send(call)

    def forget(self, id: str) -> ForgetProof:
        return self._sender.send(calls.forget(id))

    def forget_subject(self, subject: str) -> ForgetProof:
        """All about a person; needs the scope `admin`, as `forget_everything` does."""
        return self._sender.send(calls.forget_subject(subject))

    def forget_everything(self) -> ForgetProof:
        """All of the key's tenant."""
        return self._sender.send(calls.forget_everything())

    def grant(self, tenant: str, *kinds: str) -> MemoryGrant:
        """Let another tenant read, these kinds alone where any is named. Needs the scope `admin`."""
        return self._sender.send(calls.grant(tenant, kinds))

    def revoke(self, tenant: str) -> None:
        self._sender.send(calls.revoke(tenant))

    def grants(self) -> MemoryGrants:
        return self._sender.send(calls.grants())


class AsyncMemoryCalls:
    """`client.memory`."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def remember(
        self,
        content: str,
        *,
        id: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        facts: Mapping[str, Any] | None = None,
        lasts_s: float | None = None,
        if_version: int | None = None,
    ) -> Remembered:
        """Durable when it returns. Under a known `id` it replaces; `subject` is the person it is about."""
        call = calls.remember(
            content, id=id, kind=kind, subject=subject, facts=facts, lasts_s=lasts_s, if_version=if_version
        )
        return await self._sender.send(call)

    async def get(self, id: str, *, of: str | None = None) -> Remembered:
        """The newest version; `of` another tenant, by its grant. Raises `NotFound`."""
        return await self._sender.send(calls.get(id, of=of))

    async def recall(
        self,
        text: str = "",
        *,
        kind: str | None = None,
        subject: str | None = None,
        facts: Mapping[str, Any] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 10,
        least_score: float | None = None,
        of: str | None = None,
    ) -> Recollections:
        """By meaning, the nearest first; without a text by time, the newest first."""
        call = calls.recall(
            text,
            kind=kind,
            subject=subject,
            facts=facts,
            since=since,
            until=until,
            limit=limit,
            least_score=least_score,
            of=of,
        )
        return await self._sender.send(call)

    async def forget(self, id: str) -> ForgetProof:
        return await self._sender.send(calls.forget(id))

    async def forget_subject(self, subject: str) -> ForgetProof:
        """All about a person; needs the scope `admin`, as `forget_everything` does."""
        return await self._sender.send(calls.forget_subject(subject))

    async def forget_everything(self) -> ForgetProof:
        """All of the key's tenant."""
        return await self._sender.send(calls.forget_everything())

    async def grant(self, tenant: str, *kinds: str) -> MemoryGrant:
        """Let another tenant read, these kinds alone where any is named. Needs the scope `admin`."""
        return await self._sender.send(calls.grant(tenant, kinds))

    async def revoke(self, tenant: str) -> None:
        await self._sender.send(calls.revoke(tenant))

    async def grants(self) -> MemoryGrants:
        return await self._sender.send(calls.grants())
