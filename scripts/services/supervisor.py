"""Brings the members of one service up, down, or down without warning."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

from ossa.app.local_ray import is_free
from scripts.services.failure import ServiceFailed
from scripts.services.process import ProcessRecord, spawn
from scripts.services.service import Member, Service

_POLL_S = 0.05
_STOP_CHILD_S = 20.0


class Supervisor:
    """Works on one service, whose lock the caller holds.

    Args:
        limit_s: how long a stage of members, or all of them together, may take to become well.
    """

    def __init__(self, service: Service, *, limit_s: float) -> None:
        self._service = service
        self._home = service.home
        self._limit_s = limit_s

    def start(self) -> None:
        """Start what does not live, and wait until all is well. Raises `ServiceFailed` with the tail of a log."""
        self._service.prepare()
        for stage in self._service.stages():
            for member in stage:
                self._launch(member)
            for member in stage:
                self._wait_well(member.name)
        self._service.form()
        self._wait(self._service.problem_of_all, f"{self._service.name} is not well", self._last)

    def start_member(self, name: str) -> None:
        """Start one that was killed, and wait until it is well."""
        self._service.prepare()
        self._launch(self._member(name))
        self._wait_well(name)

    def stop(self) -> None:
        """All at once, last stage first; returns when they are gone. Raises `ServiceFailed`."""
        for stage in reversed(self._service.stages()):
            with ThreadPoolExecutor(max_workers=max(1, len(stage))) as together:
                list(together.map(self._stop_member, stage))
        for child in self._service.children().values():
            child.stop(signal.SIGINT, _STOP_CHILD_S)

    def kill(self, name: str) -> None:
        """SIGKILL one member, or one that a member started; returns when it is gone."""
        record = self._service.children().get(name) or self.record(name)
        if record is None or not record.alive:
            raise ServiceFailed(f"{name} of {self._service.name} does not run.")
        record.kill()

    def record(self, name: str) -> ProcessRecord | None:
        return ProcessRecord.read(self._home.process(name))

    def records(self) -> Iterator[tuple[str, ProcessRecord | None]]:
        """Of all members, started or not."""
        for member in self._members():
            yield member.name, self.record(member.name)

    def _launch(self, member: Member) -> None:
        record = self.record(member.name)
        if record is not None and record.alive:
            return
        ports = self._service.settings.ports[member.name]
        own = {port for child in self._service.children().values() for port in child.ports.values()}
        for name, port in ports.items():
            if port not in own and not is_free(port):
                raise ServiceFailed(
                    f"Port {port}, the {name} port of {member.name}, is in use by another program. "
                    f"End that one, or erase {self._service.name} so that it chooses other ports."
                )
        spawn(
            member.command,
            account=self._service.account,
            environment=member.environment,
            ports=ports,
            log=self._home.log(member.name),
        ).write(self._home.process(member.name))

    def _stop_member(self, member: Member) -> None:
        record = self.record(member.name)
        if record is not None:
            record.stop(member.stop, member.grace_s)
            self._home.process(member.name).unlink()

    def _wait_well(self, name: str) -> None:
        def problem() -> str | None:
            record = self.record(name)
            if record is None or not record.alive:
                tail = self._home.log_tail(name)
                raise ServiceFailed(f"{name} of {self._service.name} ended. Its last words:\n{tail}")
            return self._service.problem(name)

        self._wait(problem, f"{name} of {self._service.name} is not well", lambda: name)

    def _wait(self, problem: Callable[[], str | None], what: str, whose_log: Callable[[], str]) -> None:
        deadline = monotonic() + self._limit_s
        while found := problem():
            if monotonic() > deadline:
                name = whose_log()
                raise ServiceFailed(
                    f"{what} after {self._limit_s:.0f} s: {found}. The end of {self._home.log(name)}:\n"
                    f"{self._home.log_tail(name)}"
                )
            sleep(_POLL_S)

    def _members(self) -> Sequence[Member]:
        return [member for stage in self._service.stages() for member in stage]

    def _member(self, name: str) -> Member:
        for member in self._members():
            if member.name == name:
                return member
        known = ", ".join(member.name for member in self._members())
        raise ServiceFailed(f"{self._service.name} has no member {name}; it has {known}.")

    def _last(self) -> str:
        return self._members()[-1].name
