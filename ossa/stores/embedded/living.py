"""Which processes live, and which of them is the server that works in a folder."""

from __future__ import annotations

from pathlib import Path

import psutil


def lives(pid: int) -> bool:
    """A zombie does not; a process that may not be looked at does."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def works_in(pid: int, program: str, folder: Path) -> bool:
    """It is that program, and the folder is its working directory."""
    try:
        process = psutil.Process(pid)
        return process.name().startswith(program) and Path(process.cwd()) == folder.resolve()
    except psutil.Error:
        return False
