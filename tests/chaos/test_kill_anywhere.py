"""Whatever process dies, what was accepted ends well, and no effect happens twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ["--kills", "8", "--seed", "20", "--agents", "6", "--nodes", "1", "--clients", "4", "--pause-s", "1.0"]


def test_nothing_accepted_is_lost_and_no_effect_happens_twice(tmp_path: Path) -> None:
    # A process of its own: it has its own Ray, and a driver has one.
    out = tmp_path / "kills.json"
    command = [sys.executable, "-m", "benchmarks.kill_anywhere", *RUN, "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert out.exists(), ended.stderr[-4000:]
    result = json.loads(out.read_text())
    assert result["kills"] == 8
    assert result["accepted"] == result["completed"] > 0, result
    assert result["lost"] == 0, result
    assert result["duplicated_effects"] == 0, result
    assert result["missing_effects"] == 0, result
    assert result["open_at_the_end"] == 0, result
    assert ended.returncode == 0, ended.stderr[-4000:]
