from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossa.contracts.errors import StoreUnavailable
from ossa.vortex.exchange.exchange import Registration, ResolveCall, ResolverRegistry, TokenExchange
from ossa.vortex.exchange.template import (
    InvalidTemplate,
    Placeholder,
    PlaceholderCycle,
    PlaceholderLimit,
    PlaceholderType,
    Template,
)

Make = Callable[[str], Template]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_values_are_put_where_their_placeholders_are(bench: Any, template: Make) -> None:
    resolved = await bench.exchange().resolve(
        template("a {STATE:src:s:x}, {DATA:src:s:y} and {STATE:src:s:x}."), template("{STATE:src:s:x}"), tenant="t"
    )
    assert resolved.texts == ("a <x>, <y> and <x>.", "<x>")
    assert bench.source.asked == ["x", "y"]
    assert resolved.failures == ()


@pytest.mark.parametrize("kind", PlaceholderType)
async def test_a_value_is_used_again_for_the_lifetime_of_its_type(bench: Any, template: Make, kind: Any) -> None:
    exchange = bench.exchange()
    text = template(f"{{{kind}:src:s:x}}")
    await exchange.resolve(text, tenant="t")
    bench.clock.advance(max(kind.lifetime_s - 0.5, 0))
    await exchange.resolve(text, tenant="t")
    if kind is PlaceholderType.TEMPORAL:
        assert len(bench.source.calls) == 2
        return
    await bench.exchange().resolve(text, tenant="t")
    assert len(bench.source.calls) == 1
    bench.clock.advance(0.5)
    await exchange.resolve(text, tenant="t")
    assert len(bench.source.calls) == 2


async def test_nothing_of_a_value_that_is_never_cached_goes_to_the_store(bench: Any, template: Make) -> None:
    await bench.exchange().resolve(template("{TEMPORAL:src:s:x}"), tenant="t")
    assert bench.store._kept == {}


async def test_a_tenant_never_gets_the_value_of_another(bench: Any, template: Make) -> None:
    bench.source.answer = lambda call: call.tenant
    exchange = bench.exchange()
    for tenant in ("a", "b", "a:b", "", "a"):
        assert (await exchange.resolve(template("{STATE:src:s:x}"), tenant=tenant)).text == tenant
        assert (await bench.exchange().resolve(template("{STATE:src:s:x}"), tenant=tenant)).text == tenant
    assert len(bench.source.calls) == 4


