"""The one way values that cross a process are declared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

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


class Clock(Protocol):
    """Wall time for what is written down, seconds for deadlines."""

    def now(self) -> datetime:
        """The wall time: aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """Like `asyncio.timeout`: raises `TimeoutError` when the body takes longer."""

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""


class SystemClock:
    """The machine's wall time, and the running event loop's seconds, so that deadlines and timers agree."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(seconds)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Progress = Callable[[str], None]
"""Called with a short line at each stage of something long."""
