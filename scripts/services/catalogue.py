"""The services there are, by name. A module is imported when its service is wanted: each needs its own driver."""

from __future__ import annotations

from importlib import import_module

from scripts.services.failure import ServiceFailed
from scripts.services.service import Service

_CLASSES = {
    "postgres": ("postgres", "Postgres"),
    "postgres-ha": ("postgres_ha", "PostgresHa"),
    "redis": ("redis", "Redis"),
    "redis-cluster": ("redis_cluster", "RedisCluster"),
    "kafka": ("kafka", "Kafka"),
    "prometheus": ("prometheus", "Prometheus"),
}
NAMES = tuple(_CLASSES)


def service_class(name: str) -> type[Service]:
    """Raises `ServiceFailed` for an unknown name."""
    if name not in _CLASSES:
        raise ServiceFailed(f"There is no service {name}; there are {', '.join(NAMES)}.")
    module, attribute = _CLASSES[name]
    found: type[Service] = getattr(import_module(f"scripts.services.{module}"), attribute)
    return found
