"""The gateway for tests, as users of it see it."""

from __future__ import annotations

import gc
import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

import ossa
from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.testing.app import FakeGateway


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_clients_come_and_go_and_the_fleet_stays() -> None:
    fleet = FakeGateway()
    fleet.say("Paris")
    with ossa.connect("http://fleet", "any key", transport=fleet) as client:
        task_id = client.chat("Capital of France?").task_id
    with ossa.connect("http://fleet", transport=fleet) as client:
        assert client.tasks.get(task_id).text == "Paris"
    fleet.stop()
    assert "fake-gateway" not in names()
    with ossa.connect("http://fleet", transport=fleet) as client:
        assert client.tasks.get(task_id).text == "Paris"
    fleet.stop()


def test_a_fleet_that_nobody_holds_stops() -> None:
    fleet = FakeGateway()
    ossa.connect("http://fleet", transport=fleet).version()
    assert "fake-gateway" in names()
    del fleet
    gc.collect()
    assert "fake-gateway" not in names()


def test_its_stores_can_be_read_and_fail() -> None:
    fleet = FakeGateway()
    client = ossa.connect("http://fleet", transport=fleet, max_retries=0)
    answer = client.chat("Hi")
    task = fleet.run(fleet.stores.journal.get(answer.task_id, tenant="default"))
    assert task is not None and task.status == "succeeded"
    fleet.stores.go_down()
    with pytest.raises(StoreUnavailable):
        client.tasks.get(answer.task_id)
    fleet.answer("/version", {"code": "not_found", "detail": "nothing here"}, status=404)
    with pytest.raises(NotFound, match="nothing here"):
        client.version()
    fleet.stop()


def test_the_old_import_path_works_and_warns() -> None:
    sys.modules.pop("ossa.sdk.testing", None)
    with pytest.warns(DeprecationWarning, match=r"imported from ossa\.testing\.app"):
        old = import_module("ossa.sdk.testing")
    assert old.FakeGateway is FakeGateway


def test_the_example_in_the_examples_readme_passes() -> None:
    readme = (Path(ossa.__file__).parents[1] / "examples" / "README.md").read_text()
    code = readme.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, "examples/README.md", "exec"), names)
    example = names["test_it_asks_the_fleet"]
    assert callable(example)
    example()
