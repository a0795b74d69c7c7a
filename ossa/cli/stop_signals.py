"""SIGINT, SIGTERM and SIGHUP as one exception, so that what was started is stopped on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """One of them came."""


@dataclass
class Told:
    """`to_stop`: a signal came. Libraries put other errors in the place of what its handler raised."""

    to_stop: bool = False


@contextmanager
def stop_signals() -> Iterator[Told]:
    """The first raises `Stopped`; later ones are ignored. A SIGHUP that is ignored already (`nohup`) stays so."""
    told = Told()

    def stop(_: int, __: FrameType | None) -> None:
        told.to_stop = True
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    heard = (number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in heard}
    for number in before:
        signal.signal(number, stop)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
