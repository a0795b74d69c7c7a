"""`ossa budgets` and `ossa cost` over a fleet in memory."""

from __future__ import annotations

from typing import Any

import pytest


def test_a_budget_is_set_listed_and_removed(run: Any, run_json: Any) -> None:
    made = run_json("budgets", "set", "pool", "security", "20", "--soft", "15", "--period", "day")
    assert (made["kind"], made["hard_usd"], made["soft_usd"], made["period"]) == ("pool", 20.0, 15.0, "day")
    listed = run("budgets", "list").stdout
    assert "security" in listed
    assert "20.0" in listed
    assert "is removed" in run("budgets", "remove", "pool", "security", "--period", "day").stderr
    assert run_json("budgets", "list") == []


def test_removing_a_budget_that_is_not_there_fails(run: Any) -> None:
    run("budgets", "remove", "tenant", "acme", expect=1)


@pytest.mark.parametrize("since", ["7", "0d", "-3d", "yesterday"])
def test_a_time_that_is_none_is_a_usage_error(run: Any, since: str) -> None:
    run("cost", "report", "--since", since, expect=2)


def test_a_report_is_a_table_or_json(run: Any, run_json: Any) -> None:
    assert "total" in run("cost", "report", "--by", "pool").stdout
    assert run_json("cost", "report", "--by", "tier", "--since", "4w")["by"] == "tier"


def test_a_proposal_is_shown_and_approved(run: Any, run_json: Any, fleet: Any) -> None:
    known = {"id": "tier:reviewer:standard", "kind": "tier", "saving_usd_month": 12.5, "title": "cheaper"}
    applied = {**known, "apply": "the policy says so", "change": {"manifest": "reviewer", "tier": "standard"}}
    noted = {**known, "id": "cache", "apply": "OSSA_ANSWERS__ENABLED=true"}
    path = "/api/v1/cost/proposals"
    fleet.answer(path, {"data": [applied, noted], "approved": []})
    fleet.answer(f"{path}/tier:reviewer:standard/approve", applied)
    fleet.answer(f"{path}/cache/approve", noted)
    assert "tier:reviewer:standard  12.5" in run("cost", "proposals").stdout
    assert len(run_json("cost", "proposals")["data"]) == 2
    assert "Applied: the policy says so" in run("cost", "approve", "tier:reviewer:standard").stderr
    assert "for you to set: OSSA_ANSWERS__ENABLED=true" in run("cost", "approve", "cache").stdout
    run("cost", "approve", "nothing", expect=1)
