"""A real Kafka that wants TLS: with users of its own (SCRAM), and with certificates of its clients."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from ossa.app.local_ray import is_free
from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import InvalidRequest, OssaError
from ossa.contracts.events import Message
from ossa.stores.kafka import KafkaBus
from scripts.services import Services
from scripts.services.jars import kafka_jars
from scripts.services.kafka_configuration import kafka_configuration

PASSWORD = "open-sesame"
START_S = 90.0
_numbers = count(time.time_ns())

Make = Callable[..., KafkaBus]


def free_ports(wanted: int) -> list[int]:
    probes = [socket.socket() for _ in range(wanted)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def ports(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Of its listeners `users` and `certified`. The user `fleet` and whoever has a certificate may do anything there,
    and `poor` nothing.
    """
    missing = Services(tmp_path_factory.mktemp("none")).missing("kafka")
    if missing:
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    folder = tmp_path_factory.mktemp("kafka-tls")
    inner, controller, users, certified = free_ports(4)
    (folder / "server.pem").write_text(
        (certificates / "server.key").read_text() + (certificates / "server.crt").read_text()
    )
    plain = kafka_configuration(1, [f"127.0.0.1:{inner}"], [f"127.0.0.1:{controller}"], folder / "data")
    outer = f"USERS://localhost:{users},CERTIFIED://localhost:{certified}"
    lines = {
        **plain,
        "listeners": f"{plain['listeners']},{outer}",
        "advertised.listeners": f"{plain['advertised.listeners']},{outer}",
        "listener.security.protocol.map": f"{plain['listener.security.protocol.map']},USERS:SASL_SSL,CERTIFIED:SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.users.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates / "ca.crt"),
        "listener.name.certified.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:fleet;User:CN=client",
    }
    configuration = folder / "server.properties"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    java = ("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{kafka_jars()}/*")
    scram = [f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in ("fleet", "poor")]
    formatted = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(configuration)]
        + [word for one in scram for word in ("--add-scram", one)],
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*java, "kafka.Kafka", str(configuration)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while is_free(users) or is_free(certified):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.05)
        yield {"users": users, "certified": certified}
    finally:
        server.kill()
        server.wait(20)


@pytest.fixture
async def make(certificates: Path, ports: dict[str, int]) -> AsyncIterator[Make]:
    buses: list[KafkaBus] = []

    def made(listener: str = "users", **more: object) -> KafkaBus:
        host, others = more.pop("host", "localhost"), more.pop("others", "")
        files = {"ca_file": "ca.crt"}
        login: dict[str, object] = {"security_protocol": "SASL_SSL", "sasl_user": "fleet", "sasl_password": PASSWORD}
        if listener == "certified":
            files |= {"certificate_file": "client.crt", "key_file": "client.key"}
            login = {"security_protocol": "SSL"}
        for name in ("ca_file", "certificate_file", "key_file"):
            if name in more:
                files[name] = str(more.pop(name))
        settings = EventSettings.model_validate(
            {
                **{"bootstrap_servers": f"{others}{host}:{ports[listener]}", "topic": f"events-{next(_numbers)}"},
                **{"dead_topic": f"dead-{next(_numbers)}", "partitions": 2, "replication": 1, "min_insync": 1},
                **{"create_topics": True, "publish_timeout_s": 8.0, **login, **more},
                **{name: str(certificates / file) for name, file in files.items() if file},
            }
        )
        buses.append(KafkaBus(settings))
        return buses[-1]

    yield made
    for bus in buses:
        await bus.close()


@pytest.mark.parametrize("listener", ["users", "certified"])
async def test_events_go_over_tls_and_come_back(make: Make, listener: str) -> None:
    bus = make(listener)
    await bus.prepare()
    value = json.dumps({"id": str(uuid.uuid4())}).encode()
    await bus.publish([Message(topic=bus.status.topic, key="task_1", value=value, headers={})])
    subscription = await bus.subscribe("audit")
    async with asyncio.timeout(30):
        while not (found := await subscription.take(limit=10, wait_s=0.5)):
            pass
    assert [one.value for one in found] == [value]
    await subscription.commit([one.place for one in found])
    await subscription.close()
    assert sum(one.waiting for one in await bus.lag("audit")) == 0


async def asked_to_prepare(bus: KafkaBus) -> None:
    await bus.prepare()


async def asked_to_subscribe(bus: KafkaBus) -> None:
    await bus.subscribe("audit")


@pytest.mark.parametrize("ask", [asked_to_prepare, asked_to_subscribe])
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ca_file": "other-ca.crt"}, "OSSA_EVENTS__CA_FILE"),
        ({"ca_file": ""}, "OSSA_EVENTS__CA_FILE"),
        ({"host": "127.0.0.1"}, "OSSA_EVENTS__CA_FILE.*OSSA_EVENTS__BOOTSTRAP_SERVERS"),
        ({"sasl_password": "guess-work"}, "OSSA_EVENTS__SASL_USER"),
        ({"sasl_user": "nobody"}, "OSSA_EVENTS__SASL_USER"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "OSSA_EVENTS__SASL_MECHANISM"),
        ({"sasl_user": "poor"}, "may do there"),
        ({"listener": "certified", "certificate_file": "", "key_file": ""}, "OSSA_EVENTS__CERTIFICATE_FILE"),
        ({"security_protocol": "SASL_PLAINTEXT", "ca_file": ""}, "OSSA_EVENTS__SECURITY_PROTOCOL"),
    ],
    ids=lambda value: "-".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else None,
)
async def test_what_is_wrong_is_said_by_the_settings_name_and_no_secret_is(
    make: Make, wrong: dict[str, object], named: str, ask: Callable[[KafkaBus], Awaitable[None]]
) -> None:
    bus = make(**wrong)
    with pytest.raises(OssaError, match=named) as caught:
        await ask(bus)
    chain = f"{caught.value!r}{caught.value.__cause__!r}{bus!r}"
    assert PASSWORD not in chain and "guess-work" not in chain


@pytest.mark.parametrize("setting", ["ca_file", "certificate_file", "key_file"])
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_file_that_is_not_there_or_is_something_else_is_named(
    make: Make, tmp_path: Path, setting: str, content: str | None
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    bus = make("certified", **{setting: str(file)})
    with pytest.raises(InvalidRequest, match=r"OSSA_EVENTS__"):
        await bus.prepare()
    with pytest.raises(InvalidRequest, match=r"OSSA_EVENTS__"):
        await bus.subscribe("audit")
    with pytest.raises(InvalidRequest, match=r"OSSA_EVENTS__"):
        await bus.publish([Message(topic=bus.status.topic, key="task_1", value=b"{}", headers={})])


async def test_one_broker_that_answers_is_enough(make: Make, ports: dict[str, int]) -> None:
    with socket.socket() as silent:  # it takes the connection, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        bus = make(others=f"localhost:{silent.getsockname()[1]},localhost:1,")
        await bus.prepare()


def test_a_password_shows_in_no_repr() -> None:
    settings = EventSettings(
        bootstrap_servers="localhost:1",
        security_protocol="SASL_SSL",
        sasl_user="fleet",
        sasl_password=SecretStr(PASSWORD),
    )
    assert PASSWORD not in f"{settings!r}{settings}"
