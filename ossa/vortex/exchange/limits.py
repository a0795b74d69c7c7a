"""How much a resolution may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Bounds of one resolution, unless said otherwise.

    Args:
        placeholders: different ones, those found in values counted.
        depth: of the longest chain in which one needs the next.
        value_chars: of one resolver's value.
        text_chars: of one finished text, and of all values together with what is nested in them.
        resolver_s: one resolver's time where its registration sets none.
        total_s: time after which what is still missing counts as failed.
        concurrency: resolvers one resolution waits for at once.
        open_flights: resolvers at work at once in the whole exchange.
    """

    placeholders: int = 256
    depth: int = 8
    value_chars: int = 65_536
    text_chars: int = 8 * 2**20
    resolver_s: float = 2.0
    total_s: float = 10.0
    concurrency: int = 16
    open_flights: int = 1024
