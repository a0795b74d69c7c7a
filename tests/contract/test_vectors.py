"""The same promises of the index in memory (a fake), Qdrant's client in its local mode, and the embedded Qdrant.

No package carries a Qdrant server: what its answers alone decide is held to a small server here that answers like it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest

from ossa.contracts.errors import Conflict, InvalidRequest, StoreUnavailable
from ossa.contracts.vectors import Below, Found, Point, VectorIndex, VectorSchema
from ossa.stores.qdrant.embedded import EmbeddedQdrant
from ossa.stores.qdrant.server import QdrantIndex
from ossa.testing.stores.tiers import MemoryVectors

SCHEMA = VectorSchema(name="things", dimensions=3, keywords=("tenant", "tags"), numbers=("at",))
EAST, NORTH_EAST, NORTH = (2.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 3.0, 0.0)
NOBODYS_PORT = "http://127.0.0.1:9"


def uuid(number: int) -> str:
    return str(UUID(int=number))


def point(number: int, vector: tuple[float, ...] = EAST, **payload: object) -> Point:
    return Point(id=uuid(number), vector=vector, payload=payload)


def numbers(found: list[Found]) -> list[int]:
    return [UUID(one.id).int for one in found]


@pytest.fixture(params=["memory", "local", "embedded"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorIndex]:
    made: VectorIndex
    if request.param == "memory":
        made = MemoryVectors(SCHEMA)
    elif request.param == "local":
        made = QdrantIndex(":memory:", schema=SCHEMA)
    else:
        made = EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA)
    await made.open()
    yield made
    await made.close()


async def test_the_nearest_come_first_with_their_cosine(index: VectorIndex) -> None:
    await index.upsert([point(1, NORTH), point(2, NORTH_EAST), point(3, EAST, name="east")])
    found = await index.search(EAST, where={}, limit=10)
    assert numbers(found) == [3, 2, 1]
    assert [one.score for one in found] == pytest.approx([1.0, 2**-0.5, 0.0], abs=1e-5)
    assert found[0].payload == {"name": "east"}


async def test_a_search_keeps_to_its_limit_and_its_least_score(index: VectorIndex) -> None:
    await index.upsert([point(1, NORTH), point(2, NORTH_EAST), point(3, EAST)])
    assert numbers(await index.search(EAST, where={}, limit=1)) == [3]
    assert numbers(await index.search(EAST, where={}, limit=10, least_score=0.5)) == [3, 2]


async def test_a_filter_takes_all_fields_and_a_list_by_its_items(index: VectorIndex) -> None:
    await index.upsert(
        [
            point(1, tenant="a", tags=["x", "y"]),
            point(2, tenant="a", tags=["z"]),
            point(3, tenant="b", tags=["x"]),
            point(4, tags="x"),
        ]
    )
    assert numbers(await index.search(EAST, where={"tenant": "a", "tags": "x"}, limit=10)) == [1]
    assert await index.count({"tags": "x"}) == 3
    assert await index.count({"tenant": "A"}) == 0
    assert await index.count({}) == 4


@pytest.mark.parametrize("name", ["t", "T", "t:", "", "*", "ä", "a b", "x" * 3000, "{t}", '"', "t\n"])
async def test_a_name_matches_itself_alone(index: VectorIndex, name: str) -> None:
    await index.upsert([point(1, tenant=name), point(2, tenant=name + "t"), point(3, tenant="t" + name)])
    assert numbers(await index.search(EAST, where={"tenant": name}, limit=10)) == [1]


async def test_a_point_is_replaced_as_a_whole(index: VectorIndex) -> None:
    await index.upsert([point(1, EAST, tenant="a", at=1.0)])
    await index.upsert([point(1, NORTH, tenant="b")])
    assert await index.count({}) == 1
    (found,) = await index.fetch([uuid(1), uuid(2)])
    assert found.payload == {"tenant": "b"}
    assert (await index.search(EAST, where={}, limit=1))[0].score == pytest.approx(0.0, abs=1e-5)


async def test_the_oldest_come_first(index: VectorIndex) -> None:
    await index.upsert([point(number, tenant="a", at=float(10 - number)) for number in range(1, 6)])
    await index.upsert([point(9, tenant="b", at=-1.0)])
    assert numbers(await index.oldest({"tenant": "a"}, by="at", limit=2)) == [5, 4]


async def test_points_are_removed_by_id_by_field_and_by_age(index: VectorIndex) -> None:
    await index.upsert([point(number, tenant="ab"[number % 2], at=float(number)) for number in range(1, 9)])
    await index.delete([uuid(1), uuid(77)])
    assert await index.count({}) == 7
    await index.delete_where({"tenant": "a"}, below=Below(field="at", value=6.0))
    assert sorted(numbers(await index.search(EAST, where={}, limit=10))) == [3, 5, 6, 7, 8]
    assert await index.count({}, below=Below(field="at", value=6.5)) == 3
    await index.delete_where({}, below=Below(field="at", value=5.5))
    await index.delete_where({"tenant": "b"})
    assert sorted(numbers(await index.search(EAST, where={}, limit=10))) == [6, 8]


async def test_nothing_is_removed_by_asking_nothing(index: VectorIndex) -> None:
    await index.upsert([point(1)])
    with pytest.raises(InvalidRequest):
        await index.delete_where({})
    assert await index.count({}) == 1


@pytest.mark.parametrize("vector", [(1.0, 0.0), (1.0, 0.0, 0.0, 0.0), (), (0.0, 0.0, 0.0), (float("nan"), 1.0, 0.0)])
async def test_what_is_no_vector_here_is_refused(index: VectorIndex, vector: tuple[float, ...]) -> None:
    with pytest.raises(InvalidRequest):
        await index.upsert([point(1, vector)])
    with pytest.raises(InvalidRequest):
        await index.search(vector, where={}, limit=1)
    assert await index.count({}) == 0


async def test_an_id_is_a_uuid(index: VectorIndex) -> None:
    with pytest.raises(InvalidRequest):
        await index.fetch(["first"])


async def test_many_at_once_do_not_disturb_each_other(index: VectorIndex) -> None:
    await asyncio.gather(*(index.upsert([point(number, tenant="a", at=1.0)]) for number in range(1, 60)))
    found = await asyncio.gather(*(index.search(EAST, where={"tenant": "a"}, limit=100) for _ in range(20)))
    assert {len(one) for one in found} == {59}


async def test_the_embedded_index_has_one_owner_who_is_named(tmp_path: Path) -> None:
    owner, second = (EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA) for _ in range(2))
    await owner.open()
    with pytest.raises(StoreUnavailable, match=f"pid {os.getpid()}"):
        await second.open()
    await owner.close()
    await second.open()
    await second.close()


async def test_a_new_owner_waits_for_the_old_one_to_end(tmp_path: Path) -> None:
    owner = EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA)
    second = EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA, wait_s=30)
    await owner.open()
    waiting = asyncio.create_task(second.open())
    await owner.close()
    await waiting
    assert await second.count({}) == 0
    await second.close()


async def test_the_embedded_index_outlives_a_restart_and_refuses_another_dimension(tmp_path: Path) -> None:
    index = EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA)
    await index.open()
    await index.upsert([point(1, tenant="a")])
    await index.close()
    with pytest.raises(StoreUnavailable):
        await index.count({})
    with pytest.raises(Conflict, match=r"collection things .* 3 dimensions.* 4 dimensions.* Remove the folder"):
        await EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA.model_copy(update={"dimensions": 4})).open()
    again = EmbeddedQdrant(tmp_path / "vectors", schema=SCHEMA)
    await again.open()
    assert await again.count({"tenant": "a"}) == 1
    await again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from ossa.contracts.vectors import Point, VectorSchema
from ossa.stores.qdrant.embedded import EmbeddedQdrant

async def main():
    index = EmbeddedQdrant(Path(sys.argv[1]), schema=VectorSchema.model_validate_json(sys.argv[2]))
    await index.open()
    for number in range(1, 1000):
        await index.upsert([Point(id=str(UUID(int=number)), vector=(1.0, 0.0, 0.0), payload={"tenant": "a"})])
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_the_embedded_index_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    writer = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", WRITER, str(folder), SCHEMA.model_dump_json()], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < 200:
        acknowledged = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    writer.wait(30)
    index = EmbeddedQdrant(folder, schema=SCHEMA)
    await index.open()
    assert await index.count({"tenant": "a"}) >= acknowledged
    assert len(await index.fetch([uuid(number) for number in range(1, acknowledged + 1)])) == acknowledged
    await index.close()


async def test_a_server_that_is_away_is_unavailable_and_its_key_is_not_told() -> None:
    index = QdrantIndex(NOBODYS_PORT, schema=SCHEMA, api_key="sesame", answer_s=5)
    with pytest.raises(StoreUnavailable) as caught:
        await index.open()
    with pytest.raises(StoreUnavailable):
        await index.search(EAST, where={}, limit=1)
    assert "sesame" not in f"{caught.value!r}{index!r}"
    await index.close()


async def test_a_collection_of_another_dimension_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    index = QdrantIndex(":memory:", schema=SCHEMA)
    await index.open()
    other = QdrantIndex(":memory:", schema=SCHEMA.model_copy(update={"dimensions": 4}))
    monkeypatch.setattr(other, "_client", index._client)
    with pytest.raises(Conflict, match=r"things holds .* 3 dimensions .* 4 by Cosine .* Delete"):
        await other.open()
    await index.close()


class QdrantLike(BaseHTTPRequestHandler):
    """Answers for one collection, and refuses every other key than `sesame`."""

    vectors: object = {"size": 3, "distance": "Cosine"}

    def do_GET(self) -> None:
        if self.headers.get("api-key") != "sesame":
            self._answer(403, {"status": {"error": "forbidden"}})
        elif self.path == "/collections/things/exists":
            self._answer(200, {"result": {"exists": True}, "status": "ok", "time": 0.0})
        else:
            self._answer(200, {"result": collection(self.vectors), "status": "ok", "time": 0.0})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def collection(vectors: object) -> dict[str, object]:
    hnsw = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
    optimizer = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0}
    return {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": 0,
        "segments_count": 1,
        "config": {
            "params": {"vectors": vectors},
            "hnsw_config": hnsw,
            "optimizer_config": {**optimizer, "flush_interval_sec": 5},
        },
        "payload_schema": {},
    }


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[ThreadingHTTPServer] = []

    def start(vectors: object = QdrantLike.vectors, *, certificate: Path | None = None) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (QdrantLike,), {"vectors": vectors}))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"size": 3, "distance": "Cosine"}, None),
        ({"size": 4, "distance": "Cosine"}, r"things holds vectors of 4 dimensions by Cosine; 3 by Cosine .* Delete"),
        ({"size": 3, "distance": "Dot"}, r"things holds vectors of 3 dimensions by Dot; 3 by Cosine .* Delete"),
        ({"image": {"size": 3, "distance": "Cosine"}}, r"things was made by somebody else.* Delete"),
    ],
)
async def test_what_a_server_has_is_checked_when_it_is_opened(serve: Serve, vectors: object, said: str | None) -> None:
    index = QdrantIndex(serve(vectors), schema=SCHEMA, api_key="sesame")
    if said is None:
        await index.open()
    else:
        with pytest.raises(Conflict, match=said):
            await index.open()
    await index.close()


async def test_a_server_that_refuses_the_key_is_said_to(serve: Serve) -> None:
    index = QdrantIndex(serve(), schema=SCHEMA, api_key="open-barley")
    with pytest.raises(StoreUnavailable, match="API key") as caught:
        await index.open()
    assert "barley" not in f"{caught.value!r}{index!r}"
    await index.close()


async def test_a_server_with_tls_is_trusted_by_its_authority_alone(serve: Serve, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("left out, not installed: openssl")
    pem = tmp_path / "server.pem"
    made = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-subj", "/CN=qdrant", "-addext", "subjectAltName=IP:127.0.0.1")
    both = ("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt"))
    subprocess.run(["openssl", *made, *names, *both], check=True, capture_output=True)  # noqa: ASYNC221
    pem.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "crt").read_bytes())
    url = serve(certificate=pem)
    trusting = QdrantIndex(url, schema=SCHEMA, api_key="sesame", ca_file=tmp_path / "crt")
    await trusting.open()
    await trusting.close()
    wary = QdrantIndex(url, schema=SCHEMA, api_key="sesame")
    with pytest.raises(StoreUnavailable, match=r"not trusted.*CA_FILE"):
        await wary.open()
    await wary.close()
    with pytest.raises(InvalidRequest, match="CA_FILE"):
        QdrantIndex(url, schema=SCHEMA, ca_file=tmp_path / "none")


async def test_a_fake_that_is_down_is_unavailable() -> None:
    index = MemoryVectors(SCHEMA)
    index.go_down()
    with pytest.raises(StoreUnavailable):
        await index.count({})
    index.come_back()
    assert await index.count({}) == 0
