"""What `import ossa` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ossa

ROOT = Path(ossa.__file__).parents[1]


def test_the_public_names_are_exactly_these() -> None:
    assert set(ossa.__all__) == {
        "AgentSpec",
        "AsyncClient",
        "Cancelled",
        "Client",
        "Conflict",
        "FleetBusy",
        "Forbidden",
        "InvalidRequest",
        "LimitExceeded",
        "ManifestError",
        "NotFound",
        "NotReady",
        "OssaError",
        "TimedOut",
        "Unauthenticated",
        "Unreachable",
        "connect",
        "connect_async",
    }


def test_every_public_name_can_be_had_and_is_in_dir() -> None:
    for name in ossa.__all__:
        assert getattr(ossa, name).__name__ == name
    assert dir(ossa) == sorted(ossa.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Fleett'"):
        ossa.Fleett  # noqa: B018


def test_importing_ossa_loads_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import ossa; print(*sorted(set(sys.modules) - before))"
    shown = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert [name for name in shown if name.startswith("ossa")] == ["ossa"]
    assert not {"httpx", "pydantic", "ray", "rich", "typer", "typing", "asyncio"} & set(shown)


def test_a_client_needs_neither_ray_nor_a_server_framework() -> None:
    program = "import sys, ossa; ossa.Client, ossa.AsyncClient; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"ray", "fastapi", "psycopg", "openai", "pydantic_settings"} & set(shown)