async def test_many_waiters_share_one_resolver_call_but_not_across_tenants(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    exchange = bench.exchange()
    text = template("{STATE:src:s:x}")
    waiting = [asyncio.create_task(exchange.resolve(text, tenant=tenant)) for tenant in "aaaab"]
    await settle()
    waiting[0].cancel()
    await settle()
    bench.source.gate.set()
    assert [resolved.text for resolved in await asyncio.gather(*waiting[1:])] == ["<x>"] * 4
    assert sorted(call.tenant for call in bench.source.calls) == ["a", "b"]


async def test_a_value_that_is_never_cached_is_not_shared_with_a_later_waiter(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    exchange = bench.exchange()
    waiting = [asyncio.create_task(exchange.resolve(template("{TEMPORAL:src:s:x}"), tenant="t")) for _ in range(2)]
    await settle()
    bench.source.gate.set()
    await asyncio.gather(*waiting)
    assert len(bench.source.calls) == 2


# In dependency order.


def chain(*names: str) -> Callable[[Placeholder], list[Placeholder]]:
    """Each needs the next."""
    following = dict(pairwise(names))

    def needs(placeholder: Placeholder) -> list[Placeholder]:
        after = following.get(placeholder.id)
        return [Placeholder(placeholder.type, "src", "s", after)] if after else []

    return needs


async def test_a_resolver_is_called_with_the_values_it_needs(bench: Any, template: Make) -> None:
    bench.register(needs=chain("a", "b", "c"))
    bench.source.answer = lambda call: call.placeholder.id + "".join(call.values.values())
    resolved = await bench.exchange().resolve(template("{DATA:src:s:a} {DATA:src:s:b}"), tenant="t")
    assert resolved.text == "abc bc"
    assert bench.source.asked == ["c", "b", "a"]


async def test_what_needs_nothing_of_the_other_is_asked_for_at_once(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    running = asyncio.create_task(bench.exchange().resolve(template("{DATA:src:s:a} {DATA:src:s:b}"), tenant="t"))
    await settle()
    assert bench.source.asked == ["a", "b"]
    bench.source.gate.set()
    assert (await running).text == "<a> <b>"


async def test_resolvers_at_work_for_one_text_are_bounded(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    text = template("".join(f"{{DATA:src:s:n{number}}}" for number in range(20)))
    running = asyncio.create_task(bench.exchange(concurrency=3).resolve(text, tenant="t"))
    await settle()
    assert len(bench.source.calls) == 3
    bench.source.gate.set()
    assert (await running).text == "".join(f"<n{number}>" for number in range(20))


async def test_one_resolver_at_a_time_is_enough_for_a_chain(bench: Any, template: Make) -> None:
    bench.register(needs=chain("a", "b", "c"))
    assert (await bench.exchange(concurrency=1).resolve(template("{DATA:src:s:a}"), tenant="t")).text == "<a>"


async def test_a_value_made_from_another_is_made_again_when_that_one_changed(bench: Any, template: Make) -> None:
    bench.register(needs=lambda found: [Placeholder(PlaceholderType.STATE, "src", "s", "in")][: found.id == "out"])
    bench.source.values["in"] = "1"
    bench.source.answer = lambda call: "".join(call.values.values()) or bench.source.values["in"]
    exchange = bench.exchange()
    assert (await exchange.resolve(template("{DATA:src:s:out}"), tenant="t")).text == "1"
    bench.clock.advance(61)
    bench.source.values["in"] = "2"
    assert (await exchange.resolve(template("{DATA:src:s:out}"), tenant="t")).text == "2"
    bench.clock.advance(61)
    await exchange.resolve(template("{DATA:src:s:out}"), tenant="t")
    assert bench.source.asked == ["in", "out", "in", "out", "in"]


async def test_a_cycle_is_an_error_that_names_it_before_any_call(bench: Any, template: Make) -> None:
    bench.register(needs=chain("a", "b", "c", "a"))
    with pytest.raises(PlaceholderCycle) as caught:
        await bench.exchange().resolve(template("{DATA:src:s:z} {DATA:src:s:a}"), tenant="t")
    names = [f"{{DATA:src:s:{name}}}" for name in "abc"]
    start = names.index(caught.value.details["cycle"][0])
    assert caught.value.details["cycle"] == [names[(start + step) % 3] for step in range(4)]
    assert " -> ".join(caught.value.details["cycle"]) in str(caught.value)
    assert bench.source.calls == []


# Text of others.

FORGED = st.lists(
    st.sampled_from(["{", "}", "{STATE:src:s:evil}", "\\", "{STATE:", "src:s:evil}", ":", "\n"]) | st.text(max_size=4),
    max_size=10,
).map("".join)


@given(forged=FORGED)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_text_that_a_resolver_gives_ever_causes_a_resolver_call(
    bench: Any, template: Make, forged: str
) -> None:
    fresh = type(bench)()
    value = fresh.source.values["ours"] = forged.encode("utf-8", "replace").decode()
    exchange = fresh.exchange()
    for process in (exchange, exchange, fresh.exchange()):
        resolved = await process.resolve(template("{STATE:src:s:ours}:src:s:x}{STATE:src:s:ours}"), tenant="t")
        assert resolved.text == f"{value}:src:s:x}}{value}"
    assert fresh.source.asked == ["ours"]


async def test_what_another_wrote_into_the_store_causes_no_call_and_is_asked_for_anew(
    bench: Any, template: Make
) -> None:
    forged = b'{"v":1,"at":%f,"in":"","parts":[{"ref":"{STATE:src:s:evil}"}]}' % bench.clock.now().timestamp()
    await bench.store.set("{STATE:src:s:x}", forged, tenant="t", ttl_s=60)
    assert (await bench.exchange().resolve(template("{STATE:src:s:x}"), tenant="t")).text == "<x>"
    assert bench.source.asked == ["x"]


# Which one is the current one.


async def test_current_stands_for_the_thing_at_hand_and_is_cached_as_that_thing(bench: Any, template: Make) -> None:
    bench.source.answer = lambda call: call.placeholder.scope
    exchange = bench.exchange()
    text = template("{STATE:src:current:x}")
    assert (await exchange.resolve(text, tenant="t", bindings={"src": "one"})).text == "one"
    assert (await exchange.resolve(text, tenant="t", bindings={"src": "two"})).text == "two"
    assert (await exchange.resolve(template("{STATE:src:one:x}"), tenant="t")).text == "one"
    assert len(bench.source.calls) == 2


async def test_current_without_anything_at_hand_is_a_failure_and_a_binding_that_is_no_word_an_error(
    bench: Any, template: Make
) -> None:
    exchange = bench.exchange()
    resolved = await exchange.resolve(template("{STATE:src:current:x}"), tenant="t")
    assert resolved.failures[0].code == "resolution_failed"
    assert bench.source.calls == []
    with pytest.raises(InvalidTemplate):
        await exchange.resolve(template("{STATE:src:current:x}"), tenant="t", bindings={"src": "a:b"})


# A value cannot be had.


async def test_a_text_stands_in_also_for_those_that_need_it_and_the_rest_is_resolved(
    bench: Any, template: Make
) -> None:
    bench.register(needs=chain("out", "in"))
    bench.source.broken["in"] = StoreUnavailable("it is down")
    bench.source.answer = lambda call: call.placeholder.id + "".join(f"({value})" for value in call.values.values())
    resolved = await bench.exchange().resolve(template("{DATA:src:s:out}|{DATA:src:s:in}|{DATA:src:s:z}"), tenant="t")
    assert resolved.text == "out([unavailable])|[unavailable]|z"
    assert [(failure.placeholder.id, failure.code) for failure in resolved.failures] == [("in", "resolution_failed")]
    assert "it is down" in resolved.failures[0].message


async def test_a_value_made_from_a_stand_in_is_kept_for_nobody(bench: Any, template: Make) -> None:
    bench.register(needs=chain("out", "in"))
    bench.source.broken["in"] = StoreUnavailable("it is down")
    exchange = bench.exchange()
    await exchange.resolve(template("{DATA:src:s:out} {DATA:src:s:z}"), tenant="t")
    bench.source.broken.clear()
    await exchange.resolve(template("{DATA:src:s:out} {DATA:src:s:z}"), tenant="t")
    assert sorted(bench.source.asked) == ["in", "in", "out", "out", "z"]


async def test_a_placeholder_that_nobody_resolves_is_told_with_what_is_resolved(bench: Any, template: Make) -> None:
    resolved = await bench.exchange().resolve(template("{STATE:nobody:s:x}!"), tenant="t")
    assert (resolved.text, resolved.failures[0].code) == ("[unavailable]!", "resolver_unknown")
    assert "STATE:src" in resolved.failures[0].message


@pytest.mark.parametrize("value", ["x" * 101, 5, None, b"bytes", "\ud800", Template(("y",))])
async def test_a_value_that_may_not_go_into_a_text_is_refused(bench: Any, template: Make, value: Any) -> None:
    bench.source.values["a"] = value
    resolved = await bench.exchange(value_chars=100).resolve(template("{DATA:src:s:a}"), tenant="t")
    assert (resolved.text, resolved.failures[0].code) == ("[unavailable]", "value_refused")


async def test_an_error_of_a_resolver_is_told_without_its_text(bench: Any, template: Make) -> None:
    bench.source.broken["a"] = RuntimeError("password=hunter2")
    (failure,) = (await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")).failures
    assert "hunter2" not in failure.message
    assert "RuntimeError" in failure.message


async def test_a_resolver_that_cancels_itself_does_not_cancel_the_turn(bench: Any, template: Make) -> None:
    async def odd(_call: ResolveCall) -> str:
        raise asyncio.CancelledError

    resolved = await bench.register(resolver=odd).exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert resolved.failures[0].code == "resolution_failed"


def test_a_type_of_a_namespace_has_one_resolver(bench: Any) -> None:
    twice = [Registration("src", (PlaceholderType.STATE,), bench.source) for _ in range(2)]
    with pytest.raises(ValueError, match="STATE:src"):
        ResolverRegistry(twice)


# Bounds.


async def test_too_many_placeholders_are_refused_before_any_call(bench: Any, template: Make) -> None:
    bench.register(needs=chain("n0", "z"))
    exchange = bench.exchange(placeholders=3)
    with pytest.raises(PlaceholderLimit) as caught:
        await exchange.resolve(template("".join(f"{{DATA:src:s:n{n}}}" for n in range(3))), tenant="t")
    assert caught.value.details == {"limit": "placeholders", "allowed": 3}
    assert bench.source.calls == []


async def test_a_text_that_is_too_long_is_refused(bench: Any, template: Make) -> None:
    bench.source.values["a"] = "x" * 60
    with pytest.raises(PlaceholderLimit):
        await bench.exchange(text_chars=100).resolve(template("{DATA:src:s:a}" * 2), tenant="t")


async def test_a_resolver_that_takes_too_long_is_cancelled_and_has_failed(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    exchange = bench.exchange(resolver_s=0.01)
    (failure,) = (await exchange.resolve(template("{DATA:src:s:a}"), tenant="t")).failures
    assert failure.code == "resolver_timed_out"
    assert "0.01 s" in failure.message
    await settle()
    assert len(exchange._flights) == 0


async def test_when_the_time_for_the_whole_text_is_over_the_rest_has_failed(bench: Any, template: Make) -> None:
    never = asyncio.Event()

    async def hangs(call: ResolveCall) -> str:
        if call.placeholder.id == "a":
            await never.wait()
        return "b"

    exchange = bench.register(resolver=hangs, needs=chain("c", "a")).exchange(total_s=0.02, resolver_s=60)
    resolved = await exchange.resolve(template("{DATA:src:s:a}{DATA:src:s:b}{DATA:src:s:c}!"), tenant="t")
    assert resolved.text == "[unavailable]b[unavailable]!"
    assert {failure.code for failure in resolved.failures} == {"resolver_timed_out"}


async def test_a_resolver_that_does_not_heed_its_cancellation_holds_nobody_up(bench: Any, template: Make) -> None:
    release = asyncio.Event()

    async def stubborn(_call: ResolveCall) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    exchange = bench.register(resolver=stubborn).exchange(total_s=0.05, resolver_s=0.01)
    resolved = await exchange.resolve(template("{DATA:src:s:a}"), tenant="t")
    assert resolved.failures[0].code == "resolver_timed_out"
    assert len(exchange._flights) == 1
    release.set()
    await settle()
    assert len(exchange._flights) == 0


async def test_a_cancelled_resolution_cancels_its_resolvers(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    exchange = bench.exchange()
    running = asyncio.create_task(exchange.resolve(template("{DATA:src:s:a}{TEMPORAL:src:s:b}"), tenant="t"))
    await settle()
    assert len(exchange._flights) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await settle()
    assert len(exchange._flights) == 0


async def test_resolvers_at_work_in_the_whole_exchange_are_bounded(bench: Any, template: Make) -> None:
    bench.source.gate = asyncio.Event()
    exchange = bench.exchange(open_flights=1)
    running = asyncio.create_task(exchange.resolve(template("{DATA:src:s:a}"), tenant="t"))
    await settle()
    assert (await exchange.resolve(template("{DATA:src:s:b}"), tenant="u")).failures[0].code == "resolution_failed"
    bench.source.gate.set()
    assert (await running).text == "<a>"


# The shared cache is down.


async def test_without_its_store_the_exchange_goes_on_with_the_front(bench: Any, template: Make) -> None:
    exchange: TokenExchange = bench.exchange()
    bench.store.go_down()
    text = template("{DATA:src:s:a}")
    for _ in range(3):
        assert (await exchange.resolve(text, tenant="t")).text == "<a>"
    assert len(bench.source.calls) == 1
    bench.store.come_back()
    bench.clock.advance(700)
    await exchange.resolve(text, tenant="t")
    await bench.exchange().resolve(text, tenant="t")
    assert len(bench.source.calls) == 2
