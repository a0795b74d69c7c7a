"""The drivers' own log lines, now and then: while no broker answers they write some twenty a second."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

EVERY_S = 60.0
MOST_LINES = 1000
"""That differ; then all are forgotten."""

_DRIVERS = (
    "ossa.stores.kafka",  # librdkafka's
    *("aiokafka", "aiokafka.cluster", "aiokafka.conn", "aiokafka.producer.producer", "aiokafka.producer.sender"),
)
_PASSING = re.compile(r"\d+ms|(?<=consumer-)\d+|(?<=producer-)\d+")


class NowAndThen(logging.Filter):
    """Lets a line through once in `EVERY_S`; lines that differ by a duration or a client's number alone are one.
    How many were left out is said by the next that goes through.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        line = _PASSING.sub("#", record.getMessage())
        now = self._now()
        at, left_out = self._last.get(line, (now - EVERY_S, 0))
        if now - at < EVERY_S:
            self._last[line] = (at, left_out + 1)
            return False
        if len(self._last) > MOST_LINES:
            self._last.clear()
        self._last[line] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} times more since)", ()
        return True


def quieten_drivers() -> None:
    """Once for each logger, however often it is asked for."""
    for name in _DRIVERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NowAndThen) for one in logger.filters):
            logger.addFilter(NowAndThen())
