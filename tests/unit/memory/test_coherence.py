"""Three processes on shared stores, their steps interleaved at random, any of them dying at any step.

What a recall says has to be what the catalogue had at some moment between its question and its answer: so nobody reads
an older value after a newer one, and nothing that was forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ossa.contracts.errors import Conflict, NotFound, StoreUnavailable
from ossa.contracts.memory import KindRules, MemoryItem, NewMemory, PlacementPolicy, Recall, Recalled, Scope
from ossa.contracts.memory_tiers import Draft, Erasure, MemoryRow
from ossa.memory.forgetting import GRACE_S
from ossa.memory.placement import is_over
from ossa.testing.stores.tiers import InMemoryCatalogue
from tests.unit.memory.worlds import WORDS, Steps, World, operation

TENANTS = ("acme", "evil")
SUBJECTS = {"a": "anna", "b": ""}
KINDS = {"a": "fact", "b": "brief"}
PLACES = [(tenant, id) for tenant in TENANTS for id in SUBJECTS]
PROCESSES = 3
OF_PROCESSES = st.integers(0, PROCESSES - 1)
OF_PLACES = st.sampled_from([("acme", "a"), ("acme", "a"), *PLACES])
OF_SCOPES = st.sampled_from(
    [Scope(tenant="acme", ids=("a",)), Scope(tenant="acme", subject="anna"), *(Scope(tenant=one) for one in TENANTS)]
)
POLICY = PlacementPolicy(
    kinds={
        "*": KindRules(hot_uses=2, warm_uses=1, hot_idle_s=100, warm_idle_s=200),
        "brief": KindRules(keep_s=500, hot_uses=1),
    }
)

Place = tuple[str, str]
State = tuple[int, str] | None
"""Version and content; None: not there."""


class RecordingCatalogue(InMemoryCatalogue):
    """Notes the state of every item at each moment it changes."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[Place, list[State]] = {(tenant, id): [None] for tenant, id in PLACES}

    async def write(self, draft: Draft) -> MemoryRow:
        row = await super().write(draft)
        self.history[row.tenant, row.id].append((row.version, draft.content))
        return row

    async def erase(self, scope: Scope, **more: Any) -> Erasure | None:
        before = {place for place in self.history if self.history[place][-1] is not None}
        made = await super().erase(scope, **more)
        for place in before - set(self._rows):
            self.history[place].append(None)
        return made


