"""`ossa feedback` and `ossa router`, over a fleet in memory."""

from __future__ import annotations

from typing import Any

from ossa.sdk.testing import FakeGateway


def test_an_answer_is_rated(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    run("ask", "hi")
    (task_id,) = fleet.tasks
    shown = run("feedback", task_id, "down", "--comment", "no", "--expected", "security")
    assert (shown.stdout, shown.stderr) == ("", f"{task_id} is rated down.\n")
    assert fleet.sent() == {"rating": "down", "comment": "no", "expected": "security"}
    assert run_json("feedback", task_id, "up")["rating"] == 1.0


def test_a_rating_is_up_or_down_and_of_a_task_that_is_there(run: Any) -> None:
    run("feedback", "task_0", "sideways", expect=2)
    assert "no task" in run("feedback", "task_0", "up", expect=1).stderr


def test_status_shows_what_decides(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    fleet.routing.add_model("quality", 3, state="live")
    shown = run("router", "status").stdout
    assert "packaged" in shown and "registry" in shown
    assert [one["version"] for one in run_json("router", "status")["models"]] == [None, None, 3]


def test_models_are_listed_promoted_and_rolled_back(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    for version in (1, 2):
        fleet.routing.add_model("quality", version)
        assert run("router", "promote", "quality", str(version)).stderr == f"quality {version} is live.\n"
    assert [one["state"] for one in run_json("router", "models", "--kind", "quality")] == ["retired", "live"]
    assert run("router", "rollback", "quality").stderr == "quality: version 1 is live.\n"
    assert run("router", "rollback", "quality").stderr == "quality: the packaged model is live.\n"
    assert "no router model" in run("router", "promote", "quality", "9", expect=1).stderr
    run("router", "promote", "tea", "1", expect=2)


def test_a_forecast_model_is_promoted_and_rolled_back_as_the_others_are(
    run: Any, run_json: Any, fleet: FakeGateway
) -> None:
    fleet.routing.add_model("forecast", 1)
    assert run("router", "promote", "forecast", "1").stderr == "forecast 1 is live.\n"
    assert [one["state"] for one in run_json("router", "models", "--kind", "forecast")] == ["live"]
    assert run("router", "rollback", "forecast").stderr == "forecast: a simple method is live.\n"
    assert "forecast" not in {one["kind"] for one in run_json("router", "status")["models"]}


def test_a_policy_is_changed_setting_by_setting(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    found = run_json("router", "policy", "--set", "models=cheapest", "--set", "quality_floor=0.9", "--tenant", "acme")
    assert found["policy"] == {"models": "cheapest", "quality_floor": 0.9}
    run("router", "policy", "--tenant", "acme", "--set", 'tiers={"reviewer": "premium"}')
    assert fleet.routing.policies["acme"] == {**found["policy"], "tiers": {"reviewer": "premium"}}
    shown = run("router", "policy", "--tenant", "acme")
    assert "quality_floor" in shown.stdout and "Policy of acme: own." in shown.stderr
    assert run_json("router", "policy", "--remove", "--tenant", "acme")["source"] == "usual"
    run("router", "policy", "--set", "models", expect=2)
    run("router", "policy", "--remove", "--set", "models=best", expect=2)
