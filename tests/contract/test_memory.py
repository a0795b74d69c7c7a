"""The same promises of the memory over fakes, and over PostgreSQL, Valkey, the embedded Qdrant and a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.memory import KindRules, NewMemory, PlacementPolicy, Recall, Scope
from ossa.contracts.memory_tiers import ColdTier, MemoryCatalogue
from ossa.contracts.vectors import VectorIndex
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.embedded.redis import EmbeddedRedis
from ossa.memory.forgetting import GRACE_S
from ossa.memory.service import MemoryService
from ossa.memory.tiers import HotCopies, WarmVectors, memory_schema
from ossa.stores.objects.memory import ObjectMemory
from ossa.stores.postgres import PostgresStores
from ossa.stores.qdrant.embedded import EmbeddedQdrant
from ossa.stores.redis.cache import RedisCache
from ossa.testing.stores.tiers import InMemoryCatalogue, InMemoryObjects, MemoryCache, MemoryVectors
from tests.contract.conftest import empty
from tests.unit.memory.worlds import WORDS, embed

POLICY = PlacementPolicy(
    kinds={"*": KindRules(hot_uses=2, warm_uses=1, hot_idle_s=100, warm_idle_s=200), "brief": KindRules(keep_s=60)}
)


@dataclass
class Rig:
    """Shared stores, and processes on them."""

    catalogue: MemoryCatalogue
    index: VectorIndex
    cold: ColdTier
    make_cache: Callable[[], Any]
    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def process(self, **more: Any) -> MemoryService:
        parts = {"cold": self.cold, "catalogue": self.catalogue, "warm": WarmVectors(self.index), **more}
        hot = parts.pop("hot", None) or HotCopies(self.make_cache(), answer_s=10)
        return MemoryService(
            parts["catalogue"], hot, parts["warm"], parts["cold"], embed=embed, policy=POLICY, now=lambda: self.at
        )

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture(params=["fakes", "embedded"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    schema = memory_schema(len(WORDS))
    if request.param == "fakes":
        cache = MemoryCache()
        yield Rig(InMemoryCatalogue(), MemoryVectors(schema), InMemoryObjects(), lambda: cache)
        return
    postgres: EmbeddedPostgres = request.getfixturevalue("embedded")
    dsn = postgres.start()
    empty(dsn)
    async with AsyncExitStack() as stack:
        stores = PostgresStores(Database(), dsn)
        await stores.open()
        stack.push_async_callback(stores.close)
        valkey = EmbeddedRedis(tmp_path / "redis")
        redis = valkey.start()
        stack.callback(valkey.erase)
        index = EmbeddedQdrant(tmp_path / "vectors", schema=schema)
        stack.push_async_callback(index.close)
        cold = ObjectMemory(f"file://{tmp_path / 'objects'}")

        def cache_of_a_process() -> RedisCache:
            cache = RedisCache(redis, room="memory", answer_s=10)
            stack.push_async_callback(cache.close)
            return cache

        yield Rig(stores.memory, index, cold, cache_of_a_process)


async def test_what_is_remembered_is_recalled_by_every_process(rig: Rig) -> None:
    one, other = rig.process(), rig.process()
    facts: dict[str, Any] = {"city": "Köln", "floor": 3, "paid": True}
    made = await one.remember(NewMemory(content="my cat 🐈", subject="anna", facts=facts), tenant="acme")
    found = await other.recall(made.id, tenant="acme")
    assert found == made
    assert (found.content, found.facts, found.tier) == ("my cat 🐈", facts, "warm")
    again = await other.remember(NewMemory(id=made.id, content="my dog", subject="anna"), tenant="acme")
    assert again.version > made.version and again.created_at == made.created_at
    assert (await one.recall(made.id, tenant="acme")).content == "my dog"


async def test_it_is_found_by_meaning_by_time_and_by_filters(rig: Rig) -> None:
    memory = rig.process()
    start = rig.at
    for number, (text, kind, subject) in enumerate(
        [("cat cat dog", "fact", "anna"), ("dog", "note", "bob"), ("car", "fact", "bob"), ("cat", "fact", "")]
    ):
        rig.later(10)
        new = NewMemory(id=f"m{number}", content=text, kind=kind, subject=subject, facts={"even": number % 2 == 0})
        await memory.remember(new, tenant="acme")

    async def ids(**query: Any) -> list[str]:
        return [one.item.id for one in await memory.find(Recall(**query), tenant="acme")]

    assert await ids(text="cat", limit=2) == ["m3", "m0"]
    assert await ids(text="cat", subject="anna") == ["m0"]
    assert await ids(text="dog", kind="fact", least_score=0.1) == ["m0"]
    assert await ids(text="cat", facts={"even": True}, least_score=0.1) == ["m0"]
    assert await ids(text="cat", least_score=0.1, until=start + timedelta(seconds=20)) == ["m0"]
    assert await ids() == ["m3", "m2", "m1", "m0"]
    assert await ids(limit=2) == ["m3", "m2"]
    assert await ids(subject="bob") == ["m2", "m1"]
    assert await ids(kind="note", facts={"even": False}) == ["m1"]
    assert await ids(facts={"even": 1}) == []
    assert await ids(since=start + timedelta(seconds=20), until=start + timedelta(seconds=40)) == ["m2", "m1"]
    assert [one.score for one in await memory.find(Recall(text="car", limit=1), tenant="acme")] == [pytest.approx(1)]
    with pytest.raises(InvalidRequest):
        await memory.find(Recall(text="nothing known"), tenant="acme")


async def test_a_replaced_content_is_found_by_its_new_meaning_alone(rig: Rig) -> None:
    memory = rig.process()
    await memory.remember(NewMemory(id="m", content="cat"), tenant="acme")
    await memory.remember(NewMemory(id="m", content="car"), tenant="acme")
    assert await memory.find(Recall(text="cat", least_score=0.5), tenant="acme") == []
    assert [one.item.content for one in await memory.find(Recall(text="car"), tenant="acme")] == ["car"]


async def test_a_version_that_is_not_there_any_more_is_not_replaced(rig: Rig) -> None:
    memory = rig.process()
    first = await memory.remember(NewMemory(id="m", content="cat", if_version=0), tenant="acme")
    with pytest.raises(Conflict):
        await memory.remember(NewMemory(id="m", content="dog", if_version=0), tenant="acme")
    second = await memory.remember(NewMemory(id="m", content="dog", if_version=first.version), tenant="acme")
    with pytest.raises(Conflict) as caught:
        await memory.remember(NewMemory(id="m", content="car", if_version=first.version), tenant="acme")
    assert caught.value.details == {"version": second.version}
    for other in ({"kind": "note"}, {"subject": "bob"}):
        with pytest.raises(Conflict):
            await memory.remember(NewMemory(id="m", content="car", **other), tenant="acme")  # type: ignore[arg-type]
    assert (await memory.recall("m", tenant="acme")).content == "dog"


async def test_of_many_who_replace_the_same_version_one_does(rig: Rig) -> None:
    processes = [rig.process() for _ in range(3)]
    tries = [
        processes[number % 3].remember(NewMemory(id="m", content=f"cat {number}", if_version=0), tenant="acme")
        for number in range(12)
    ]
    done = await asyncio.gather(*tries, return_exceptions=True)
    made = [one for one in done if not isinstance(one, BaseException)]
    assert len(made) == 1 and all(isinstance(one, Conflict) for one in done if isinstance(one, BaseException))
    assert (await processes[0].recall("m", tenant="acme")).content == made[0].content


async def test_tenants_do_not_meet_unless_granted_and_then_by_kind_and_to_read(rig: Rig) -> None:
    memory = rig.process()
    await memory.remember(NewMemory(id="m", content="cat"), tenant="acme")
    await memory.remember(NewMemory(id="n", content="cat", kind="note"), tenant="acme")

    async def seen(**query: Any) -> list[str]:
        return sorted(one.item.id for one in await memory.find(Recall(of="acme", **query), tenant="evil"))

    async def nothing_is_seen() -> None:
        for ask in (memory.recall("m", tenant="evil", of="acme"), seen(text="cat"), seen()):
            with pytest.raises(NotFound):
                await ask

    assert await memory.find(Recall(text="cat"), tenant="evil") == []
    with pytest.raises(NotFound):
        await memory.recall("m", tenant="evil")
    await nothing_is_seen()
    await memory.grant("acme", to="evil", kinds=("note",))
    assert (await memory.recall("n", tenant="evil", of="acme")).tenant == "acme"
    with pytest.raises(NotFound):
        await memory.recall("m", tenant="evil", of="acme")
    assert (await seen(text="cat"), await seen(), await seen(kind="fact")) == (["n"], ["n"], [])
    await memory.remember(NewMemory(id="n", content="dog"), tenant="evil")
    assert (await memory.recall("n", tenant="acme")).content == "cat"
    with pytest.raises(NotFound):
        await memory.forget(Scope(tenant="evil", ids=("m",)))
    await memory.grant("acme", to="evil")
    assert await seen() == ["m", "n"]
    assert [one.to for one in await memory.grants("acme")] == ["evil"]
    await memory.revoke("acme", to="evil")
    await nothing_is_seen()
    with pytest.raises(NotFound):
        await memory.revoke("acme", to="evil")
    with pytest.raises(InvalidRequest):
        await memory.grant("acme", to="acme")


async def test_an_item_moves_through_the_tiers_and_says_the_same_in_each(rig: Rig) -> None:
    one, other = rig.process(), rig.process()
    await one.remember(NewMemory(id="m", content="cat"), tenant="acme")

    async def state() -> tuple[str, str | None]:
        found = await other.recall("m", tenant="acme")
        return found.tier, found.content

    await one.recall("m", tenant="acme")
    await one.recall("m", tenant="acme")
    assert (await one.sweep()).promoted == 1
    assert await state() == ("hot", "cat")
    await other.sweep()
    rig.later(101)
    assert (await one.sweep()).demoted == 1
    rig.later(201)
    assert (await one.sweep()).demoted == 1
    fresh = rig.process()
    assert await fresh.find(Recall(text="cat"), tenant="acme") == []
    assert [found.item.content for found in await fresh.find(Recall(), tenant="acme")] == ["cat"]
    assert (await fresh.recall("m", tenant="acme")).tier == "cold"
    assert (await fresh.sweep()).promoted == 1
    assert await state() == ("warm", "cat")
    assert [found.item.content for found in await one.find(Recall(text="cat"), tenant="acme")] == ["cat"]


async def test_a_cold_item_that_is_replaced_leaves_no_object(rig: Rig) -> None:
    memory = rig.process()
    await memory.remember(NewMemory(id="m", content="cat"), tenant="acme")
    rig.later(201)
    assert (await memory.sweep()).demoted == 1
    await memory.remember(NewMemory(id="m", content="dog"), tenant="acme")
    probe = await rig.catalogue.erase(Scope(tenant="nobody"), at=rig.at, id="probe")
    assert probe is not None
    everything = probe.model_copy(update={"scope": Scope(tenant="acme")})
    assert await rig.cold.count(everything) == 0
    assert (await memory.recall("m", tenant="acme")).content == "dog"


async def test_kinds_and_items_are_forgotten_when_their_time_is_over(rig: Rig) -> None:
    memory = rig.process()
    for id, more in {"a": {"kind": "brief"}, "b": {"lasts_s": 30}, "c": {}}.items():
        await memory.remember(NewMemory(id=id, content="cat", **more), tenant="acme")  # type: ignore[arg-type]
    rig.later(31)
    with pytest.raises(NotFound):
        await memory.recall("b", tenant="acme")
    assert (await memory.sweep()).expired == 1
    rig.later(30)
    assert [one.item.id for one in await memory.find(Recall(text="cat"), tenant="acme")] == ["c"]
    assert (await memory.sweep()).expired == 1
    assert [row.id for row in await rig.catalogue.rows("acme", ["a", "b", "c"])] == ["c"]


async def test_all_of_a_person_is_forgotten_and_proven_and_nobody_elses(rig: Rig) -> None:
    memory, other = rig.process(), rig.process()
    for id, subject in {"a": "anna", "b": "anna", "c": "bob", "d": ""}.items():
        await memory.remember(NewMemory(id=id, content="cat", subject=subject), tenant="acme")
    await memory.remember(NewMemory(id="a", content="cat", subject="anna"), tenant="other")
    rig.later(201)
    await memory.sweep()  # all are cold
    await other.recall("b", tenant="acme")
    await other.sweep()  # and one is warm again
    proof = await memory.forget(Scope(tenant="acme", subject="anna"))
    assert proof.complete and proof.items == 2
    assert {place.tier: place.left for place in proof.places} == {"catalogue": 0, "hot": 0, "warm": 0, "cold": 0}
    assert {place.tier: place.removed for place in proof.places} == {"catalogue": 2, "hot": None, "warm": 1, "cold": 1}
    for process in (memory, other):
        for id in ("a", "b"):
            with pytest.raises(NotFound):
                await process.recall(id, tenant="acme")
        assert [one.item.id for one in await process.find(Recall(limit=9), tenant="acme")] == ["d", "c"]
    assert (await memory.recall("a", tenant="other")).content == "cat"


async def test_everything_of_a_tenant_is_forgotten(rig: Rig) -> None:
    memory = rig.process()
    for tenant in ("acme", "other"):
        for id in ("a", "b"):
            await memory.remember(NewMemory(id=id, content="cat"), tenant=tenant)
    proof = await memory.forget(Scope(tenant="acme"))
    assert proof.complete and proof.items == 2
    assert await memory.find(Recall(), tenant="acme") == []
    assert len(await memory.find(Recall(text="cat"), tenant="other")) == 2


async def test_what_is_remembered_after_it_was_forgotten_is_another_item(rig: Rig) -> None:
    memory, other = rig.process(), rig.process()
    old = await memory.remember(NewMemory(id="m", content="cat", subject="anna"), tenant="acme")
    await other.recall("m", tenant="acme")
    await memory.forget(Scope(tenant="acme", ids=("m",)))
    new = await memory.remember(NewMemory(id="m", content="dog", kind="note", subject="bob"), tenant="acme")
    assert new.version > old.version
    assert (await other.recall("m", tenant="acme")).content == "dog"
    rig.later(GRACE_S + 1)
    await memory.sweep()
    await memory.sweep()
    assert await rig.catalogue.erasures(limit=9) == []
    assert (await other.recall("m", tenant="acme")).content == "dog"


async def test_a_lost_cache_breaks_nothing(rig: Rig) -> None:
    class Broken(MemoryCache):
        pass

    cache = Broken()
    memory = rig.process(hot=HotCopies(cache))
    await memory.remember(NewMemory(id="m", content="cat"), tenant="acme")
    for _ in range(2):
        await memory.recall("m", tenant="acme")
    await memory.sweep()
    cache.go_down()
    fresh = rig.process(hot=HotCopies(cache))
    assert (await fresh.recall("m", tenant="acme")).tier == "hot"
    await fresh.remember(NewMemory(id="m", content="dog"), tenant="acme")
    assert (await memory.recall("m", tenant="acme")).content == "dog"
    proof = await fresh.forget(Scope(tenant="acme", ids=("m",)))
    assert [place.tier for place in proof.places if not place.confirmed] == ["hot"] and not proof.complete
    with pytest.raises(NotFound):
        await memory.recall("m", tenant="acme")
    cache.come_back()
    await fresh.sweep()
    assert [one.confirmed_at is not None for one in await rig.catalogue.erasures(limit=9)] == [True]


async def test_without_the_index_it_recalls_by_id_and_time_and_says_that_it_cannot_by_meaning(rig: Rig) -> None:
    index = MemoryVectors(memory_schema(len(WORDS)))
    index.go_down()
    memory = rig.process(warm=WarmVectors(index))
    await memory.remember(NewMemory(id="m", content="cat"), tenant="acme")
    assert (await memory.recall("m", tenant="acme")).content == "cat"
    assert len(await memory.find(Recall(), tenant="acme")) == 1
    with pytest.raises(StoreUnavailable, match="by id and time"):
        await memory.find(Recall(text="cat"), tenant="acme")
    index.come_back()
    await memory.sweep()
    assert len(await memory.find(Recall(text="cat"), tenant="acme")) == 1


async def test_without_the_objects_the_other_tiers_go_on(rig: Rig) -> None:
    objects = InMemoryObjects()
    memory = rig.process(cold=objects)
    await memory.remember(NewMemory(id="old", content="cat"), tenant="acme")
    rig.later(201)
    await memory.sweep()
    objects.go_down()
    fresh = rig.process(cold=objects)
    await fresh.remember(NewMemory(id="new", content="dog"), tenant="acme")
    assert [one.item.id for one in await fresh.find(Recall(text="dog"), tenant="acme")] == ["new"]
    with pytest.raises(StoreUnavailable):
        await fresh.recall("old", tenant="acme")
    listed = {one.item.id: one.item.content for one in await fresh.find(Recall(), tenant="acme")}
    assert listed == {"new": "dog", "old": None}
    objects.come_back()
    assert (await fresh.recall("old", tenant="acme")).content == "cat"


@pytest.mark.parametrize("name", ["t", "T", "t:", "*", "ä", "a/b", "../x", "x" * 200, "t\n", '"', "%", "_"])
async def test_names_of_any_kind_have_memories_of_their_own(rig: Rig, name: str) -> None:
    memory = rig.process()
    for tenant in (name, name + "t", "t" + name):
        await memory.remember(NewMemory(id="m", content=f"cat of {len(tenant)}", subject=name), tenant=tenant)
    rig.later(201)
    await memory.sweep()
    proof = await memory.forget(Scope(tenant=name, subject=name))
    assert proof.complete and proof.items == 1
    for tenant in (name + "t", "t" + name):
        assert (await memory.recall("m", tenant=tenant)).content == f"cat of {len(tenant)}"
