"""The same cases over a folder and over S3. The S3 here is moto's server, a mock: it looks at no signature."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from ossa.contracts.errors import InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.memory import Scope
from ossa.contracts.memory_tiers import Erasure, MemoryRow
from ossa.stores.objects.blobs import AT_ONCE, ObjectBlobs
from ossa.stores.objects.memory import ObjectMemory

SECRET = "open-sesame"
_numbers = count()


@dataclass(frozen=True)
class Storage:
    url: str
    options: dict[str, str] = field(default_factory=dict)

    def blobs(self, **more: str) -> ObjectBlobs:
        return ObjectBlobs(self.url, options=self.options | more)

    def memory(self, **more: str) -> ObjectMemory:
        return ObjectMemory(self.url, options=self.options | more, answer_s=30)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server with a bucket `fleet`."""
    pytest.importorskip("flask", reason="left out, not installed: moto[server] (make setup-dev)")
    server_module = pytest.importorskip("moto.server", reason="left out, not installed: moto[server] (make setup-dev)")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        boto3 = pytest.importorskip("boto3")
        keys = {"aws_access_key_id": "fleet", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="fleet")
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def at(endpoint: str, url: str) -> Storage:
    return Storage(
        url,
        {
            **{"endpoint": endpoint, "region": "us-east-1", "allow_http": "true"},
            **{"access_key_id": "fleet", "secret_access_key": SECRET},
        },
    )


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(f"file://{tmp_path / 'objects'}")
    return at(request.getfixturevalue("s3"), f"s3://fleet/prefix-{os.getpid()}-{next(_numbers)}")


def test_what_is_put_is_got_and_listed_and_another_prefix_is_not(storage: Storage, tmp_path: Path) -> None:
    blobs = storage.blobs()
    assert blobs.list("") == []
    before = datetime.now(UTC).replace(microsecond=0)
    assert blobs.put("sets/a/manifest.json", b"{}")
    assert blobs.put("sets/b/manifest.json", b"[1]")
    assert blobs.put("wal/1", b"")
    assert blobs.get("sets/b/manifest.json") == b"[1]"
    listed = blobs.list("sets")
    assert [(one.path, one.size) for one in listed] == [("sets/a/manifest.json", 2), ("sets/b/manifest.json", 3)]
    assert all(one.modified >= before for one in listed)
    assert [one.path for one in storage.blobs().list("")] == ["sets/a/manifest.json", "sets/b/manifest.json", "wal/1"]
    with pytest.raises(NotFound):
        blobs.get("sets/c")
    with pytest.raises(NotFound):
        blobs.fetch("sets/c", tmp_path / "c")


def test_fresh_never_replaces(storage: Storage) -> None:
    blobs = storage.blobs()
    assert blobs.put("a", b"first", fresh=True)
    assert not blobs.put("a", b"second", fresh=True)
    assert blobs.get("a") == b"first"
    assert blobs.put("a", b"third")
    assert blobs.get("a") == b"third"


def test_a_file_of_many_parts_comes_back_as_it_was(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(2**20) * 12
    (tmp_path / "there").write_bytes(data)
    blobs = storage.blobs()
    blobs.put_file("base.tar", tmp_path / "there")
    digest = blobs.fetch("base.tar", tmp_path / "new" / "back")
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "new" / "back").read_bytes() == data


def test_many_are_deleted_and_what_is_not_there_is_no_error(storage: Storage) -> None:
    blobs = storage.blobs()
    for number in range(12):
        blobs.put(f"pool/{number}", b"x")
    named = [f"pool/{number}" for number in range(AT_ONCE + 20)]
    blobs.delete([*named, "pool/absent/too"])
    assert blobs.list("pool") == []
    blobs.delete([])


def row(id: str, *, tenant: str = "acme", subject: str = "anna") -> MemoryRow:
    now = datetime.now(UTC)
    return MemoryRow(
        **{"id": id, "tenant": tenant, "subject": subject, "kind": "fact", "facts": {}, "version": 1, "fence": 1},
        **{"tier": "cold", "content": None, "digest": "", "uses": 0, "untidy": False},
        **{"created_at": now, "updated_at": now, "used_at": now, "expires_at": None},
    )


async def test_a_content_is_kept_by_its_fence(storage: Storage) -> None:
    one, other = storage.memory(), storage.memory()
    await one.put(row("m"), "my cat 🐈", fence=7)
    await one.put(row("m"), "my dog", fence=9)
    assert await other.get(row("m"), fence=7) == "my cat 🐈"
    assert await other.get(row("m"), fence=9) == "my dog"
    assert await other.get(row("m"), fence=8) is None
    await other.drop(row("m"), below=10, keep=9)
    assert await one.get(row("m"), fence=7) is None
    assert await one.get(row("m"), fence=9) == "my dog"
    await one.drop_one(row("m"), fence=9)
    await one.drop_one(row("m"), fence=9)
    assert await one.get(row("m"), fence=9) is None


async def test_what_is_forgotten_is_counted_and_gone_and_no_more(storage: Storage) -> None:
    memory = storage.memory()
    for tenant, subject, id in [
        ("acme", "anna", "1"),
        ("acme", "anna", "2"),
        ("acme", "bob", "3"),
        ("else", "anna", "1"),
    ]:
        await memory.put(row(id, tenant=tenant, subject=subject), "x", fence=3)
    await memory.put(row("late"), "x", fence=12)
    scope = Scope(tenant="acme", subject="anna")
    person = Erasure(id="e", scope=scope, ids=("1", "2"), subjects=("anna", "anna"), fence=10, at=datetime.now(UTC))
    assert await memory.count(person) == 2
    assert await memory.erase(person) == 2
    assert await memory.count(person) == 0
    assert await memory.get(row("late"), fence=12) == "x"
    assert await memory.get(row("3", subject="bob"), fence=3) == "x"
    assert await memory.get(row("1", tenant="else"), fence=3) == "x"


async def test_a_storage_that_is_away_is_unavailable_and_tells_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.stores.objects.address.TRIES", 1)
    storage = at("http://127.0.0.1:1", "s3://fleet/x")
    with pytest.raises(StoreUnavailable) as caught:
        storage.blobs().get("a")
    assert SECRET not in f"{caught.value!r}{storage.blobs()!r}"
    with pytest.raises(StoreUnavailable) as caught:
        await storage.memory().get(row("m"), fence=1)
    assert SECRET not in f"{caught.value!r}{storage.memory()!r}"


def test_a_bucket_that_is_not_there_is_unavailable_and_named(s3: str) -> None:
    blobs = at(s3, "s3://nobodys/x").blobs()
    with pytest.raises((StoreUnavailable, NotFound), match="s3://nobodys"):
        blobs.put("a", b"x")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://", {}),
        ("ftp://somewhere/x", {}),
        ("s3://fleet/x", {"no_such_option": SECRET}),
        ("s3://fleet/x", {"aws_allow_http": SECRET}),
        ("s3://fleet/x", {"allow_http": SECRET}),
    ],
)
def test_what_cannot_be_an_address_is_refused_with_its_setting(url: str, options: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="no storage that can be used") as caught:
        ObjectBlobs(url, options=options)
    assert caught.value.param == "backup.url"
    assert SECRET not in f"{caught.value!r}{caught.value.__cause__!r}"
    with pytest.raises(InvalidRequest) as caught:
        ObjectMemory(url, options=options)
    assert caught.value.param == "memory.objects_url"


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"root_certificate.*absent"):
        ObjectBlobs("s3://fleet/x", options={"root_certificate": str(tmp_path / "absent")})
