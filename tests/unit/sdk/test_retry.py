"""When a request is sent again."""

from __future__ import annotations

from random import Random

import pytest

from ossa.contracts.errors import (
    FleetBusy,
    InvalidRequest,
    LimitExceeded,
    ModelFailed,
    NotReady,
    OssaError,
    TimedOut,
)
from ossa.sdk.errors import Unreachable
from ossa.sdk.exchange import RetryPolicy

POLICY = RetryPolicy(max_retries=3, backoff_s=1.0, longest_wait_s=10.0)
NEVER_SENT = Unreachable("refused", details={"sent": False})
BROKEN = Unreachable("reset", details={"sent": True})


def wait(error: OssaError, *, attempt: int = 0, repeatable: bool = True) -> float | None:
    return POLICY.wait_s(attempt, error, repeatable=repeatable, rng=Random(7))


@pytest.mark.parametrize("error", [NEVER_SENT, BROKEN, NotReady("x"), FleetBusy("x")])
def test_a_repeatable_request_survives_what_passes(error: OssaError) -> None:
    assert wait(error) is not None


@pytest.mark.parametrize("error", [InvalidRequest("x"), LimitExceeded("x"), ModelFailed("x"), TimedOut("x")])
def test_what_will_not_pass_is_not_repeated(error: OssaError) -> None:
    assert wait(error) is None


def test_an_unrepeatable_request_goes_out_again_only_when_it_did_nothing() -> None:
    assert wait(NEVER_SENT, repeatable=False) is not None
    assert wait(FleetBusy("refused before anything was done"), repeatable=False) is not None
    assert wait(BROKEN, repeatable=False) is None
    assert wait(NotReady("x"), repeatable=False) is None


def test_retries_end() -> None:
    assert wait(NEVER_SENT, attempt=2) is not None
    assert wait(NEVER_SENT, attempt=3) is None


def test_the_bound_of_the_wait_doubles() -> None:
    waits = [POLICY.wait_s(1, NEVER_SENT, repeatable=True, rng=Random(seed)) for seed in range(200)]
    assert all(pause is not None and 0 <= pause <= 2 for pause in waits)
    assert max(pause for pause in waits if pause is not None) > 1


def test_a_retry_after_is_the_least_wait_and_a_long_one_is_left_to_the_caller() -> None:
    pause = wait(FleetBusy("x", retry_after_s=4))
    assert pause is not None and 4 <= pause <= 5
    assert wait(FleetBusy("x", retry_after_s=3600)) is None
