"""Files under a URL, for those who may block: a folder, S3 and the like."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from ossa.contracts.backups import Blob
from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.stores.objects.address import AT_ONCE, FOLDER_SCHEME, folder_of, force_to_disk, open_storage

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectBlobs:
    """`ossa.contracts.backups.Blobs`.

    Args:
        url: `s3://BUCKET/PREFIX`, `gs://`, `az://`, `file:///FOLDER` or a folder; keys come from the environment.
        options: of the driver, such as `endpoint` and `region`.
        param: the setting at fault where the URL cannot be used.

    Raises `InvalidRequest` for such a URL. A folder is made when it is first written to, for its owner alone.
    """

    def __init__(self, url: str, *, options: dict[str, str] | None = None, param: str = "backup.url") -> None:
        self._param = param
        self._folder = folder_of(url)
        self.url = f"{FOLDER_SCHEME}{self._folder}" if self._folder else url.split("?")[0]
        self._opened = None if self._folder else open_storage(url, options or {}, param=param)

    def __repr__(self) -> str:
        return f"ObjectBlobs({self.url!r})"

    def put(self, path: str, data: bytes, *, fresh: bool = False) -> bool:
        with self._translated(path):
            try:
                obstore.put(self._store(), path, data, mode="create" if fresh else "overwrite")
            except AlreadyExistsError:
                return False
            self._force_to_disk(path)
            return True

    def put_file(self, path: str, file: Path) -> None:
        with self._translated(path):
            obstore.put(self._store(), path, file)
            self._force_to_disk(path)

    def get(self, path: str) -> bytes:
        with self._translated(path):
            return bytes(obstore.get(self._store(), path).bytes())

    def fetch(self, path: str, file: Path) -> str:
        digest = hashlib.sha256()
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._translated(path), file.open("wb") as out:
            for part in obstore.get(self._store(), path).stream():
                digest.update(part)
                out.write(part)
        return digest.hexdigest()

    def list(self, prefix: str) -> list[Blob]:
        if self._folder is not None and not self._folder.exists():
            return []
        blobs: list[Blob] = []
        with self._translated(prefix):
            for some in obstore.list(self._store(), prefix=prefix or None):
                blobs.extend(
                    Blob(path=meta["path"], size=meta["size"], modified=meta["last_modified"]) for meta in some
                )
        return sorted(blobs, key=lambda blob: blob.path)

    def delete(self, paths: Iterable[str]) -> None:
        listed = list(paths)
        for first in range(0, len(listed), AT_ONCE):
            self._delete(listed[first : first + AT_ONCE])
        if self._folder is not None:
            _drop_empty(self._folder, listed)

    def _delete(self, paths: Sequence[str]) -> None:
        """S3 takes all in one request, and calls none of them missing; others stop at the first that is not there."""
        try:
            with self._translated(paths[0]):
                obstore.delete(self._store(), list(paths))
        except NotFound:
            for path in paths:
                with suppress(NotFound), self._translated(path):
                    obstore.delete(self._store(), path)

    def _store(self) -> ObjectStore:
        if self._opened is None:
            assert self._folder is not None
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._opened = LocalStore(self._folder)
        return self._opened

    def _force_to_disk(self, path: str) -> None:
        if self._folder is not None:
            force_to_disk(self._folder, path)

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """The driver's message may hold a key of the storage: it is not told."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"{self.url} has no {path}.") from error
        except (BaseError, OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise StoreUnavailable(f"{self.url} cannot be used: {said}.", param=self._param) from error


def _drop_empty(root: Path, deleted: Iterable[str]) -> None:
    """Folders that nothing is left in."""
    for folder in sorted({parent for path in deleted for parent in (root / path).parents}, reverse=True):
        if folder != root and folder.is_relative_to(root):
            try:
                folder.rmdir()
            except OSError:
                continue
