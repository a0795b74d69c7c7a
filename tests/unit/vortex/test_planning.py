"""No bill is higher for what was shortened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.configuration import PromptCache
from ossa.vortex.planning import Bill, Part, plan, prompt_cost

STRICT = PromptCache()
TOOL_TOKENS = 120


@dataclass
class Session:
    """A conversation that grows, planned call by call, on two bills: as sent, and whole."""

    cache: PromptCache
    fixed: int = 200
    look_ups: float = 1.0
    parts: list[Part] = field(default_factory=list)
    offered: bool = False

    def __post_init__(self) -> None:
        self.bill = Bill(self.cache)
        self.rewritten = 0
        self.prompts: list[int] = []

    def call(self, *new: tuple[int, int | None], kept: bool = True) -> None:
        parts = [*self.parts, *(Part(tokens, short) for tokens, short in new)]
        made = plan(
            parts,
            self.cache,
            fixed_tokens=self.fixed,
            tool_tokens=TOOL_TOKENS,
            offered=self.offered,
            kept=kept,
            look_ups=self.look_ups,
            calls_left=max(1, self.bill.calls),
            banked=self.bill.banked,
        )
        tool = TOOL_TOKENS if made.offer else 0
        tokens = self.fixed + tool
        same = kept and made.offer == self.offered and bool(self.parts)
        cached = tokens if same else 0
        for number, part in enumerate(parts):
            short = number in made.short
            assert not part.as_short or short, "what was shortened stays so"
            self.rewritten += part.sent and short != part.as_short and kept
            same = same and part.sent and part.as_short == short
            size = part.short if short and part.short is not None else part.tokens
            tokens += size
            cached += size if same else 0
        whole = self.fixed + sum(part.tokens for part in parts)
        whole_cached = self.fixed + sum(part.tokens for part in self.parts) if kept and self.parts else 0
        self.bill.add(tokens=tokens, cached=cached, whole_tokens=whole, whole_cached=whole_cached)
        self.parts = [replace(part, sent=True, as_short=n in made.short) for n, part in enumerate(parts)]
        self.offered = made.offer
        self.prompts.append(tokens)


contents = st.tuples(st.integers(1, 20_000), st.none() | st.floats(0.02, 1.2)).map(
    lambda one: (one[0], None if one[1] is None else max(1, int(one[0] * one[1])))
)
calls = st.lists(st.tuples(st.lists(contents, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=25)
caches = st.builds(
    PromptCache,
    read=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    write=st.sampled_from([1.0, 1.25, 2.0]),
    min_prefix_tokens=st.sampled_from([0, 1024, 4096]),
)


@given(calls, caches, st.integers(0, 3000), st.sampled_from([0.0, 0.3, 1.0]))
def test_no_session_is_dearer_after_any_call(
    session: list[tuple[list[tuple[int, int | None]], bool]], cache: PromptCache, fixed: int, look_ups: float
) -> None:
    run = Session(cache, fixed=fixed, look_ups=look_ups)
    for new, kept in session:
        run.call(*new, kept=kept)
        assert run.bill.spent <= run.bill.whole + 1e-6


@given(calls, st.integers(0, 3000))
def test_where_the_provider_keeps_prompts_in_steps_a_session_is_dearer_by_a_step_a_call_at_most(
    session: list[tuple[list[tuple[int, int | None]], bool]], fixed: int
) -> None:
    cache = PromptCache(read=0.5, write=1.0, step_tokens=128)
    run = Session(cache, fixed=fixed)
    for new, kept in session:
        run.call(*new, kept=kept)
    assert run.bill.spent <= run.bill.whole + 64 * len(session)


def test_a_large_result_is_shortened() -> None:
    run = Session(STRICT)
    run.call((1500, None))
    run.call((6000, 900))
    assert run.prompts[-1] < 3000
    assert run.offered


def test_a_saving_that_would_not_pay_for_a_look_up_is_left() -> None:
    run = Session(STRICT)
    run.call((1500, None))
    run.call((500, 300))
    assert run.prompts[-1] == 200 + 1500 + 500
    assert not run.offered


def test_the_tool_is_not_offered_where_that_costs_more_than_is_saved() -> None:
    run = Session(STRICT)
    run.call((20_000, None))
    run.call((3000, 500))
    assert not run.offered
    assert run.prompts[-1] == 23_200


def test_a_prompt_does_not_fall_below_the_shortest_that_is_kept() -> None:
    run = Session(STRICT)
    run.call((3000, 100))
    assert run.prompts[-1] >= STRICT.min_prefix_tokens


def test_what_was_sent_stays_as_it_was_while_it_is_kept() -> None:
    run = Session(STRICT)
    run.call((1500, None), (700, 500))
    run.call((6000, 900))
    assert run.rewritten == 0


def test_what_was_sent_whole_is_shortened_once_it_is_not_kept_any_more() -> None:
    run = Session(STRICT)
    run.call((20_000, None))
    run.call((3000, 500))
    assert run.prompts[-1] > 23_000
    run.call((10, None), kept=False)
    assert run.prompts[-1] < 22_000


def test_what_was_sent_is_rewritten_where_many_calls_will_gain_from_it() -> None:
    parts = [Part(2000, sent=True), Part(30_000, 20_000, sent=True), Part(500)]
    assert rewritten(parts, calls_left=2, banked=50_000) == frozenset()
    assert rewritten(parts, calls_left=50, banked=50_000) == {1}


def test_what_pays_at_once_is_rewritten_at_once() -> None:
    parts = [Part(2000, sent=True), Part(30_000, 1000, sent=True), Part(500)]
    assert rewritten(parts, calls_left=1, banked=0) == {1}


def test_the_rewriting_is_not_begun_on_credit() -> None:
    parts = [Part(2000, sent=True), Part(6000, 3000, sent=True), Part(30_000, sent=True), Part(500)]
    assert rewritten(parts, calls_left=500, banked=100) == frozenset()
    assert rewritten(parts, calls_left=500, banked=100_000) == {1}


def rewritten(parts: list[Part], *, calls_left: int, banked: float) -> frozenset[int]:
    made = plan(
        parts, STRICT, fixed_tokens=200, tool_tokens=TOOL_TOKENS, offered=True, calls_left=calls_left, banked=banked
    )
    return made.short


def test_prices_are_those_of_the_provider() -> None:
    assert prompt_cost(1000, 500, STRICT) == 1000
    assert prompt_cost(2000, 0, STRICT) == 2500
    assert prompt_cost(2000, 1500, STRICT) == 150 + 500 * 1.25
    assert prompt_cost(2000, 1000, STRICT) == 2500, "what was too short was not kept"
    steps = PromptCache(read=0.5, write=1, step_tokens=128)
    assert prompt_cost(2000, 1500, steps) == 1408 * 0.5 + 512 + 80


def test_what_the_model_cannot_take_is_shortened_whatever_it_costs() -> None:
    parts = [Part(2000), Part(500, 450, sent=False), Part(1200, 1100), Part(300)]
    assert plan(parts, STRICT).short == frozenset()
    assert plan(parts, STRICT, most_tokens=4000).short == frozenset()
    assert plan(parts, STRICT, most_tokens=3950).short == {2}
    assert plan(parts, STRICT, most_tokens=3000).short == {1, 2}
