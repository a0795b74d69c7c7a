"""A PostgreSQL of our own, from a wheel, for one machine."""

from ossa.stores.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
