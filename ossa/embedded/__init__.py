"""Servers of our own for one machine: PostgreSQL, Valkey and a small language model, from wheels."""
