"""Who runs the server: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ossa.contracts.errors import StoreUnavailable

_PREFERRED = ("postgres", "nobody")
_COMMAND_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server process runs as. `switch` is False when that is who we are."""

    uid: int
    gid: int
    switch: bool

    def popen_options(self) -> dict[str, Any]:
        """For `subprocess`: become this user, with no other group."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def run(self, command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        """Raises `OSError`, `subprocess.SubprocessError` when it cannot be started or does not end."""
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_LIMIT_S,
            stdin=subprocess.DEVNULL,
            cwd="/",
            **options,
            **self.popen_options(),
        )

    def can_run(self, program: Path) -> bool:
        try:
            return self.run([program, "--version"]).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def can_enter(self, folder: Path) -> bool:
        try:
            return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def give(self, path: Path) -> None:
        """Make it this user's own."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def choose_account(cluster: Path) -> Account:
    """Ourselves; for root the owner of an existing cluster, else an unprivileged user of this machine.

    Raises `StoreUnavailable` when root cannot become anybody else.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    if cluster.exists():
        found = cluster.stat()
        if found.st_uid != 0:
            return Account(found.st_uid, found.st_gid, switch=True)
    for account in _candidates():
        if account.can_enter(Path("/")):
            return account
    raise StoreUnavailable(
        "The embedded PostgreSQL cannot run as root, and root may not become another user here: "
        "start OSSA as an ordinary user or set OSSA_DATABASE__DSN."
    )


def _candidates() -> Iterator[Account]:
    people = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    named = [people[name] for name in _PREFERRED if name in people]
    others = sorted((entry for entry in people.values() if entry not in named), key=lambda entry: entry.pw_uid)
    for entry in [*named, *others[:3]]:
        yield Account(entry.pw_uid, entry.pw_gid, switch=True)
