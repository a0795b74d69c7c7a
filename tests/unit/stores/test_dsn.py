"""DSNs of one server and of several."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from ossa.contracts.configuration import Database
from ossa.contracts.errors import InvalidRequest
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.dsn import read_dsn, replica_dsn

SECRET = "hunter2secret"
THREE = f"postgresql://me:{SECRET}@h1:5001,h2:5002,h3:5003/things"


def test_all_members_show_and_the_password_never() -> None:
    shown = repr(PostgresStores(Database(), THREE))
    assert "h1:5001,h2:5002,h3:5003/things as me" in shown
    assert SECRET not in shown + repr(read_dsn(THREE, Database()))


def test_of_several_members_the_one_that_leads_is_looked_for() -> None:
    assert read_dsn(THREE, Database()).params(0)["target_session_attrs"] == "read-write"
    said = read_dsn(THREE + "?target_session_attrs=any", Database())
    assert said.params(0)["target_session_attrs"] == "any"


def test_any_member_may_be_tried_first() -> None:
    params = read_dsn(THREE, Database()).params(1)
    assert (params["host"], params["port"]) == ("h2,h3,h1", "5002,5003,5001")


def test_one_port_is_all_members_port() -> None:
    assert read_dsn("postgresql://h1,h2/db?port=6000", Database()).params(0)["port"] == "6000,6000"


def test_members_share_the_time_to_connect() -> None:
    """A machine that is off must leave time for the others."""
    assert read_dsn(THREE, Database(connect_timeout_s=10)).params(0)["connect_timeout"] == 3
    assert read_dsn("postgresql://h1/db", Database(connect_timeout_s=10)).params(0)["connect_timeout"] == 10


def test_settings_give_password_and_tls_where_the_dsn_does_not() -> None:
    settings = Database(password=SecretStr(SECRET), ssl_mode="verify-full", ssl_root_cert="/ca.pem")
    params = read_dsn("postgresql://me@h1/db", settings).params(0)
    assert (params["password"], params["sslmode"], params["sslrootcert"]) == (SECRET, "verify-full", "/ca.pem")
    said = read_dsn("postgresql://me:other@h1/db?sslmode=require", settings).params(0)
    assert (said["password"], said["sslmode"]) == ("other", "require")


@pytest.mark.parametrize("dsn", ["postgresql://h1:1,h2:2,h3/db?port=1,2", "postgresql://h1:99999/db"])
def test_a_dsn_whose_ports_cannot_be_is_refused(dsn: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_dsn(dsn, Database())


def test_replicas_are_the_standbys_or_named() -> None:
    assert replica_dsn(Database(), THREE) is None
    standbys = replica_dsn(Database(replica_dsn=SecretStr("standbys")), THREE)
    assert standbys is not None
    assert standbys.params(0)["target_session_attrs"] == "standby"
    named = replica_dsn(Database(replica_dsn=SecretStr("postgresql://h9/things")), THREE)
    assert named is not None and named.name.startswith("h9:5432/things")
    with pytest.raises(InvalidRequest, match="OSSA_DATABASE__REPLICA_DSN"):
        replica_dsn(Database(replica_dsn=SecretStr("standbys")), "postgresql://h1/db")
