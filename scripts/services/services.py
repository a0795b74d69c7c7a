"""All services of one data folder: what tests and the command use."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.services.catalogue import service_class
from scripts.services.failure import NotInstalled, ServiceFailed
from scripts.services.home import DataFolder, default_folder
from scripts.services.service import Address, Service
from scripts.services.settings import all_ports, decide, read_settings, write_settings
from scripts.services.status import ServiceStatus, status_of
from scripts.services.supervisor import Supervisor

_LIMIT_S = 120.0
Kinds = Callable[[str], type[Service]]


class Services:
    """Real servers on 127.0.0.1, in one folder. They outlive this process until somebody stops them.

    Args:
        folder: None means `OSSA_SERVICES`, or `~/.ossa/services`.
        limit_s: how long servers may take to become well.
        kinds: which services there are.
    """

    def __init__(self, folder: Path | None = None, *, limit_s: float = _LIMIT_S, kinds: Kinds = service_class) -> None:
        self._folder = DataFolder(folder or default_folder())
        self._limit_s = limit_s
        self._kind = kinds

    def missing(self, name: str) -> list[str]:
        """What is not installed of a service, each with the package it comes from."""
        return [need.sentence for need in self._kind(name).needs if not need.found()]

    def start(self, name: str, members: int | None = None) -> Address:
        """Start what does not live of it, and wait until clients can use it; does nothing when all is well.

        Args:
            members: None means as many as it had, or the fewest it may have.

        Raises `NotInstalled`, or `ServiceFailed` with the end of a log.
        """
        self._require(name)
        self._settle(name, members)
        with self._supervised(name) as (service, supervisor):
            supervisor.start()
            return service.address()

    def stop(self, name: str) -> None:
        """Returns when its processes are gone; does nothing when none lives. Its data stay. Raises `ServiceFailed`."""
        if self._known(name):
            with self._supervised(name) as (_, supervisor):
                supervisor.stop()

    def erase(self, name: str | None = None) -> None:
        """Stop, and delete its data, settings and logs; without a name all services', and what the folder was for."""
        for each in self._folder.services() if name is None else [name]:
            self.stop(each)
            shutil.rmtree(self._folder.home(each).path, ignore_errors=True)
        if name is None:
            self._folder.erase()

    def kill(self, name: str, member: str) -> None:
        """SIGKILL; returns when it is gone. `status` names the members. Raises `ServiceFailed` when it does not run."""
        with self._supervised(name) as (_, supervisor):
            supervisor.kill(member)

    def start_member(self, name: str, member: str) -> None:
        """Start a killed one again and wait until it is well by itself. Raises `ServiceFailed`."""
        with self._supervised(name) as (_, supervisor):
            supervisor.start_member(member)

    def address(self, name: str) -> Address:
        """Of a service that was started once. Raises `ServiceFailed`."""
        return self._service(name).address()

    def problem(self, name: str) -> str | None:
        """What is wrong with all its members together; None when clients can use it."""
        return self._service(name).problem_of_all()

    def log(self, name: str, member: str) -> Path:
        """The file that a member writes its log to."""
        return self._folder.home(name).log(member)

    def status(self, name: str) -> ServiceStatus:
        missing = tuple(self.missing(name))
        if missing or not self._known(name):
            return ServiceStatus(name, "not installed" if missing else "never started", missing=missing)
        service = self._service(name)
        return status_of(service, Supervisor(service, limit_s=self._limit_s).records())

    def _require(self, name: str) -> None:
        missing = self.missing(name)
        if missing:
            raise NotInstalled(
                f"{name} cannot be started, not installed: {'; '.join(missing)}. "
                f"As root on a Debian: python -m scripts.services install {name}"
            )

    def _known(self, name: str) -> bool:
        return self._folder.home(name).settings.exists()

    def _settle(self, name: str, members: int | None) -> None:
        """Decide members, ports and password at the first start. Raises `ServiceFailed` when they are others."""
        kind = self._kind(name)
        self._folder.create()
        home = self._folder.home(name)
        home.create()
        with self._folder.locked():
            known = read_settings(home.settings)
            if known is None:
                wanted = kind.sizes[0] if members is None else members
                if wanted not in kind.sizes:
                    raise ServiceFailed(f"{name} may have {_choices(kind.sizes)} members, not {wanted}.")
                write_settings(home.settings, decide(wanted, kind.ports(wanted), all_ports(self._folder.root)))
            elif members not in (None, known.members):
                raise ServiceFailed(f"{name} has {known.members} members here; erase it to have {members}.")

    def _service(self, name: str) -> Service:
        kind = self._kind(name)
        home = self._folder.home(name)
        settings = read_settings(home.settings)
        if settings is None:
            raise ServiceFailed(f"{name} was never started in {self._folder.path}.")
        return kind(home, home.create(), settings)

    @contextmanager
    def _supervised(self, name: str) -> Iterator[tuple[Service, Supervisor]]:
        """Nobody else starts, stops or kills its members meanwhile."""
        service = self._service(name)
        with service.home.locked():
            yield service, Supervisor(service, limit_s=self._limit_s)


def _choices(sizes: tuple[int, ...]) -> str:
    return " or ".join(str(size) for size in sizes)
