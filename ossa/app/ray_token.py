"""The token that Ray's processes and clients show each other."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

DEFAULT_PATH = Path("~/.ray/auth_token")
"""Where Ray looks when neither RAY_AUTH_TOKEN nor RAY_AUTH_TOKEN_PATH is set."""


def ensure_ray_token(environment: Mapping[str, str] = os.environ) -> None:
    """Make Ray's default token where a token is asked for and the user has none: `ray start` refuses to begin without.

    Readable by its owner alone. Of two processes that make it at once, the first one's stays.
    """
    given = environment.get("RAY_AUTH_TOKEN") or environment.get("RAY_AUTH_TOKEN_PATH")
    if environment.get("RAY_AUTH_MODE", "").lower() != "token" or given:
        return
    path = DEFAULT_PATH.expanduser()
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
