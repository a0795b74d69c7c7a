"""One request as data, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from ossa.sdk.errors import UnexpectedAnswer, error_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out. `repeatable`: sending it twice has the effect of once."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    def build(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        return http.build_request(
            self.method,
            self.path,
            params=self.params or None,
            json=self.json,
            content=self.content,
            headers=dict(self.headers),
        )


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the reading of its answer. `also_ok` names statuses >= 400 whose body is an answer all the same."""

    request: Request
    parse: Callable[[httpx.Response], T]
    also_ok: tuple[int, ...] = ()

    def read(self, response: httpx.Response) -> T:
        """The value of a whole answer. Raises the error it stands for, `UnexpectedAnswer` when it cannot be read."""
        if response.status_code not in self.also_ok and not response.is_success:
            raise error_of(response)
        try:
            return self.parse(response)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UnexpectedAnswer(
                f"{self.request.method} {self.request.path} answered {response.status_code} "
                f"with a body that cannot be read: {_first_line(error)}"
            ) from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
