"""`ossa backup`, where there is no PostgreSQL: what it says, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ossa.backups.catalogue import Catalogue
from ossa.cli.terminal import ExitCode
from ossa.stores.objects.blobs import ObjectBlobs
from tests.unit.backups.test_retention import made

WHOLE, BROKEN = "20261127T080000Z-000001", "20261128T080000Z-000002"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("OSSA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OSSA_BACKUP__URL", str(tmp_path / "vault"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def vault(home: Path, tmp_path: Path) -> Path:
    catalogue = Catalogue(ObjectBlobs(str(tmp_path / "vault")))
    for id in (WHOLE, BROKEN):
        catalogue.add(made(1).model_copy(update={"id": id}))
    return tmp_path / "vault"


def damage(vault: Path) -> None:
    file = vault / "sets" / BROKEN / "manifest.json"
    file.write_text(file.read_text().replace('"size": 1', '"size": 2'))


def test_without_a_backup_the_list_is_empty_and_nothing_can_be_verified_or_restored(
    run: Any, home: Path, tmp_path: Path
) -> None:
    assert "There is no backup yet" in run("backup", "list").stderr
    assert "There is no backup" in run("backup", "verify", expect=ExitCode.FAILED).stderr
    restored = run("backup", "restore", "--into", str(tmp_path / "new"), expect=ExitCode.FAILED)
    assert "There is no backup" in restored.stderr
    assert not (tmp_path / "new").exists()


def test_without_postgresql_nothing_is_backed_up(run: Any, home: Path) -> None:
    refused = run("backup", "now", "--json", expect=ExitCode.FAILED)
    assert refused.stdout == ""
    assert json.loads(refused.stderr)["error"]["code"] == "store_unavailable"


def test_a_manifest_that_is_damaged_is_exit_code_1_and_the_others_are_listed(run: Any, vault: Path) -> None:
    assert [one["id"] for one in json.loads(run("backup", "list", "--json").stdout)["backups"]] == [WHOLE, BROKEN]
    damage(vault)
    listed = run("backup", "list", expect=ExitCode.FAILED)
    assert WHOLE in listed.stdout
    assert f"{BROKEN} cannot be read" in listed.stderr
    found = json.loads(run("backup", "list", "--json", expect=ExitCode.FAILED).stdout)
    assert ([one["id"] for one in found["backups"]], found["damaged"]) == ([WHOLE], [BROKEN])
    refused = run("backup", "verify", "--json", expect=ExitCode.FAILED)
    assert json.loads(refused.stderr)["error"]["param"] == f"sets/{BROKEN}/manifest.json"


def test_a_time_that_is_none_is_exit_code_2(run: Any, home: Path) -> None:
    assert "not 'noon'" in run("backup", "restore", "--to", "noon", "--into", "x", expect=ExitCode.USAGE).stderr


def test_a_home_that_is_not_empty_is_refused(run: Any, vault: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    refused = run("backup", "restore", "--into", str(tmp_path / "full"), expect=ExitCode.FAILED)
    assert "--force" in refused.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
