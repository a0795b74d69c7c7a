"""What of the fact log a crash takes back, or a fail-over to a standby that was behind, makes nobody miss a fact."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, Fact, Message, Received
from ossa.contracts.facts import Act
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.events.dead_letters import dead_letters, replay
from ossa.events.log_bus import DEAD_TOPIC, TOPIC, LogBus, LogSubscription
from ossa.stores.postgres import PostgresStores, fact_tail
from ossa.stores.postgres.connection import Reader, Server, Session
from tests.contract.conftest import empty

pytestmark = pytest.mark.asyncio


class Noted(Act):
    """Something was noted, for these tests alone"""

    number: int = 0


Noted.TYPE = "ossa.test.noted.v1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("facts-crash") / "postgres")
    server.start()
    yield server
    server.erase()


@pytest.fixture
async def stores(server: EmbeddedPostgres) -> AsyncIterator[PostgresStores]:
    empty(server.start())
    stores = PostgresStores(Database(), server.start())
    await stores.open()
    yield stores
    await stores.close()


def note(number: int) -> Fact:
    return Fact(Noted(number=number), key="test/1", name=str(number))


async def tell(stores: PostgresStores, *numbers: int) -> None:
    """Each in a transaction of its own."""
    for number in numbers:
        await stores.facts.tell([note(number)])


async def told(stores: PostgresStores) -> list[int]:
    page = await stores.facts.read(0, limit=1000)
    return [item.content.data.get("number", 0) for item in page.items if isinstance(item.content, Event)]


def numbers(received: Sequence[Received]) -> list[int]:
    return [one.event.data.get("number", 0) for one in received if one.event is not None]


async def taken(subscription: LogSubscription, number: int) -> list[Received]:
    found: list[Received] = []
    async with asyncio.timeout(30):
        while len(found) < number:
            found += await subscription.take(limit=100, wait_s=0.05)
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < end, "it did not come true within 20 s"
        await asyncio.sleep(0.01)


async def fail_over(server: EmbeddedPostgres, *, lost: int) -> None:
    """As when a standby leads that had not got the last rows: another server, which hands out their positions again."""
    await asyncio.to_thread(server.stop)
    dsn = await asyncio.to_thread(server.start)
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        row = await (await conn.execute("SELECT max(position) FROM ossa.facts")).fetchone()
        assert row is not None
        await conn.execute("DELETE FROM ossa.facts WHERE position > %s", (row[0] - lost,))
        await conn.execute("SELECT setval('ossa.facts_position', %s)", (row[0] - lost,))


async def test_a_number_that_no_commit_made_durable_may_be_handed_out_again(
    stores: PostgresStores, server: EmbeddedPostgres
) -> None:
    await tell(stores, 1)
    assert await told(stores) == [1]
    async with await psycopg.AsyncConnection.connect(server.start()) as conn:
        row = await (await conn.execute("SELECT last_value FROM ossa.facts_position")).fetchone()
        assert row is not None
        await conn.execute("SELECT ossa.tell('t', 'gone', 1, '[]')")
        await conn.rollback()
        late = PostgresStores(Database(), server.start())  # finds the end with the number taken
        before = await late.facts.read(0, limit=1000)
        # A server that dies now forgets that the number was taken.
        await conn.execute("SELECT setval('ossa.facts_position', %s)", (row[0],))
    await tell(stores, 2)
    assert await told(stores) == [1, 2]
    after = await late.facts.read(before.end, limit=1000)
    assert [len(page.items) for page in (before, after)] == [1, 1]
    await late.close()


async def test_numbers_that_a_crash_skipped_hold_nobody_up(stores: PostgresStores, server: EmbeddedPostgres) -> None:
    await tell(stores, 1)
    async with await psycopg.AsyncConnection.connect(server.start()) as conn:
        await conn.execute("SELECT setval('ossa.facts_position', (SELECT last_value + 32 FROM ossa.facts_position))")
    await tell(stores, 2)

    async def there() -> bool:
        return await told(stores) == [1, 2]

    await until(there)


async def test_a_standby_that_lost_the_last_rows_loses_none_of_those_that_get_their_positions(
    stores: PostgresStores, server: EmbeddedPostgres
) -> None:
    subscription = await LogBus(stores.facts, owner="a").subscribe("g")
    await tell(stores, 0, 1, 2, 3)
    batch = await taken(subscription, 4)
    await fail_over(server, lost=2)
    await tell(stores, 7, 8)
    await subscription.commit([one.place for one in batch])  # read where it is no more
    assert numbers(await taken(subscription, 4)) == [0, 1, 7, 8]
    assert await told(stores) == [0, 1, 7, 8]


async def test_a_page_from_far_back_is_not_taken_from_another_server_than_the_end(
    stores: PostgresStores, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tell(stores, 0, 1, 2, 3)
    late = PostgresStores(Database(), server.start())
    assert await late.facts.settled() == await stores.facts.settled()
    await fail_over(server, lost=2)
    with monkeypatch.context() as patch:
        patch.setattr(fact_tail, "_FRESH_S", 3600.0)  # the move comes between the look at the end and the page
        with pytest.raises(StoreUnavailable):
            await late.facts.read(0, limit=1000)
    await tell(stores, 7)
    assert await told(late) == [0, 1, 7]
    await late.close()


async def test_dead_letters_whose_numbers_a_crash_skipped_are_listed_and_replayed(
    stores: PostgresStores, server: EmbeddedPostgres
) -> None:
    bus = LogBus(stores.facts, owner="a")
    letters = [Message(DEAD_TOPIC, f"k{number}", b"{}", {"ossa-topic": TOPIC}) for number in range(2)]
    await bus.publish(letters[:1])
    async with await psycopg.AsyncConnection.connect(server.start()) as conn:
        await conn.execute(
            "SELECT nextval(pg_get_serial_sequence('ossa.dead_facts', 'number')) FROM generate_series(1, 32)"
        )
    await bus.publish(letters[1:])
    assert [letter.key for letter in await dead_letters(bus)] == ["k0", "k1"]
    assert await replay(bus) == 2


async def test_who_is_cancelled_while_its_connection_is_lost_does_not_try_again(server: EmbeddedPostgres) -> None:
    reader = Reader(Server(server.start(), Database()), 1)
    tries = 0

    async def act(session: Session) -> None:
        nonlocal tries
        tries += 1
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise psycopg.OperationalError("the connection is lost") from None

    async def begun() -> bool:
        return tries > 0

    acting = asyncio.create_task(reader.run(act))
    await until(begun)
    acting.cancel()
    await asyncio.wait([acting], timeout=20)
    assert acting.cancelled()
    assert tries == 1
    await reader.close()
