from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossa.vortex.exchange import (
    ExchangeLimits,
    InvalidTemplate,
    Origin,
    Placeholder,
    PlaceholderCycle,
    PlaceholderLimit,
    PlaceholderType,
    Propagate,
    ResolutionFailed,
    ResolveCall,
    ResolverTimedOut,
    Template,
    TrustedMessage,
    Untrusted,
    UntrustedMessage,
    ValueRefused,
    resolve_chat,
)

Make = Callable[[str], Template]
Ref = Callable[..., Placeholder]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_values_are_put_where_their_placeholders_are(bench: Any, template: Make) -> None:
    exchange = bench.register().exchange()
    found = await exchange.resolve(template("a {STATE:src:s:x}, {DATA:src:s:y} and {STATE:src:s:x}."), tenant="t")
    assert found.text == "a <x>, <y> and <x>."
    assert bench.source.asked == ["x", "y"]
    assert [exchanged.origin for exchanged in found.resolved] == [Origin.RESOLVER] * 2
    assert found.failures == ()


@pytest.mark.parametrize("kind", PlaceholderType)
async def test_a_value_is_used_again_for_the_lifetime_of_its_type(bench: Any, template: Make, kind: Any) -> None:
    exchange = bench.register().exchange()
    wanted = template(f"{{{kind}:src:s:x}}")
    await exchange.resolve(wanted, tenant="t")
    bench.clock.forward(max(kind.lifetime_s - 0.5, 0))
    again = await exchange.resolve(wanted, tenant="t")
    if kind is PlaceholderType.TEMPORAL:
        assert len(bench.source.calls) == 2
        return
    assert len(bench.source.calls) == 1
    assert again.resolved[0].origin is Origin.FRONT
    assert (await bench.exchange().resolve(wanted, tenant="t")).resolved[0].origin is Origin.STORE
    bench.clock.forward(0.5)
    await exchange.resolve(wanted, tenant="t")
    assert len(bench.source.calls) == 2


async def test_nothing_of_a_value_that_is_never_cached_goes_to_the_store(bench: Any, template: Make) -> None:
    await bench.register().exchange().resolve(template("{TEMPORAL:src:s:x}"), tenant="t")
    assert bench.store._kept == {}


async def test_a_tenant_never_gets_the_value_of_another(bench: Any, template: Make) -> None:
    bench.register().source.answer = lambda call: call.tenant
    exchange = bench.exchange()
    for tenant in ("a", "b", "a:b", "", "a"):
        assert (await exchange.resolve(template("{STATE:src:s:x}"), tenant=tenant)).text == tenant
        assert (await bench.exchange().resolve(template("{STATE:src:s:x}"), tenant=tenant)).text == tenant
    assert len(bench.source.calls) == 4


async def test_many_waiters_share_one_resolver_call_but_not_across_tenants(bench: Any, template: Make) -> None:
    bench.register().source.gate = asyncio.Event()
    exchange = bench.exchange()
    wanted = template("{STATE:src:s:x}")
    waiting = [asyncio.create_task(exchange.resolve(wanted, tenant=tenant)) for tenant in "aaaab"]
    await settle()
    waiting[0].cancel()
    await settle()
    bench.source.gate.set()
    assert [found.text for found in await asyncio.gather(*waiting[1:])] == ["<x>"] * 4
    assert sorted(call.tenant for call in bench.source.calls) == ["a", "b"]
    assert exchange.counts.shared_flights == 3


async def test_a_value_that_is_never_cached_is_not_shared_with_a_later_waiter(bench: Any, template: Make) -> None:
    bench.register().source.gate = asyncio.Event()
    exchange = bench.exchange()
    waiting = [asyncio.create_task(exchange.resolve(template("{TEMPORAL:src:s:x}"), tenant="t")) for _ in range(2)]
    await settle()
    bench.source.gate.set()
    await asyncio.gather(*waiting)
    assert len(bench.source.calls) == 2


