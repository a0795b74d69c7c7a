from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from ossa.app.connections import shared_cache
from ossa.contracts.configuration import CacheSettings
from ossa.contracts.errors import InvalidRequest
from ossa.settings import Settings, WrongSetting
from ossa.stores.redis.address import RedisAddress, RedisTls
from ossa.stores.redis.cache import entry, slot


def test_a_cluster_has_several_hosts_one_user_and_one_password() -> None:
    address = RedisAddress.parse("rediss+cluster://me:s%40sa%2Cme@one:7001,two:7002,[::1]:7003,four")
    assert address.cluster
    assert address.hosts == (("one", 7001), ("two", 7002), ("::1", 7003), ("four", 6379))
    assert (address.options["username"], address.options["password"]) == ("me", "s@sa,me")
    assert "sesa" not in repr(address) and "sa,me" not in repr(address)


@pytest.mark.parametrize("dsn", ["redis://h:1/2", "redis://h", "unix:///run/redis.sock?db=1", "rediss://:p@[::1]:7"])
def test_one_server_is_no_cluster(dsn: str) -> None:
    assert not RedisAddress.parse(dsn).cluster


def test_a_setting_says_that_the_server_is_one_of_a_cluster() -> None:
    assert RedisAddress.parse("redis://:p@h:7001", cluster=True).hosts == (("h", 7001),)


@pytest.mark.parametrize(
    "dsn",
    [
        "redis://:sesame@one:1,two:2",
        "redis+cluster://:sesame@one:1/3",
        "redis+cluster://:sesame@one:port",
        "redis+cluster://:sesame@",
        "redis+cluster://:sesame@one:1,",
        "redis://:sesame@h:99999999999",
        "unix+cluster://:sesame@/x",
        "http://:sesame@h",
        "",
    ],
)
def test_what_is_no_address_is_refused_by_the_settings_name_and_not_shown(dsn: str) -> None:
    with pytest.raises(InvalidRequest, match="OSSA_CACHE__DSN") as caught:
        RedisAddress.parse(dsn)
    assert "sesame" not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_certificates_are_files_and_for_tls(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="OSSA_CACHE__CA_FILE"):
        RedisAddress.parse("rediss://h", tls=RedisTls(ca_file=tmp_path / "none"))
    (tmp_path / "ca").touch()
    with pytest.raises(InvalidRequest, match="rediss://"):
        RedisAddress.parse("redis://h", tls=RedisTls(ca_file=tmp_path / "ca"))
    found = RedisAddress.parse("rediss://h", tls=RedisTls(ca_file=tmp_path / "ca"))
    assert found.options["ssl_ca_certs"] == str(tmp_path / "ca")


def test_a_wrong_scheme_is_a_wrong_setting_that_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSSA_CACHE__DSN", "http://:sesame@h")
    with pytest.raises(WrongSetting, match=r"OSSA_CACHE__DSN.*rediss\+cluster://") as caught:
        Settings()
    assert "sesame" not in f"{caught.value!r}"


def test_the_settings_make_a_cache_that_shows_no_password() -> None:
    assert shared_cache(CacheSettings(), room="r") is None
    for dsn in ("redis://:sesame@h", "redis+cluster://:sesame@h"):
        settings = CacheSettings(dsn=SecretStr(dsn))
        cache = shared_cache(settings, room="r")
        assert cache is not None
        assert "sesame" not in f"{settings!r}{cache!r}{cache.store!r}"


def test_a_tenants_entries_are_in_one_slot_and_those_of_many_tenants_are_not() -> None:
    from redis.crc import key_slot

    keys = [entry("acme", room, key) for room in ("exchange", "memory") for key in ("a", "{b}", "}", "")]
    assert {key_slot(key.encode()) for key in keys} == {slot("acme")}
    assert len(set(keys)) == len(keys)
    assert len({slot(f"tenant-{number}") for number in range(100)}) > 90
