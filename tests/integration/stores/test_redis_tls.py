"""A real Redis that wants TLS, a certificate of ours and a user of its ACL."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ossa.app.connections import shared_cache
from ossa.caching.guarded import GuardedCache
from ossa.contracts.configuration import CacheSettings
from ossa.contracts.errors import StoreUnavailable

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="left out, not installed: redis-server (make services)"
)
PASSWORD = "open-sesame"
ACL = "+@connection +mget +set +del +cluster|slots ~ossa:*"
Make = Callable[..., GuardedCache]


@pytest.fixture(scope="module")
def port(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("redis")
    (folder / "acl").write_text(
        f"user default off\nuser fleet on >{PASSWORD} {ACL}\nuser poor on >{PASSWORD} +ping ~*\n"
    )
    lines = {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1",
        "tls-cert-file": str(certificates / "server.crt"),
        "tls-key-file": str(certificates / "server.key"),
        "tls-ca-cert-file": str(certificates / "ca.crt"),
        "tls-auth-clients": "yes",
        "aclfile": str(folder / "acl"),
        "save": '""',
        "dir": str(folder),
        "logfile": str(folder / "log"),
    }
    (folder / "conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    server = subprocess.Popen(["redis-server", str(folder / "conf")])
    try:
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def make(certificates: Path, port: int) -> Make:
    def made(**more: object) -> GuardedCache:
        user, password = more.pop("user", "fleet"), more.pop("password", PASSWORD)
        host, scheme = more.pop("host", "localhost"), more.pop("scheme", "rediss")
        files = {"ca_file": "ca.crt", "certificate_file": "client.crt", "key_file": "client.key", **more}
        cache = shared_cache(
            CacheSettings(
                dsn=SecretStr(f"{scheme}://{user}:{password}@{host}:{port}/0"),
                answer_s=10,
                **{name: certificates / str(file) for name, file in files.items() if file},
            ),
            room="test",
        )
        assert cache is not None
        return cache

    return made


async def test_over_tls_with_a_certificate_and_a_user_of_its_own_it_is_a_cache(make: Make) -> None:
    cache = make()
    await cache.set("k", b"v", tenant="t", ttl_s=60)
    assert await cache.get("k", tenant="t") == b"v"
    await cache.drop("k", tenant="t")
    assert await cache.get("k", tenant="t") is None
    await cache.ping()
    await cache.close()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ca_file": "other-ca.crt"}, "OSSA_CACHE__CA_FILE"),
        ({"ca_file": None}, "OSSA_CACHE__CA_FILE"),
        ({"host": "127.0.0.1"}, "OSSA_CACHE__CA_FILE.*OSSA_CACHE__DSN"),
        ({"certificate_file": None, "key_file": None}, "OSSA_CACHE__CERTIFICATE_FILE"),
        ({"password": "guess-work"}, "OSSA_CACHE__DSN"),
        ({"user": "nobody"}, "OSSA_CACHE__DSN"),
        ({"user": "poor"}, r"\+mget \+set"),
        (
            {"scheme": "redis", "ca_file": None, "certificate_file": None, "key_file": None},
            "rediss://",
        ),
    ],
)
async def test_what_is_wrong_is_said_by_the_settings_name_and_no_secret_is(
    make: Make, wrong: dict[str, object], named: str
) -> None:
    cache = make(**wrong)
    with pytest.raises(StoreUnavailable, match=named) as caught:
        await cache.get("k", tenant="t")
    chain = f"{caught.value!r}{caught.value.__cause__!r}"
    assert PASSWORD not in chain and "guess-work" not in chain
    await cache.close()
