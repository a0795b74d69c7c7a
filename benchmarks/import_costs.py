"""What an import costs a process that Ray has already started: milliseconds and private memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

AGENT_IMPORTS = (
    "pydantic",
    "orjson",
    "ossa.contracts.turn",
    "ossa.channel.server",
    "ossa.fleet.agent_actor",
    "ossa.agent",
)
"""In the order an agent's process meets them; each one's cost is what it adds to those before."""

AVOIDED_IMPORTS = ("fastapi", "httpx", "aiohttp", "psycopg", "pydantic_settings", "genai_prices", "openai", "rich")
"""Each alone, on top of Ray."""

_PROGRAM = """
import importlib, json, sys, time
import psutil, ray, ray._private.workers.default_worker
process = psutil.Process()
found = []
for name in sys.argv[1:]:
    before, began = process.memory_full_info().uss, time.perf_counter()
    importlib.import_module(name)
    took = time.perf_counter() - began
    found.append([name, took * 1000, (process.memory_full_info().uss - before) / 2**20])
print(json.dumps(found))
"""


def import_costs(env: Mapping[str, str], repeat: int = 3) -> dict[str, Any]:
    """Medians of `repeat` fresh processes each, after one that is not counted."""
    agent = [_import(env, *AGENT_IMPORTS) for _ in range(repeat + 1)][1:]
    avoided = [[row for name in AVOIDED_IMPORTS for row in _import(env, name)] for _ in range(repeat + 1)][1:]
    return {"n": repeat, "agent": _medians(agent), "avoided": _medians(avoided)}


def _import(env: Mapping[str, str], *names: str) -> list[tuple[str, float, float]]:
    command = [sys.executable, "-c", _PROGRAM, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return json.loads(done.stdout) if done.returncode == 0 else []


def _medians(runs: list[list[tuple[str, float, float]]]) -> list[dict[str, Any]]:
    names = [name for name, _, _ in runs[0]]
    rows = []
    for name in names:
        same = [row for run in runs for row in run if row[0] == name]
        rows.append(
            {
                "module": name,
                "ms": round(statistics.median(row[1] for row in same), 1),
                "mib": round(statistics.median(row[2] for row in same), 2),
            }
        )
    return rows
