"""Backups of a fleet: base and WAL of its PostgreSQL, the memory's cold objects; restores and what proves them."""
