from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.resilience.backoff import Backoff, backoff_s, until_answered


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_beyond_its_doubling_bound_nor_below_what_jitter_leaves(
    tries: int, jitter: float, roll: float
) -> None:
    bound = 20.0 if tries > 6 else min(20.0, 0.25 * 2**tries)
    wait = backoff_s(tries, first_s=0.25, longest_s=20.0, jitter=jitter, roll=roll)
    assert bound * (1 - jitter) - 1e-9 <= wait <= bound


async def test_pauses_double_to_the_longest_and_begin_anew_after_a_success() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    backoff = Backoff(1.0, 4.0, roll=lambda: 0.5, sleep=sleep)
    for _ in range(4):
        await backoff.pause()
    backoff.reset()
    await backoff.pause()
    assert waits == [0.5, 1.0, 2.0, 2.0, 0.5]


async def test_a_call_is_repeated_while_it_raises_the_error_that_passes_and_no_longer() -> None:
    answers: list[Exception | int] = [KeyError(), KeyError(), 7, ValueError()]

    async def attempt() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    backoff = Backoff(0.1, 0.1, sleep=lambda _: asyncio.sleep(0))
    assert await until_answered(attempt, KeyError, backoff) == 7
    assert backoff.tries == 2
    with pytest.raises(ValueError):
        await until_answered(attempt, KeyError, backoff)
