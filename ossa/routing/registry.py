"""The models in use by one process: read from the registry, tried out, swapped in, and watched.

A decision asks for `scorer()` once and gets one immutable value. A new model is read and tried out in a thread and
then swapped in by one assignment, so that no decision waits or sees half of a change. An unusable model is never
swapped in: the previous one stays, else the packaged one serves, else rules decide.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from ossa.contracts.errors import NotFound, OssaError
from ossa.contracts.routing import (
    Example,
    ModelKind,
    ModelRecord,
    ModelStatus,
    RouterStatus,
    RoutingPolicy,
    RoutingStore,
)
from ossa.routing.descriptions import Descriptions
from ossa.routing.drift import Bounds
from ossa.routing.index import FleetIndex
from ossa.routing.learned.archive import ModelFileError
from ossa.routing.model_scorer import LoadedModel, ModelScorer, ModelWatch, read_model, read_packaged

logger = logging.getLogger(__name__)

KINDS: Final[tuple[ModelKind, ...]] = ("labels", "agents", "quality")
POLL_S = 2.0
LEARN_EVERY = 30
"""Rounds between two readings of finished and rated tasks."""

MOST_TEXTS = 64
MOST_EXAMPLES = 200
MAX_AGE = timedelta(days=180)
"""A model of the registry that was promoted longer ago is stale: its training data no longer hold."""


class RouterMeter:
    """Hears what a live router does; a subclass counts it."""

    def serves(self, kind: ModelKind, source: str, *, aside: bool) -> None: ...

    def swapped(self, kind: ModelKind) -> None: ...

    def refused(self, kind: ModelKind) -> None:
        """A promoted model could not be used."""

    def drifted(self, kind: ModelKind, drift: Mapping[str, float], alarm: float) -> None: ...

    def failed(self) -> None:
        """A round did not reach the registry."""


class LiveRouter:
    """Belongs to one event loop; `scorer` and `policies` may be read from any thread.

    Args:
        packaged: reads the model that comes with the package. Raises `ModelFileError` if there is none.
        clock: UTC.
    """

    def __init__(
        self,
        store: RoutingStore,
        *,
        packaged: Callable[..., LoadedModel] = read_packaged,
        meter: RouterMeter | None = None,
        bounds: Bounds | None = None,
        max_age: timedelta = MAX_AGE,
        poll_s: float = POLL_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._packaged = packaged
        self._meter = meter or RouterMeter()
        self._bounds = bounds or Bounds()
        self._max_age = max_age
        self._poll_s = poll_s
        self._clock = clock
        self._sleep = sleep
        self._texts: deque[str] = deque(maxlen=MOST_TEXTS)
        self._watches: dict[ModelKind, ModelWatch] = {}
        self._fallbacks: dict[ModelKind, str] = {}
        self._refused: dict[ModelKind, tuple[int, str]] = {}
        self._since: dict[ModelKind, datetime] = {kind: clock() for kind in KINDS}
        self._descriptions = Descriptions()
        self._scorer = ModelScorer({}, self._texts.append, self._descriptions)
        self._policies: Mapping[str, RoutingPolicy] = {}
        self._swaps = self._rounds = 0
        self._checked_at: datetime | None = None
        self._learned_at = clock()
        self._fault = ""
        self._round_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def scorer(self) -> ModelScorer:
        """Returns the scorer for one decision. Without a model in use it scores nothing, and rules decide."""
        return self._scorer

    @property
    def policies(self) -> Mapping[str, RoutingPolicy]:
        """Policies by tenant; replaced as a whole, never changed."""
        return self._policies

    def status(self) -> RouterStatus:
        return RouterStatus(
            models=tuple(self._model_status(kind) for kind in KINDS),
            swaps=self._swaps,
            checked_at=self._checked_at,
            fault=self._fault,
        )

    async def start(self) -> None:
        """Returns when the registry's models, or the packaged ones, are in use. Faults of the store are no error."""
        await self.refresh()
        self._task = asyncio.create_task(self.run_forever(), name="live-router")

    async def prepare(self, index: FleetIndex) -> None:
        """Arranges descriptions before serving, so that the first decision uses them too. Never raises."""
        try:
            await asyncio.to_thread(self._scorer.prepare, index)
        except Exception:  # decisions go by rules until it succeeds
            logger.exception("agent_descriptions_not_arranged", extra={"groups": len(index.groups)})

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def refresh(self) -> None:
        """Runs one round: policies, models, their inputs and their quality. Never raises; `status` reports faults.

        After a change, await it: the round that ends then has seen the change.
        """
        async with self._round_lock:
            await self._refresh()

    async def _refresh(self) -> None:
        faults: list[str] = []
        try:
            for part in (self._read_policies, self._settle_all, self._learn):
                await self._run_part(part, faults)
        except OssaError as error:
            faults.append(error.message)
            logger.warning("router_registry_unreachable", extra={"reason": error.message})
        if faults:
            self._meter.failed()
            await self._run_part(self._fill, faults)
        else:
            self._checked_at = self._clock()
        await self._run_part(self._judge, faults)
        self._fault = "; ".join(faults)

    async def _run_part(self, part: Callable[[], Awaitable[None]], faults: list[str]) -> None:
        """Runs a part of a round; its failure keeps no other part from running. Raises `OssaError` alone."""
        try:
            await part()
        except OssaError:
            raise
        except Exception as error:  # a round's boundary: without it one row would stop a replica's start
            faults.append(f"{type(error).__name__}: {error}")
            logger.exception("router_round_failed")

    async def run_forever(self) -> None:
        while True:
            await self._sleep(self._poll_s)
            await self.refresh()

    async def _read_policies(self) -> None:
        self._policies = await self._store.policies()

    async def _settle_all(self) -> None:
        live = {record.kind: record for record in await self._store.live()}
        for kind in KINDS:
            await self._settle(kind, live.get(kind))

    async def _fill(self) -> None:
        """Gives kinds without a model the packaged one, while the store does not answer."""
        for kind in KINDS:
            if kind not in self._watches:
                await self._fall_back(kind, self._fallbacks.get(kind, ""))

    async def _settle(self, kind: ModelKind, record: ModelRecord | None) -> None:
        if record is None:
            await self._fall_back(kind, "")
        elif self._clock() - (record.promoted_at or record.created_at) > self._max_age:
            await self._fall_back(
                kind, f"version {record.version} is stale: promoted over {self._max_age.days} days ago"
            )
        elif not self._serves(kind, record):
            await self._take(kind, record)

    def _serves(self, kind: ModelKind, record: ModelRecord) -> bool:
        watch = self._watches.get(kind)
        if watch is not None and (watch.loaded.version, watch.loaded.digest) == (
            record.version,
            record.digest,
        ):
            self._fallbacks.pop(kind, None)
            return True
        return self._refused.get(kind) == (record.version, record.digest)

    async def _take(self, kind: ModelKind, record: ModelRecord) -> None:
        try:
            content = await self._store.model_file(kind, record.version)
            loaded = await asyncio.to_thread(read_model, kind, content, record, since=self._clock())
            watch = ModelWatch(loaded, self._bounds)
        except (ModelFileError, NotFound) as error:
            await self._refuse(kind, record, error.message)
        except OssaError:
            raise
        except Exception as error:  # nothing that a file holds may stop a replica
            logger.exception("router_model_not_tried", extra={"kind": kind, "version": record.version})
            await self._refuse(kind, record, f"{type(error).__name__}: {error}")
        else:
            self._fallbacks.pop(kind, None)
            self._swap(watch)

    async def _refuse(self, kind: ModelKind, record: ModelRecord, reason: str) -> None:
        self._refused[kind] = (record.version, record.digest)
        self._meter.refused(kind)
        logger.error("router_model_refused", extra={"kind": kind, "version": record.version, "reason": reason})
        if kind in self._watches:
            self._fallbacks[kind] = reason
        else:
            await self._fall_back(kind, reason)

    async def _fall_back(self, kind: ModelKind, reason: str) -> None:
        """Falls back to the packaged model, or without one to rules."""
        self._fallbacks[kind] = reason
        watch = self._watches.get(kind)
        if watch is not None and watch.loaded.version is None:
            return
        try:
            loaded = await asyncio.to_thread(self._packaged, kind, since=self._clock())
        except ModelFileError as error:
            self._fallbacks[kind] = "; ".join(filter(None, (reason, error.message)))
            if self._watches.pop(kind, None) is not None:
                self._since[kind] = self._clock()
                self._publish()
        else:
            self._swap(ModelWatch(loaded, self._bounds))

    def _swap(self, watch: ModelWatch) -> None:
        loaded = watch.loaded
        before = self._watches.get(loaded.kind)
        self._watches[loaded.kind] = watch
        self._since[loaded.kind] = loaded.since
        self._publish()
        if before is not None:
            self._swaps += 1
            self._meter.swapped(loaded.kind)
        version = loaded.version or "packaged"
        logger.info("router_model_in_use", extra={"kind": loaded.kind, "version": version, "digest": loaded.digest})

    async def _learn(self) -> None:
        self._rounds += 1
        if self._rounds % LEARN_EVERY or not self._watches:
            return
        since, self._learned_at = self._learned_at, self._clock()
        ended = await self._store.examples(since=since, limit=MOST_EXAMPLES)
        rated = await self._store.rated(since=since, limit=MOST_EXAMPLES)
        examples = [example for example in ended if example.rating is None] + rated
        examples.sort(key=lambda example: (example.at, example.task_id))
        await asyncio.to_thread(self._show, examples)

    def _show(self, examples: list[Example]) -> None:
        for watch in list(self._watches.values()):
            watch.learn(examples)

    async def _judge(self) -> None:
        texts = [self._texts.popleft() for _ in range(len(self._texts))]
        if texts:
            await asyncio.to_thread(self._look, texts)
        for kind, watch in self._watches.items():
            before, after = watch.aside, watch.judge()
            if bool(before) != bool(after):
                event = "router_model_set_aside" if after else "router_model_back"
                logger.warning(event, extra={"kind": kind, "reason": after})
            self._meter.drifted(kind, watch.drift, watch.alarm)
        self._publish()
        for kind in KINDS:
            status = self._model_status(kind)
            self._meter.serves(kind, status.source, aside=bool(status.aside))

    def _look(self, texts: list[str]) -> None:
        for watch in list(self._watches.values()):
            watch.look(texts)

    def _publish(self) -> None:
        """Swaps by one assignment."""
        used = {kind: watch.loaded for kind, watch in self._watches.items() if not watch.aside}
        if used != self._scorer.models:
            self._scorer = ModelScorer(used, self._texts.append, self._descriptions)

    def _model_status(self, kind: ModelKind) -> ModelStatus:
        watch, fallback = self._watches.get(kind), self._fallbacks.get(kind, "")
        if watch is None:
            return ModelStatus(kind=kind, source="rules", since=self._since[kind], fallback=fallback)
        return watch.status(fallback)
