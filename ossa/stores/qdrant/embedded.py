"""An index of vectors inside this process, in a folder: Qdrant's engine from a wheel.

    folder/         0700
    ├── lock        held by the one process that owns the index; says which
    ├── schema.json what the index was made for
    └── shard/      the engine's own

A write is in the engine's log before `upsert` returns, so that it outlives a SIGKILL of the process. It is forced to
the disk within `flush_s` of writing, so that a machine that loses its power loses so much.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import TextIOWrapper
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from pydantic import ValidationError
from qdrant_edge import (
    CountRequest,
    Direction,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    MatchValue,
    OrderBy,
    PayloadSchemaType,
    Query,
    QueryRequest,
    RangeFloat,
    ScrollRequest,
    UpdateOperation,
)
from qdrant_edge import Point as EdgePoint

from ossa.contracts.errors import Conflict, OssaError, StoreUnavailable
from ossa.contracts.vectors import Below, Found, Point, VectorSchema, Where
from ossa.stores.checks import check_asked, check_ids, check_points, check_vector

T = TypeVar("T")

POLL_S = 0.05
CHANGES_UNTIL_TIDY = 5_000
"""Writes after which the engine removes what was deleted and indexes what grew large; lookups wait meanwhile."""


class EmbeddedQdrant:
    """`ossa.contracts.vectors.VectorIndex`, one owner at a time. All work is done in one thread of its own.

    Args:
        folder: made when there is none; on a disk of this machine.
        flush_s: how much of what was written may be lost when the machine loses its power.
        wait_s: how long `open` waits for another owner to end.
    """

    def __init__(self, folder: Path, *, schema: VectorSchema, flush_s: float = 5.0, wait_s: float = 0.0) -> None:
        self._folder = folder.expanduser().absolute()
        self._schema = schema
        self._flush_s = flush_s
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qdrant")
        self._shard: EdgeShard | None = None
        self._lock: TextIOWrapper | None = None
        self._flushing: asyncio.TimerHandle | None = None
        self._changes = 0

    def __repr__(self) -> str:
        return f"EmbeddedQdrant({str(self._folder)!r}, {self._schema.name!r})"

    async def open(self) -> None:
        if self._shard is None:
            await self._work(self._open)

    async def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        if self._shard is not None:
            await self._work(self._close)
        self._thread.shutdown(wait=False)

    async def upsert(self, points: Sequence[Point]) -> None:
        check_points(points, self._schema)
        made = [EdgePoint(point.id, list(point.vector), point.payload) for point in points]
        await self._write(UpdateOperation.upsert_points(made), len(points))

    async def search(
        self, vector: Sequence[float], *, where: Where, limit: int, least_score: float = -1.0
    ) -> list[Found]:
        check_vector(vector, self._schema)
        request = QueryRequest(
            limit=limit,
            query=Query.Nearest(list(vector)),
            filter=_filter(where),
            score_threshold=least_score,
            with_payload=True,
        )
        points = await self._work(lambda: self._owned().query(request))
        return [Found(id=str(point.id), score=point.score, payload=point.payload or {}) for point in points]

    async def fetch(self, ids: Sequence[str]) -> list[Found]:
        check_ids(ids)
        points = await self._work(lambda: self._owned().retrieve(list(ids), True, False))
        return [Found(id=str(point.id), score=1.0, payload=point.payload or {}) for point in points]

    async def oldest(self, where: Where, *, by: str, limit: int) -> list[Found]:
        request = ScrollRequest(
            limit=limit, filter=_filter(where), with_payload=True, order_by=OrderBy(by, direction=Direction.Asc)
        )
        points, _ = await self._work(lambda: self._owned().scroll(request))
        return [Found(id=str(point.id), score=1.0, payload=point.payload or {}) for point in points]

    async def count(self, where: Where, *, below: Below | None = None) -> int:
        request = CountRequest(exact=True, filter=_filter(where, below))
        return await self._work(lambda: self._owned().count(request))

    async def delete(self, ids: Sequence[str]) -> None:
        check_ids(ids)
        await self._write(UpdateOperation.delete_points(list(ids)), len(ids))

    async def delete_where(self, where: Where, *, below: Below | None = None) -> None:
        check_asked(where, below)
        await self._write(UpdateOperation.delete_points_by_filter(_filter(where, below)), 1)

    async def _write(self, operation: UpdateOperation, changes: int) -> None:
        await self._work(lambda: self._owned().update(operation))
        self._changes += changes
        if self._changes >= CHANGES_UNTIL_TIDY:
            self._changes = 0
            self._thread.submit(self._tidy)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(self._flush_s, self._flush_soon)

    def _flush_soon(self) -> None:
        self._flushing = None
        self._thread.submit(self._flush)

    def _flush(self) -> None:
        if self._shard is not None:
            self._shard.flush()

    def _tidy(self) -> None:
        if self._shard is not None:
            self._shard.optimize()

    async def _work(self, step: Callable[[], T]) -> T:
        """Raises `StoreUnavailable` for whatever the engine raises: it has one class of error, and no codes."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except OssaError:
            raise
        except Exception as error:
            raise StoreUnavailable(f"The embedded Qdrant in {self._folder} failed: {str(error)[:200]}") from error

    def _owned(self) -> EdgeShard:
        if self._shard is None:
            raise StoreUnavailable(f"The embedded Qdrant in {self._folder} is not open.")
        return self._shard

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _owner_lock(self._folder, self._wait_s)
        try:
            self._check_schema()
            self._shard = self._load()
        except BaseException:
            lock.close()
            raise
        self._lock = lock

    def _load(self) -> EdgeShard:
        shard_dir = self._folder / "shard"
        if (self._folder / "schema.json").exists():
            return EdgeShard.load(str(shard_dir))
        if shard_dir.exists():  # whoever made it died before it was whole, and had written nothing
            shutil.rmtree(shard_dir)
        vectors = EdgeVectorParams(size=self._schema.dimensions, distance=Distance.Cosine)
        shard = EdgeShard.create(str(shard_dir), EdgeConfig(vectors=vectors))
        for field in self._schema.keywords:
            shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Keyword))
        for field in self._schema.numbers:
            shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Float))
        shard.flush()
        draft = self._folder / "schema.json.new"
        draft.write_text(self._schema.model_dump_json(), encoding="utf-8")
        draft.replace(self._folder / "schema.json")
        return shard

    def _check_schema(self) -> None:
        file = self._folder / "schema.json"
        if not file.exists():
            return
        try:
            made_for = VectorSchema.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise StoreUnavailable(f"{file} cannot be read; remove {self._folder} to begin anew.") from error
        if made_for != self._schema:
            raise Conflict(
                f"{self._folder} holds {_described(made_for)}; needed is {_described(self._schema)}. "
                "Remove the folder while nobody uses it, and it is made and filled anew, or use another one."
            )

    def _close(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _described(schema: VectorSchema) -> str:
    fields = ", ".join(schema.keywords + schema.numbers) or "no field"
    return f"the collection {schema.name} with vectors of {schema.dimensions} dimensions, by {fields}"


def _owner_lock(folder: Path, wait_s: float) -> TextIOWrapper:
    """Held until it is closed or the process ends, however it ends. Raises `StoreUnavailable` when another has it."""
    lock = (folder / "lock").open("a+", encoding="utf-8")
    deadline = monotonic() + wait_s
    while not _locked(lock):
        if monotonic() >= deadline:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise StoreUnavailable(f"The embedded Qdrant in {folder} belongs to another process (pid {owner}).")
        sleep(POLL_S)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _locked(lock: TextIOWrapper) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _filter(where: Where, below: Below | None = None) -> Filter:
    conditions = [FieldCondition(key=field, match=MatchValue(value)) for field, value in where.items()]
    if below is not None:
        conditions.append(FieldCondition(key=below.field, range=RangeFloat(lt=below.value)))
    return Filter(must=list(conditions))
