"""One fingerprint a document, whatever its layout, key order or file."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(document: dict[str, Any]) -> str:
    """sha256 of the document as JSON with sorted keys and no spaces, in hex."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
