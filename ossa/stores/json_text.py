"""Values as the JSON that is kept."""

from __future__ import annotations

from pydantic_core import PydanticSerializationError

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.value import Value


def as_json(value: Value) -> bytes:
    """`value.json_bytes()`. Raises `InvalidRequest` for what JSON cannot hold."""
    try:
        return value.json_bytes()
    except PydanticSerializationError as error:
        raise InvalidRequest(f"A {type(value).__name__} holds a value that is not JSON.") from error
