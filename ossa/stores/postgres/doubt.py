"""Writes whose answer never came: they may have made an owner of somebody who does not know it."""

from __future__ import annotations

from collections import defaultdict


class Doubt:
    """What an owner may hold unknowingly: accepts and claims that were cancelled or lost on the way.

    A claim takes such tasks again; otherwise they would wait for as long as their owner lives.

    Args:
        keep_s: after this a statement in doubt cannot still be at work in the database.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._accepts: dict[str, dict[str, float]] = defaultdict(dict)
        self._claims: dict[str, dict[str, float]] = defaultdict(dict)

    def accept(self, owner: str, task_id: str, now: float) -> None:
        self._accepts[owner][task_id] = now

    def claim(self, owner: str, claim_id: str, now: float) -> None:
        self._claims[owner][claim_id] = now

    def accepts_of(self, owner: str) -> list[str]:
        return list(self._accepts.get(owner, ()))

    def claims_of(self, owner: str) -> list[str]:
        return list(self._claims.get(owner, ()))

    def settle(self, owner: str, taken: list[str], *, exhausted: bool, now: float) -> None:
        """After a claim that succeeded: `taken` are known now; `exhausted` says that it left nothing behind."""
        for task_id in taken:
            self._accepts[owner].pop(task_id, None)
        if not exhausted:
            return
        for doubts in (self._accepts, self._claims):
            doubts[owner] = {name: at for name, at in doubts[owner].items() if now - at < self._keep_s}
            if not doubts[owner]:
                del doubts[owner]
