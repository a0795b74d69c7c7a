"""Apache Kafka in KRaft mode: each member is broker and controller."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ossa.app.local_ray import is_free
from scripts.services.failure import ServiceFailed
from scripts.services.home import write_private
from scripts.services.jars import JARS, kafka_jars
from scripts.services.kafka_configuration import kafka_configuration
from scripts.services.needs import module, program
from scripts.services.service import HOST, Address, Member, Service

if TYPE_CHECKING:
    from scripts.services.kafka_metadata import Metadata

_LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
_JAVA = ("/usr/bin/java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")
_SHORT_LIVED = "-XX:TieredStopAtLevel=1"
# With a majority of the controllers gone a broker waits minutes for leave to end; its log stands a SIGKILL.
_GRACE_S = 5.0


class Kafka(Service):
    name = "kafka"
    sizes = (1, 3, 5)
    needs = (program("java", "default-jre-headless"), JARS, module("confluent_kafka", "confluent-kafka"))

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return {f"kafka-{number}": ("broker", "controller") for number in range(1, members + 1)}

    def prepare(self) -> None:
        write_private(self._logging, _LOGGING.read_text(), self.account)
        for number, name in enumerate(self.settings.ports, start=1):
            found = kafka_configuration(number, self.hosts("broker"), self.hosts("controller"), self.home.data / name)
            lines = [f"{setting}={value}\n" for setting, value in found.items()]
            write_private(self._file(name), "".join(lines), self.account)
        fresh = [name for name in self.settings.ports if not (self.home.data / name / "meta.properties").exists()]
        with ThreadPoolExecutor() as together:
            list(together.map(self._format, fresh))

    def stages(self) -> Sequence[Sequence[Member]]:
        return [
            [
                Member(name, (*self._java(), "kafka.Kafka", str(self._file(name))), grace_s=_GRACE_S)
                for name in self.settings.ports
            ]
        ]

    def problem(self, member: str) -> str | None:
        port = self.settings.port(member, "broker")
        if is_free(port):
            return f"port {port} is not open yet"
        joined = self._metadata()
        if isinstance(joined, str):
            return joined
        return None if f"{HOST}:{port}" in joined.brokers else f"{member} has not joined"

    def problem_of_all(self) -> str | None:
        """Every partition has all its copies."""
        found = self._metadata()
        if isinstance(found, str):
            return found
        return f"{found.lacking_copies} partitions lack a copy" if found.lacking_copies else None

    def _metadata(self) -> Metadata | str:
        from scripts.services.kafka_metadata import metadata  # late: what is missing can be said without the driver

        return metadata(self.hosts("broker"))

    def address(self) -> Address:
        hosts = self.hosts("broker")
        return Address(",".join(hosts), hosts)

    @property
    def _logging(self) -> Path:
        return self.home.data / "log4j2.properties"

    def _file(self, name: str) -> Path:
        return self.home.data / f"{name}.properties"

    def _java(self) -> tuple[str, ...]:
        """`OSSA_KAFKA_JVM_OPTIONS` comes last: more memory for a benchmark, say."""
        options = os.environ.get("OSSA_KAFKA_JVM_OPTIONS", "").split()
        return (*_JAVA, *options, f"-Dlog4j2.configurationFile={self._logging}", "-cp", f"{kafka_jars()}/*")

    def _format(self, name: str) -> None:
        cluster = f"K{self.settings.identity[1:]}"  # a leading dash would be read as an option
        done = self.account.run(
            [*self._java(), _SHORT_LIVED, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._file(name)],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
        if done.returncode != 0:
            raise ServiceFailed(f"{name}'s folder could not be formatted: {(done.stdout + done.stderr)[-500:]}")
