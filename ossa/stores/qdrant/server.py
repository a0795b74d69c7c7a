"""An index of vectors in a Qdrant server, or in its client's local mode."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from ossa.contracts.errors import Conflict, InvalidRequest, StoreUnavailable
from ossa.contracts.vectors import Below, Found, Point, VectorSchema, Where
from ossa.stores.checks import check_asked, check_ids, check_points, check_vector

IN_MEMORY = ":memory:"
_REFUSED = frozenset({401, 403})
_MADE_ALREADY = 409


class QdrantIndex:
    """`ossa.contracts.vectors.VectorIndex` in one collection, named as the schema is.

    Args:
        url: of the server; `:memory:` for the client's local mode, which keeps nothing.
        api_key: never shown.
        answer_s: how long each answer may take.
        ca_file: who signed the certificate of an https:// server; None: the usual authorities.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: VectorSchema,
        api_key: str = "",
        answer_s: float = 5.0,
        ca_file: Path | None = None,
    ) -> None:
        self._schema = schema
        self._url = url
        self._answer_s = answer_s
        self._local = url == IN_MEMORY
        self._client = _client(url, api_key, answer_s, ca_file)

    def __repr__(self) -> str:
        return f"QdrantIndex({self._url!r}, {self._schema.name!r})"

    async def open(self) -> None:
        name = self._schema.name
        async with self._translated():
            if not await self._client.collection_exists(name):
                await self._make()
            vectors = (await self._client.get_collection(name)).config.params.vectors
        if not isinstance(vectors, models.VectorParams):
            raise Conflict(
                f"The Qdrant collection {name} was made by somebody else: its vectors have names. "
                "Delete or rename it, or use another server."
            )
        if vectors.size != self._schema.dimensions or vectors.distance != models.Distance.COSINE:
            raise Conflict(
                f"The Qdrant collection {name} holds vectors of {vectors.size} dimensions by {vectors.distance.value}; "
                f"{self._schema.dimensions} by Cosine are needed. Delete the collection, and it is made and filled "
                "anew, or use another server."
            )

    async def close(self) -> None:
        async with self._translated():
            await self._client.close()

    async def upsert(self, points: Sequence[Point]) -> None:
        check_points(points, self._schema)
        if not points:
            return
        made = [models.PointStruct(id=point.id, vector=list(point.vector), payload=point.payload) for point in points]
        async with self._translated():
            await self._client.upsert(self._schema.name, points=made, wait=True)

    async def search(
        self, vector: Sequence[float], *, where: Where, limit: int, least_score: float = -1.0
    ) -> list[Found]:
        check_vector(vector, self._schema)
        async with self._translated():
            answer = await self._client.query_points(
                self._schema.name,
                query=list(vector),
                query_filter=_filter(where),
                limit=limit,
                score_threshold=least_score,
                with_payload=True,
            )
        return [Found(id=str(point.id), score=point.score, payload=point.payload or {}) for point in answer.points]

    async def fetch(self, ids: Sequence[str]) -> list[Found]:
        check_ids(ids)
        async with self._translated():
            records = await self._client.retrieve(self._schema.name, ids=list(ids), with_payload=True)
        return [_fetched(record) for record in records]

    async def oldest(self, where: Where, *, by: str, limit: int) -> list[Found]:
        async with self._translated():
            records, _ = await self._client.scroll(
                self._schema.name,
                scroll_filter=_filter(where),
                order_by=models.OrderBy(key=by, direction=models.Direction.ASC),
                limit=limit,
                with_payload=True,
            )
        return [_fetched(record) for record in records]

    async def count(self, where: Where, *, below: Below | None = None) -> int:
        async with self._translated():
            answer = await self._client.count(self._schema.name, count_filter=_filter(where, below), exact=True)
        return answer.count

    async def delete(self, ids: Sequence[str]) -> None:
        check_ids(ids)
        if not ids:
            return
        async with self._translated():
            selector = models.PointIdsList(points=list(ids))
            await self._client.delete(self._schema.name, points_selector=selector, wait=True)

    async def delete_where(self, where: Where, *, below: Below | None = None) -> None:
        check_asked(where, below)
        async with self._translated():
            selector = models.FilterSelector(filter=_filter(where, below))
            await self._client.delete(self._schema.name, points_selector=selector, wait=True)

    async def _make(self) -> None:
        """The collection and the indexes of its payload. Another process may make them at the same time."""
        vectors = models.VectorParams(size=self._schema.dimensions, distance=models.Distance.COSINE)
        try:
            await self._client.create_collection(self._schema.name, vectors_config=vectors)
        except UnexpectedResponse as error:
            if error.status_code != _MADE_ALREADY:
                raise
        if self._local:
            return  # it has no indexes
        kinds = [(field, models.PayloadSchemaType.KEYWORD) for field in self._schema.keywords]
        kinds += [(field, models.PayloadSchemaType.FLOAT) for field in self._schema.numbers]
        for field, kind in kinds:
            await self._client.create_payload_index(self._schema.name, field, field_schema=kind, wait=True)

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Raises `StoreUnavailable` for whatever the driver raises; its message holds no key and no payload."""
        try:
            async with asyncio.timeout(self._answer_s):
                yield
        except UnexpectedResponse as error:
            raise StoreUnavailable(self._refusal(error.status_code), retry_after_s=1.0) from error
        except TimeoutError as error:
            raise StoreUnavailable("Qdrant did not answer in time.", retry_after_s=1.0) from error
        except (ApiException, httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise StoreUnavailable(
                    "The certificate of Qdrant is not trusted: OSSA_MEMORY__QDRANT_CA_FILE, or OSSA_ANSWERS__CA_FILE, "
                    "names who signed it."
                ) from error
            raise StoreUnavailable(f"Qdrant is unavailable ({type(error).__name__}).", retry_after_s=1.0) from error

    def _refusal(self, status: int | None) -> str:
        if status in _REFUSED:
            return "Qdrant refuses the API key it was given."
        if status == httpx.codes.NOT_FOUND:
            return f"Qdrant has no collection {self._schema.name} (any more)."
        return f"Qdrant answered with status {status}."


def _client(url: str, api_key: str, answer_s: float, ca_file: Path | None) -> AsyncQdrantClient:
    if url == IN_MEMORY:
        return AsyncQdrantClient(IN_MEMORY)
    if ca_file is not None and not ca_file.is_file():
        raise InvalidRequest(f"{ca_file} is no file: look at OSSA_MEMORY__QDRANT_CA_FILE and OSSA_ANSWERS__CA_FILE.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a key over plain HTTP: the owner's choice
        return AsyncQdrantClient(
            url=url,
            api_key=api_key or None,
            timeout=max(1, round(answer_s)),
            check_compatibility=False,
            verify=ssl.create_default_context(cafile=ca_file) if ca_file is not None else True,
        )


def _filter(where: Where, below: Below | None = None) -> models.Filter:
    conditions: list[models.Condition] = [
        models.FieldCondition(key=field, match=models.MatchValue(value=value)) for field, value in where.items()
    ]
    if below is not None:
        conditions.append(models.FieldCondition(key=below.field, range=models.Range(lt=below.value)))
    return models.Filter(must=conditions)


def _fetched(record: models.Record) -> Found:
    return Found(id=str(record.id), score=1.0, payload=record.payload or {})
