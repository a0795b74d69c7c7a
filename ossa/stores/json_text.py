"""Values as the JSON that is kept."""

from __future__ import annotations

from ossa.contracts.value import Value


def as_json(value: Value) -> bytes:
    """Raises `InvalidRequest` for what JSON cannot hold."""
    return value.json_bytes()
