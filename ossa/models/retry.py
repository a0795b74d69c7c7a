"""When to try a model call again, and after how long. Pure: no clock, no random source, no IO."""

from __future__ import annotations

from collections.abc import Mapping

from ossa.resilience.backoff import backoff_s

RETRY_AFTER_CAP_S = 60.0
"""The longest wait an endpoint may ask of us; a longer one is given up, because the caller is waiting."""

LONGEST_BACKOFF_S = 20.0

_RETRIED = frozenset({408, 409, 425, 429})


def retryable(status: int) -> bool:
    """True for answers that may be different next time (all of 5xx but 501 and 505)."""
    return status in _RETRIED or (status >= 500 and status not in (501, 505))


def retry_after(headers: Mapping[bytes, bytes], *, now: float) -> float | None:
    """Seconds the endpoint asks us to wait, from `retry-after-ms` or `Retry-After` (seconds or an HTTP date).

    `now` is Unix time. None when absent or unreadable; never negative.
    """
    if (milliseconds := _number(headers.get(b"retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get(b"retry-after")
    if value is None:
        return None
    seconds = _number(value)
    return _until(value, now) if seconds is None else seconds


def next_wait(
    retries_done: int, *, max_retries: int, first_s: float, asked_s: float | None, left_s: float, roll: float
) -> float | None:
    """Returns how long to wait before the next try; None: give up now.

    Args:
        first_s: bound of the first wait, which doubles up to `LONGEST_BACKOFF_S`; each wait is drawn below its bound.
        asked_s: the endpoint's `Retry-After`; a floor under the backoff.
        left_s: what is left of the call's time; a wait that would not fit is not begun.
        roll: a uniform random number in [0, 1).
    """
    if retries_done >= max_retries:
        return None
    wait = backoff_s(retries_done, first_s=first_s, longest_s=LONGEST_BACKOFF_S, roll=roll)
    if asked_s is not None:
        if asked_s > RETRY_AFTER_CAP_S:
            return None
        wait += asked_s
    return wait if wait < left_s else None


def _number(value: bytes | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _until(value: bytes, now: float) -> float | None:
    # Imported here: the email package costs more than all of this file, and dates are rare.
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value.decode("latin-1")).timestamp() - now)
    except (ValueError, OverflowError):
        return None
