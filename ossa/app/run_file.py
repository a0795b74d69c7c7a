"""`<home>/run.json`: what runs, for `ossa down`, the SDK and the command."""

from __future__ import annotations

import contextlib
import os
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from ossa.contracts.value import Value

NAME = "run.json"
ANSWER_S = 2.0


class RunFile(Value):
    """`ray_session` is the pid that leads our own Ray's session; None when Ray was joined.

    `namespace` is the fleet's Ray namespace. `embedded` names what was started here, `serve` whether Ray Serve was.
    """

    url: str
    api_key_file: str
    ray_address: str
    dashboard_url: str = ""
    ray_session: int | None = None
    ray_session_started: float | None = None
    supervisor_pid: int | None = None
    namespace: str = "ossa"
    embedded: tuple[str, ...] = ()
    serve: bool = True


def write_run_file(home: Path, run: RunFile) -> None:
    """Whole or not at all, readable by the owner alone."""
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f".{NAME}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(run.model_dump_json(indent=1) + "\n")
    draft.replace(home / NAME)


def read_run_file(home: Path) -> RunFile | None:
    """None when nothing was left there, or nothing that can be read."""
    try:
        return RunFile.model_validate_json((home / NAME).read_bytes())
    except (OSError, ValueError):
        return None


def remove_run_file(home: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        (home / NAME).unlink()


def is_running(run: RunFile) -> bool:
    """Whether the fleet that wrote the file is up."""
    if run.ray_session is None or run.ray_session_started is None:
        if run.supervisor_pid is not None:
            return psutil.pid_exists(run.supervisor_pid)
        return _answers(run.url)  # a job deployed it, and has ended
    try:
        return abs(psutil.Process(run.ray_session).create_time() - run.ray_session_started) < 1.0
    except psutil.NoSuchProcess:
        return False


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health/live", timeout=ANSWER_S).close()
    except (urllib.error.URLError, OSError):
        return False
    return True
