"""Every command of `ossa`, over a fleet in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from ossa.cli.application import app
from ossa.contracts.errors import Forbidden, NotFound, OssaError, Unauthenticated
from ossa.contracts.task import ErrorInfo, Outcome, TaskStatus
from ossa.testing.app import FakeGateway

MANIFEST = """\
apiVersion: ossa/v0.5.0
kind: Agent
metadata: {name: reviewer, version: 1.2.0, labels: {pool: security}}
spec: {role: You review code.}
"""

COMMANDS = [
    ("up",), ("down",), ("status",), ("ask",), ("apply",), ("validate",), ("scale",), ("tasks",), ("agents", "history"),
    ("compress",), ("route",), ("feedback",), ("alert",),
    ("cluster", "up"), ("cluster", "down"), ("cluster", "status"),
    ("keys", "create"), ("keys", "list"), ("keys", "revoke"),
    ("budgets", "list"), ("budgets", "set"), ("budgets", "remove"), ("cost", "report"),
    ("memory", "remember"), ("memory", "recall"), ("memory", "forget"), ("memory", "grant"),
    ("memory", "reindex"), ("backup", "now"), ("backup", "list"), ("backup", "restore"), ("backup", "verify"),
    ("events", "status"), ("events", "lag"), ("events", "dead"), ("events", "replay"), ("events", "tail"),
    ("events", "list"), ("events", "groups"), ("events", "seek"),
    ("cost", "proposals"), ("cost", "approve"),
    ("database", "check"), ("database", "migrate"), ("database", "roles"),
    ("router", "status"), ("router", "models"), ("router", "promote"), ("router", "rollback"), ("router", "policy"),
]  # fmt: skip


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(MANIFEST)
    return path


# every command


def test_the_commands_are_exactly_those_promised() -> None:
    group: Any = typer.main.get_command(app)
    groups = {name: command.commands for name, command in group.commands.items() if hasattr(command, "commands")}
    found = {(name,) for name in group.commands if name not in groups}
    found |= {(name, command) for name, commands in groups.items() for command in commands}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_takes_json(run: Any, command: tuple[str, ...]) -> None:
    shown = run(*command, "--help").stdout
    assert f"Example: ossa {' '.join(command)}" in " ".join(shown.split())
    assert "--json" in shown


def test_help_documents_the_exit_codes(run: Any) -> None:
    assert "3 no fleet answers; 4 not allowed" in " ".join(run("--help").stdout.split())


def test_the_version_is_printed(run: Any) -> None:
    assert run("--version").stdout.startswith("ossa-on-ray ")


# exit codes and errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OssaError("broken"), 1),
        (NotFound("nothing there"), 1),
        (Unauthenticated("who are you"), 4),
        (Forbidden("not you"), 4),
    ],
)
def test_errors_are_one_sentence_on_standard_error_and_an_exit_code(
    run: Any, fleet: FakeGateway, error: OssaError, code: int
) -> None:
    fleet.fail_next(error)
    result = run("agents", expect=code)
    assert result.stdout == ""
    assert result.stderr == f"ossa: {error.message}\n"


def test_a_wrong_setting_is_exit_code_2_and_shows_no_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OSSA_URL", raising=False)
    monkeypatch.setenv("OSSA_MODELS__TIERS__STANDARD__BASE_URL", "notaurl")
    monkeypatch.setenv("OSSA_MODELS__TIERS__STANDARD__API_KEY", "sk-SECRETVALUE")
    for command in ("status", "up", "down"):
        result = CliRunner().invoke(app, [command])
        assert result.exit_code == 2
        assert result.stderr == "ossa: OSSA_MODELS__TIERS__STANDARD__MODEL: field required\n"
        assert result.stdout == ""


def test_no_answer_is_exit_code_3(run: Any, fleet: FakeGateway) -> None:
    fleet.drop_next(httpx.ConnectError("refused"))
    assert "No OSSA fleet answers at http://fleet" in run("status", expect=3).stderr


def test_an_error_with_json_is_one_json_object_on_standard_error(run: Any, fleet: FakeGateway) -> None:
    fleet.fail_next(NotFound("There is no pool.", param="name"))
    result = run("agents", "--json", expect=1)
    assert result.stdout == ""
    assert json.loads(result.stderr) == {
        "error": {"code": "not_found", "message": "There is no pool.", "param": "name"}
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("scale", "security"),
        ("scale", "security", "-1"),
        ("ask", " "),
        ("ask", "x", "--pool", "a", "--agent", "b"),
        ("apply", "absent.yaml"),
        ("tasks", "--cancel"),
        ("up", "--once", "--detach"),
        ("up", "--agents", "0"),
        ("up", "--agents", "4"),
        ("up", "--agents", "10001"),
        ("keys", "create", "x", "--scope", "everything"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_asks_nothing(
    run: Any, fleet: FakeGateway, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments, expect=2).stderr
    assert not fleet.requests


def test_a_wrong_command_line_is_told_before_a_fleet_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    monkeypatch.setenv("OSSA_HOME", str(tmp_path))
    monkeypatch.delenv("OSSA_URL", raising=False)
    assert CliRunner().invoke(app, ["ask", "Hi"]).exit_code == 3
    for arguments in (["ask", " "], ["alert", "all", "--for", "soon"], ["route"], ["memory", "forget"]):
        assert CliRunner().invoke(app, arguments).exit_code == 2


def test_an_unknown_address_is_refused_without_a_traceback(run: Any) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["agents", "--url", "localhost:8000"])
    assert result.exit_code == 2
    assert "is no address of a fleet" in result.stderr


# up, down, status


def test_up_says_how_many_agents_are_the_least(run: Any, composition: Any) -> None:
    assert "at least one for each of the 5 pools" in " ".join(run("up", "--help").stdout.split())
    run("up", "--agents", "5")
    assert composition.asked


def test_up_hands_its_options_to_the_composition_root_and_exits_with_its_code(run: Any, composition: Any) -> None:
    run("up")
    composition.code = 1
    run("up", "--agents", "20", "--once", "--port", "0", "--json", expect=1)
    assert composition.asked == [
        {"agents": None, "once": False, "detach": False, "port": None, "json_output": False},
        {"agents": 20, "once": True, "detach": False, "port": 0, "json_output": True},
    ]


def test_down_exits_with_the_composition_root_s_code(run: Any, composition: Any) -> None:
    composition.code = 1
    run("down", "--json", expect=1)
    assert composition.asked == [{"json_output": True}]


def test_status_of_a_well_fleet_is_exit_code_0(run: Any, run_json: Any) -> None:
    result = run("status")
    assert result.stdout.splitlines()[0].split() == [
        "name",
        "desired",
        "ready",
        "starting",
        "draining",
        "blocks",
        "pending",
    ]
    assert "5 of 5 agents ready: the fleet is well" in result.stderr
    shown = run_json("status")
    assert shown["ok"] is True
    assert [pool["name"] for pool in shown["pools"]] == ["foundation", "security", "intelligence"]


def test_status_of_an_unwell_fleet_is_exit_code_1(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    run("status")  # its key is known from now on
    fleet.stores.go_down()
    assert run_json("status", expect=1)["ok"] is False
    shown = run("status", expect=1).stderr
    assert "journal: does not answer" in shown
    assert "not well" in shown


# ask


def test_ask_prints_the_answer_alone_on_standard_output(run: Any, fleet: FakeGateway) -> None:
    fleet.say("[bold]Paris[/bold]")
    result = run("ask", "Capital?", "--pool", "security", "--max-tokens", "9")
    assert result.stdout == "[bold]Paris[/bold]\n"
    assert "security-000" in result.stderr
    assert fleet.sent()["model"] == "pool/security"
    assert fleet.sent()["max_tokens"] == 9


def test_ask_reads_a_dash_from_standard_input(run: Any, fleet: FakeGateway) -> None:
    run("ask", "-", "--agent", "security-agent", stdin="from a pipe")
    assert fleet.sent()["messages"] == [{"role": "user", "content": "from a pipe"}]
    assert fleet.sent()["model"] == "agent/security-agent"


def test_ask_streams_as_text_and_as_json_lines(run: Any, fleet: FakeGateway) -> None:
    fleet.say("one two", "one two")
    assert run("ask", "Count", "--stream").stdout == "one two\n"
    *pieces, last = (json.loads(line) for line in run("ask", "Count", "--stream", "--json").stdout.splitlines())
    assert "".join(piece["delta"] for piece in pieces) == last["text"] == "one two"


def test_a_stream_that_breaks_is_an_error(run: Any, fleet: FakeGateway) -> None:
    fleet.cut_next_stream(after_events=1)
    run("ask", "Count", "--stream", expect=3)


# changing the fleet


def test_scale_waits_for_the_operation(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    assert run_json("scale", "security", "4")["status"] == "succeeded"
    assert fleet.fleet.submitted == [("spawn-pool", {"pool_type": "security", "agent_count": 4})]
    asked = len(fleet.requests)
    run("scale", "security", "5", "--no-wait")
    assert len(fleet.requests) == asked + 1
    assert "no pool 'nope'" in run("scale", "nope", "1", expect=1).stderr


def test_an_operation_that_failed_is_exit_code_1_with_its_reason(run: Any, fleet: FakeGateway) -> None:
    fleet.break_operations("no node has room")
    result = run("scale", "security", "400", expect=1)
    assert "failed" in result.stdout
    assert "no node has room" in result.stderr


def test_apply_takes_the_pool_from_the_manifest_unless_told(run: Any, fleet: FakeGateway, manifest: Path) -> None:
    run("apply", str(manifest))
    run("apply", str(manifest), "--pool", "foundation")
    posts = [request for request in fleet.requests if request.method == "POST"]
    assert [request.url.path for request in posts] == [
        "/api/v1/pools/security/manifest",
        "/api/v1/pools/foundation/manifest",
    ]
    assert json.loads(posts[0].content) == {"manifest": MANIFEST}


def test_apply_of_a_manifest_without_a_pool_asks_for_one(run: Any, fleet: FakeGateway, manifest: Path) -> None:
    manifest.write_text(MANIFEST.replace("labels: {pool: security}", "labels: {}"))
    assert "--pool" in run("apply", str(manifest), expect=2).stderr
    assert not fleet.requests


def test_apply_of_a_broken_manifest_says_where_and_sends_nothing(run: Any, fleet: FakeGateway, manifest: Path) -> None:
    manifest.write_text("apiVersion: [")
    assert "agent.yaml:" in run("apply", str(manifest), expect=1).stderr
    assert not fleet.requests


# validate


def test_validate_shows_each_document_and_fails_when_one_is_rejected(run: Any, run_json: Any, manifest: Path) -> None:
    assert "reviewer" in run("validate", str(manifest)).stdout
    (manifest.parent / "bad.yaml").write_text("apiVersion: ossa/v0.5.0\nkind: Agent\nkind: Agent\n")
    result = run("validate", str(manifest.parent), expect=1)
    assert "bad.yaml:3" in result.stdout
    assert "duplicate key" in result.stdout
    shown = run_json("validate", str(manifest.parent), expect=1)
    assert shown["counts"] == {"loaded": 1, "rejected": 1}
    assert {document["status"] for document in shown["documents"]} == {"loaded", "rejected"}


def test_validate_names_other_kinds_without_failing(run: Any, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text("apiVersion: ossa/v0.5.0\nkind: Workflow\nmetadata: {name: flow}\n")
    assert "Workflow" in run("validate", str(tmp_path)).stdout


def test_validate_of_an_absent_file_fails(run: Any) -> None:
    run("validate", "absent.yaml", expect=1)


# compress


def test_compress_prints_the_shorter_text_alone_and_says_how_much_shorter(run: Any, tmp_path: Path) -> None:
    lines = [f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(200)]
    lines[100] = "2025-06-12 10:01:40 ERROR certificate expired"
    (tmp_path / "app.log").write_text("\n".join(lines))
    result = run("compress", str(tmp_path / "app.log"), "-q", "what failed?")
    assert "certificate expired" in result.stdout
    assert len(result.stdout) < len("\n".join(lines)) / 2
    assert "tokens before" in result.stderr


def test_compress_as_json_has_the_figures(run_json: Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"id": f"K{n}", "status": "ok"} for n in range(100)]))
    shown = run_json("compress", str(tmp_path / "a.json"), "--budget", "120")
    assert shown["tokens_after"] <= 120 < shown["tokens_before"]
    assert shown["kinds"] == {"json": 1.0}


@pytest.mark.parametrize(("content", "arguments", "says"), [
    (b"\xff\xfe", (), "not UTF-8"), (b"x", ("--kind", "novel"), "kind"), (b"x", ("--reduction", "2"), "reduction"),
])  # fmt: skip
def test_compress_says_what_is_wrong(run: Any, tmp_path: Path, content: bytes, arguments: Any, says: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert says in run("compress", str(tmp_path / "a.txt"), *arguments, expect=1).stderr


# agents and tasks


def test_agents_are_listed_by_pool(run: Any, run_json: Any) -> None:
    assert [agent["id"] for agent in run_json("agents", "--pool", "intelligence")] == [
        "intelligence-000",
        "intelligence-001",
    ]
    assert len(run("agents").stdout.splitlines()) == 6


def test_an_agent_in_json_has_its_id_under_the_api_s_name_too(run_json: Any) -> None:
    assert all(agent["agent_id"] == agent["id"] for agent in run_json("agents"))


def test_agents_of_an_unknown_pool_are_an_error_that_names_the_pools(run: Any, fleet: FakeGateway) -> None:
    assert "there is no pool 'nope': the pools are " in run("agents", "--pool", "nope", expect=1).stderr
    fleet.fleet.remove("security-000")
    fleet.answer("/api/v1/pools", {"data": [{"name": "security", "desired": 0, "ready": 0}], "standby": 0})
    assert len(run("agents", "--pool", "security").stdout.splitlines()) == 1


def test_tasks_are_listed_and_one_is_shown_with_its_events(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    fleet.say("done")
    run("ask", "Work")
    (task,) = run_json("tasks", "--limit", "5")
    result = run("tasks", task["id"], "--events")
    assert "tool_result" in result.stdout
    assert result.stdout.endswith("done\n")
    run("tasks", task["id"], "--cancel")
    assert fleet.requests[-2].url.path.endswith("/cancel")


def test_a_failed_task_is_exit_code_1(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    fleet.link.end_with(Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code="timed_out", message="too slow")))
    run("ask", "Work", expect=1)
    task_id = run_json("tasks")[0]["id"]
    assert "too slow" in run("tasks", task_id, expect=1).stderr
    assert "no task 'nope'" in run("tasks", "nope", expect=1).stderr


# keys


def test_a_new_key_s_secret_is_all_of_standard_output(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    secret = run("keys", "create", "ci").stdout
    assert secret.startswith("ossa_sk_") and secret.count("\n") == 1
    assert fleet.sent() == {"name": "ci"}
    made = run_json("keys", "create", "admin", "--scope", "admin", "--tenant", "acme")
    assert made["secret"].startswith("ossa_sk_")
    assert fleet.sent() == {"name": "admin", "scopes": ["admin"], "tenant": "acme"}


def test_keys_are_listed_without_secrets_and_revoked(run: Any, run_json: Any) -> None:
    secret = run("keys", "create", "ci").stdout.strip()
    assert secret not in run("keys", "list").stdout
    (key_id,) = (key["id"] for key in run_json("keys", "list") if key["name"] == "ci")
    assert run_json("keys", "revoke", key_id)["revoked_at"]
    assert [key["id"] for key in run_json("keys", "list") if key["revoked_at"]] == [key_id]
    run("keys", "revoke", "key_9", expect=1)


# route


def test_route_shows_the_decision_and_explains_it(run: Any, fleet: FakeGateway) -> None:
    shown = run("route", "review this", "--pool", "security", "--explain").stdout
    assert "security-000" in shown
    assert "headroom 1.00" in shown
    assert fleet.sent()["model"] == "pool/security"
    assert "headroom 1.00" not in run("route", "review this").stdout


def test_route_asks_for_capabilities_and_prints_json(run: Any, fleet: FakeGateway) -> None:
    found = json.loads(run("route", "review this", "--needs", "security", "--json").stdout)
    assert found["pool"] == "security"
    assert fleet.sent()["metadata"] == {"ossa.capabilities": "security"}


def test_route_shows_where_a_task_went(run: Any, run_json: Any) -> None:
    task_id = run_json("ask", "hi", "--pool", "security")["task_id"]
    assert "security-000" in run("route", "--task", task_id).stdout
    run("route", expect=2)
