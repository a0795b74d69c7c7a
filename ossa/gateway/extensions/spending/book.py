"""Which subjects have budgets, as of the last second, so that what has none pays no extra hop."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ossa.contracts.budgets import Balance, Budget, subjects_of


class BudgetBook:
    """A replica's copy of the budgets. Before the first one everything counts as budgeted, and the store decides."""

    def __init__(self) -> None:
        self._tenants: dict[str, set[str | None]] | None = None
        self._left: dict[str, list[tuple[str | None, float]]] = {}
        self._labelled: dict[str, list[Budget]] = {}

    def write(self, balances: Sequence[Balance]) -> None:
        tenants: defaultdict[str, set[str | None]] = defaultdict(set)
        left: defaultdict[str, list[tuple[str | None, float]]] = defaultdict(list)
        labelled: defaultdict[str, list[Budget]] = defaultdict(list)
        for balance in balances:
            labelled[balance.budget.label].append(balance.budget)
            tenants[balance.budget.subject].add(balance.budget.tenant)
            left[balance.budget.subject].append((balance.budget.tenant, balance.left_usd))
        self._tenants = dict(tenants)
        self._left = dict(left)
        self._labelled = dict(labelled)

    def touches(self, *, tenant: str, pool: str, manifest: str, task_id: str) -> bool:
        """Whether any budget applies to a call of these."""
        known = self._tenants
        if known is None:
            return True
        if not known:
            return False
        subjects = subjects_of(tenant=tenant, pool=pool, manifest=manifest, task_id=task_id)
        return any(not known[subject].isdisjoint((None, tenant)) for subject in subjects if subject in known)

    def tells(self, tenant: str, label: str, *, hard_usd: float | None = None) -> bool:
        """Whether a tenant may see every budget that this can be: those that count its calls under this label.

        One that is not known here is not told. `hard_usd`: of its limit, where that is known.
        """
        found = [
            one
            for one in self._labelled.get(label, ())
            if one.tenant in (None, tenant)
            and (hard_usd is None or math.isclose(one.hard_usd, hard_usd, rel_tol=1e-12, abs_tol=1e-9))
        ]
        return bool(found) and all(one.seen_by(tenant) for one in found)

    def left_usd(self, *, tenant: str, pool: str, manifest: str) -> float | None:
        """What the tightest budget of one more task had left when it was last read; None: nothing bounds it."""
        if not self._left:
            return None
        subjects = subjects_of(tenant=tenant, pool=pool, manifest=manifest, task_id="")
        found = [left for one in subjects for owner, left in self._left.get(one, ()) if owner in (None, tenant)]
        return min(found) if found else None
