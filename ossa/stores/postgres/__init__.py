"""The stores over PostgreSQL 15 or newer. Only this folder knows the driver."""

from ossa.stores.postgres.stores import PostgresStores

__all__ = ["PostgresStores"]
