"""Ports and passwords are chosen once."""

from __future__ import annotations

import stat
from pathlib import Path

from scripts.services.settings import all_ports, decide, read_settings, write_settings

WANTED = {"kafka-1": ("broker", "controller"), "kafka-2": ("broker", "controller")}


def test_every_port_is_another_one_below_those_of_outgoing_connections() -> None:
    settings = decide(2, WANTED, frozenset())
    ports = [port for member in settings.ports.values() for port in member.values()]
    assert len(set(ports)) == 4
    assert all(20_000 <= port < 32_000 for port in ports)
    assert settings.port("kafka-2", "broker") == settings.ports["kafka-2"]["broker"]


def test_ports_of_other_services_are_not_taken(monkeypatch: object) -> None:
    taken = frozenset(range(20_000, 32_000)) - {25_001, 25_002, 25_003, 25_004, 25_005, 25_006}
    chosen: set[int] = set()
    for _ in range(50):
        try:
            settings = decide(2, WANTED, taken)
        except OSError:  # it gives up after a while: nearly all are taken
            continue
        chosen |= {port for member in settings.ports.values() for port in member.values()}
    assert chosen.isdisjoint(taken)


def test_they_are_remembered_and_hidden_from_others(tmp_path: Path) -> None:
    for name in ("kafka", "redis"):
        (tmp_path / name).mkdir()
        write_settings(tmp_path / name / "service.json", decide(2, WANTED, all_ports(tmp_path)))
    kafka = read_settings(tmp_path / "kafka" / "service.json")
    assert kafka is not None
    assert kafka.members == 2
    assert stat.S_IMODE((tmp_path / "kafka" / "service.json").stat().st_mode) == 0o600
    assert len(all_ports(tmp_path)) == 8
    assert read_settings(tmp_path / "postgres" / "service.json") is None


def test_two_services_have_two_passwords() -> None:
    first, second = (decide(1, {"redis": ("redis",)}, frozenset()) for _ in range(2))
    assert first.password != second.password
    assert len(first.password) >= 32
