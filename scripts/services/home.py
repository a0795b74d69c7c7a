"""Where everything lies.

DATA/                       OSSA_SERVICES, or ~/.ossa/services
├── location                only when the servers' user cannot enter DATA: the path of the folder used instead
├── lock                    held while ports are chosen
├── kafka-VERSION/          jars; in the default DATA alone, for all others too
└── NAME/                   one service
    ├── lock                held while it is started or stopped
    ├── service.json        0600: members, ports, password; made at the first start
    ├── MEMBER.process.json pid, start time, command, ports
    ├── MEMBER.log
    └── data/               the servers' user's: their configuration (0600) and data
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ossa.contracts.errors import StoreUnavailable
from ossa.embedded.postgres_programs import Account, choose_account
from ossa.embedded.process import file_lock, tail
from scripts.services.failure import ServiceFailed

_PRIVATE_PARENTS = (Path("/var/lib"), Path("/var/tmp"))
_LOCK_WAIT_S = 300.0
_LOG_TAIL_LINES = 12


def default_folder() -> Path:
    return Path(os.environ.get("OSSA_SERVICES") or Path.home() / ".ossa" / "services").expanduser().absolute()


class DataFolder:
    """All services' folder, where the servers' user can reach it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._location = self.path / "location"

    @property
    def root(self) -> Path:
        """The folder itself, or the one used instead."""
        try:
            return Path(self._location.read_text().strip())
        except (FileNotFoundError, NotADirectoryError):
            return self.path

    def create(self) -> None:
        """Does nothing when it is there. Raises `ServiceFailed` when there is no place the servers' user can reach."""
        self.path.mkdir(parents=True, exist_ok=True)
        account = servers_account(self.root)
        if account.switch:
            self.path.chmod(0o711)  # others may pass through, not look
            if not account.can_enter(self.root):
                self._location.write_text(f"{_private_folder()}\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        with _exclusive(self.root, "a service"):
            yield

    def home(self, service: str) -> ServiceHome:
        return ServiceHome(self.root / service)

    def services(self) -> list[str]:
        """Those that were started once."""
        return sorted(path.parent.name for path in self.root.glob("*/service.json"))

    def erase(self) -> None:
        """Delete what `create` made. The services have been erased before; jars stay, and so does their folder then."""
        (self.root / "lock").unlink(missing_ok=True)
        if self.root != self.path and _remove_empty(self.root):
            self._location.unlink()
        _remove_empty(self.path)


@dataclass(frozen=True, slots=True)
class ServiceHome:
    """One service's folder."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def settings(self) -> Path:
        return self.path / "service.json"

    def log(self, member: str) -> Path:
        return self.path / f"{member}.log"

    def process(self, member: str) -> Path:
        return self.path / f"{member}.process.json"

    def create(self) -> Account:
        """Whom the servers run as."""
        account = servers_account(self.data)
        self.path.mkdir(mode=0o711 if account.switch else 0o700, exist_ok=True)
        if not self.data.exists():
            self.data.mkdir(mode=0o700)
            account.give(self.data)
        return account

    @contextmanager
    def locked(self) -> Iterator[None]:
        with _exclusive(self.path, self.path.name):
            yield

    def log_tail(self, member: str) -> str:
        """The last lines, to be shown below an error."""
        said = tail(self.log(member), lines=_LOG_TAIL_LINES, between="\n  ")
        return f"  {said or '(it wrote nothing)'}"


def write_private(path: Path, text: str, account: Account) -> None:
    """A file that the account alone can read, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    account.give(partial)
    partial.rename(path)


def servers_account(data: Path) -> Account:
    """Ourselves; for root the owner of that folder, else `postgres` or `nobody`: PostgreSQL refuses to run as root.

    Raises `ServiceFailed`.
    """
    try:
        return choose_account(data)
    except StoreUnavailable as error:
        raise ServiceFailed(
            "Servers are not run as root, and root may not become another user here: do this as an ordinary user."
        ) from error


@contextmanager
def _exclusive(folder: Path, what: str) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / "lock", wait_s=_LOCK_WAIT_S))
        except TimeoutError:
            raise ServiceFailed(f"Another process has been starting {what} in {folder} for too long.") from None
        yield


def _private_folder() -> Path:
    for parent in _PRIVATE_PARENTS:
        try:
            private = Path(tempfile.mkdtemp(prefix="ossa-services-", dir=parent))
        except OSError:
            continue
        private.chmod(0o711)
        return private
    raise ServiceFailed("There is no folder that the servers' user could reach: name one with --data.")


def _remove_empty(folder: Path) -> bool:
    if not folder.exists() or any(folder.iterdir()):
        return False
    folder.rmdir()
    return True
