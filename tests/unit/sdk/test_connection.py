"""Where the client finds the fleet and its key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ossa.contracts.errors import InvalidRequest
from ossa.sdk.connection import Connection, resolve
from ossa.sdk.errors import Unreachable, WrongUsage

SECRET = "ossa_sk_" + "s" * 43


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a running local fleet."""
    (tmp_path / "admin.key").write_text(SECRET + "\n")
    (tmp_path / "run.json").write_text(
        json.dumps({"url": "http://127.0.0.1:8123", "api_key_file": "admin.key", "pid": 1, "new_field": True})
    )
    return tmp_path


def found(url: str | None, key: str | None, env: dict[str, str], home: Path) -> tuple[str, str]:
    connection = resolve(url, key, environ=env, home=lambda: home)
    return connection.url, connection.api_key.get_secret_value()


def test_arguments_win_over_the_environment_and_the_run_file(home: Path) -> None:
    env = {"OSSA_URL": "http://env", "OSSA_API_KEY": "env-key"}
    assert found("http://arg/", "arg-key", env, home) == ("http://arg", "arg-key")


def test_the_environment_wins_over_the_run_file(home: Path) -> None:
    assert found(None, None, {"OSSA_URL": "http://env", "OSSA_API_KEY": "env-key"}, home) == ("http://env", "env-key")


def test_the_run_file_of_a_local_fleet_is_the_last_resort(home: Path) -> None:
    assert found(None, None, {}, home) == ("http://127.0.0.1:8123", SECRET)


def test_the_local_key_is_used_for_the_local_address_given_by_hand(home: Path) -> None:
    assert found("http://127.0.0.1:8123/", None, {}, home)[1] == SECRET


@pytest.mark.parametrize("url", ["http://elsewhere:8123", "http://127.0.0.1:9999", "https://127.0.0.1:8123"])
def test_the_local_key_is_never_sent_to_another_address(home: Path, url: str) -> None:
    assert found(url, None, {}, home)[1] == ""


def test_without_any_address_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="ossa up"):
        resolve(environ={}, home=lambda: tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 5}'])
def test_a_run_file_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(Unreachable):
        resolve(environ={}, home=lambda: tmp_path)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:port", "//x"])
def test_what_is_no_address_is_refused_by_name(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidRequest, match="is no address"):
        resolve(url, environ={}, home=lambda: tmp_path)


@pytest.mark.parametrize("around", ["{}\r", " {}\n", "\t{}"])
def test_white_space_around_a_key_is_not_part_of_it(home: Path, around: str) -> None:
    assert found("http://x", None, {"OSSA_API_KEY": around.format(SECRET)}, home)[1] == SECRET


@pytest.mark.parametrize("wrong", ["\x00", "\r\nX-Other: ", "\x7f", "é", "\udcff"])
def test_a_key_that_no_header_carries_is_refused_without_showing_it(home: Path, wrong: str) -> None:
    with pytest.raises(WrongUsage, match="API key") as caught:
        resolve("http://x", f"{SECRET}{wrong}{SECRET}", environ={}, home=lambda: home)
    assert SECRET not in caught.value.message


def test_a_key_file_that_is_not_text_counts_as_none(home: Path) -> None:
    (home / "admin.key").write_bytes(b"\xff\xfe")
    assert found(None, None, {}, home) == ("http://127.0.0.1:8123", "")


def test_the_key_is_masked_in_reprs_and_goes_out_as_a_bearer() -> None:
    connection = Connection(url="http://x", api_key=SECRET)  # type: ignore[arg-type]
    assert SECRET not in repr(connection)
    assert connection.headers() == {"Authorization": f"Bearer {SECRET}"}
    assert Connection(url="http://x").headers() == {}
