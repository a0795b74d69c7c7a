"""Engines of backups: the embedded PostgreSQL by its own means, a server of the user's by Barman."""
