"""A system prompt begins alike in every conversation; what changes comes at its end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ossa.vortex.exchange.exchange import Registration, ResolveCall, ResolverRegistry, TokenExchange
from ossa.vortex.exchange.system_prompt import resolve_prompt
from ossa.vortex.exchange.template import PlaceholderType

ALL = tuple(PlaceholderType)


class Clock:
    """The time, and how often anybody asked for a value."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self.asked = 0

    async def __call__(self, call: ResolveCall) -> str:
        self.asked += 1
        return f"<{call.placeholder.id} of {call.placeholder.scope} for {call.tenant} #{self.asked}>"


def exchange(clock: Clock) -> TokenExchange:
    return TokenExchange(ResolverRegistry([Registration("pool", ALL, clock)]), clock=lambda: clock.now)


async def test_what_changes_is_named_where_it_was_written_and_valued_at_the_end() -> None:
    role = "Of {DATA:pool:security:manifests}. {STATE:pool:security:ready} are ready, {METRICS:pool:current:load} busy."
    found = await resolve_prompt(exchange(Clock()), role, tenant="acme", bindings={"pool": "ops"})
    assert found.text.startswith("Of <manifests of security for acme #")
    assert found.text.endswith("[pool security ready] are ready, [pool load] busy.")
    assert found.values.startswith("Now: [pool security ready] = <ready of security for acme #")
    assert ", [pool load] = <load of ops for acme #" in found.values


async def test_two_conversations_begin_alike() -> None:
    clock = Clock()
    made = exchange(clock)
    role = "{CONTEXT:pool:security:card} has {STATE:pool:security:ready} ready and {TEMPORAL:pool:utc:now}."
    first = await resolve_prompt(made, role, tenant="acme")
    clock.now = datetime(2026, 1, 1, 12, 2, tzinfo=UTC)
    second = await resolve_prompt(made, role, tenant="acme")
    assert first.text == second.text
    assert first.values != second.values


async def test_a_value_that_is_written_twice_is_told_once() -> None:
    role = "{STATE:pool:security:ready} and again {STATE:pool:security:ready}"
    found = await resolve_prompt(exchange(Clock()), role, tenant="acme")
    assert found.text == "[pool security ready] and again [pool security ready]"
    assert found.values.count("[pool security ready]") == 1


async def test_a_role_without_placeholders_is_itself() -> None:
    found = await resolve_prompt(exchange(Clock()), 'Answer as {"a": 1}.', tenant="acme")
    assert (found.text, found.values) == ('Answer as {"a": 1}.', "")


@pytest.mark.parametrize(
    "role",
    ["{STATE:pool}", "Write lines like {DATA: value}.", "Hi {INPUT:name}!", "{STATE:POOL:a:b}", "{DATA:pool:a b:c}"],
)
async def test_what_begins_like_a_placeholder_and_is_none_is_text(role: str) -> None:
    found = await resolve_prompt(exchange(Clock()), role, tenant="acme")
    assert (found.text, found.values) == (role, "")


async def test_a_backslash_makes_a_placeholder_text() -> None:
    role = r"Say \{STATE:pool:security:ready} for {STATE:pool:security:ready}."
    found = await resolve_prompt(exchange(Clock()), role, tenant="acme")
    assert found.text == "Say {STATE:pool:security:ready} for [pool security ready]."
