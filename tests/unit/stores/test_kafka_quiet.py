"""What the drivers write to the log while no broker answers."""

from __future__ import annotations

import logging

import pytest

from ossa.stores.kafka.failure import EVERY_S, MOST_LINES, NowAndThen, quieten_drivers
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def said(clock: ManualClock) -> tuple[logging.Logger, list[str]]:
    logger, lines = logging.Logger("driver"), []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger.addHandler(Keeping())
    logger.addFilter(NowAndThen(clock.monotonic))
    return logger, lines


def test_a_line_comes_once_a_minute_and_says_how_often_it_was_left_out(
    said: tuple[logging.Logger, list[str]], clock: ManualClock
) -> None:
    logger, lines = said
    for after_ms in range(5):
        logger.error("FAIL [ossa#consumer-%d]: refused (after %dms in state CONNECT)", after_ms, after_ms)
    logger.error("Unable connect to node with id %s", 2)
    assert lines == ["FAIL [ossa#consumer-0]: refused (after 0ms in state CONNECT)", "Unable connect to node with id 2"]
    clock.advance(EVERY_S)
    logger.error("FAIL [ossa#consumer-%d]: refused (after %dms in state CONNECT)", 7, 1)
    assert lines[2:] == ["FAIL [ossa#consumer-7]: refused (after 1ms in state CONNECT) (4 times more since)"]


def test_what_it_remembers_is_bounded(clock: ManualClock) -> None:
    filter = NowAndThen(clock.monotonic)
    for number in range(MOST_LINES * 3):
        filter.filter(logging.makeLogRecord({"msg": f"line {number}"}))
    assert len(filter._last) <= MOST_LINES + 1


def test_each_driver_is_quietened_once() -> None:
    for _ in range(3):
        quieten_drivers()
    for name in ("aiokafka", "aiokafka.conn", "ossa.stores.kafka"):
        assert sum(isinstance(one, NowAndThen) for one in logging.getLogger(name).filters) == 1
