"""The command line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from ossa.contracts.errors import OssaError
from scripts.services.catalogue import NAMES
from scripts.services.failure import NotInstalled
from scripts.services.install import install
from scripts.services.services import Services
from scripts.services.status import ServiceStatus

_ALL = "all"
_Run = Callable[[Services, argparse.Namespace], int]
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when what was asked for is so, 1 when not, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    services = Services(options.data)
    try:
        return int(options.run(services, options))
    except OssaError as error:
        print(error.message, file=sys.stderr)
        return 1


def _install(services: Services, options: argparse.Namespace) -> int:
    names = _names(options.names)
    faults = install(names, progress=lambda step: print(step, flush=True))
    for fault in faults:
        print(fault, file=sys.stderr)
    missing = {name: services.missing(name) for name in names}
    for name, needs in missing.items():
        if needs:
            print(f"{name}: left out, not installed: {'; '.join(needs)}")
    installed = [name for name, needs in missing.items() if not needs]
    print(f"Installed: {', '.join(installed) or 'none'}.")
    return 1 if faults and not options.if_possible else 0


def _up(services: Services, options: argparse.Namespace) -> int:
    worst = 0
    for name in _names([options.name]):
        began = monotonic()
        try:
            address = services.start(name, options.members)
        except NotInstalled as error:
            print(error.message, file=sys.stderr)
            worst = 1
            continue
        print(f"{name}: up at {', '.join(address.hosts)} ({monotonic() - began:.1f} s)", flush=True)
    return worst


def _down(services: Services, options: argparse.Namespace) -> int:
    for name in reversed(_names([options.name])):
        services.stop(name)
    return 0


def _erase(services: Services, options: argparse.Namespace) -> int:
    services.erase(None if options.name == _ALL else options.name)
    return 0


def _status(services: Services, options: argparse.Namespace) -> int:
    found = [services.status(name) for name in _names([options.name])]
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
        return 0
    for each in found:
        print("\n".join(_lines(each)))
    return 0


def _address(services: Services, options: argparse.Namespace) -> int:
    print(services.address(options.name).dsn)
    return 0


def _logs(services: Services, options: argparse.Namespace) -> int:
    files = [services.log(options.name, member.name) for member in services.status(options.name).members]
    existing = [str(file) for file in files if file.exists()]
    if not existing:
        print(f"{options.name} has no logs.", file=sys.stderr)
        return 1
    try:
        return subprocess.call(["tail", f"--lines={options.lines}", *(["-F"] if options.follow else []), *existing])
    except KeyboardInterrupt:
        return 0


def _lines(status: ServiceStatus) -> list[str]:
    reason = "; ".join(status.missing) or status.problem
    lines = [f"{status.name}: {status.state}{f': {reason}' if reason else ''}"]
    for member in status.members:
        ports = " ".join(f"{name}={port}" for name, port in member.ports.items())
        runs = f"pid {member.pid}, {member.memory_bytes / 2**20:.0f} MiB" if member.pid else "-"
        lines.append(f"  {member.name}: {member.problem or 'well'} ({runs}; {ports})")
    return lines


def _names(asked: Sequence[str]) -> list[str]:
    return list(NAMES) if not asked or _ALL in asked else list(asked)


def _parser() -> argparse.ArgumentParser:
    about = "Real servers for development and tests, on 127.0.0.1."
    parser = argparse.ArgumentParser(prog="python -m scripts.services", description=about)
    parser.add_argument("--data", type=Path, help="their folder (OSSA_SERVICES, else ~/.ossa/services)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("install", help="Debian packages (as root) and Kafka's jars")
    one.add_argument("names", nargs="*", choices=[*NAMES, _ALL], default=_ALL, metavar="NAME")
    one.add_argument("--if-possible", action="store_true", help="exit with 0 whatever must be left out")
    one.set_defaults(run=_install)

    one = _named(commands, "up", "start what does not run, wait until clients can use it", _up)
    one.add_argument("--members", type=int, help="of kafka: 1, 3 or 5")
    _named(commands, "down", "stop; data stay", _down, default=_ALL)
    _named(commands, "erase", "stop, and delete data, ports and passwords", _erase)
    one = _named(commands, "status", "members, pids, memory, ports", _status, default=_ALL)
    one.add_argument("--json", action="store_true")
    _named(commands, "address", "what a client connects to, with the password", _address, every=False)
    one = _named(commands, "logs", "of all its members", _logs, every=False)
    one.add_argument("--lines", type=int, default=20)
    one.add_argument("--follow", action="store_true")
    return parser


def _named(
    commands: _Commands, verb: str, purpose: str, run: _Run, *, default: str | None = None, every: bool = True
) -> argparse.ArgumentParser:
    """A command about one service, or, with `every`, all of them."""
    parser = commands.add_parser(verb, help=purpose)
    choices = [*NAMES, _ALL] if every else list(NAMES)
    parser.add_argument("name", nargs="?" if default else None, choices=choices, default=default, metavar="NAME")
    parser.set_defaults(run=run)
    return parser
