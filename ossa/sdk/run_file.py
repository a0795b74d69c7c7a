"""The file a running fleet leaves behind, so that programs of the same person find it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

NAME = "run.json"


class RunFile(BaseModel):
    """`<home>/run.json`. The key itself lies in a file of its own that only its owner reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    api_key_file: Path | None = None

    @classmethod
    def read(cls, home: Path) -> RunFile | None:
        """None when there is none or it cannot be read: a fleet that is being started or stopped writes it anew."""
        try:
            found = cls.model_validate_json((home / NAME).read_bytes())
        except (OSError, ValueError):
            return None
        if found.api_key_file is not None and not found.api_key_file.is_absolute():
            return found.model_copy(update={"api_key_file": home / found.api_key_file})
        return found

    def api_key(self) -> str:
        """The key, or the empty string when its file cannot be read."""
        if self.api_key_file is None:
            return ""
        try:
            return self.api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""
