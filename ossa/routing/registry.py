"""The models in use by one process: taken from the registry, tried, swapped in, watched.

A decision asks for `scorer()` once and gets one immutable value. A new model is read and tried in a thread and then
swapped in by one assignment, so that no decision waits or sees half of a change. What cannot be used is never swapped
in: the one before goes on, else the packaged one serves, else rules do.
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
from ossa.routing.model_reading import read_model, read_packaged
from ossa.routing.model_scorer import LoadedModel, ModelScorer
from ossa.routing.router_meter import NoMeter, RouterMeter
from ossa.routing.watching import Watching

logger = logging.getLogger(__name__)

KINDS: Final[tuple[ModelKind, ...]] = ("labels", "agents", "quality")
POLL_S = 2.0
LEARN_EVERY = 30
"""Rounds between two looks at what became of tasks."""

MOST_TEXTS = 64
MOST_EXAMPLES = 200
MAX_AGE = timedelta(days=180)
"""A model of the registry that was promoted longer ago is stale: what it learned from is no more."""


def _now() -> datetime:
    return datetime.now(UTC)


class LiveRouter:
    """For one event loop; `scorer` and `policies` may be read from any thread.

    Args:
        packaged: reads the model that comes with the package. Raises `ModelFileError` when there is none.
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
        clock: Callable[[], datetime] = _now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._packaged = packaged
        self._meter: RouterMeter = meter or NoMeter()
        self._bounds = bounds or Bounds()
        self._max_age = max_age
        self._poll_s = poll_s
        self._clock = clock
        self._sleep = sleep
        self._texts: deque[str] = deque(maxlen=MOST_TEXTS)
        self._watching: dict[ModelKind, Watching] = {}
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
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def scorer(self) -> ModelScorer:
        """For one decision. Without a model in use it says nothing, and rules decide."""
        return self._scorer

    @property
    def policies(self) -> Mapping[str, RoutingPolicy]:
        """By tenant; never changed, but replaced as a whole."""
        return self._policies

    def status(self) -> RouterStatus:
        return RouterStatus(
            models=tuple(self._model_status(kind) for kind in KINDS),
            swaps=self._swaps,
            checked_at=self._checked_at,
            fault=self._fault,
        )

    async def start(self) -> None:
        """The registry's models, or the packaged ones, are in use when it returns.

        A store that is away is no error, and neither is anything that it holds.
        """
        await self.refresh()
        self._task = asyncio.create_task(self._run(), name="live-router")

    async def prepare(self, index: FleetIndex) -> None:
        """Before serving: the first decision about these agents is then as learned as the later ones. Never raises."""
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
        """One round: models, policies, what models see and how they do. Never raises; `status` tells what failed.

        A caller that changed something waits for the round that sees it.
        """
        async with self._one_at_a_time:
            await self._refresh()

    async def _refresh(self) -> None:
        faults: list[str] = []
        try:
            for part in (self._read_policies, self._settle_all, self._learn):
                await self._part(part, faults)
        except OssaError as error:
            faults.append(error.message)
            logger.warning("router_registry_unreachable", extra={"reason": error.message})
        if faults:
            self._meter.failed()
            await self._part(self._fill, faults)
        else:
            self._checked_at = self._clock()
        await self._part(self._judge, faults)
        self._fault = "; ".join(faults)

    async def _part(self, part: Callable[[], Awaitable[None]], faults: list[str]) -> None:
        """What fails in one part of a round keeps no other from being done. Raises `OssaError` alone."""
        try:
            await part()
        except OssaError:
            raise
        except Exception as error:  # a round's boundary: without it one row would stop a replica's start
            faults.append(f"{type(error).__name__}: {error}")
            logger.exception("router_round_failed")

    async def _run(self) -> None:
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
        """Kinds without a model, while the store does not answer."""
        for kind in KINDS:
            if kind not in self._watching:
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
        watching = self._watching.get(kind)
        if watching is not None and (watching.loaded.version, watching.loaded.digest) == (
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
            watching = Watching(loaded, self._bounds)
        except (ModelFileError, NotFound) as error:
            await self._refuse(kind, record, error.message)
        except OssaError:
            raise
        except Exception as error:  # nothing that a file holds may stop a replica
            logger.exception("router_model_not_tried", extra={"kind": kind, "version": record.version})
            await self._refuse(kind, record, f"{type(error).__name__}: {error}")
        else:
            self._fallbacks.pop(kind, None)
            self._swap(watching)

    async def _refuse(self, kind: ModelKind, record: ModelRecord, reason: str) -> None:
        self._refused[kind] = (record.version, record.digest)
        self._meter.refused(kind)
        logger.error("router_model_refused", extra={"kind": kind, "version": record.version, "reason": reason})
        if kind in self._watching:
            self._fallbacks[kind] = reason
        else:
            await self._fall_back(kind, reason)

    async def _fall_back(self, kind: ModelKind, reason: str) -> None:
        """To the packaged model, or without one to rules."""
        self._fallbacks[kind] = reason
        watching = self._watching.get(kind)
        if watching is not None and watching.loaded.version is None:
            return
        try:
            loaded = await asyncio.to_thread(self._packaged, kind, since=self._clock())
        except ModelFileError as error:
            self._fallbacks[kind] = "; ".join(filter(None, (reason, error.message)))
            if self._watching.pop(kind, None) is not None:
                self._since[kind] = self._clock()
                self._publish()
        else:
            self._swap(Watching(loaded, self._bounds))

    def _swap(self, watching: Watching) -> None:
        loaded = watching.loaded
        before = self._watching.get(loaded.kind)
        self._watching[loaded.kind] = watching
        self._since[loaded.kind] = loaded.since
        self._publish()
        if before is not None:
            self._swaps += 1
            self._meter.swapped(loaded.kind)
        version = loaded.version or "packaged"
        logger.info("router_model_in_use", extra={"kind": loaded.kind, "version": version, "digest": loaded.digest})

    async def _learn(self) -> None:
        self._rounds += 1
        if self._rounds % LEARN_EVERY or not self._watching:
            return
        since, self._learned_at = self._learned_at, self._clock()
        ended = await self._store.examples(since=since, limit=MOST_EXAMPLES)
        rated = await self._store.rated(since=since, limit=MOST_EXAMPLES)
        examples = [one for one in ended if one.rating is None] + rated
        examples.sort(key=lambda example: (example.at, example.task_id))
        await asyncio.to_thread(self._show, examples)

    def _show(self, examples: list[Example]) -> None:
        for watching in list(self._watching.values()):
            watching.learn(examples)

    async def _judge(self) -> None:
        texts = [self._texts.popleft() for _ in range(len(self._texts))]
        if texts:
            await asyncio.to_thread(self._look, texts)
        for kind, watching in self._watching.items():
            before, after = watching.aside, watching.judge()
            if bool(before) != bool(after):
                event = "router_model_set_aside" if after else "router_model_back"
                logger.warning(event, extra={"kind": kind, "reason": after})
            self._meter.drifted(kind, watching.drift, watching.alarm)
        self._publish()
        for kind in KINDS:
            status = self._model_status(kind)
            self._meter.serves(kind, status.source, aside=bool(status.aside))

    def _look(self, texts: list[str]) -> None:
        for watching in list(self._watching.values()):
            watching.look(texts)

    def _publish(self) -> None:
        """The swap: one assignment."""
        used = {kind: one.loaded for kind, one in self._watching.items() if not one.aside}
        if used != self._scorer.models:
            self._scorer = ModelScorer(used, self._texts.append, self._descriptions)

    def _model_status(self, kind: ModelKind) -> ModelStatus:
        watching, fallback = self._watching.get(kind), self._fallbacks.get(kind, "")
        if watching is None:
            return ModelStatus(kind=kind, source="rules", since=self._since[kind], fallback=fallback)
        return watching.status(fallback)
