"""Progress reports for people."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with a short line at each stage of something long."""
