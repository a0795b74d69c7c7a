"""Nobody is judged on minutes that it has learned from, and a model is trained anew when something new has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from lab.forecasting.split import EVERY, FEWEST, FEWEST_HELD_OUT, due, newest, split
from ossa.contracts.errors import InvalidRequest
from ossa.scaling.forecast.series import Panel

START = datetime(2026, 3, 4, tzinfo=UTC)


def panel(rows: int) -> Panel:
    return Panel(START.timestamp(), 60.0, ("security",), np.ones((rows, 1)))


def card(first: int, last: int, *pools: str) -> dict[str, Any]:
    """Of a model that learned from these minutes after START."""
    began, ended = (START + timedelta(minutes=minute) for minute in (first, last))
    return {"trained": {"from": began.isoformat(), "until": ended.isoformat()}, "pools": [*pools, "security"]}


def test_the_newest_fifth_is_held_out_and_what_lies_before_it_chooses() -> None:
    found = split(panel(10_000), None)
    assert (found.shown, found.held_out, found.rows) == (6_500, 8_000, 10_000)


def test_only_minutes_that_the_model_in_use_has_not_seen_are_held_out() -> None:
    found = split(panel(10_000), card(0, 8_999))
    assert (found.held_out, found.rows) == (9_000, 10_000)
    assert found.shown == 7_500


@pytest.mark.parametrize(("first", "last"), [(-50_000, -20_000), (20_000, 50_000)])
def test_a_model_of_another_time_has_seen_nothing_of_it(first: int, last: int) -> None:
    assert split(panel(10_000), card(first, last)).held_out == 8_000


def test_too_few_minutes_and_too_few_unseen_ones_are_said() -> None:
    with pytest.raises(InvalidRequest, match=f"{FEWEST - 1} minutes to learn from"):
        split(panel(FEWEST - 1), None)
    seen = 10_000 - FEWEST_HELD_OUT
    with pytest.raises(InvalidRequest, match="Run this again later"):
        split(panel(10_000), card(0, seen))
    assert split(panel(10_000), card(0, seen - 1)).held_out == seen


def test_due_are_a_first_model_a_new_pool_and_a_day_of_new_samples() -> None:
    at = newest(panel(10_000))
    assert "no model" in due(None, ["security"], at)
    assert due(card(0, 9_999), ["security"], at) == ""
    assert "community" in due(card(0, 9_999), ["community", "security"], at)
    assert due(card(0, 9_999, "community"), ["security"], at) == ""
    hours = int(EVERY.total_seconds() // 60)
    assert due(card(0, 9_999 - hours + 1), ["security"], at) == ""
    assert "hours have passed" in due(card(0, 9_999 - hours), ["security"], at)
