"""Programs that a backup runs: their last words become ours when they fail, and a PostgreSQL that recovers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from ossa.contracts.errors import StoreUnavailable
from ossa.embedded.postgres import find_postmaster
from ossa.embedded.postgres_programs import choose_account
from ossa.embedded.process import Launch, bindable, kill, spawn

PATH = "/usr/local/bin:/usr/bin:/bin"


def run(command: Sequence[str | Path], *, what: str, env: Mapping[str, str] | None = None, limit_s: float) -> str:
    """Runs a program and returns its standard output. `env` may hold a secret, which only the program gets.

    Raises `StoreUnavailable`, which begins with `what`.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
            env={"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": os.environ.get("HOME", "/"), **(env or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise StoreUnavailable(f"{what}: {Path(command[0]).name} took more than {limit_s:.0f} s.") from error
    except OSError as error:
        raise StoreUnavailable(f"{what}: {command[0]} cannot be run: {error.strerror}.") from error
    if done.returncode != 0:
        raise StoreUnavailable(f"{what}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def last_words(said: str, lines: int = 3) -> str:
    return " ".join(said.strip().splitlines()[-lines:]) or "it said nothing"


_DEBIAN = Path("/usr/lib/postgresql")
_POLL_S = 0.05
_STOP_S = 60.0
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class RecoveryFailed(StoreUnavailable):
    """It ended before it was ready; `details["log"]` has what it said."""


def programs(folder: str, version: int | None = None) -> Path:
    """PostgreSQL's programs: of this major version, else Debian's newest. Raises `StoreUnavailable`."""
    if folder:
        folders = [Path(folder).expanduser()]
    else:
        folders = sorted(_DEBIAN.glob("*/bin"), key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
        folders = [path for path in folders if version is None or path.parent.name == str(version)]
    for path in reversed(folders):
        if (path / "postgres").exists():
            return path
    wanted = f"PostgreSQL {version}" if version else "PostgreSQL"
    raise StoreUnavailable(
        f"The programs of {wanted} are not there: install them, or set OSSA_BACKUP__PROGRAMS to their folder.",
        param="backup.programs",
    )


@contextmanager
def recovered(cluster: Path, bin_dir: Path, log: Path, *, limit_s: float) -> Iterator[int]:
    """Yields the port once the server takes writes; stops it at the end. Raises `RecoveryFailed`."""
    access = cluster / "ossa_restore_hba.conf"
    access.write_text(_ACCESS)
    (cluster / "postgresql.conf").touch()
    account = choose_account(cluster)
    for path in (cluster, *cluster.rglob("*")):
        account.give(path)
    if not account.can_enter(cluster):
        raise StoreUnavailable(
            f"PostgreSQL does not run as root, and user {account.uid} cannot enter {cluster}: restore as an ordinary "
            "user, or into a folder whose parents others may pass through.",
            param="into",
        )
    port = bindable(0)
    if port is None:
        raise StoreUnavailable("There is no free port on 127.0.0.1.")
    settings = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "hba_file": str(access),
        "ssl": "off",
        "archive_mode": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_min_error_statement": "panic",
        "hot_standby": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(bin_dir / "postgres"), "-D", str(cluster), *options]
    log.unlink(missing_ok=True)
    process = spawn(Launch(command, options=account.popen_options()), log)
    try:
        _wait(process, cluster, log, limit_s)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            kill(process)
        access.unlink(missing_ok=True)


def _wait(process: subprocess.Popen[bytes], cluster: Path, log: Path, limit_s: float) -> None:
    deadline = monotonic() + limit_s
    while monotonic() < deadline:
        postmaster = find_postmaster(cluster)
        if postmaster is not None and postmaster.ready and postmaster.pid == process.pid:
            return
        if process.poll() is not None:
            said = log.read_text(errors="replace")
            raise RecoveryFailed(f"The restored PostgreSQL did not start: {last_words(said)}", details={"log": said})
        sleep(_POLL_S)
    raise StoreUnavailable(f"The restored PostgreSQL did not recover in {limit_s:.0f} s.")
