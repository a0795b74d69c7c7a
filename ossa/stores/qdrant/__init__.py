"""Qdrant, as a server or embedded. The drivers are imported by whoever uses an index, not before: they are heavy."""
