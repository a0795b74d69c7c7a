"""Free TCP ports."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 31_999
"""Above Ray's worker ports (10002 to 19999), below what Linux gives to outgoing connections."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Nobody listens there, on that host or on all."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, *, host: str = "127.0.0.1", taken: frozenset[int] = frozenset()) -> int:
    """`preferred` when it is free, else another. Raises OSError when none is found."""
    if preferred and preferred not in taken and is_free(preferred, host):
        return preferred
    for _ in range(200):
        port = random.randint(FIRST, LAST)
        if port not in taken and is_free(port, host):
            return port
    raise OSError(f"no free port found between {FIRST} and {LAST} on {host}")


def free_ports(count: int) -> list[int]:
    """Different free ports."""
    found: list[int] = []
    while len(found) < count:
        found.append(free_port(taken=frozenset(found)))
    return found
