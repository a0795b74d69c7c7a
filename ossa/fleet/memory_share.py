"""How full a process's memory is. Runs in agents' processes, and reads two small files."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def memory_share(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> float | None:
    """Returns the used share of the container's memory where it has a limit, else of the machine's, else None.

    Files in the page cache that can be dropped do not count as used (`inactive_file`, `MemAvailable`).
    """
    limit = _limit(cgroup)
    return _of_container(cgroup, limit) if limit else _of_machine(meminfo)


def _limit(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
    except OSError:
        return None
    return int(limit) if limit.isdigit() else None


def _of_container(cgroup: Path, limit: int) -> float | None:
    try:
        used = int((cgroup / "memory.current").read_text())
        spare = _fields(cgroup / "memory.stat").get("inactive_file", 0)
    except (OSError, ValueError):
        return None
    return min(1.0, max(0, used - spare) / limit)


def _of_machine(meminfo: Path) -> float | None:
    try:
        fields = _fields(meminfo)
        return min(1.0, max(0.0, 1 - fields["MemAvailable"] / fields["MemTotal"]))
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return None


def _fields(file: Path) -> dict[str, int]:
    """Parses lines such as `name 123` and `name: 123 kB`."""
    rows = (line.replace(":", " ").split() for line in file.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
