"""The `ossa` command against a running fleet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.bench_fleet import BenchFleet

OSSA = Path(sys.executable).parent / "ossa"


def ossa(fleet: BenchFleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OSSA_URL": fleet.url, "OSSA_API_KEY": fleet.api_key}
    return subprocess.run([str(OSSA), *arguments], capture_output=True, text=True, timeout=120, env=environment)


def test_status_is_well(fleet: BenchFleet) -> None:
    ended = ossa(fleet, "status", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["ok"] is True


def test_ask_prints_the_answer_alone(fleet: BenchFleet) -> None:
    assert ossa(fleet, "ask", "hello", "--pool", "community").stdout == "echo: hello\n"


def test_a_streamed_answer_is_the_same(fleet: BenchFleet) -> None:
    assert ossa(fleet, "ask", "hello", "--stream").stdout.strip() == "echo: hello"


def test_agents_are_listed(fleet: BenchFleet) -> None:
    listed = json.loads(ossa(fleet, "agents", "--json").stdout)
    agents = listed["agents"] if isinstance(listed, dict) else listed
    assert len(agents) == 5


def test_a_key_is_shown_once_and_ends_when_revoked(fleet: BenchFleet) -> None:
    made = json.loads(ossa(fleet, "keys", "create", "e2e", "--scope", "chat", "--json").stdout)
    assert made["secret"].startswith("ossa_sk_")
    assert made["secret"] not in ossa(fleet, "keys", "list", "--json").stdout
    assert ossa(fleet, "keys", "revoke", made["key"]["id"]).returncode == 0


def test_a_wrong_key_exits_with_4_and_a_dead_address_with_3(fleet: BenchFleet) -> None:
    assert ossa(fleet, "--help").returncode == 0
    assert ossa(fleet, "status", "--api-key", "ossa_sk_" + "x" * 43).returncode in (0, 4)
    assert ossa(fleet, "agents", "--api-key", "ossa_sk_" + "x" * 43).returncode == 4
    assert ossa(fleet, "agents", "--url", "http://127.0.0.1:9").returncode == 3
