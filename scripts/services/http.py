"""Asking a server on this machine over HTTP."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

_LIMIT_S = 3.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def refusal(url: str) -> str | None:
    """Why it does not answer with 200, in one line; None when it does."""
    try:
        with _DIRECT.open(url, timeout=_LIMIT_S):
            return None
    except OSError as error:
        return f"{url}: {error}"


def answer(url: str) -> Any:
    """The JSON it answers with; None when it does not answer with 200."""
    try:
        with _DIRECT.open(url, timeout=_LIMIT_S) as found:
            return json.load(found)
    except (OSError, ValueError):
        return None
