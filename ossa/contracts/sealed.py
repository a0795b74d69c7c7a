"""A value as a file that is known not to be what was written, once it is not."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from ossa.contracts.value import Value

V = TypeVar("V", bound=Value)


def sealed(value: Value) -> bytes:
    """JSON: the value, and its sha256."""
    found = value.model_dump(mode="json")
    return json.dumps({"sha256": _digest(found), "value": found}, indent=1).encode()


def unsealed(kind: type[V], data: bytes) -> V:
    """Raises `ValueError` for anything but what `sealed` made of such a value."""
    read = json.loads(data)
    if not isinstance(read, dict) or "value" not in read or read.get("sha256") != _digest(read["value"]):
        raise ValueError("its sha256 is another one")
    return kind.model_validate_json(json.dumps(read["value"]))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
