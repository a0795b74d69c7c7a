"""Turns SIGINT, SIGTERM and SIGHUP into one exception, so that what was started is stopped on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal to stop came."""


@dataclass
class Signals:
    """`to_stop`: a signal came. Libraries may replace the exception that its handler raised by one of their own."""

    to_stop: bool = False


@contextmanager
def stop_signals() -> Iterator[Signals]:
    """Raises `Stopped` at the first signal and ignores later ones. A SIGHUP that is ignored (`nohup`) stays so."""
    signals = Signals()

    def stop(_: int, __: FrameType | None) -> None:
        signals.to_stop = True
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    heard = (number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in heard}
    for number in before:
        signal.signal(number, stop)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
