"""A taken port is noticed, and another one found."""

import socket

import pytest

from ossa.app.local_ray import free_port, free_ports, is_free


@pytest.fixture
def taken() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_another_port_is_found_for_a_taken_one(taken: int) -> None:
    found = free_port(taken)
    assert found != taken
    assert is_free(found)


def test_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20
