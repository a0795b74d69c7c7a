"""Which settings changed since the last start, without their values."""

from __future__ import annotations

from pathlib import Path

from ossa.app.bootstrap import settings_digests
from ossa.contracts.configuration import Database
from ossa.settings import Settings


def test_a_changed_setting_has_another_digest_and_no_value_shows(tmp_path: Path) -> None:
    before = settings_digests(Settings(home=tmp_path), "secret")
    database = Database(dsn="postgresql://user:hunter2@host/db")  # type: ignore[arg-type]
    after = settings_digests(Settings(home=tmp_path, database=database), "secret")
    assert {name for name in before if before[name] != after[name]} == {"database.dsn"}
    assert "hunter2" not in repr(after)
    assert settings_digests(Settings(home=tmp_path), "secret") == before
    assert settings_digests(Settings(home=tmp_path), "another")["phase"] != before["phase"]
