"""Remembering, recalling, forgetting, and who else may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ossa.sdk.call import Call, Request
from ossa.sdk.calls.listed import items
from ossa.sdk.values.memory import ForgetProof, MemoryGrant, MemoryGrants, Recollection, Recollections, Remembered

PATH = "/api/v1/memory"


def remember(
    content: str,
    *,
    id: str | None,
    kind: str | None,
    subject: str | None,
    facts: Mapping[str, Any] | None,
    lasts_s: float | None,
    if_version: int | None,
) -> Call[Remembered]:
    """Sending it twice is safe under an id, without `if_version`: else the second is another item, or a conflict."""
    given = _given(id=id, kind=kind, subject=subject, lasts_s=lasts_s, if_version=if_version)
    body = {"content": content, **given, **({"facts": dict(facts)} if facts else {})}
    repeatable = id is not None and if_version is None
    return Call(
        Request("POST", PATH, json=body, repeatable=repeatable),
        lambda response: Remembered.model_validate(response.json()),
    )


def get(id: str, *, of: str | None) -> Call[Remembered]:
    return Call(
        Request("GET", _one(id), params=_given(of=of)), lambda response: Remembered.model_validate(response.json())
    )


def recall(
    text: str,
    *,
    kind: str | None,
    subject: str | None,
    facts: Mapping[str, Any] | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    least_score: float | None,
    of: str | None,
) -> Call[Recollections]:
    times = {name: at.isoformat() for name, at in (("since", since), ("until", until)) if at is not None}
    body = {"text": text, "limit": limit, **times, **_given(kind=kind, subject=subject, least_score=least_score, of=of)}
    if facts:
        body["facts"] = dict(facts)
    return Call(
        Request("POST", f"{PATH}/recall", json=body),
        lambda response: Recollections(map(Recollection.model_validate, items(response))),
    )


def forget(id: str) -> Call[ForgetProof]:
    """Not repeatable: the second time there is none."""
    return Call(Request("DELETE", _one(id), repeatable=False), _proof)


def forget_subject(subject: str) -> Call[ForgetProof]:
    return Call(Request("POST", f"{PATH}/forget", json={"subject": subject}), _proof)


def forget_everything() -> Call[ForgetProof]:
    return Call(Request("POST", f"{PATH}/forget", json={"everything": True}), _proof)


def grant(tenant: str, kinds: Sequence[str]) -> Call[MemoryGrant]:
    body = {"kinds": list(kinds)} if kinds else {}
    return Call(Request("PUT", _grant(tenant), json=body), lambda response: MemoryGrant.model_validate(response.json()))


def revoke(tenant: str) -> Call[None]:
    return Call(Request("DELETE", _grant(tenant), repeatable=False), lambda _: None)


def grants() -> Call[MemoryGrants]:
    return Call(
        Request("GET", f"{PATH}/grants"),
        lambda response: MemoryGrants(map(MemoryGrant.model_validate, items(response))),
    )


def _proof(response: Any) -> ForgetProof:
    return ForgetProof.model_validate(response.json())


def _one(id: str) -> str:
    return f"{PATH}/{quote(id, safe='')}"


def _grant(tenant: str) -> str:
    return f"{PATH}/grants/{quote(tenant, safe='')}"


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
