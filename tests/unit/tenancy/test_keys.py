from __future__ import annotations

import re
from datetime import UTC, datetime

from ossa.contracts.access import Scope
from ossa.tenancy.keys import digest, looks_like_key, mint, secret_from_headers

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_a_minted_secret_has_256_bits_and_is_in_no_repr() -> None:
    minted = mint(tenant="acme", name="ci", scopes=[Scope.CHAT], now=NOW)
    assert re.fullmatch(r"ossa_sk_[A-Za-z0-9_-]{43}", minted.secret)
    assert minted.secret not in repr(minted)
    assert minted.secret not in minted.key.model_dump_json()
    assert minted.secret.startswith(minted.key.prefix)
    assert len(minted.key.prefix) < 16


def test_two_keys_differ() -> None:
    one, other = (mint(tenant="acme", name="ci", scopes=[Scope.CHAT], now=NOW) for _ in range(2))
    assert one.secret != other.secret
    assert one.key.id != other.key.id


def test_what_is_stored_is_the_sha256() -> None:
    minted = mint(tenant="acme", name="ci", scopes=[Scope.CHAT], now=NOW)
    assert minted.secret_sha256 == digest(minted.secret)
    assert len(minted.secret_sha256) == 32


def test_only_what_looks_like_a_key_is_looked_up() -> None:
    assert looks_like_key("ossa_sk_" + "a" * 43)
    for other in ("", "sk-abc", "ossa_sk_" + "a" * 42, "ossa_sk_" + "a" * 44, "ossa_sk_" + "ä" * 43):
        assert not looks_like_key(other)


def test_the_bearer_header_goes_before_the_other() -> None:
    assert secret_from_headers("Bearer one", "two") == "one"
    assert secret_from_headers("bearer  one ", None) == "one"
    assert secret_from_headers("Basic abc", "two") == "two"
    assert secret_from_headers(None, " two ") == "two"
    assert secret_from_headers("Bearer ", "") is None
    assert secret_from_headers(None, None) is None
