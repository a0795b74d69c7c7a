"""Real servers in a folder of their own, for as long as one test file runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from scripts.services import Services


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    found = Services(tmp_path_factory.mktemp("services"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OSSA_KAFKA_JVM_OPTIONS", "-XX:TieredStopAtLevel=1")  # starts in half the time
        yield found
        found.erase()


@pytest.fixture(scope="module")
def installed(services: Services) -> Callable[[str], None]:
    """Skips where a service's programs are not installed."""

    def check(name: str) -> None:
        missing = services.missing(name)
        if missing:
            pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")

    return check


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], float]:
    """Waits for a condition; seconds it took."""

    def wait(condition: Callable[[], bool]) -> float:
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < 60, "it did not come true within 60 s"
            time.sleep(0.05)
        return time.monotonic() - began

    return wait
