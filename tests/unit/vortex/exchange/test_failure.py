"""The five modes. `outer` needs `inner`, whose resolver is broken."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from ossa.contracts.errors import NotFound, OssaError, StoreUnavailable
from ossa.vortex.exchange import (
    Degrade,
    Fallback,
    Placeholder,
    Propagate,
    Remedy,
    ResolutionFailed,
    ResolveCall,
    ResolverUnknown,
    SkipDependants,
    StaleOk,
    Template,
)

Make = Callable[[str], Template]
INNER = Placeholder.parse("{STATE:src:s:inner}")
TEXT = "{DATA:top:s:outer}|{STATE:src:s:inner}|{STATE:top:s:other}"


@pytest.fixture
def broken(bench: Any) -> Any:
    """The text above, with `inner` failing in the given mode."""
    bench.source.broken["inner"] = StoreUnavailable("it is down")

    async def top(call: ResolveCall) -> str:
        bench.source.calls.append(call)
        return call.placeholder.id + "".join(f"({value})" for value in call.values.values())

    def start(mode: Any) -> Any:
        bench.register(on_failure=mode)
        bench.register(namespace="top", resolver=top, needs=lambda p: [INNER] if p.id == "outer" else [])
        return bench.exchange()

    return start


async def test_degrade_puts_a_text_in_its_place_also_for_dependants(broken: Any, template: Make) -> None:
    found = await broken(Degrade("n/a")).resolve(template(TEXT), tenant="t")
    assert found.text == "outer(n/a)|n/a|other"
    assert [(failure.placeholder, failure.remedy) for failure in found.failures] == [(INNER, Remedy.DEGRADED)]
    assert found.failures[0].code == "resolution_failed"
    assert "it is down" in found.failures[0].message


async def test_a_value_made_from_a_stand_in_is_kept_for_nobody(broken: Any, bench: Any, template: Make) -> None:
    exchange = broken(Degrade("n/a"))
    await exchange.resolve(template(TEXT), tenant="t")
    assert await bench.store.get("{DATA:top:s:outer}", tenant="t") is None
    assert await bench.store.get("{STATE:top:s:other}", tenant="t") is not None
    bench.source.broken.clear()
    found = await exchange.resolve(template(TEXT), tenant="t")
    assert found.text == "outer(<inner>)|<inner>|other"
    assert bench.source.asked == ["inner", "other", "outer", "inner", "outer"]


async def test_fallback_asks_another_resolver_whose_value_is_not_kept(broken: Any, bench: Any, template: Make) -> None:
    asked = []

    async def second(call: ResolveCall) -> str:
        asked.append(call)
        return "second best"

    exchange = broken(Fallback(second))
    found = await exchange.resolve(template(TEXT), tenant="t")
    assert found.text == "outer(second best)|second best|other"
    assert found.failures[0].remedy is Remedy.FALLBACK
    assert [(call.placeholder, call.tenant) for call in asked] == [(INNER, "t")]
    bench.source.broken.clear()
    assert (await exchange.resolve(template(TEXT), tenant="t")).text == "outer(<inner>)|<inner>|other"


async def test_a_fallback_that_fails_too_or_nests_degrades(broken: Any, template: Make) -> None:
    async def worse(call: ResolveCall) -> str | Template:
        if call.tenant == "nests":
            return template("{STATE:src:s:other}")
        raise NotFound("neither here")

    exchange = broken(Fallback(worse, text="none"))
    for tenant in ("t", "nests"):
        found = await exchange.resolve(template("{STATE:src:s:inner}"), tenant=tenant)
        assert (found.text, found.failures[0].remedy) == ("none", Remedy.DEGRADED)


async def test_stale_ok_gives_the_last_known_value(broken: Any, bench: Any, template: Make) -> None:
    bench.source.broken.clear()
    exchange = broken(StaleOk(max_stale_s=600))
    await exchange.resolve(template(TEXT), tenant="t")
    bench.source.broken["inner"] = StoreUnavailable("it is down")
    bench.clock.forward(60 + 599)
    for process in (exchange, bench.exchange()):
        found = await process.resolve(template(TEXT), tenant="t")
        assert found.text == "outer(<inner>)|<inner>|other"
        assert [failure.remedy for failure in found.failures] == [Remedy.STALE]
    other = await exchange.resolve(template("{STATE:src:s:inner}"), tenant="u")
    assert (other.text, other.failures[0].remedy) == ("[unavailable]", Remedy.DEGRADED)
    bench.clock.forward(2)
    found = await exchange.resolve(template(TEXT), tenant="t")
    assert (found.text.split("|")[1], found.failures[0].remedy) == ("[unavailable]", Remedy.DEGRADED)


async def test_stale_ok_works_from_the_front_while_the_store_is_down(broken: Any, bench: Any, template: Make) -> None:
    bench.source.broken.clear()
    exchange = broken(StaleOk())
    await exchange.resolve(template(TEXT), tenant="t")
    bench.source.broken["inner"] = StoreUnavailable("it is down")
    bench.store.go_down()
    bench.clock.forward(61)
    assert (await exchange.resolve(template(TEXT), tenant="t")).text == "outer(<inner>)|<inner>|other"


async def test_what_is_never_cached_has_no_stale_value(bench: Any, template: Make) -> None:
    exchange = bench.register(on_failure=StaleOk(text="?")).exchange()
    await exchange.resolve(template("{TEMPORAL:src:s:a}"), tenant="t")
    bench.source.broken["a"] = StoreUnavailable("it is down")
    assert (await exchange.resolve(template("{TEMPORAL:src:s:a}"), tenant="t")).text == "?"


async def test_skip_dependants_leaves_out_all_that_depend_on_it_and_calls_none_of_them(
    broken: Any, bench: Any, template: Make
) -> None:
    found = await broken(SkipDependants()).resolve(template(TEXT), tenant="t")
    assert found.text == "||other"
    assert [(failure.placeholder.id, failure.remedy) for failure in found.failures] == [
        ("inner", Remedy.SKIPPED),
        ("outer", Remedy.SKIPPED),
    ]
    assert sorted(bench.source.asked) == ["inner", "other"]


async def test_skip_dependants_leaves_out_a_value_that_nests_it(bench: Any, template: Make) -> None:
    bench.register(nests=True, on_failure=SkipDependants())
    bench.source.values = {"a": template("[{DATA:src:s:b}]"), "b": template("({STATE:src:s:inner})")}
    bench.source.broken["inner"] = StoreUnavailable("it is down")
    found = await bench.exchange().resolve(template("{DATA:src:s:a}!"), tenant="t")
    assert found.text == "!"
    assert [failure.placeholder.id for failure in found.failures] == ["inner", "b", "a"]


async def test_propagate_raises_naming_the_placeholder_and_stops_the_rest(bench: Any, template: Make) -> None:
    bench.register(on_failure=Propagate())
    stopped = asyncio.Event()

    async def slow(_call: ResolveCall) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    bench.register(namespace="slow", resolver=slow)
    bench.source.broken["inner"] = StoreUnavailable("it is down")
    exchange = bench.exchange()
    with pytest.raises(ResolutionFailed, match=r"STATE:src:s:inner.*it is down") as caught:
        await exchange.resolve(template("{DATA:slow:s:a} {STATE:src:s:inner}"), tenant="t")
    async with asyncio.timeout(5):
        await stopped.wait()
    assert isinstance(caught.value.__cause__, StoreUnavailable)
    assert caught.value.details == {"placeholder": str(INNER)}
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.message, again.details) == (ResolutionFailed, str(caught.value), caught.value.details)
    assert isinstance(again, OssaError)
    assert exchange.counts.propagated == 1


async def test_a_resolution_can_be_told_another_mode(broken: Any, template: Make) -> None:
    exchange = broken(Degrade())
    with pytest.raises(ResolutionFailed):
        await exchange.resolve(template(TEXT), tenant="t", on_failure=Propagate())
    assert (await exchange.resolve(template(TEXT), tenant="t", on_failure=SkipDependants())).text == "||other"


async def test_a_placeholder_nobody_resolves_goes_by_the_exchanges_own_mode(bench: Any, template: Make) -> None:
    wanted = template("{STATE:nobody:s:x}")
    exchange = bench.register().exchange()
    assert [str(found) for found in exchange.unknown(wanted)] == ["{STATE:nobody:s:x}"]
    found = await exchange.resolve(wanted, tenant="t")
    assert (found.text, found.failures[0].code) == ("[unavailable]", "resolver_unknown")
    with pytest.raises(ResolverUnknown, match="STATE:src"):
        await bench.exchange(unknown=Propagate()).resolve(wanted, tenant="t")


async def test_failures_are_counted_by_what_was_done(broken: Any, template: Make) -> None:
    exchange = broken(SkipDependants())
    await exchange.resolve(template(TEXT), tenant="t")
    counts = exchange.counts.as_dict()
    assert (counts["skipped"], counts["resolver_failures"], counts["degraded"]) == (2, 1, 0)


def test_a_type_of_a_namespace_has_one_resolver(bench: Any) -> None:
    bench.register()
    with pytest.raises(ValueError, match="STATE:src"):
        bench.register()
