"""What manifests have used today, close enough to enforce a limit without a read for every request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ossa.contracts.task import Outcome, Usage, UsageToday
from ossa.gateway.core import GatewayCore, manifest_subject, usage_subjects
from ossa.gateway.hooks import Extension, Run, TaskHook

STALE_S = 1.0
"""How old a figure may be while the limit is far away. Other replicas' spending shows after it."""

NEAR = 0.8
"""From this share of a limit on, every request reads the journal."""

SUBJECTS_MAX = 10_000


@dataclass(slots=True)
class _Known:
    usage: UsageToday
    read_at: float


class DailyUsage:
    """The journal's figures by subject, remembered for `STALE_S`; this replica's own spending is added at once.

    Args:
        read: the journal's `usage_today`.
        clock: monotonic seconds.
    """

    def __init__(self, read: Callable[[str], Awaitable[UsageToday]], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def of(self, subject: str, *, max_tokens: int | None, max_cost_usd: float | None) -> UsageToday:
        """What the subject has used since midnight UTC. Raises what `read` raises."""
        known = self._known.get(subject)
        now = self._clock()
        if known is not None and now - known.read_at < STALE_S and not _near(known.usage, max_tokens, max_cost_usd):
            return known.usage
        usage = await self._read(subject)
        self._known[subject] = _Known(usage, now)
        self._known.move_to_end(subject)
        if len(self._known) > SUBJECTS_MAX:
            self._known.popitem(last=False)
        return usage

    def spent(self, subject: str, usage: Usage) -> None:
        """A task of this replica ended."""
        known = self._known.get(subject)
        if known is not None:
            known.usage = UsageToday(
                tokens=known.usage.tokens + usage.total_tokens, cost_usd=known.usage.cost_usd + usage.cost_usd
            )


def _near(usage: UsageToday, max_tokens: int | None, max_cost_usd: float | None) -> bool:
    return (max_tokens is not None and usage.tokens >= NEAR * max_tokens) or (
        max_cost_usd is not None and usage.cost_usd >= NEAR * max_cost_usd
    )


class DailyUsageHook(TaskHook):
    """Tells agents what their manifests have used today, where a manifest limits it."""

    def __init__(self, usage: DailyUsage) -> None:
        self._usage = usage

    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        agent = run.agent
        if agent is None or (agent.max_tokens_per_day is None and agent.max_cost_per_day_usd is None):
            return {}
        used = await self._usage.of(
            manifest_subject(agent), max_tokens=agent.max_tokens_per_day, max_cost_usd=agent.max_cost_per_day_usd
        )
        return {"used_today": used}

    def ended(self, run: Run, outcome: Outcome) -> None:
        for subject in usage_subjects(run.task.tenant, run.agent):
            self._usage.spent(subject, outcome.usage)


def extension(core: GatewayCore) -> Extension:
    """Limits of manifests a day."""
    usage = DailyUsage(core.journal.usage_today, core.clock)
    return Extension("daily-usage", hooks=[DailyUsageHook(usage)])
