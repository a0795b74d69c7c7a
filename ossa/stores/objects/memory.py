"""The memory's cold tier: a deflated object a content, under names that tell nothing.

    TENANT/SUBJECT/ITEM/FENCE       the first three as digests, the fence as 20 digits

All of a tenant, of one of its subjects, of one item lies under one prefix, whoever wrote it and however it ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import LocalStore

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.memory_tiers import Erasure, MemoryRow
from ossa.stores.objects.address import AT_ONCE, folder_of, force_to_disk, open_storage, translated

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectMemory:
    """`ossa.contracts.memory_tiers.ColdTier`.

    Args:
        url: `s3://BUCKET/PREFIX`, `gs://`, `az://` or `file:///FOLDER`; credentials come from the environment.
        options: of the driver, such as `endpoint` and `region`.
        answer_s: how long each answer may take.

    Raises `InvalidRequest` for a URL that cannot be used.
    """

    def __init__(self, url: str, *, options: dict[str, str] | None = None, answer_s: float = 10.0) -> None:
        self._url = url
        self._answer_s = answer_s
        self._folder = folder_of(url)
        self._store = _store(url, self._folder, options or {})

    def __repr__(self) -> str:
        return f"ObjectMemory({self._url!r})"

    async def put(self, row: MemoryRow, content: str, *, fence: int) -> None:
        data = await asyncio.to_thread(zlib.compress, content.encode())
        path = object_path(row.tenant, row.subject, row.id, fence=fence)
        async with translated(self._answer_s):
            await obstore.put_async(self._store, path, data)
            if self._folder is not None:
                await asyncio.to_thread(force_to_disk, self._folder, path)

    async def get(self, row: MemoryRow, *, fence: int) -> str | None:
        path = object_path(row.tenant, row.subject, row.id, fence=fence)
        async with translated(self._answer_s):
            try:
                answer = await obstore.get_async(self._store, path)
                data = bytes(await answer.bytes_async())
            except FileNotFoundError:
                return None
            try:
                return (await asyncio.to_thread(zlib.decompress, data)).decode()
            except zlib.error as error:
                raise ValueError("a damaged object") from error

    async def drop(self, row: MemoryRow, *, below: int, keep: int | None = None) -> None:
        paths = await self._below(_item(row.tenant, row.subject, row.id), below)
        await self._delete([path for path in paths if _fence(path) != keep])

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None:
        await self._delete([object_path(row.tenant, row.subject, row.id, fence=fence)])

    async def erase(self, erasure: Erasure) -> int:
        paths = await self._covered(erasure)
        await self._delete(paths)
        return len(paths)

    async def count(self, erasure: Erasure) -> int:
        return len(await self._covered(erasure))

    async def close(self) -> None:
        """It holds no connection that has to be ended."""

    async def _covered(self, erasure: Erasure) -> list[str]:
        scope = erasure.scope
        if scope.ids is not None:
            prefixes = [
                _item(scope.tenant, subject, id) for id, subject in zip(erasure.ids, erasure.subjects, strict=True)
            ]
        elif scope.subject is not None:
            prefixes = [_subject(scope.tenant, scope.subject)]
        else:
            prefixes = [_tenant(scope.tenant)]
        return [path for prefix in prefixes for path in await self._below(prefix, erasure.fence)]

    async def _below(self, prefix: str, fence: int) -> list[str]:
        paths: list[str] = []
        async with translated(self._answer_s):
            async for some in obstore.list(self._store, prefix=prefix):
                paths.extend(meta["path"] for meta in some if _fence(meta["path"]) < fence)
        return paths

    async def _delete(self, paths: Sequence[str]) -> None:
        for first in range(0, len(paths), AT_ONCE):
            async with translated(self._answer_s):
                try:
                    await obstore.delete_async(self._store, list(paths[first : first + AT_ONCE]))
                except FileNotFoundError:
                    for path in paths[first : first + AT_ONCE]:
                        await self._delete_if_there(path)

    async def _delete_if_there(self, path: str) -> None:
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return


def _store(url: str, folder: Path | None, options: dict[str, str]) -> ObjectStore:
    if folder is None:
        return open_storage(url, options, param="memory.objects_url")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(folder)
    except Exception as error:
        raise InvalidRequest(f"{folder} cannot be used for objects.", param="memory.objects_url") from error


def object_path(tenant: str, subject: str, id: str, *, fence: int) -> str:
    """Returns the name of a content's object, which never changes."""
    return f"{_item(tenant, subject, id)}{fence:020d}"


def _tenant(tenant: str) -> str:
    return f"{_digest(tenant)}/"


def _subject(tenant: str, subject: str) -> str:
    return f"{_tenant(tenant)}{_digest(subject)}/"


def _item(tenant: str, subject: str, id: str) -> str:
    return f"{_subject(tenant, subject)}{_digest(id)}/"


def _fence(path: str) -> int:
    return int(path.rsplit("/", 1)[1])


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
