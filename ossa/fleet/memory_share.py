"""How full the memory is that a process lives in. Runs in agents' processes: two small files are read, nothing else."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def memory_share(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> float | None:
    """Of the container, where it has a limit; else of the machine; None where neither can be read.

    Files that the page cache holds and could give back do not count as used (`inactive_file`, `MemAvailable`).
    """
    limit = _limit(cgroup)
    return _of_container(cgroup, limit) if limit else _of_machine(meminfo)


def _limit(cgroup: Path) -> int | None:
    try:
        said = (cgroup / "memory.max").read_text().strip()
    except OSError:
        return None
    return int(said) if said.isdigit() else None


def _of_container(cgroup: Path, limit: int) -> float | None:
    try:
        used = int((cgroup / "memory.current").read_text())
        spare = _fields(cgroup / "memory.stat").get("inactive_file", 0)
    except (OSError, ValueError):
        return None
    return min(1.0, max(0, used - spare) / limit)


def _of_machine(meminfo: Path) -> float | None:
    try:
        known = _fields(meminfo)
        return min(1.0, max(0.0, 1 - known["MemAvailable"] / known["MemTotal"]))
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return None


def _fields(file: Path) -> dict[str, int]:
    """`name 123` and `name: 123 kB`, by name."""
    rows = (line.replace(":", " ").split() for line in file.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
