"""A Redis cluster: three masters with two replicas each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from scripts.services.failure import ServiceFailed
from scripts.services.needs import program
from scripts.services.redis import NEED, connect, redis_member, write_configuration
from scripts.services.service import Address, Member, Service

_SIZE = 9
_REPLICATED = ("--cluster-replicas", "2", "--cluster-yes")
_NAMES = [f"redis-{number}" for number in range(1, _SIZE + 1)]
_NODE_TIMEOUT_MS = 2000
_CLUSTER = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": str(_NODE_TIMEOUT_MS),
    "repl-diskless-sync-delay": "0",
    # Clients are told of a replica once it has heard from its master.
    "repl-ping-replica-period": "1",
    # With fewer replicas elsewhere a master gets none of this one's: who replicates whom stays as it was made.
    "cluster-allow-replica-migration": "no",
}


class RedisCluster(Service):
    name = "redis-cluster"
    sizes = (_SIZE,)
    needs = (NEED, program("redis-cli", "redis-tools"))

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(_NAMES, ("redis", "bus"))

    def prepare(self) -> None:
        for name in _NAMES:
            port = self.settings.port(name, "redis")
            more = {**_CLUSTER, "cluster-port": str(self.settings.port(name, "bus"))}
            write_configuration(self.home.data, name, port, self.settings.password, self.account, more)

    def stages(self) -> Sequence[Sequence[Member]]:
        return [[redis_member(self.home.data, name) for name in _NAMES]]

    def problem(self, member: str) -> str | None:
        try:
            self._ask(member, "PING")
        except redis.RedisError as error:
            return str(error)
        return None

    def problem_of_all(self) -> str | None:
        """Every member knows all others and serves all slots, and every replica follows its master."""
        for name in _NAMES:
            try:
                found = self._ask(name, "CLUSTER INFO")
                link = self._ask(name, "INFO", "replication").get("master_link_status", "up")
                shown = sum(len(servers) for _, _, *servers in self._ask(name, "CLUSTER", "SLOTS"))
            except redis.RedisError as error:
                return f"{name}: {error}"
            if found["cluster_state"] != "ok" or int(found["cluster_known_nodes"]) < _SIZE:
                return f"{name} knows {found['cluster_known_nodes']} members, state {found['cluster_state']}"
            if shown < _SIZE:
                return f"{name} tells clients of {shown} members"
            if link != "up":
                return f"{name} has lost its master"
        return None

    def form(self) -> None:
        """Give out the slots, once. What was left half done is begun anew: it holds no data yet."""
        formed = self.home.path / "formed"
        if formed.exists():
            return
        for name in _NAMES:
            self._ask(name, "CLUSTER RESET", "HARD")
        done = self.account.run(
            ["/usr/bin/redis-cli", "--cluster", "create", *self.hosts("redis"), *_REPLICATED],
            env={"REDISCLI_AUTH": self.settings.password, "PATH": "/usr/bin:/bin"},
        )
        if done.returncode != 0:
            raise ServiceFailed(f"The Redis cluster could not be made: {(done.stdout + done.stderr)[-500:]}")
        formed.touch()

    def address(self) -> Address:
        hosts = self.hosts("redis")
        return Address(f"redis://:{self.settings.password}@{hosts[0]}", hosts)

    def _ask(self, name: str, *command: str) -> Any:
        with connect(self.settings.port(name, "redis"), self.settings.password) as client:
            return client.execute_command(*command)
