"""One Redis server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

Command = tuple[str | bytes | int, ...]


class Server:
    """A bounded pool of connections, and pipelines over it. Connects when first used, and again after a loss.

    Args:
        options: the driver's: host, port, user, password, certificates.
        answer_s: how long connecting, and each answer, may take.
        max_connections: further callers wait for one, up to `answer_s`.
    """

    def __init__(self, options: Mapping[str, Any], *, answer_s: float, max_connections: int) -> None:
        pool = BlockingConnectionPool(
            **options,
            max_connections=max_connections,
            timeout=answer_s,
            socket_timeout=answer_s,
            socket_connect_timeout=answer_s,
            # Once more at once: a connection that lay idle may have been closed by the server.
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
            client_name="ossa",
            decode_responses=False,
        )
        self._redis: Redis = Redis.from_pool(pool)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, an error of the server's as a value. Raises the driver's errors when nothing was answered."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def ping(self) -> None:
        await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]

    async def slots(self) -> list[list[Any]]:
        """As the server sees its cluster: ranges of slots, and who has them."""
        found: list[list[Any]] = await self._redis.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        return found

    async def close(self) -> None:
        await self._redis.aclose()
