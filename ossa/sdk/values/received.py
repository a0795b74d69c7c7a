"""The one way values from the fleet are declared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Received(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())
