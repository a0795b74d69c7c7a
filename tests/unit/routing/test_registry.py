"""A new model is in use at once and without a failed decision; one that cannot be used never is."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from ossa.contracts.routing import Feedback, ModelKind, Route, RoutingPolicy
from ossa.contracts.task import NewTask, Outcome, Step, Target, TaskRequest, TaskStatus
from ossa.routing import Conditions, RequestFeatures, model_scorer, route
from ossa.routing.drift import Bounds
from ossa.routing.learned.archive import ModelFile, ModelFileError, dump, load, quantise
from ossa.routing.learned.quality import Estimate, QualityModel
from ossa.routing.learned.reading import DENSE, Reading, read
from ossa.routing.model_scorer import LoadedModel
from ossa.routing.registry import LEARN_EVERY, LiveRouter
from ossa.testing.gateway import eventually
from ossa.testing.stores import MemoryStores
from tests.support.fleet import agent, index

NOW = datetime(2026, 3, 4, tzinfo=UTC)
LABELS, POOLS = ("reviewer", "greeter"), ("community", "security")
TEXT = "please review my change"
ABOUT = {"name": "made", "data": [], "split": "", "metrics": {}, "importance": {}}


def label_file(lean: float = 0.0, **card: Any) -> ModelFile:
    """Every text is `reviewer` with the likelihood 1 / (1 + exp(-lean))."""
    buckets = np.unique(read("usual words of usual requests").word_buckets).astype(np.int32)
    inner, scale = quantise(np.zeros((len(buckets), 4)))
    arrays = {
        "groups": np.asarray([1, 0], dtype=np.int16),
        "buckets": buckets,
        "rarity": np.ones(len(buckets), dtype=np.float16),
        "inner": inner,
        "inner_scale": scale,
        "inner_dense": np.zeros((DENSE, 4), dtype=np.float16),
        "inner_bias": np.zeros(4, dtype=np.float16),
        "outer": np.zeros((4, 2), dtype=np.float16),
        "outer_bias": np.asarray([lean, 0.0], dtype=np.float16),
    }
    calibration = {"temperature": 1.0, "floor": 0.0}
    told = {**ABOUT, "kind": "labels", "labels": LABELS, "groups": POOLS, "unmet": 1.0, "calibration": calibration}
    return ModelFile({**told, **card}, arrays)


class FlatQuality(QualityModel):
    """The same qualities for every text, in place of the learned ones."""

    def __init__(self, file: ModelFile) -> None:
        super().__init__(("lightweight", "premium"), *[None] * (len(fields(QualityModel)) - 1))
        object.__setattr__(self, "flat", file.arrays["flat"])

    def predict(self, reading: Reading) -> Estimate:
        return Estimate(self.flat, np.zeros(2, dtype=np.float32))


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_scorer.BUILDERS, "quality", FlatQuality)


def quality_file(*flat: float) -> ModelFile:
    return ModelFile({**ABOUT, "kind": "quality", "calibration": {}}, {"flat": np.asarray(flat, dtype=np.float32)})


def no_packaged(kind: ModelKind, *, since: datetime) -> LoadedModel:
    raise ModelFileError(f"No routing model named {kind!r} is packaged.")


class Rig:
    def __init__(self, *, packaged: Callable[..., LoadedModel] = no_packaged, **options: Any) -> None:
        self.now = NOW
        self.stores = MemoryStores(clock=lambda: self.now)
        self.router = LiveRouter(
            self.stores.routing, packaged=packaged, clock=lambda: self.now, sleep=self._sleep, **options
        )

    async def _sleep(self, _: float) -> None:
        await asyncio.Event().wait()

    async def add(self, file: ModelFile, *, promote: bool = True, content: bytes | None = None) -> int:
        kind = file.card["kind"]
        added = await self.stores.routing.add_model(
            kind, content or dump(file), card=dict(file.card), digest=file.digest
        )
        if promote:
            await self.stores.routing.promote(kind, added.version)
        return added.version

    def status(self, kind: ModelKind = "labels") -> Any:
        return next(one for one in self.router.status().models if one.kind == kind)

    def fit(self) -> list[float] | None:
        found = self.router.scorer().fits(INDEX, RequestFeatures.of([{"role": "user", "content": TEXT}]))
        return None if found is None else list(found)

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self.router.refresh()


INDEX = index(agent("security-000", manifest="reviewer"), agent("community-000", manifest="unknown"))


def packaged_labels(kind: ModelKind, *, since: datetime) -> LoadedModel:
    if kind != "labels":
        return no_packaged(kind, since=since)
    file = label_file(lean=-1.0)
    return LoadedModel(kind, file.digest, None, model_scorer.build(kind, file, "test"), file.card, since)


# serving


async def test_without_any_model_rules_decide_and_status_says_why() -> None:
    rig = Rig()
    await rig.router.refresh()
    assert rig.fit() is None
    assert rig.router.scorer().name == "rules"
    assert (rig.status().source, rig.status().fallback) == ("rules", "No routing model named 'labels' is packaged.")


async def test_a_forecast_model_is_no_business_of_routing() -> None:
    rig = Rig(packaged=packaged_labels)
    await rig.stores.routing.add_model("forecast", b"of another program", card={}, digest="f1")
    await rig.stores.routing.promote("forecast", 1)
    await rig.router.refresh()
    status = rig.router.status()
    assert ([one.kind for one in status.models], status.fault) == (["labels", "agents", "quality"], "")
    assert rig.status().source == "packaged"


async def test_what_is_promoted_decides_from_the_next_round_on() -> None:
    rig = Rig(packaged=packaged_labels)
    await rig.router.refresh()
    assert rig.status().source == "packaged"
    file = label_file(lean=2.0)
    version = await rig.add(file, promote=False)
    await rig.router.refresh()
    assert rig.status().source == "packaged"
    await rig.stores.routing.promote("labels", version)
    rig.now += timedelta(seconds=2)
    await rig.router.refresh()
    assert (rig.status().source, rig.status().version, rig.status().digest) == ("registry", 1, file.digest)
    assert rig.status().since == rig.now
    assert rig.fit() == pytest.approx([0.8808, 0.1192], abs=1e-3)
    assert rig.router.scorer().name == f"labels:{file.digest}"
    await rig.stores.routing.roll_back("labels")
    await rig.router.refresh()
    assert rig.status().source == "packaged"
    assert rig.router.status().swaps == 2


@pytest.mark.usefixtures("flat")
async def test_qualities_are_of_tiers() -> None:
    rig = Rig()
    await rig.add(quality_file(0.5, 0.75))
    await rig.router.refresh()
    found = rig.router.scorer().qualities(RequestFeatures.of([{"role": "user", "content": TEXT}]))
    assert found == {"lightweight": 0.5, "premium": 0.75}


async def test_policies_are_those_of_the_store() -> None:
    rig = Rig()
    await rig.stores.routing.save_policy("acme", RoutingPolicy(models="best"))
    await rig.router.refresh()
    assert rig.router.policies == {"acme": RoutingPolicy(models="best")}


@pytest.mark.parametrize("damage", ["cut", "format", "shape", "number", "other digest"])
async def test_a_file_that_cannot_be_used_is_never_swapped_in(damage: str) -> None:
    rig = Rig()
    good = label_file(lean=1.0)
    await rig.add(good)
    await rig.router.refresh()
    before = rig.router.scorer()
    bad = label_file(lean=float("nan") if damage == "number" else 3.0)
    if damage == "shape":
        bad = ModelFile(bad.card, {**bad.arrays, "outer": np.zeros((7, 2), dtype=np.float16)})
    content = dump(bad)
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "format":
        content = dump(ModelFile({**bad.card, "format": 99}, bad.arrays))
    elif damage == "other digest":
        content = dump(label_file(lean=9.0))
    await rig.add(bad, content=content)
    await rig.rounds(2)
    assert rig.router.scorer() is before
    assert rig.status().version == 1
    assert "labels 2" in rig.status().fallback
    await rig.stores.routing.roll_back("labels")
    await rig.router.refresh()
    assert (rig.status().version, rig.status().fallback) == (1, "")


REFERENCES = {"letters": ["a"] * 9, "null": [None] * 9, "no number": [float("nan")] * 9, "endless": [float("inf")] * 9}


@pytest.mark.parametrize("shares", REFERENCES.values(), ids=REFERENCES)
async def test_a_card_that_cannot_be_watched_by_is_never_swapped_in(shares: list[Any]) -> None:
    rig = Rig(packaged=packaged_labels)
    await rig.add(label_file(lean=1.0, reference={"characters": shares}))
    await rig.router.start()
    assert rig.status().source == "packaged"
    assert "labels 1" in rig.status().fallback
    await rig.router.stop()


async def test_nothing_that_a_live_file_holds_stops_a_start_or_a_round() -> None:
    rng, good = random.Random(0), label_file(lean=1.0)
    for _ in range(20):
        content = bytearray(dump(good))
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        rig = Rig(packaged=packaged_labels)
        await rig.add(good, content=bytes(content))
        await rig.router.start()
        await rig.router.refresh()
        assert rig.status().source in ("packaged", "registry")
        assert rig.router.status().fault == ""
        await rig.router.stop()


async def test_a_model_that_breaks_where_nobody_expected_it_is_refused_and_the_others_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> LoadedModel:
        raise ZeroDivisionError("a bug")

    rig = Rig(packaged=packaged_labels)
    await rig.add(label_file(lean=1.0))
    await rig.stores.routing.save_policy("acme", RoutingPolicy(models="best"))
    monkeypatch.setattr("ossa.routing.registry.read_model", broken)
    await rig.router.start()
    assert (rig.status().source, rig.status().fallback) == ("packaged", "ZeroDivisionError: a bug")
    assert "acme" in rig.router.policies
    await rig.router.stop()


async def test_a_store_that_answers_nonsense_stops_neither_a_start_nor_the_rest_of_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nonsense() -> Any:
        raise ValueError("no policy")

    rig = Rig(packaged=packaged_labels)
    await rig.add(label_file(lean=1.0))
    monkeypatch.setattr(rig.stores.routing, "policies", nonsense)
    await rig.router.start()
    assert rig.status().source == "registry"
    assert rig.router.status().fault == "ValueError: no policy"
    await rig.router.stop()


async def test_a_damaged_file_at_the_start_leaves_the_packaged_model() -> None:
    rig = Rig(packaged=packaged_labels)
    await rig.add(label_file(lean=1.0), content=b"nothing of the kind")
    await rig.rounds(2)
    assert rig.status().source == "packaged"
    assert "not a routing model" in rig.status().fallback


async def test_a_stale_model_gives_way_to_the_packaged_one() -> None:
    rig = Rig(packaged=packaged_labels, max_age=timedelta(days=30))
    await rig.add(label_file(lean=1.0))
    await rig.router.refresh()
    assert rig.status().source == "registry"
    rig.now += timedelta(days=31)
    await rig.router.refresh()
    assert rig.status().source == "packaged"
    assert "stale" in rig.status().fallback


async def test_a_store_that_is_away_changes_nothing_and_is_told() -> None:
    rig = Rig(packaged=packaged_labels)
    rig.stores.go_down()
    await rig.router.start()
    assert rig.status().source == "packaged"
    assert "down" in rig.router.status().fault
    rig.stores.come_back()
    await rig.add(label_file(lean=1.0))
    await rig.router.refresh()
    rig.stores.go_down()
    await rig.router.refresh()
    assert (rig.status().source, rig.router.status().fault != "") == ("registry", True)
    await rig.router.stop()


# swaps under load


class Load:
    """Decisions without a pause; each must be wholly of the model it names."""

    def __init__(self, router: LiveRouter, likelihood: dict[str, float]) -> None:
        self.failures: list[str] = []
        self.seen: set[str] = set()
        self.done = threading.Event()
        self.count = [0, 0, 0, 0]
        self._router = router
        self._likelihood = likelihood
        self._features = RequestFeatures.of([{"role": "user", "content": TEXT}])

    def in_a_thread(self, at: int) -> None:
        while not self.done.is_set():
            self._decide(at)

    async def on_the_loop(self, at: int) -> None:
        while not self.done.is_set():
            self._decide(at)
            await asyncio.sleep(0)

    async def goes_on(self) -> None:
        """Each of the four decided at least once more."""
        before = list(self.count)
        await eventually(lambda: all(now > then for now, then in zip(self.count, before, strict=True)))

    def _decide(self, at: int) -> None:
        try:
            scorer = self._router.scorer()
            fits = scorer.fits(INDEX, self._features)
            assert fits is not None and abs(fits[0] - self._likelihood[scorer.name]) < 0.01, (scorer.name, fits)
            decision = route(
                INDEX,
                target=Target(),
                features=self._features,
                inflight={},
                tenant="acme",
                rng=random.Random(at),
                conditions=Conditions(scorer=scorer),
            )
            assert decision.agent.manifest == "reviewer", decision
            self.seen.add(scorer.name)
        except Exception as error:
            self.failures.append(repr(error))
        self.count[at] += 1


async def test_twenty_swaps_under_load_fail_no_decision() -> None:
    rig = Rig()
    leans = [0.25 * n for n in range(1, 22)]
    likelihood = {f"labels:{label_file(lean).digest}": 1 / (1 + float(np.exp(-lean))) for lean in leans}
    await rig.add(label_file(leans[0]))
    await rig.router.refresh()
    load = Load(rig.router, likelihood)
    threads = [threading.Thread(target=load.in_a_thread, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    on_the_loop = asyncio.create_task(load.on_the_loop(3))
    try:
        for lean in leans[1:]:
            await rig.add(label_file(lean))
            await rig.router.refresh()
            await load.goes_on()
    finally:
        load.done.set()
        await on_the_loop
        for thread in threads:
            thread.join(10)
    assert load.failures == []
    assert rig.router.status().swaps == 20
    assert load.seen == set(likelihood)


# drift


async def reference() -> dict[str, Any]:
    from ossa.routing.drift import shares_of
    from ossa.routing.model_scorer import look_at

    model = model_scorer.build("labels", label_file(lean=1.0), "test")
    return {"reference": shares_of(look_at(model, ["usual words of usual requests"] * 50))}


async def test_a_model_whose_inputs_moved_is_set_aside_and_comes_back_by_itself() -> None:
    rig = Rig(bounds=Bounds(window=100))
    await rig.add(label_file(lean=1.0, **await reference()))
    await rig.router.refresh()

    async def ask(text: str, times: int) -> None:
        features = RequestFeatures.of([{"role": "user", "content": text}])
        for _ in range(times // 10):
            for _ in range(10):
                rig.router.scorer().fits(INDEX, features)
            await rig.router.refresh()

    await ask("usual words of usual requests", 100)
    assert rig.status().aside == "" and rig.fit() is not None
    await ask("zzz qqq xxx " * 400, 100)
    assert "stability index" in rig.status().aside
    assert rig.status().source == "registry"
    assert rig.fit() is None
    await ask("usual words of usual requests", 200)
    assert rig.status().aside == "" and rig.fit() is not None


@pytest.mark.usefixtures("flat")
async def test_a_model_whose_answers_are_worse_than_it_expects_is_set_aside() -> None:
    rig = Rig(bounds=Bounds(shortfall=2.0))
    await rig.add(quality_file(0.875, 0.9))
    await rig.router.refresh()
    for n in range(5):
        await answered(rig, n, rating=0.0)
    await rig.rounds(LEARN_EVERY)
    assert "worse than expected" in rig.status("quality").aside
    assert rig.router.scorer().qualities(RequestFeatures()) is None


@pytest.mark.usefixtures("flat")
async def test_a_task_that_is_rated_again_and_again_counts_once() -> None:
    rig = Rig(bounds=Bounds(shortfall=2.0))
    await rig.add(quality_file(0.875, 0.9))
    await rig.router.refresh()
    task_id = await answered(rig, 0)
    alarms = []
    for _ in range(5):
        rig.now += timedelta(seconds=1)
        await rig.stores.routing.rate(Feedback(task_id=task_id, tenant="acme", rating=0.0, at=rig.now))
        await rig.rounds(LEARN_EVERY)
        alarms.append(rig.status("quality").quality_alarm)
    assert alarms == [pytest.approx((0.875 - 0.1) / 2, abs=1e-3)] * 5


@pytest.mark.usefixtures("flat")
async def test_one_tenant_alone_does_not_set_a_model_aside_for_the_others() -> None:
    rig = Rig(bounds=Bounds(shortfall=2.0))
    await rig.add(quality_file(0.875, 0.9))
    await rig.router.refresh()
    await answered(rig, 0, tenant="other")
    for n in range(1, 40):
        await answered(rig, n, rating=0.0)
    await rig.rounds(LEARN_EVERY)
    assert rig.status("quality").aside == ""
    for n in range(40, 43):
        await answered(rig, n, tenant="other", rating=0.0)
    await rig.rounds(LEARN_EVERY)
    assert "worse than expected" in rig.status("quality").aside


async def answered(rig: Rig, n: int, *, tenant: str = "acme", rating: float | None = None) -> str:
    """A task that succeeded, by the lightweight tier."""
    rig.now += timedelta(seconds=1)
    decision = Route(agent_id="a", manifest="reviewer", pool="security", tier="lightweight").model_dump(mode="json")
    task = NewTask(
        id=f"task_{n:032x}", tenant=tenant, request=TaskRequest(messages=[{"role": "user", "content": TEXT}])
    )
    await rig.stores.journal.accept(task, owner="gateway")
    step = Step(seq=0, kind="route", agent_id="a", payload=decision, at=rig.now)
    await rig.stores.journal.finish(task.id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED), steps=[step])
    if rating is not None:
        await rig.stores.routing.rate(Feedback(task_id=task.id, tenant=tenant, rating=rating, at=rig.now))
    return task.id


async def test_the_loop_goes_on_after_a_round_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: asyncio.Queue[None] = asyncio.Queue()
    stores = MemoryStores()

    async def sleep(_: float) -> None:
        await turns.get()

    router = LiveRouter(stores.routing, packaged=no_packaged, sleep=sleep)
    await router.start()
    broken = True

    async def policies() -> dict[str, RoutingPolicy]:
        nonlocal broken
        if broken:
            broken = False
            raise ZeroDivisionError("a bug")
        return {"acme": RoutingPolicy(models="best")}

    monkeypatch.setattr(stores.routing, "policies", policies)
    for _ in range(2):
        turns.put_nowait(None)
    await eventually(lambda: "acme" in router.policies)
    await router.stop()


def test_the_models_made_here_are_of_the_packaged_format() -> None:
    assert load(dump(label_file(1.0))).card["kind"] == "labels"
