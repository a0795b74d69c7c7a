"""For all tests: Ray's environment, which it reads when it is first imported, how long hypothesis searches, and the
mark of the tests that start Ray.
"""

import os
from pathlib import Path

import hypothesis
import pytest

from tests.support import FULL

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
hypothesis.settings.register_profile("full", max_examples=300, deadline=None)
hypothesis.settings.load_profile("full" if FULL else "quick")

TESTS = Path(__file__).parent
STARTS_RAY = {
    *(TESTS / "integration" / name for name in ("backups", "fleet", "jobs", "nodes")),
    TESTS / "e2e",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not STARTS_RAY.isdisjoint((item.path, *item.path.parents)):
            item.add_marker("ray")
