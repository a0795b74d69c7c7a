"""The way to the answer cache: an answer in time, or none; and what a fleet without a cache does not pay."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ossa.app.answers import AnswersFactory
from ossa.contracts.answers import Answered, Asked, Hit, KeptAnswer
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.errors import NotReady
from ossa.gateway.extensions.answers import FAILURES_IN_A_ROW, REST_S, RemoteAnswers
from ossa.gateway.sidecar import ANSWERS, SidecarReplica
from ossa.settings import Settings
from ossa.testing.gateway import eventually
from ossa.testing.stores.tiers import MemoryVectors
from ossa.vortex.answers.cache import SCHEMA, AnswerCache

ASKED = Asked(tenant="acme", agent="helper", scope="s1", question="What is the refund policy?")
ANSWERED = Answered(answer=KeptAnswer(message={"role": "assistant", "content": "Thirty days."}))
SETTINGS = AnswerSettings(enabled=True, tenants=("acme",), deadline_s=5)

Call = Callable[..., Awaitable[Any]]


class FakeMethod:
    def __init__(self, call: Call) -> None:
        self.remote = call


class FakeHandle:
    """Each method is the replica's, until `answer_with` puts another in the place of all."""

    def __init__(self, replica: Any) -> None:
        self._replica = replica
        self._instead: Call | None = None
        self.calls = 0

    def answer_with(self, call: Call | None) -> None:
        self._instead = call

    def __getattr__(self, name: str) -> FakeMethod:
        self.calls += 1
        return FakeMethod(self._instead or getattr(self._replica, name))


def vectorise(text: str) -> list[float]:
    return [1.0] * SCHEMA.dimensions


async def replica_of(index: MemoryVectors, settings: AnswerSettings = SETTINGS) -> SidecarReplica:
    async def make() -> AnswerCache:
        return AnswerCache(index, settings, vectorise=vectorise)

    made = SidecarReplica.__new__(SidecarReplica)
    await made.__init__(ANSWERS, make)  # type: ignore[misc]
    return made


class Rig:
    def __init__(self, handle: FakeHandle, settings: AnswerSettings) -> None:
        self.handle = handle
        self.now = 0.0
        self.answers = RemoteAnswers(ANSWERS.remote(handle), settings, clock=lambda: self.now)  # type: ignore[arg-type]


@pytest.fixture
async def rig() -> Rig:
    return Rig(FakeHandle(await replica_of(MemoryVectors(SCHEMA))), SETTINGS)


async def broken(*args: Any) -> Any:
    raise RuntimeError("the replica died")


async def stuck(*args: Any) -> Any:
    await asyncio.Event().wait()


async def test_an_answer_goes_there_and_comes_back(rig: Rig) -> None:
    assert await rig.answers.look_up(ASKED) is None
    assert await rig.answers.keep(ASKED, ANSWERED) is None
    hit = await rig.answers.look_up(ASKED)
    assert isinstance(hit, Hit)
    assert hit.answer == ANSWERED.answer
    assert (await rig.answers.counters()).exact_hits == 1
    assert await rig.answers.forget("acme", agent="helper") == 1
    assert await rig.answers.look_up(ASKED) is None


async def test_who_did_not_opt_in_costs_no_call(rig: Rig) -> None:
    other = ASKED.model_copy(update={"tenant": "globex"})
    assert await rig.answers.look_up(other) is None
    assert await rig.answers.keep(other, ANSWERED) == "not_opted_in"
    assert rig.handle.calls == 0


async def test_a_service_that_fails_is_a_miss(rig: Rig) -> None:
    rig.handle.answer_with(broken)
    assert await rig.answers.look_up(ASKED) is None
    assert await rig.answers.keep(ASKED, ANSWERED) == "unavailable"
    assert rig.answers.failures == 2


async def test_a_slow_service_is_a_miss_within_the_deadline() -> None:
    rig = Rig(FakeHandle(None), SETTINGS.model_copy(update={"deadline_s": 0.01}))
    rig.handle.answer_with(stuck)
    async with asyncio.timeout(5):
        assert await rig.answers.look_up(ASKED) is None


async def test_a_service_that_is_away_is_left_alone_for_a_while(rig: Rig) -> None:
    await rig.answers.keep(ASKED, ANSWERED)
    rig.handle.answer_with(broken)
    for _ in range(FAILURES_IN_A_ROW):
        await rig.answers.look_up(ASKED)
    rig.handle.answer_with(None)
    calls = rig.handle.calls
    assert await rig.answers.look_up(ASKED) is None
    assert rig.handle.calls == calls
    rig.now += REST_S
    assert await rig.answers.look_up(ASKED) is not None


async def test_forgetting_says_when_it_could_not_be_done(rig: Rig) -> None:
    async def late(*args: Any) -> Any:
        raise TimeoutError

    rig.handle.answer_with(late)
    with pytest.raises(NotReady):
        await rig.answers.forget("acme")


async def test_cancelling_a_request_is_not_taken_for_a_failure(rig: Rig) -> None:
    rig.handle.answer_with(stuck)
    waiting = asyncio.create_task(rig.answers.look_up(ASKED))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert rig.answers.failures == 0


async def test_the_service_sweeps_by_itself() -> None:
    index, now = MemoryVectors(SCHEMA), [1000.0]
    service = AnswerCache(index, SETTINGS, vectorise=vectorise, now=lambda: now[0], sweep_s=0.001)
    await service.start()
    await service.keep(ASKED, ANSWERED)
    now[0] += SETTINGS.lifetime_s + 1
    await eventually(lambda: service.counters.swept == 1)
    await service.stop()
    assert await index.count({}) == 0


async def test_the_factory_makes_a_service_whose_answers_outlive_it(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    factory = AnswersFactory(SETTINGS, tmp_path)
    first = await factory()
    await first.start()
    assert await first.keep(ASKED, ANSWERED) is None
    await first.stop()
    second = await factory()
    await second.start()
    assert await second.look_up(ASKED) is not None
    await second.stop()


def test_the_cache_is_off_unless_it_is_turned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings().answers.take("acme", "helper")
    monkeypatch.setenv("OSSA_ANSWERS__ENABLED", "true")
    monkeypatch.setenv("OSSA_ANSWERS__TENANTS", '["acme"]')
    monkeypatch.setenv("OSSA_ANSWERS__API_KEY", "sesame")
    answers = Settings().answers
    assert answers.take("acme", "helper")
    assert not answers.take("globex", "helper")
    assert "sesame" not in repr(answers)


def test_the_way_to_the_cache_imports_no_driver_and_no_numpy_of_its_own() -> None:
    """What Ray itself imports does not count."""
    code = (
        "import sys; from ray import serve; before = set(sys.modules); "
        "import ossa.gateway.sidecar, ossa.gateway.extensions.answers; "
        "import ossa.app.answers, ossa.vortex.answers.scope; "
        "print([name for name in ('qdrant_client', 'qdrant_edge', 'wordllama', 'numpy', 'ossa.vortex.words') "
        "if name in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
