"""What is wrong with a setting is said by its name, and what it holds is never said."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

from ossa.settings import Settings, WrongSetting

SECRET = "sk-SECRETVALUE"
STANDARD = "OSSA_MODELS__TIERS__STANDARD__"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """The message of the error; nothing of its traceback shows the secret."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as caught:
        Settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value.message


def test_a_forgotten_field_is_named_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {f"{STANDARD}BASE_URL": "notaurl", f"{STANDARD}API_KEY": SECRET}
    assert said(monkeypatch, **endpoint) == f"{STANDARD}MODEL: field required"


def test_a_misspelt_field_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {f"{STANDARD}BASE_URL": "http://x/v1", f"{STANDARD}MODEL": "m", f"{STANDARD}APIKEY": SECRET}
    assert said(monkeypatch, **endpoint) == f"{STANDARD}APIKEY: there is no such setting"


def test_a_value_that_is_not_json_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "models" in said(monkeypatch, OSSA_MODELS=f"{{{SECRET}")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("OSSA_GATEWAY__PORT", "abc", "valid integer"),
        ("OSSA_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO'"),
        ("OSSA_FLEET__TOOL_MODULES", "[1]", "valid string"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    message = said(monkeypatch, **{name: value})
    assert message.startswith(f"{name}: ")
    assert says in message


def test_an_unknown_tier_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OSSA_MODELS__TIERS__NOPE" in said(monkeypatch, OSSA_MODELS__TIERS__NOPE__MODEL=SECRET)


def test_a_named_file_that_is_absent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, OSSA_CONFIG="/nope.toml") == "OSSA_CONFIG: /nope.toml does not exist"


@pytest.mark.parametrize("content", [f"api_key = {SECRET}".encode(), b"\xff", None])
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "fleet.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert str(path) in said(monkeypatch, OSSA_CONFIG=str(path))


def test_a_home_of_nobody_is_an_error() -> None:
    with pytest.raises(WrongSetting, match="OSSA_HOME"):
        _ = Settings(home=Path("~nobody-of-this-name/x")).home_dir


def test_the_environment_wins_over_the_file_which_wins_over_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ossa.toml").write_text('log_level = "DEBUG"\n[gateway]\nport = 1234\nreplicas = 2\n')
    monkeypatch.setenv("OSSA_GATEWAY__PORT", "4321")
    settings = pickle.loads(pickle.dumps(Settings()))
    assert (settings.log_level, settings.gateway.port, settings.gateway.replicas) == ("DEBUG", 4321, 2)
