"""Bounds on what a manifest may cost to read. Real ones stay under 40 kB."""

from __future__ import annotations

MAX_BYTES = 2**20
"""Size of one file or text, before it is parsed."""

MAX_DEPTH = 64
"""Mappings and lists inside each other."""

MAX_NODES = 50_000
"""Values in one file, each alias counted as all it stands for."""

MAX_CHARS = 2 * MAX_BYTES
"""Characters of text in one file, each alias counted as all it stands for."""

MAX_ALIASES = 1_000
"""`*name` uses in one file."""

MAX_DOCUMENTS = 1_000
"""Documents in one file."""

MAX_TOOLS = 1_000
"""Tools of one agent."""

MAX_NAME = 253
"""Characters of an agent's or a tool's name."""

MAX_INT = 2**63 - 1
MIN_INT = -(2**63)
"""Whole numbers that JSON, PostgreSQL and other languages agree on."""
MAX_DIGITS = 32
"""Longest number that is parsed at all: parsing an int is quadratic in its digits."""
