"""A service of small Python servers, to try the supervisor with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar

from scripts.services import http
from scripts.services.needs import Need
from scripts.services.service import HOST, Address, Member, Service


class Echo(Service):
    name = "echo"
    sizes = (2, 3)
    needs = ()
    program: ClassVar[str] = (
        "import http.server as s, sys; s.test(s.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"
    )

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return {f"echo-{number}": ("http",) for number in range(1, members + 1)}

    def prepare(self) -> None:
        (self.home.data / "prepared").touch()

    def stages(self) -> Sequence[Sequence[Member]]:
        command = (sys.executable, "-c", self.program)
        members = [Member(name, (*command, str(ports["http"]))) for name, ports in self.settings.ports.items()]
        return [members[:1], members[1:]]

    def problem(self, member: str) -> str | None:
        return http.refusal(f"http://{HOST}:{self.settings.port(member, 'http')}/")

    def address(self) -> Address:
        hosts = self.hosts("http")
        return Address(f"http://{hosts[0]}", hosts)


class Broken(Echo):
    name = "broken"
    program = "import sys; sys.exit('no such setting: colour')"


class Silent(Echo):
    name = "silent"
    program = "import time; print('thinking', flush=True); time.sleep(60)"


class Absent(Echo):
    name = "absent"
    needs = (Need("the program echo", lambda: False, "echo-server"),)


KINDS: dict[str, type[Service]] = {kind.name: kind for kind in (Echo, Broken, Silent, Absent)}
