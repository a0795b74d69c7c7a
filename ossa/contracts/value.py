"""The one way values that cross a process are declared."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError

from ossa.contracts.errors import InvalidRequest


class Value(BaseModel):
    """Frozen, closed to unknown fields, cheap to send as JSON (`json_bytes`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    def json_bytes(self) -> bytes:
        """The value as JSON. Raises `InvalidRequest` for what JSON cannot hold."""
        return self.encoded()

    def encoded(self, exclude: Any = None) -> bytes:
        """As `model_dump_json`, without the detour over `str`."""
        try:
            return self.__pydantic_serializer__.to_json(self, exclude=exclude)
        except PydanticSerializationError as error:
            raise InvalidRequest(f"A {type(self).__name__} holds a value that is not JSON.") from error


class EncodedValue(Value):
    """A value that keeps its JSON once it has been encoded, for the next place that writes it down or sends it.

    Copies (`model_copy`) and pickles do not carry the JSON with them. What it holds must not be changed in place.
    """

    __slots__ = ("_encoded",)

    def json_bytes(self) -> bytes:
        try:
            return object.__getattribute__(self, "_encoded")  # type: ignore[no-any-return]
        except AttributeError:
            self.keep_encoded(encoded := super().json_bytes())
            return encoded

    def keep_encoded(self, encoded: bytes) -> None:
        """Take `encoded` as this value's JSON, as it came from whoever encoded it."""
        object.__setattr__(self, "_encoded", encoded)
