"""Arms of a benchmark, each in a process of its own, so that one arm's Ray leaves nothing behind for the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLEAN_UP_S = 120.0
"""An interrupted arm ends what it started, which takes its time."""


def run_arm(
    arm: str, module: str, options: Sequence[object], *, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `python -m module [options] --out FILE` writes, with the load before it began.

    Interrupted, it interrupts the arm and waits for its end. Raises `subprocess.CalledProcessError` when the arm fails,
    after it printed what the arm had found by then.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "arm.json"
        command = [sys.executable, "-m", module, *map(str, options), "--out", str(out)]
        # A session of its own: Ctrl-C comes here, and goes on from here once.
        process = subprocess.Popen(command, env=env, start_new_session=True)
        try:
            status = process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(CLEAN_UP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        found = json.loads(out.read_text()) if out.exists() else {}
    if status != 0:
        print(json.dumps({"arm": arm, "status": status, **found}), file=sys.stderr, flush=True)
        raise subprocess.CalledProcessError(status, command)
    return {"arm": arm, "load_before": round(load, 2), **found}
