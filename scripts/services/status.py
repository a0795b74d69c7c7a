"""How a service is, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from scripts.services.process import ProcessRecord
from scripts.services.service import Service


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """`pid` is None when it does not run; `memory_bytes` is resident; `problem` is None when it does its work."""

    name: str
    pid: int | None
    ports: dict[str, int]
    memory_bytes: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """`state` is `up`, `unwell`, `down`, `never started` or `not installed`.

    `missing` says what is not installed, each with the package it comes from.
    """

    name: str
    state: str
    members: tuple[MemberStatus, ...] = ()
    hosts: tuple[str, ...] = ()
    problem: str | None = None
    missing: tuple[str, ...] = ()


def status_of(service: Service, records: Iterable[tuple[str, ProcessRecord | None]]) -> ServiceStatus:
    """Of a service that was started once. Asks every member that lives."""
    members = [_started(service, name, record) for name, record in records]
    children = [
        MemberStatus(name, record.pid, record.ports, _memory(record.pid), None)
        for name, record in service.children().items()
    ]
    problem = service.problem_of_all() if any(member.pid for member in members) else None
    state = _state(members, problem)
    return ServiceStatus(service.name, state, (*members, *children), service.address().hosts, problem)


def _started(service: Service, name: str, record: ProcessRecord | None) -> MemberStatus:
    ports = service.settings.ports[name]
    if record is None or not record.alive:
        return MemberStatus(name, None, ports, 0, "does not run")
    return MemberStatus(name, record.pid, ports, _memory(record.pid), service.problem(name))


def _state(members: Sequence[MemberStatus], problem: str | None) -> str:
    if not any(member.pid for member in members):
        return "down"
    return "unwell" if problem or any(member.problem for member in members) else "up"


def _memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