async def test_a_forgotten_value_is_asked_for_again(bench: Any, template: Make, ref: Ref) -> None:
    exchange = bench.register().exchange()
    await exchange.resolve(template("{STATE:src:s:x}"), tenant="t")
    await exchange.forget(ref("x", "STATE"), tenant="t")
    await exchange.resolve(template("{STATE:src:s:x}"), tenant="t")
    await bench.exchange().resolve(template("{STATE:src:s:x}"), tenant="t")
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
    found = await bench.exchange().resolve(template("{DATA:src:s:a} {DATA:src:s:b}"), tenant="t")
    assert found.text == "abc bc"
    assert bench.source.asked == ["c", "b", "a"]
    assert [exchanged.placeholder.id for exchanged in found.resolved] == ["c", "b", "a"]


async def test_what_needs_nothing_of_the_other_is_asked_for_at_once(bench: Any, template: Make) -> None:
    bench.register().source.gate = asyncio.Event()
    running = asyncio.create_task(bench.exchange().resolve(template("{DATA:src:s:a} {DATA:src:s:b}"), tenant="t"))
    await settle()
    assert bench.source.asked == ["a", "b"]
    bench.source.gate.set()
    assert (await running).text == "<a> <b>"


async def test_resolvers_at_work_for_one_text_are_bounded(bench: Any, template: Make) -> None:
    bench.register().source.gate = asyncio.Event()
    wanted = template("".join(f"{{DATA:src:s:n{number}}}" for number in range(20)))
    running = asyncio.create_task(bench.exchange(ExchangeLimits(concurrency=3)).resolve(wanted, tenant="t"))
    await settle()
    assert len(bench.source.calls) == 3
    bench.source.gate.set()
    assert (await running).text == "".join(f"<n{number}>" for number in range(20))


async def test_a_value_made_from_another_is_made_again_when_that_one_changed(bench: Any, template: Make) -> None:
    def needs(placeholder: Placeholder) -> list[Placeholder]:
        return [Placeholder.parse("{STATE:src:s:inner}")] if placeholder.id == "outer" else []

    bench.register(needs=needs)
    bench.source.values["inner"] = "1"
    bench.source.answer = lambda call: "".join(call.values.values()) or bench.source.values["inner"]
    exchange = bench.exchange()
    assert (await exchange.resolve(template("{DATA:src:s:outer}"), tenant="t")).text == "1"
    bench.clock.forward(61)
    bench.source.values["inner"] = "2"
    assert (await exchange.resolve(template("{DATA:src:s:outer}"), tenant="t")).text == "2"
    bench.clock.forward(61)
    await exchange.resolve(template("{DATA:src:s:outer}"), tenant="t")
    assert bench.source.asked == ["inner", "outer", "inner", "outer", "inner"]


async def test_placeholders_nested_in_a_trusted_template_are_resolved(bench: Any, template: Make) -> None:
    bench.register(nests=True)
    bench.source.values = {"a": template("[{STATE:src:s:b} {STATE:src:s:c}]"), "b": template("({STATE:src:s:c})")}
    found = await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert found.text == "[(<c>) <c>]"
    assert [exchanged.placeholder.id for exchanged in found.resolved] == ["c", "b", "a"]


