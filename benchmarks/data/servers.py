"""Real servers for a benchmark: started by `scripts.services` in a folder of their own, gone afterwards."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.services.services import Services

LIMIT_S = 180.0


class Missing(Exception):
    """Nothing can be measured without it; the message says what to install."""


@contextmanager
def services(*names: str, members: int | None = None) -> Iterator[Services]:
    """These are up, and are erased afterwards.

    Raises:
        Missing: one is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="ossa-bench-") as folder:
        Path(folder).chmod(0o711)  # servers run as other users
        made = Services(Path(folder) / "services", limit_s=LIMIT_S)
        for name in names:
            if missing := made.missing(name):
                raise Missing(f"{name}: {'; '.join(missing)}: python -m scripts.services install {name}")
        try:
            for name in names:
                print(f"starting {name}", file=sys.stderr, flush=True)
                made.start(name, members)
            yield made
        finally:
            made.erase()
