from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.models.retry import RETRY_AFTER_CAP_S, next_wait, retry_after, retryable

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after": b"0"}, 0),
        ({b"retry-after": b"-3"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"\xff\xfe"}, None),
        ({b"retry-after": formatdate(NOW + 30, usegmt=True).encode()}, 30),
        ({b"retry-after": formatdate(NOW - 30, usegmt=True).encode()}, 0),
        ({b"retry-after-ms": b"250", b"retry-after": b"9"}, 0.25),
    ],
)
def test_retry_after_is_read_as_seconds_milliseconds_or_a_date(
    headers: dict[bytes, bytes], expected: float | None
) -> None:
    assert retry_after(headers, now=NOW) == expected


def test_only_answers_that_may_pass_are_retried() -> None:
    passing = {408, 409, 425, 429, 500, 502, 503, 504, 529}
    assert {
        status for status in (200, 301, 400, 401, 403, 404, 413, 422, 501, 505, *passing) if retryable(status)
    } == passing


@given(st.integers(0, 9), st.floats(0, 0.999), st.one_of(st.none(), st.floats(0, 100)))
def test_a_wait_lies_between_what_was_asked_and_the_backoffs_cap(done: int, roll: float, asked: float | None) -> None:
    wait = next_wait(done, max_retries=8, first_s=0.25, asked_s=asked, left_s=50, roll=roll)
    if done >= 8 or (asked or 0) > RETRY_AFTER_CAP_S:
        assert wait is None
    elif wait is not None:
        assert (asked or 0) <= wait <= (asked or 0) + min(20, 0.25 * 2**done)
        assert wait < 50
    else:
        assert (asked or 0) + roll * min(20, 0.25 * 2**done) >= 50


def test_a_wait_that_would_outlast_the_call_is_not_begun() -> None:
    assert next_wait(0, max_retries=3, first_s=0.25, asked_s=5, left_s=5, roll=0) is None
    assert next_wait(0, max_retries=3, first_s=0.25, asked_s=5, left_s=5.1, roll=0) == 5
