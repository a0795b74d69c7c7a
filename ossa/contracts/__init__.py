"""Frozen values, Protocols and errors that cross a boundary. Imports nothing of ours."""
