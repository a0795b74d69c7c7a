"""A day's limit is enforced without a read for every request."""

from ossa.contracts.task import Usage, UsageToday
from ossa.gateway.extensions.daily_usage import STALE_S, DailyUsage
from tests.support.clock import ManualClock


class Journal:
    def __init__(self) -> None:
        self.reads = 0
        self.usage = UsageToday()

    async def read(self, subject: str) -> UsageToday:
        self.reads += 1
        return self.usage


async def test_far_from_the_limit_it_is_read_once_in_a_while() -> None:
    journal, clock = Journal(), ManualClock()
    daily = DailyUsage(journal.read, clock.monotonic)
    for _ in range(10):
        await daily.of("manifest:a", max_tokens=1000, max_cost_usd=None)
    assert journal.reads == 1
    clock.advance(STALE_S)
    await daily.of("manifest:a", max_tokens=1000, max_cost_usd=None)
    assert journal.reads == 2


async def test_own_spending_shows_at_once() -> None:
    daily = DailyUsage(Journal().read, ManualClock().monotonic)
    await daily.of("manifest:a", max_tokens=1000, max_cost_usd=None)
    daily.spent("manifest:a", Usage(prompt_tokens=10, completion_tokens=5, cost_usd=0.5))
    assert await daily.of("manifest:a", max_tokens=1000, max_cost_usd=None) == UsageToday(tokens=15, cost_usd=0.5)


async def test_near_a_limit_every_request_reads() -> None:
    journal = Journal()
    daily = DailyUsage(journal.read, ManualClock().monotonic)
    journal.usage = UsageToday(tokens=900, cost_usd=0.0)
    for _ in range(3):
        await daily.of("manifest:a", max_tokens=1000, max_cost_usd=None)
    assert journal.reads == 3
    journal.usage = UsageToday(tokens=0, cost_usd=9.0)
    for _ in range(3):
        await daily.of("manifest:b", max_tokens=None, max_cost_usd=10.0)
    assert journal.reads == 6
