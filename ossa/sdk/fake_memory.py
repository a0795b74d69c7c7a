"""The fake gateway's memory: one tenant's, found by the words they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx

from ossa.contracts.errors import Conflict, NotFound

Handler = Callable[..., httpx.Response]


class FakeMemories:
    """`items` by id, `grants` by tenant."""

    def __init__(self, now: str) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.grants: dict[str, dict[str, Any]] = {}
        self._now = now
        self._versions = 0

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        path = "/api/v1/memory"
        grant = f"{path}/grants/([^/]+)"
        return (
            ("POST", path, self._remember),
            ("POST", f"{path}/recall", self._recall),
            ("POST", f"{path}/forget", self._forget_all),
            ("GET", f"{path}/grants", lambda _: httpx.Response(200, json={"data": list(self.grants.values())})),
            ("PUT", grant, self._grant),
            ("DELETE", grant, self._revoke),
            ("GET", f"{path}/([^/]+)", lambda _, id: httpx.Response(200, json=self._one(id))),
            ("DELETE", f"{path}/([^/]+)", self._forget),
        )

    def _remember(self, request: httpx.Request) -> httpx.Response:
        asked: dict[str, Any] = json.loads(request.content)
        self._versions += 1
        id = asked.pop("id", None) or f"mem_{self._versions:032x}"
        there = self.items.get(id, {"version": 0, "created_at": self._now})
        wanted = asked.pop("if_version", None)
        if wanted not in (None, there["version"]):
            raise Conflict(f"{id} is at version {there['version']}, not {wanted}.", param="if_version")
        asked.pop("lasts_s", None)
        usual: dict[str, Any] = {
            "kind": "fact",
            "subject": "",
            "facts": {},
            "tenant": "default",
            "tier": "warm",
            "expires_at": None,
        }
        times = {"created_at": there["created_at"], "updated_at": self._now}
        self.items[id] = {**usual, **asked, **times, "id": id, "version": self._versions}
        return httpx.Response(200, json=self.items[id])

    def _recall(self, request: httpx.Request) -> httpx.Response:
        asked: dict[str, Any] = json.loads(request.content)
        if asked.get("of"):
            raise NotFound(f"There is no such memory of {asked['of']} that you may read.")
        text = str(asked.get("text") or "")
        found = [item for item in self.items.values() if _matches(item, asked)]
        found.sort(key=lambda item: (-_likeness(item, text), -item["version"]))
        data = [{"item": item, "score": _likeness(item, text) if text else None} for item in found]
        return httpx.Response(200, json={"data": data[: asked.get("limit", 10)]})

    def _forget(self, _: httpx.Request, id: str) -> httpx.Response:
        self._one(id)
        return self._forgotten([unquote(id)])

    def _forget_all(self, request: httpx.Request) -> httpx.Response:
        subject = json.loads(request.content).get("subject")
        return self._forgotten([id for id, item in self.items.items() if subject in (None, item["subject"])])

    def _forgotten(self, ids: list[str]) -> httpx.Response:
        for id in ids:
            del self.items[id]
        places = [{"tier": tier, "removed": len(ids), "left": 0} for tier in ("catalogue", "hot", "warm", "cold")]
        proof = {
            "id": "erasure_fake",
            "at": self._now,
            "items": len(ids),
            "fence": 1,
            "scope": {"tenant": "default"},
            "places": places,
            "complete": True,
        }
        return httpx.Response(200, json=proof)

    def _grant(self, request: httpx.Request, tenant: str) -> httpx.Response:
        kinds = json.loads(request.content).get("kinds", ["*"])
        name = unquote(tenant)
        self.grants[name] = {"tenant": "default", "to": name, "kinds": kinds, "granted_at": self._now}
        return httpx.Response(200, json=self.grants[name])

    def _revoke(self, _: httpx.Request, tenant: str) -> httpx.Response:
        if self.grants.pop(unquote(tenant), None) is None:
            raise NotFound(f"There is no grant to {tenant}.")
        return httpx.Response(204)

    def _one(self, id: str) -> dict[str, Any]:
        if unquote(id) not in self.items:
            raise NotFound(f"There is no memory {id}.")
        return self.items[unquote(id)]


def _matches(item: dict[str, Any], asked: dict[str, Any]) -> bool:
    same = all(asked.get(name) in (None, item[name]) for name in ("kind", "subject"))
    return same and all(item["facts"].get(name) == value for name, value in asked.get("facts", {}).items())


def _likeness(item: dict[str, Any], text: str) -> float:
    words, wanted = set(item["content"].lower().split()), set(text.lower().split())
    return float(len(words & wanted) / max(1.0, (len(words) * len(wanted)) ** 0.5))
