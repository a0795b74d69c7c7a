"""Backups: what a set holds, and what the engines promise. `tests/contract/test_backups.py` holds them to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from ossa.contracts.errors import OssaError
from ossa.contracts.events import Fact
from ossa.contracts.value import Progress, Value

FORMAT = 1
"""The format of a set's manifest."""


class BackupDamaged(OssaError):
    """What is there is not what was written, or a part of it is gone. `param` names the file."""

    code, title = "backup_damaged", "A backup is damaged"


class BackupFile(Value):
    path: str
    size: int
    sha256: str


class Blob(Value):
    """Something stored, and when."""

    path: str
    size: int
    modified: datetime


class Base(Value):
    """A copy of a whole PostgreSQL, with the WAL that makes it consistent.

    Attributes:
        reference: the engine's own name for it.
        start_lsn: where replaying begins, as PostgreSQL writes it.
        ended_at: by the server's clock; the earliest time it can be restored to.
        segment_bytes: of the server's WAL.
        files: those the engine has in the vault; none where the engine keeps its own.
    """

    engine: str
    reference: str
    server_version: int
    schema_version: int
    system_id: str
    timeline: int
    start_lsn: str
    stop_lsn: str
    started_at: datetime
    ended_at: datetime
    segment_bytes: int = 16 * 2**20
    size: int
    files: tuple[BackupFile, ...] = ()


class BackupSet(Value):
    """`manifest.json` of a set: written last, so that a set is whole or not there.

    Attributes:
        objects: how many cold objects belong to it; one of its files (`objects.json.gz`) names them.
        files: all of the set, `base.files` apart.
    """

    format: int = FORMAT
    id: str
    started_at: datetime
    ended_at: datetime
    ossa_version: str
    base: Base
    objects: int
    objects_bytes: int
    files: tuple[BackupFile, ...]

    @property
    def size(self) -> int:
        return self.base.size + sum(file.size for file in self.files)


class Reach(Value):
    """Everything that was committed until then is in the archive, in `segment` and those before it."""

    until: datetime
    timeline: int
    segment: str


class Restored(Value):
    """What a restore brought back.

    Attributes:
        at: the last change that came back was committed then; None where there was none after the base.
        rows: of each table.
        lost_objects: cold memories whose content is not in the vault.
    """

    id: str
    into: str
    at: datetime | None
    schema_version: int
    rows: dict[str, int]
    objects: int
    lost_objects: tuple[str, ...] = ()


class Verified(Value):
    """What a set was when it was restored to a scratch folder, started and read."""

    id: str
    at: datetime
    schema_version: int
    rows: dict[str, int]
    objects: int
    wal_segments: int
    reach: datetime | None


Until = datetime | Literal["base", "newest"]
"""A time; the end of the base; all that the archive has."""


class BackupEngine(Protocol):
    """Base backups of one PostgreSQL and its WAL. Blocking.

    Every method raises `StoreUnavailable` with what is missing and how to get it.
    """

    @property
    def name(self) -> str: ...

    def take(self, id: str, progress: Progress) -> Base:
        """While others write. What it leaves behind when it is killed is no base, and goes with the next call."""

    def archive(self) -> Reach:
        """See that the archive has everything that is committed by now. Raises `Conflict` for another server's."""

    def reach(self) -> Reach | None:
        """What `archive` answered last; None before the first time."""

    def current(self, bases: Sequence[Base]) -> Sequence[Base]:
        """Those that lead to what the server is now; a restore to an earlier time leaves some aside."""

    def missing(self, base: Base) -> str | None:
        """The first WAL that is not there between the base and the archive's end."""

    def check(self, base: Base, progress: Progress) -> int:
        """Read its WAL, up to the archive's end; how many segments there are. Raises `BackupDamaged`, also for a gap.

        The copy itself is read by `lay`.
        """

    def lay(self, base: Base, home: Path, *, until: Until, progress: Progress, replacing: Callable[[], None]) -> None:
        """A PostgreSQL in `home` that recovers to `until` when it is started, in the place of any that is there.

        Every byte is held against its sha256. Until `replacing` is called the home is as it was.
        Raises `BackupDamaged`, `InvalidRequest` for a time that the archive does not reach, `Conflict` where one runs.
        """

    def halt(self, home: Path) -> None:
        """Stop the PostgreSQL that a killed `recover` left there."""

    def recover(self, home: Path, *, until: Until, progress: Progress) -> AbstractContextManager[str]:
        """Start what was laid down and wait until it has recovered: its DSN. Stopped at the end.

        Raises `BackupDamaged` when WAL is missing on the way to `until`.
        """

    def stop(self) -> None:
        """Nothing that takes WAL is left."""

    def discard(self, home: Path) -> None:
        """What `lay` made there, for good."""

    def tell(self, facts: Sequence[Fact]) -> None:
        """Writes facts into the log of the server; one whose schema has none keeps none."""

    def remove(self, gone: Sequence[Base], kept: Sequence[Base]) -> None:
        """For good, with the WAL that no kept one needs."""


class Blobs(Protocol):
    """Files under a URL. Blocking; every method raises `StoreUnavailable`."""

    @property
    def url(self) -> str: ...

    def put(self, path: str, data: bytes, *, fresh: bool = False) -> bool:
        """Whole or not at all, and durable; False when `fresh` and there is one of that name."""

    def put_file(self, path: str, file: Path) -> None: ...

    def get(self, path: str) -> bytes:
        """Raises `NotFound`."""

    def fetch(self, path: str, file: Path) -> str:
        """Into a file; its sha256. Raises `NotFound`."""

    def list(self, prefix: str) -> list[Blob]:
        """All below a folder, by name."""

    def delete(self, paths: Iterable[str]) -> None:
        """Those that are there."""


class ColdRow(Value):
    """A memory whose content is in an object, and where."""

    tenant: str
    id: str
    path: str


class RestoredStore(Protocol):
    """A PostgreSQL that was brought back, by its DSN. Raises `StoreUnavailable`."""

    def schema_version(self, dsn: str) -> int: ...

    def rows(self, dsn: str) -> dict[str, int]:
        """Counts the rows of each table by reading all of it."""

    def last_commit(self, dsn: str) -> datetime | None: ...

    def cold(self, dsn: str) -> list[ColdRow]: ...

    def renew(self, dsn: str) -> int:
        """Fences above all that were ever given, and every memory to be indexed again; how many."""

    def tell(self, dsn: str, facts: Sequence[Fact]) -> None:
        """Writes facts into its log; one whose schema has none keeps none."""


V = TypeVar("V", bound=Value)


def sealed(value: Value) -> bytes:
    """JSON: the value, and its sha256."""
    found = value.model_dump(mode="json")
    return json.dumps({"sha256": _digest(found), "value": found}, indent=1).encode()


def unsealed(kind: type[V], data: bytes) -> V:
    """Raises `ValueError` for anything but what `sealed` made of such a value."""
    read = json.loads(data)
    if not isinstance(read, dict) or "value" not in read or read.get("sha256") != _digest(read["value"]):
        raise ValueError("its sha256 is another one")
    return kind.model_validate_json(json.dumps(read["value"]))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
