"""The running gateway answers as its OpenAPI document says, whatever is sent: schemathesis, bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.bench_fleet import BenchFleet
from tests.support import FULL

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_server_error_and_no_undocumented_answer(fleet: BenchFleet, tmp_path: Path) -> None:
    # Without fleet:write: what random numbers would ask of the pools is no business of this machine. It answers 403.
    with fleet.client() as client:
        key = client.keys.create(name="schemathesis", scopes=["chat", "tasks", "agents:read"])
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{fleet.url}/openapi.json", "--phases=examples,fuzzing"),
        *(
            f"--checks={CHECKS}",
            f"--header=Authorization: Bearer {key.secret.get_secret_value()}",
            f"--max-examples={10 if FULL else 2}",
            "--seed=7",
        ),
        *("--request-timeout=30", "--exclude-path-regex=events$", "--suppress-health-check=all", "--no-color"),
        "--generation-database=none",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "401 Unauthorized" not in ended.stdout
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
