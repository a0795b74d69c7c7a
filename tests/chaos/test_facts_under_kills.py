"""Whatever process dies, and PostgreSQL with it, every fact is read in its order, and its effect happens once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.facts_chaos import faults
from tests.support import FULL

KILLS = 1000 if FULL else 12
ROOT = Path(__file__).parents[2]


def test_no_fact_is_lost_or_out_of_order_though_anything_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "kills.json"
    command = [sys.executable, "-m", "benchmarks.facts_chaos", "--kills", str(KILLS), "--seed", "15", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert out.exists(), done.stderr[-2000:]
    found = json.loads(out.read_text())["results"]
    assert found["kills"] == KILLS
    assert found["acknowledged"] > 0
    assert not any(faults(found).values()), found
    assert found["died_by_themselves"] == []
