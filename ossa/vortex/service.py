"""`Compressor` in one process: compresses beside the event loop, keeps originals in a store.

An original is stored after the compression, not beside it: what was not shortened is to leave no trace in the store,
and the row of another answer to the same content must not go with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from math import inf
from sys import getsizeof
from time import monotonic

from ossa.caching.front import Front
from ossa.contracts.compression import Compressed, CompressionOrder, OriginalStore
from ossa.contracts.errors import NotFound, OssaError
from ossa.vortex.compression import compress
from ossa.vortex.originals import handle_in, is_handle

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=7)
SWEEP_S = 600.0
AT_ONCE = 2
"""Threads: numpy and the tokenizer let others run while they work."""


def _now() -> datetime:
    return datetime.now(UTC)


class CompressionService:
    """`start` begins the sweeping of old originals, `stop` ends it.

    The same order of the same tenant is answered from memory while the answer is new or used. Its original is stored
    again all the same: it lives a whole lifetime from each answer on.
    """

    def __init__(
        self,
        originals: OriginalStore,
        *,
        lifetime: timedelta = LIFETIME,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._originals = originals
        self._lifetime = lifetime
        self._now = now
        self._recent = recent_answers()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="vortex")
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep_forever(), name="vortex-sweep")

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def compress(self, order: CompressionOrder, *, tenant: str) -> Compressed:
        key = key_of(order, tenant=tenant)
        answer = self._recent.get(key, monotonic())
        if answer is None:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, lambda: compress(**dict(order)))
            self._recent.put(key, answer, inf)
        for handle in answer.handles:
            expires_at = self._now() + self._lifetime
            await self._originals.put(handle, order.content, tenant=tenant, expires_at=expires_at)
        return answer

    async def decompress(self, text: str, *, tenant: str) -> str:
        handle = text if is_handle(text) else handle_in(text)
        if handle is None:
            return text
        original = await self._originals.get(handle, tenant=tenant, now=self._now())
        if original is None:
            raise NotFound(f"the original {handle} is not kept (any more)", param="text")
        return original

    async def _sweep_forever(self) -> None:
        while True:
            try:
                swept = await self._originals.sweep(now=self._now())
            except OssaError as error:
                log.warning("originals_not_swept", extra={"reason": str(error)[:200]})
            except Exception:
                log.exception("sweeping_originals_failed")
            else:
                if swept:
                    log.info("originals_swept", extra={"count": swept})
            await asyncio.sleep(SWEEP_S)


MAX_BYTES = 64 * 2**20
ENTRY_BYTES = 4096
"""Bytes of an answer beside its text, about."""


def recent_answers(max_bytes: int = MAX_BYTES) -> Front[Compressed]:
    """Answers by the digest of their orders: what this holds does not grow with the orders' contents."""
    return Front(lambda answer: getsizeof(answer.text) + ENTRY_BYTES, max_bytes=max_bytes)


def key_of(order: CompressionOrder, *, tenant: str) -> bytes:
    """Digests the order and the tenant: an answer's speed must tell nobody what others sent."""
    digest = hashlib.sha256()
    for name, value in (("tenant", tenant), *order):
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else repr(value).encode()
        digest.update(f"{name} {type(value).__name__} {len(data)} ".encode())
        digest.update(data)
    return digest.digest()
