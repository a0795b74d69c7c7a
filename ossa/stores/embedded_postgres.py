"""Where callers find `EmbeddedPostgres`."""

from ossa.stores.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
