"""A split by time, and whether it is time to train anew. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ossa.contracts.errors import InvalidRequest
from ossa.scaling.forecast.series import Panel

HELD_OUT, CHOOSING = 0.2, 0.15
"""Shares of all minutes: the newest, and those before them."""

FEWEST = 600
FEWEST_HELD_OUT = 180
"""Minutes."""

EVERY = timedelta(hours=20)
"""Less than a day, so that a job that runs each night finds it due though it ended later the night before."""


@dataclass(frozen=True)
class Split:
    """Rows of a panel: [0, shown) are learned from, [shown, held_out) choose settings, [held_out, rows) judge."""

    shown: int
    held_out: int
    rows: int


def split(panel: Panel, current: Mapping[str, Any] | None) -> Split:
    """The newest fifth is held out; less, where the current model has learned from some of that fifth.

    Args:
        current: card of the model that the candidate is compared with, None where there is none.

    Raises:
        InvalidRequest: fewer than `FEWEST` minutes, or than `FEWEST_HELD_OUT` that the current model has not seen.
    """
    rows = len(panel)
    if rows < FEWEST:
        raise InvalidRequest(f"There are {rows} minutes to learn from; {FEWEST} are needed.")
    held_out = max(FEWEST_HELD_OUT, round(rows * HELD_OUT))
    unseen = _unseen(panel, current)
    if unseen < FEWEST_HELD_OUT:
        raise InvalidRequest(
            f"{unseen} minutes have passed since the model in use was trained; {FEWEST_HELD_OUT} are needed to compare "
            "a new one with it. Run this again later."
        )
    held_out = min(held_out, unseen)
    return Split(rows - held_out - round(rows * CHOOSING), rows - held_out, rows)


def due(current: Mapping[str, Any] | None, pools: Sequence[str], until: datetime) -> str:
    """Why a model is to be trained now; empty: it is not. `until`: the newest minute there is."""
    if current is None:
        return "there is no model yet"
    if new := sorted(set(pools) - set(current["pools"])):
        return f"the model in use does not know {', '.join(new)}"
    age = until - _trained(current)[1]
    if age >= EVERY:
        return f"{age.total_seconds() / 3600:.0f} hours have passed since the model in use was trained"
    return ""


def newest(panel: Panel) -> datetime:
    return datetime.fromtimestamp(float(panel.seconds()[-1]), UTC)


def _unseen(panel: Panel, current: Mapping[str, Any] | None) -> int:
    """Newest minutes that `current` has not learned from: all, where it learned in another time."""
    if current is None:
        return len(panel)
    began, ended = (moment.timestamp() for moment in _trained(current))
    seconds = panel.seconds()
    if began > seconds[-1]:
        return len(panel)
    return int((seconds > ended).sum())


def _trained(card: Mapping[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(card["trained"]["from"]), datetime.fromisoformat(card["trained"]["until"])