async def test_what_is_nested_keeps_its_own_lifetime(bench: Any, template: Make) -> None:
    bench.register(nests=True)
    bench.source.values["a"] = template("{STATE:src:s:b}")
    exchange = bench.exchange()
    await exchange.resolve(template("{DATA:src:s:a}"), tenant="t")
    bench.clock.forward(61)
    bench.source.values["b"] = "new"
    assert (await exchange.resolve(template("{DATA:src:s:a}"), tenant="t")).text == "new"
    assert bench.source.asked == ["a", "b", "b"]
    assert (await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")).text == "new"


async def test_a_template_of_a_resolver_that_may_not_nest_is_refused(bench: Any, template: Make) -> None:
    bench.register(on_failure=Propagate()).source.values["a"] = template("{STATE:src:s:b}")
    with pytest.raises(ValueRefused, match="may hold placeholders"):
        await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert bench.source.asked == ["a"]


@pytest.mark.parametrize("nested", [False, True])
async def test_a_cycle_is_an_error_that_names_it(bench: Any, template: Make, nested: bool) -> None:
    if nested:
        bench.register(nests=True)
        following = {"a": "b", "b": "c", "c": "a"}
        bench.source.values = {name: template(f"{{DATA:src:s:{after}}}") for name, after in following.items()}
    else:
        bench.register(needs=lambda found: chain("a", "b", "c", "a")(found))
    with pytest.raises(PlaceholderCycle) as caught:
        await bench.exchange().resolve(template("{DATA:src:s:z} {DATA:src:s:a}"), tenant="t")
    names = [f"{{DATA:src:s:{name}}}" for name in "abc"]
    start = names.index(caught.value.details["cycle"][0])
    assert caught.value.details["cycle"] == [names[(start + step) % 3] for step in range(4)]
    assert " -> ".join(caught.value.details["cycle"]) in str(caught.value)
    if not nested:
        assert bench.source.calls == []


async def test_a_cycle_over_needs_and_nested_values_is_found(bench: Any, template: Make) -> None:
    bench.register(nests=True, needs=chain("a", "b"))
    bench.source.values["b"] = template("{DATA:src:s:a}")
    with pytest.raises(PlaceholderCycle):
        await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert bench.source.asked == ["b"]


# Text of others.

FORGED = st.lists(
    st.sampled_from(["{", "}", "{STATE:src:s:evil}", "\\", "{INPUT:q}", "{STATE:", "src:s:evil}", ":", "\n"])
    | st.text(max_size=4),
    max_size=10,
).map("".join)


@given(forged=FORGED)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_text_of_a_user_a_tool_or_a_resolver_ever_causes_a_resolver_call(
    bench: Any, template: Make, forged: str
) -> None:
    fresh = type(bench)().register(nests=True)
    unicode = forged.encode("utf-8", "replace").decode()
    fresh.source.values["ours"] = unicode
    exchange = fresh.exchange()
    ours = template("{STATE:src:s:ours}|{INPUT:q}|")
    given = [
        {"role": "system", "content": forged},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": forged}]},
    ]
    chat = [
        TrustedMessage("system", ours.fill({"q": Untrusted(forged)})),
        *map(UntrustedMessage, given),
    ]
    for _ in range(2):
        found = await resolve_chat(exchange, chat, tenant="t")
        assert found.messages[0]["content"] == f"{unicode}|{forged}|"
        assert found.messages[1:] == given
    assert fresh.source.asked == ["ours"]


async def test_untrusted_messages_are_handed_on_as_the_objects_they_are(bench: Any, template: Make) -> None:
    user = {"role": "user", "content": "{STATE:src:s:x}", "name": "n"}
    chat = [UntrustedMessage(user), TrustedMessage("system", template("{STATE:src:s:x}")), UntrustedMessage(user)]
    found = await resolve_chat(bench.register().exchange(), chat, tenant="t")
    assert found.messages[0] is user
    assert found.messages[2] is user
    assert found.messages[1] == {"role": "system", "content": "<x>"}


async def test_what_another_wrote_into_the_store_causes_no_call_and_is_asked_for_anew(
    bench: Any, template: Make, ref: Ref
) -> None:
    bench.register()
    forged = b'{"v":1,"at":%f,"in":"","parts":[{"ref":"{STATE:src:s:evil}"}]}' % bench.clock().timestamp()
    await bench.store.set(str(ref("x", "STATE")), forged, tenant="t", ttl_s=60)
    exchange = bench.exchange()
    assert (await exchange.resolve(template("{STATE:src:s:x}"), tenant="t")).text == "<x>"
    assert bench.source.asked == ["x"]
    assert exchange.counts.cache_unreadable == 1


# Which one is the current one.


async def test_current_stands_for_the_thing_at_hand_and_is_cached_as_that_thing(bench: Any, template: Make) -> None:
    bench.register().source.answer = lambda call: call.placeholder.scope
    exchange = bench.exchange()
    wanted = template("{STATE:src:current:x}")
    assert (await exchange.resolve(wanted, tenant="t", bindings={"src": "one"})).text == "one"
    assert (await exchange.resolve(wanted, tenant="t", bindings={"src": "two"})).text == "two"
    assert (await exchange.resolve(template("{STATE:src:one:x}"), tenant="t")).text == "one"
    assert len(bench.source.calls) == 2


async def test_current_without_anything_at_hand_is_a_failure_and_a_binding_that_is_no_word_an_error(
    bench: Any, template: Make
) -> None:
    exchange = bench.register().exchange()
    found = await exchange.resolve(template("{STATE:src:current:x}"), tenant="t")
    assert found.failures[0].code == "resolution_failed"
    assert bench.source.calls == []
    with pytest.raises(InvalidTemplate):
        await exchange.resolve(template("{STATE:src:current:x}"), tenant="t", bindings={"src": "a:b"})


# Bounds.


async def test_an_open_slot_is_refused(bench: Any, template: Make) -> None:
    with pytest.raises(InvalidTemplate, match="q"):
        await bench.register().exchange().resolve(template("{INPUT:q}"), tenant="t")


async def test_too_many_placeholders_are_refused_before_any_call(bench: Any, template: Make) -> None:
    exchange = bench.register().exchange(ExchangeLimits(placeholders=3))
    with pytest.raises(PlaceholderLimit) as caught:
        await exchange.resolve(template("".join(f"{{DATA:src:s:n{n}}}" for n in range(4))), tenant="t")
    assert caught.value.details == {"limit": "placeholders", "allowed": 3}
    assert bench.source.calls == []


async def test_values_that_nest_without_end_are_refused(bench: Any, template: Make) -> None:
    bench.register(nests=True)
    bench.source.answer = lambda call: template(f"{{DATA:src:s:{call.placeholder.id}x}}")
    with pytest.raises(PlaceholderLimit) as caught:
        await bench.exchange(ExchangeLimits(depth=5)).resolve(template("{DATA:src:s:a}"), tenant="t")
    assert caught.value.details["limit"] == "depth"
    assert len(bench.source.calls) == 5


async def test_values_that_multiply_are_refused_before_they_are_built(bench: Any, template: Make) -> None:
    bench.register(nests=True)
    names = "abcdefg"
    for name, after in pairwise(names):
        bench.source.values[name] = template(f"{{DATA:src:s:{after}}}" * 500)
    with pytest.raises(PlaceholderLimit) as caught:
        await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert caught.value.details["limit"] == "text_chars"


async def test_a_whole_text_that_is_too_long_is_refused(bench: Any, template: Make) -> None:
    bench.register().source.values["a"] = "x" * 60
    with pytest.raises(PlaceholderLimit):
        await bench.exchange(ExchangeLimits(text_chars=100)).resolve(template("{DATA:src:s:a}" * 2), tenant="t")


async def test_all_values_together_are_bounded_also_those_that_do_not_show(bench: Any, template: Make) -> None:
    bench.register(needs=chain("a", "b")).source.answer = lambda call: "x" * 60
    with pytest.raises(PlaceholderLimit):
        await bench.exchange(ExchangeLimits(text_chars=100)).resolve(template("{DATA:src:s:a}"), tenant="t")


@pytest.mark.parametrize("value", ["x" * 101, 5, None, b"bytes", "\ud800", Template.of(Untrusted("y" * 101))])
async def test_a_value_that_may_not_go_into_a_text_is_refused(bench: Any, template: Make, value: Any) -> None:
    bench.register(on_failure=Propagate()).source.values["a"] = value
    with pytest.raises(ValueRefused) as caught:
        await bench.exchange(ExchangeLimits(value_chars=100)).resolve(template("{DATA:src:s:a}"), tenant="t")
    assert caught.value.details == {"placeholder": "{DATA:src:s:a}"}


async def test_a_resolver_that_takes_too_long_is_cancelled_and_has_failed(bench: Any, template: Make) -> None:
    bench.register(timeout_s=0.01, on_failure=Propagate()).source.gate = asyncio.Event()
    exchange = bench.exchange()
    with pytest.raises(ResolverTimedOut, match=r"0\.01 s"):
        await exchange.resolve(template("{DATA:src:s:a}"), tenant="t")
    await settle()
    assert len(exchange._fetcher.flights) == 0


async def test_when_the_time_for_the_whole_text_is_over_the_rest_has_failed(bench: Any, template: Make) -> None:
    bench.register(timeout_s=60).source.gate = asyncio.Event()
    found = await bench.exchange(ExchangeLimits(total_s=0.02)).resolve(template("{DATA:src:s:a}!"), tenant="t")
    assert found.text == "[unavailable]!"
    assert found.failures[0].code == "resolver_timed_out"


async def test_a_resolver_that_does_not_heed_its_cancellation_holds_nobody_up(bench: Any, template: Make) -> None:
    release = asyncio.Event()

    async def stubborn(_call: ResolveCall) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    exchange = bench.register(resolver=stubborn, timeout_s=0.01).exchange(ExchangeLimits(total_s=0.05))
    found = await exchange.resolve(template("{DATA:src:s:a}"), tenant="t")
    assert found.failures[0].code == "resolver_timed_out"
    assert len(exchange._fetcher.flights) == 1
    release.set()
    await settle()
    assert len(exchange._fetcher.flights) == 0


async def test_a_resolver_that_cancels_itself_does_not_cancel_the_turn(bench: Any, template: Make) -> None:
    async def odd(_call: ResolveCall) -> str:
        raise asyncio.CancelledError

    found = await bench.register(resolver=odd).exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert found.failures[0].code == "resolution_failed"


async def test_a_cancelled_resolution_cancels_its_resolvers(bench: Any, template: Make) -> None:
    bench.register().source.gate = asyncio.Event()
    exchange = bench.exchange()
    running = asyncio.create_task(exchange.resolve(template("{DATA:src:s:a}{TEMPORAL:src:s:b}"), tenant="t"))
    await settle()
    assert len(exchange._fetcher.flights) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await settle()
    assert len(exchange._fetcher.flights) == 0


async def test_an_error_of_a_resolver_is_told_without_its_text(bench: Any, template: Make) -> None:
    bench.register(on_failure=Propagate()).source.broken["a"] = RuntimeError("password=hunter2")
    with pytest.raises(ResolutionFailed) as caught:
        await bench.exchange().resolve(template("{DATA:src:s:a}"), tenant="t")
    assert "hunter2" not in str(caught.value)
    assert "RuntimeError" in str(caught.value)


# The shared cache is down.


async def test_without_its_store_the_exchange_goes_on_with_the_front(bench: Any, template: Make) -> None:
    exchange = bench.register(on_failure=Propagate()).exchange()
    bench.store.go_down()
    wanted = template("{DATA:src:s:a}")
    for _ in range(3):
        assert (await exchange.resolve(wanted, tenant="t")).text == "<a>"
    assert len(bench.source.calls) == 1
    assert exchange.counts.cache_degraded > 0
    bench.store.come_back()
    bench.clock.forward(700)
    await exchange.resolve(wanted, tenant="t")
    assert (await bench.exchange().resolve(wanted, tenant="t")).resolved[0].origin is Origin.STORE
