"""Whoever has never used Ray gets the token that Ray asks for."""

from pathlib import Path

import pytest

from ossa.app.local_ray import ensure_ray_token


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".ray" / "auth_token"


def test_a_missing_token_is_made_for_its_owner_alone(token: Path) -> None:
    ensure_ray_token({"RAY_AUTH_MODE": "token"})
    assert len(token.read_text()) == 64
    assert token.stat().st_mode & 0o777 == 0o600
    assert list(token.parent.iterdir()) == [token]


def test_a_token_that_is_there_stays(token: Path) -> None:
    ensure_ray_token({"RAY_AUTH_MODE": "token"})
    before = token.read_text()
    ensure_ray_token({"RAY_AUTH_MODE": "token"})
    assert token.read_text() == before


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/run/token"},
    ],
)
def test_none_is_made_where_none_is_asked_for_or_the_user_brings_one(token: Path, environment: dict[str, str]) -> None:
    ensure_ray_token(environment)
    assert not token.exists()
