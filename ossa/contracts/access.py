"""Tenants, keys and scopes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from ossa.contracts.value import Value


class Scope(StrEnum):
    """What a key may do.

    ADMIN implies the others within its tenant. The pools are everybody's: FLEET_WRITE comes with ADMIN for the
    operator's tenant alone; the operator grants it to others.
    """

    CHAT = "chat"
    TASKS = "tasks"
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    FLEET_WRITE = "fleet:write"
    ADMIN = "admin"


class ApiKey(Value):
    """A key without its secret."""

    id: str
    tenant: str
    name: str
    scopes: tuple[Scope, ...]
    prefix: str = Field(description="first characters of the secret, to tell keys apart")
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None


class Principal(Value):
    """The caller, once the key was checked."""

    key_id: str
    tenant: str
    scopes: tuple[Scope, ...]

    def allows(self, scope: Scope, *, operator_tenant: str) -> bool:
        implied = Scope.ADMIN in self.scopes and (scope is not Scope.FLEET_WRITE or self.tenant == operator_tenant)
        return implied or scope in self.scopes
