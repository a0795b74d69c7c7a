"""Whether the fleet is well, and which version it runs."""

from __future__ import annotations

from typing import Any

from ossa.sdk.values.received import Received


class Health(Received):
    """`checks` as the gateway names them; `ok` is the gateway's own verdict (HTTP 200)."""

    ok: bool
    status: str = ""
    checks: dict[str, Any] = {}


class Version(Received):
    version: str
    api: str = ""
