"""The job script refuses what cannot be deployed before it asks a cluster anything."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.deploy_phase4 import LEAST, main, parse
from ossa.contracts.fleet import POOLS


@pytest.mark.parametrize("size", ["0", "4", "10001", "-5", "many"])
def test_a_size_that_no_fleet_has_is_a_usage_error(size: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([f"--agents={size}"])
    assert caught.value.code == 2
    assert "from 5 to 10000" in capsys.readouterr().err


def test_the_least_is_one_agent_a_pool() -> None:
    assert len(POOLS) == LEAST
    assert parse(["--agents", "5"]).agents == LEAST


def test_a_wrong_setting_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OSSA_DATABASE__DNS", "postgresql://me:SECRETVALUE@db/ossa")
    assert main([]) == 2
    assert capsys.readouterr().err == "ossa: OSSA_DATABASE__DNS: there is no such setting\n"
