"""Remembering, recalling, forgetting, and who else may read: `client.memory`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from ossa.contracts.memory import ForgetProof, Grant, MemoryItem, Recalled, TierProof
from ossa.sdk.blocking import IO, Calls, call
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing

MEMORY = "/api/v1/memory"


class Recollection(Recalled):
    """`score`: cosine to the text that was asked for."""

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def kind(self) -> str:
        return self.item.kind

    @property
    def subject(self) -> str:
        return self.item.subject

    @property
    def content(self) -> str | None:
        return self.item.content

    @property
    def updated_at(self) -> datetime:
        return self.item.updated_at


class Recollections(Listing[Recollection]):
    columns: ClassVar[tuple[str, ...]] = ("id", "score", "kind", "subject", "updated_at", "content")


class PlaceProofs(Listing[TierProof]):
    columns: ClassVar[tuple[str, ...]] = ("tier", "removed", "left", "reason")


class MemoryGrants(Listing[Grant]):
    columns: ClassVar[tuple[str, ...]] = ("to", "kinds", "granted_at")


class MemoryCalls(Calls[IO]):
    """`client.memory`."""

    @call
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
    ) -> MemoryItem:
        """Remembers a text, durably when it returns.

        Under an `id` that is there already it replaces the item; `subject` is the person it is about.
        """
        body = {"content": content, **({"facts": dict(facts)} if facts else {})}
        body |= given(id=id, kind=kind, subject=subject, lasts_s=lasts_s, if_version=if_version)
        # Sent twice without an id it would make two items, with `if_version` a conflict.
        repeatable = id is not None and if_version is None
        return await self._exchange.send(MemoryItem, Request("POST", MEMORY, json=body, repeatable=repeatable))

    @call
    async def get(self, id: str, *, of: str | None = None) -> MemoryItem:
        """Returns the newest version; `of` another tenant, by its grant. Raises `NotFound`."""
        return await self._exchange.send(MemoryItem, Request("GET", path_of(MEMORY, id), given(of=of)))

    @call
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
        """Recalls by meaning, the nearest first; without a text by time, the newest first."""
        body = {"text": text, "limit": limit, **({"facts": dict(facts)} if facts else {})}
        body |= given(since=since and since.isoformat(), until=until and until.isoformat())
        body |= given(kind=kind, subject=subject, least_score=least_score, of=of)
        return await self._exchange.send(Recollections, Request("POST", path_of(MEMORY, "recall"), json=body))

    @call
    async def forget(self, id: str) -> ForgetProof:
        """Forgets one item, and proves it."""
        # Not repeatable: the second time there is none.
        return await self._exchange.send(ForgetProof, Request("DELETE", path_of(MEMORY, id), repeatable=False))

    @call
    async def forget_subject(self, subject: str) -> ForgetProof:
        """Forgets all about a person; needs the scope `admin`, as `forget_everything` does."""
        return await self._exchange.send(ForgetProof, _forget({"subject": subject}))

    @call
    async def forget_everything(self) -> ForgetProof:
        """Forgets all of the key's tenant."""
        return await self._exchange.send(ForgetProof, _forget({"everything": True}))

    @call
    async def grant(self, tenant: str, *kinds: str) -> Grant:
        """Lets another tenant read, these kinds alone where any is named. Needs the scope `admin`."""
        body = {"kinds": kinds} if kinds else {}
        return await self._exchange.send(Grant, Request("PUT", path_of(MEMORY, "grants", tenant), json=body))

    @call
    async def revoke(self, tenant: str) -> None:
        """Takes a grant back. Raises `NotFound`."""
        request = Request("DELETE", path_of(MEMORY, "grants", tenant), repeatable=False)
        await self._exchange.send_and_parse(request, lambda _: None)

    @call
    async def grants(self) -> MemoryGrants:
        """Lists the grants that the tenant gave."""
        return await self._exchange.send(MemoryGrants, Request("GET", path_of(MEMORY, "grants")))


def _forget(body: dict[str, Any]) -> Request:
    return Request("POST", path_of(MEMORY, "forget"), json=body)
