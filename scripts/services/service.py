"""What every service is made of."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ossa.embedded.postgres_programs import Account
from scripts.services.home import ServiceHome
from scripts.services.needs import Need
from scripts.services.process import ProcessRecord
from scripts.services.settings import ServiceSettings

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Member:
    """One process that is started here, and how it is asked to end."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    grace_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where clients connect.

    `dsn` holds the password; `hosts` are `host:port`, one a member that clients talk to; `admin` is the DSN of the
    superuser and `folder` takes files, where the service has such a thing.
    """

    dsn: str
    hosts: tuple[str, ...]
    admin: str | None = None
    folder: str | None = None


class Service(ABC):
    """One service in one folder. Its methods are called by a `Supervisor`, in this order, each any number of times."""

    name: ClassVar[str]
    sizes: ClassVar[tuple[int, ...]] = (1,)
    """How many members it may have; the first is the default."""
    needs: ClassVar[tuple[Need, ...]]

    def __init__(self, home: ServiceHome, account: Account, settings: ServiceSettings) -> None:
        self.home = home
        self.account = account
        self.settings = settings

    @classmethod
    @abstractmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        """The names of the ports that each member wants."""

    @abstractmethod
    def prepare(self) -> None:
        """Configuration and empty data, where they are not there yet. Raises `ServiceFailed`."""

    @abstractmethod
    def stages(self) -> Sequence[Sequence[Member]]:
        """All members; those of one stage are started together, when those of the stage before are well."""

    @abstractmethod
    def problem(self, member: str) -> str | None:
        """What is wrong with a member that was started; None when it does its work. Takes a few seconds at most."""

    def form(self) -> None:  # noqa: B027
        """What is done once all members are well: users, databases, a cluster of them. Raises `ServiceFailed`."""

    def problem_of_all(self) -> str | None:
        """What is wrong with them together; None when clients can use the service."""
        return None

    def children(self) -> dict[str, ProcessRecord]:
        """Living processes that members started, and that may outlive them: a signal for each is SIGINT."""
        return {}

    @abstractmethod
    def address(self) -> Address: ...

    def hosts(self, port: str) -> tuple[str, ...]:
        """`host:port` of each member that has a port of that name."""
        return tuple(f"{HOST}:{ports[port]}" for ports in self.settings.ports.values() if port in ports)
