"""The files of the embedded PostgreSQL.

    data_dir/            ours if it was absent; otherwise its permissions are left as they are
    ├── password         0600
    ├── port             the last one, taken again so that a DSN outlives a restart
    ├── postgres.log
    ├── lock             held while starting or stopping
    ├── location         only when the cluster is elsewhere: the path of that folder
    ├── programs         only when the server runs from a copy: the path of the folder that has it
    ├── cluster/         0700, the server's user's
    └── wal/             only while backups take it: WAL that is finished and not in the archive yet

Root cannot run the server, and the user it becomes may not be able to enter
`data_dir`. Then the cluster lies in a private folder of the machine.
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import shutil
import tempfile
from pathlib import Path

from ossa.contracts.errors import StoreUnavailable
from ossa.embedded.postgres_programs import Account
from ossa.embedded.process import made_once, number_in

logger = logging.getLogger(__name__)

_PRIVATE_PARENTS = (Path("/var/lib"), Path("/var/tmp"))  # the second may be swept by age


class Layout:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.password_file = data_dir / "password"
        self.log = data_dir / "postgres.log"
        self.lock = data_dir / "lock"
        self._port = data_dir / "port"
        self._location = data_dir / "location"
        self._programs = data_dir / "programs"

    @property
    def root(self) -> Path:
        """The folder of the cluster; `data_dir` itself unless a private one was made."""
        try:
            return Path(self._location.read_text().strip())
        except (FileNotFoundError, NotADirectoryError):
            return self.data_dir

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def kept_wal(self) -> Path:
        return self.root / "wal"

    @property
    def exists(self) -> bool:
        return (self.cluster / "PG_VERSION").exists()

    def archive_command(self) -> str:
        """Copies a WAL segment to `kept_wal`, whole or not at all and synced; does nothing without that folder.

        So archiving begins when the folder is made and ends when it is removed. A segment that is there already is
        not written again: it is the same, from before a crash.
        """
        there = shlex.quote(str(self.kept_wal)).replace("%", "%%")
        return (
            f'if test -d {there}; then test -f {there}/"%f" || {{ cp "%p" {there}/"%f.part" && '
            f'sync {there}/"%f.part" && mv {there}/"%f.part" {there}/"%f" && sync {there}; }}; fi'
        )

    def create(self) -> None:
        try:
            self.data_dir.mkdir(parents=True)
        except FileExistsError:
            return
        # Others may pass through, not look: the server's user has to reach its cluster.
        self.data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def settle(self, account: Account) -> None:
        """Sees that the account can reach `root`. An existing cluster stays where it is."""
        if self.exists or account.can_enter(self.root):
            return
        private = _private_folder()
        self._location.write_text(f"{private}\n")
        logger.info("embedded_postgres_elsewhere", extra={"data_dir": str(self.data_dir), "cluster": str(private)})

    def private_folder(self) -> Path:
        """A folder of the machine for what `data_dir` cannot hold; made once."""
        if self.root == self.data_dir:
            if not self._programs.exists():
                self._programs.write_text(f"{_private_folder()}\n")
            return Path(self._programs.read_text().strip())
        return self.root

    def password(self, given: str | None = None) -> str:
        """The password, which is `given` or made at the first call."""
        return made_once(self.password_file, lambda: given or secrets.token_urlsafe(32))

    def last_port(self) -> int | None:
        return number_in(self._port)

    def remember_port(self, port: int) -> None:
        self._port.write_text(f"{port}\n")

    def erase(self) -> None:
        """Deletes what this class made; other files in `data_dir` stay, and so does the folder then."""
        for note in (self._location, self._programs):
            if note.exists():
                shutil.rmtree(Path(note.read_text().strip()), ignore_errors=True)
        for folder in ("cluster", "cluster.new", "wal", "wal.new"):
            shutil.rmtree(self.data_dir / folder, ignore_errors=True)
        own = (self._location, self._programs, self.password_file, self._port, self.log, self.log.with_suffix(".log.1"))
        for file in (*own, self.lock):
            file.unlink(missing_ok=True)
        if self.data_dir.exists() and not any(self.data_dir.iterdir()):
            self.data_dir.rmdir()


def _private_folder() -> Path:
    for parent in _PRIVATE_PARENTS:
        try:
            private = Path(tempfile.mkdtemp(prefix="ossa-postgres-", dir=parent))
        except OSError:
            continue
        private.chmod(0o711)
        return private
    raise StoreUnavailable("There is no folder the embedded PostgreSQL could use: set OSSA_DATABASE__DSN.")
