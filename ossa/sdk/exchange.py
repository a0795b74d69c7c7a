"""What a blocking and an asyncio exchange share: headers, timeouts, whether to try again, how long to wait."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from random import Random

import httpx

from ossa.contracts.errors import OssaError
from ossa.sdk.connection import Connection
from ossa.sdk.retry import RetryPolicy

CONNECT_TIMEOUT_S = 5.0


class Exchange:
    """One client's way of talking to one fleet."""

    def __init__(self, connection: Connection, *, timeout_s: float, retry: RetryPolicy) -> None:
        self.connection = connection
        self.timeout_s = timeout_s
        self.timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._retry = retry
        self._rng = Random()

    def headers(self) -> dict[str, str]:
        return {"User-Agent": f"ossa-python/{package_version()}", **self.connection.headers()}

    def pause_or_raise(self, attempt: int, error: OssaError, *, repeatable: bool) -> float:
        """Seconds until the next attempt; raises `error` when there is to be none."""
        pause = self._retry.wait_s(attempt, error, repeatable=repeatable, rng=self._rng)
        if pause is None:
            raise error
        return pause


def package_version() -> str:
    """The installed version; `0` in a checkout that is not installed (`ray job submit --working-dir .`)."""
    try:
        return version("ossa-on-ray")
    except PackageNotFoundError:
        return "0"


def polling_pauses(first_s: float, longest_s: float = 2.0) -> Iterator[float]:
    """Seconds between two looks at something that takes time; grows by half each time."""
    pause = first_s
    while True:
        yield min(pause, longest_s)
        pause *= 1.5
