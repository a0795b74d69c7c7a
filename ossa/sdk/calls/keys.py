"""API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ossa.sdk.call import Call, Request
from ossa.sdk.calls.listed import items
from ossa.sdk.values.key import Key, Keys, NewKey

PATH = "/api/v1/keys"


def keys() -> Call[Keys]:
    return Call(
        Request("GET", PATH),
        lambda response: Keys(Key.model_validate(item) for item in items(response)),
    )


def create_key(name: str, *, scopes: Sequence[str] | None, tenant: str | None) -> Call[NewKey]:
    """Not repeatable: each time makes another key."""
    body: dict[str, Any] = {"name": name}
    if scopes is not None:
        body["scopes"] = list(scopes)
    if tenant:
        body["tenant"] = tenant
    return Call(
        Request("POST", PATH, json=body, repeatable=False), lambda response: NewKey.model_validate(response.json())
    )


def revoke_key(key_id: str) -> Call[Key]:
    """Revoking twice is revoking once."""
    return Call(
        Request("DELETE", f"{PATH}/{quote(key_id, safe='')}"), lambda response: Key.model_validate(response.json())
    )
