"""The one way values that cross a process are declared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Frozen, closed to unknown fields, cheap to send as JSON (`json_bytes`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    def json_bytes(self) -> bytes:
        """As `model_dump_json`, without the detour over `str`."""
        return self.__pydantic_serializer__.to_json(self)


class EncodedValue(Value):
    """A value that keeps its JSON once it has been encoded, for the next place that writes it down or sends it.

    Copies (`model_copy`) and pickles do not carry the JSON with them. What it holds must not be changed in place.
    """

    __slots__ = ("_encoded",)
    _encoded: bytes

    def json_bytes(self) -> bytes:
        try:
            return object.__getattribute__(self, "_encoded")  # type: ignore[no-any-return]
        except AttributeError:
            self.keep_encoded(encoded := super().json_bytes())
            return encoded

    def keep_encoded(self, encoded: bytes) -> None:
        """Take `encoded` as this value's JSON, as it came from whoever encoded it."""
        object.__setattr__(self, "_encoded", encoded)
