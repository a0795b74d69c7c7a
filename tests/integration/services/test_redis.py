"""One Redis, and a cluster of nine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from redis.cluster import RedisCluster

from scripts.services import Address, Services


def test_what_was_written_survives_a_restart(services: Services, installed: Callable[[str], None]) -> None:
    installed("redis")
    address = services.start("redis")
    with redis.Redis.from_url(address.dsn) as client:
        client.set("kept", "7")
    services.stop("redis")
    assert services.start("redis") == address
    with redis.Redis.from_url(address.dsn) as client:
        assert client.get("kept") == b"7"


def test_nobody_gets_in_without_the_password(services: Services, installed: Callable[[str], None]) -> None:
    installed("redis")
    host = services.start("redis").hosts[0]
    with redis.Redis.from_url(f"redis://{host}") as client, pytest.raises(redis.AuthenticationError):
        client.get("kept")


@pytest.fixture(scope="module")
def cluster(services: Services, installed: Callable[[str], None]) -> Address:
    installed("redis-cluster")
    return services.start("redis-cluster")


def test_a_replica_takes_over_when_a_master_is_killed(
    services: Services,
    cluster: Address,
    until: Callable[[Callable[[], bool]], float],
    record_property: Callable[[str, object], None],
) -> None:
    with RedisCluster.from_url(cluster.dsn) as client:
        client.set("kept", "7")
        port = client.get_node_from_key("kept").port
    ports = {member.ports["redis"]: member.name for member in services.status("redis-cluster").members}
    services.kill("redis-cluster", ports[port])

    def written() -> bool:
        try:
            with RedisCluster.from_url(other_nodes(cluster, port)) as client:
                return client.get("kept") == b"7" and bool(client.set("kept", "7"))
        except redis.RedisError:
            return False

    record_property("seconds_without_writes", until(written))
    services.start_member("redis-cluster", ports[port])
    until(lambda: services.problem("redis-cluster") is None)
    with RedisCluster.from_url(cluster.dsn) as client:
        assert len(client.get_primaries()) == 3
        assert len(client.get_replicas()) == 6
        assert client.get_node_from_key("kept").port != port


def other_nodes(cluster: Address, killed: int) -> str:
    """The DSN by way of a member that lives."""
    living = next(host for host in cluster.hosts if not host.endswith(f":{killed}"))
    return cluster.dsn.replace(cluster.hosts[0], living)


def test_members_share_the_slots(cluster: Address) -> None:
    with RedisCluster.from_url(cluster.dsn) as client:
        for number in range(100):
            client.set(f"number-{number}", number)
        assert {client.get_node_from_key(f"number-{number}").port for number in range(100)} == {
            node.port for node in client.get_primaries()
        }
