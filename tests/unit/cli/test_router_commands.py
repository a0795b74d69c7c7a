"""`ossa feedback` and `ossa router`, over a fleet in memory."""

from __future__ import annotations

from typing import Any

from ossa.testing.app import FakeGateway


def test_an_answer_is_rated(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    task_id = run_json("ask", "hi")["task_id"]
    shown = run("feedback", task_id, "down", "--comment", "no", "--expected", "security")
    assert (shown.stdout, shown.stderr) == ("", f"{task_id} is rated down.\n")
    assert fleet.sent() == {"rating": "down", "comment": "no", "expected": "security"}
    assert run_json("feedback", task_id, "up")["rating"] == 1.0


def test_a_rating_is_up_or_down_and_of_a_task_that_is_there(run: Any) -> None:
    run("feedback", "task_0", "sideways", expect=2)
    assert "no task" in run("feedback", "task_0", "up", expect=1).stderr


def test_status_shows_what_decides(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    shown = run("router", "status").stdout
    assert "quality" in shown and "packaged" in shown
    assert [model["version"] for model in run_json("router", "status")["models"]] == [None, None, None]
    quality = {"kind": "quality", "source": "registry", "version": 3, "since": "2026-01-01T00:00:00Z"}
    fleet.answer("/api/v1/routing/status", {"models": [quality], "fault": "no answer"})
    assert "registry" in run("router", "status").stdout
    assert "The registry does not answer: no answer" in run("router", "status").stderr


def test_models_are_listed_promoted_and_rolled_back(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    for kind in ("quality", "forecast"):
        for version in (1, 2):
            fleet.run(fleet.stores.routing.add_model(kind, b"model", card={}, digest=f"{kind}{version}"))
            # The gateway promotes no file that is no model.
            promoted = fleet.run(fleet.stores.routing.promote(kind, version))
            fleet.answer(f"/api/v1/routing/models/{kind}/{version}/promote", promoted.model_dump(mode="json"))
            assert run("router", "promote", kind, str(version)).stderr == f"{kind} {version} is live.\n"
        assert [model["state"] for model in run_json("router", "models", "--kind", kind)] == ["live", "retired"]
        assert run("router", "rollback", kind).stderr == f"{kind}: version 1 is live.\n"
    assert run("router", "rollback", "quality").stderr == "quality: the packaged model is live.\n"
    assert run("router", "rollback", "forecast").stderr == "forecast: a simple method is live.\n"
    assert "no router model" in run("router", "promote", "quality", "9", expect=1).stderr
    run("router", "promote", "tea", "1", expect=2)


def test_a_policy_is_changed_setting_by_setting(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    found = run_json("router", "policy", "--set", "models=cheapest", "--set", "quality_floor=0.9", "--tenant", "acme")
    assert (found["policy"]["models"], found["policy"]["quality_floor"]) == ("cheapest", 0.9)
    run("router", "policy", "--tenant", "acme", "--set", 'tiers={"reviewer": "premium"}')
    changed = {**found["policy"], "tiers": {"reviewer": "premium"}}
    assert run_json("router", "policy", "--tenant", "acme")["policy"] == changed
    shown = run("router", "policy", "--tenant", "acme")
    assert "quality_floor" in shown.stdout and "Policy of acme: own." in shown.stderr
    assert run_json("router", "policy", "--remove", "--tenant", "acme")["source"] == "usual"
    run("router", "policy", "--set", "models", expect=2)
    run("router", "policy", "--remove", "--set", "models=best", expect=2)
