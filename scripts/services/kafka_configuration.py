"""The configuration of one Kafka member."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_COMMON = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
    "num.io.threads": "4",
    "num.network.threads": "2",
}


def kafka_configuration(number: int, brokers: Sequence[str], controllers: Sequence[str], data: Path) -> dict[str, str]:
    """Three copies, of which two are written before a producer with acks=all is answered.

    Args:
        number: from 1, the member's place in `brokers` and `controllers`, which hold `host:port`.
    """
    copies = min(3, len(brokers))
    written = min(2, copies)
    broker = f"BROKER://{brokers[number - 1]}"
    return {
        **_COMMON,
        "node.id": str(number),
        "controller.quorum.voters": ",".join(f"{voter}@{host}" for voter, host in enumerate(controllers, start=1)),
        "listeners": f"{broker},CONTROLLER://{controllers[number - 1]}",
        "advertised.listeners": broker,
        "log.dirs": str(data),
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(written),
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(written),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(written),
    }