class Coherence(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.steps = Steps()
        self.world = World(POLICY)
        self.catalogue = RecordingCatalogue()
        self.world.catalogue = self.catalogue
        self.processes = [self.world.process(self.steps.through) for _ in range(PROCESSES)]
        self.running: dict[int, asyncio.Task[Any]] = {}
        self.asked: dict[int, tuple[list[Place], dict[Place, int]]] = {}
        self.started = 0
        self.written = 0

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.world.cache.come_back()
        self.world.vectors.come_back()
        self.world.objects.come_back()
        try:
            self.let_all_on()
            self._all_is_tidy_in_the_end()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            self.loop.close()

    # What the processes do: at once, or step by step with the others in between.

    @rule(process=OF_PROCESSES, place=OF_PLACES, word=st.sampled_from(WORDS), at_once=st.booleans())
    def remember(self, process: int, place: Place, word: str, at_once: bool) -> None:
        self.written += 1
        tenant, id = self.place(place)
        new = NewMemory(id=id, content=f"{word} {self.written}", subject=SUBJECTS[id], kind=KINDS[id])
        self._start(self.processes[process].remember(new, tenant=tenant), at_once)

    @rule(process=OF_PROCESSES, place=OF_PLACES, at_once=st.booleans())
    def recall(self, process: int, place: Place, at_once: bool) -> None:
        tenant, id = self.place(place)
        self._ask([(tenant, id)], self.processes[process].recall(id, tenant=tenant), at_once)

    @rule(
        process=OF_PROCESSES, tenant=st.sampled_from(TENANTS), word=st.sampled_from(("", *WORDS)), at_once=st.booleans()
    )
    def find(self, process: int, tenant: str, word: str, at_once: bool) -> None:
        places = [(tenant, id) for id in SUBJECTS]
        self._ask(places, self.processes[process].find(Recall(text=word), tenant=tenant), at_once)

    @rule(process=OF_PROCESSES, scope=OF_SCOPES, at_once=st.booleans())
    def forget(self, process: int, scope: Scope, at_once: bool) -> None:
        self._start(self.processes[process].forget(scope), at_once)

    @rule(process=OF_PROCESSES, seconds=st.sampled_from((0, 0, 101, 201, 600)), at_once=st.booleans())
    def sweep(self, process: int, seconds: int, at_once: bool) -> None:
        """After idleness it moves items down, and expires them."""
        self.world.clock.advance(seconds)
        self._start(self.processes[process].sweep(), at_once)

    @rule(data=st.data(), count=st.integers(1, 12))
    @precondition(lambda self: self.steps.waiting)
    def let_on(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            if self.steps.waiting:
                self._let_on(data.draw(st.integers(0, len(self.steps.waiting) - 1)))

    @rule()
    def let_all_on(self) -> None:
        while self.steps.waiting:
            self._let_on(0)

    @rule(data=st.data(), what=st.sampled_from(("die", "die", "die", "go", "come", "come", "lose")))
    def trouble(self, data: st.DataObject, what: str) -> None:
        """A process dies where it stands, a store goes or comes back, the cache is emptied."""
        store = data.draw(st.sampled_from((self.world.cache, self.world.vectors, self.world.objects)))
        if what == "go":
            store.go_down()
        elif what == "come":
            store.come_back()
        elif what == "lose":
            self.world.cache._kept.clear()
        elif self.running:
            self._kill(data.draw(st.sampled_from(sorted(self.running))))

    def _kill(self, number: int) -> None:
        task = self.running.pop(number)
        self.asked.pop(number, None)
        task.cancel()
        self.loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        self.steps.waiting = [one for one in self.steps.waiting if one[0] != number]

    def place(self, place: Place) -> Place:
        return place

    # How it is judged.

    @invariant()
    def answers_are_true(self) -> None:
        for number, task in list(self.running.items()):
            if task.done():
                del self.running[number]
                self._judge(task, *self.asked.pop(number, ([], {})))

    def _judge(self, task: asyncio.Task[Any], places: list[Place], since: dict[Place, int]) -> None:
        try:
            answer = task.result()
        except StoreUnavailable:
            return
        except NotFound:
            for place in places:
                true = self.catalogue.history[place][since[place] :]
                assert None in true or self._may_be_over(place), f"{place} was there all the time"
            return
        except Conflict:
            raise AssertionError("nothing here conflicts") from None
        items: list[MemoryItem] = []
        if isinstance(answer, MemoryItem) and places:
            items = [answer]
        elif isinstance(answer, list):
            items = [one.item for one in answer if isinstance(one, Recalled)]
            assert len({item.id for item in items}) == len(items)
        for item in items:
            place = (item.tenant, item.id)
            assert place in places, f"{place} was not asked for"
            true = self.catalogue.history[place][since[place] :]
            if item.content is None:
                assert item.version in {state[0] for state in true if state is not None}
            else:
                assert (item.version, item.content) in true, f"{place}: {item.version} is none of {true}"

    def _may_be_over(self, place: Place) -> bool:
        row = self.catalogue._rows.get(place)
        return row is not None and is_over(row, POLICY.rules(row.kind), self.world.clock.now())

    def _start(
        self, work: Coroutine[Any, Any, Any], at_once: bool, asked: tuple[list[Place], dict[Place, int]] | None = None
    ) -> None:
        number, self.started = self.started, self.started + 1
        context = copy_context()
        context.run(operation.set, number)
        self.running[number] = self.loop.create_task(work, context=context)
        if asked is not None:
            self.asked[number] = asked
        self._settle()
        while at_once and number in self.running:
            mine = [place for place, (whose, _) in enumerate(self.steps.waiting) if whose == number]
            if mine:
                self._let_on(mine[0])
            else:
                self.answers_are_true()
                break

    def _ask(self, places: list[Place], work: Coroutine[Any, Any, Any], at_once: bool) -> None:
        since = {place: len(self.catalogue.history[place]) - 1 for place in places}
        self._start(work, at_once, (places, since))

    def _let_on(self, place: int) -> None:
        _, future = self.steps.waiting.pop(place)
        if not future.done():
            future.set_result(None)
        self._settle()
        self.answers_are_true()

    def _settle(self) -> None:
        """Until every operation stands still or has ended: no step waits for anything but to be let on."""

        async def turns() -> None:
            await asyncio.sleep(0)
            while self.loop._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def _all_is_tidy_in_the_end(self) -> None:
        """After sweeps that nobody disturbs each item has its copies, and nothing has any that is not there."""
        process = self.world.process()

        async def sweep() -> None:
            for _ in range(3):
                for _ in range(3):
                    assert (await process.sweep()).failures == 0
                self.world.clock.advance(GRACE_S)
            assert (await process.sweep()).failures == 0

        self.loop.run_until_complete(sweep())
        there = {place: states[-1] for place, states in self.catalogue.history.items() if states[-1] is not None}
        rows = self.catalogue._rows
        assert set(rows) == set(there)
        assert not self.catalogue._erasures and not any(row.untidy for row in rows.values())
        for tenant, _, id, _ in self.world.objects.held():
            assert (tenant, id) in there, "an object of what was forgotten is left"
        payloads = [one for _, one in self.world.vectors._matching({}, None)]
        assert {(one["tenant"], one["item"]) for one in payloads} <= set(there), (
            "a vector of what was forgotten is left"
        )
        for place, (version, content) in there.items():
            found = self.loop.run_until_complete(process.recall(place[1], tenant=place[0]))
            assert (found.version, found.content) == (version, content)
            indexed = {one["version"] for one in payloads if (one["tenant"], one["item"]) == place}
            assert version in indexed or rows[place].tier == "cold", "an item lost its vector"


class OneItem(Coherence):
    """All processes are at the same item: its copies are made, moved and removed by several at once."""

    def place(self, place: Place) -> Place:
        return PLACES[0]


_SETTINGS = settings(
    max_examples=settings.default.max_examples,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCoherence = Coherence.TestCase
TestCoherence.settings = _SETTINGS
TestOneItem = OneItem.TestCase
TestOneItem.settings = settings(_SETTINGS, max_examples=2 * _SETTINGS.max_examples)
