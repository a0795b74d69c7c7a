"""The stores over PostgreSQL 15 or newer. Only this folder knows the driver."""

from ossa.stores.postgres.stores import LEAST_CONNECTIONS, PostgresStores

__all__ = ["LEAST_CONNECTIONS", "PostgresStores"]
