"""`DesiredStores` in one JSON file: a fake for tests and benchmarks that outlives a killed controller."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.contracts.value import Value


class FileStores:
    """One writer at a time; readers see whole files."""

    def __init__(self, path: Path) -> None:
        self.fleet = FileFleetStore(path)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class _Content(Value):
    desired: DesiredFleet = DesiredFleet()
    operations: Mapping[str, Operation] = Field(default_factory=dict)
    secrets: Mapping[str, str] = Field(default_factory=dict)


class FileFleetStore:
    """`FleetStore`. While `<path>.down` exists every call raises `StoreUnavailable`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._down = path.with_name(path.name + ".down")

    async def load(self) -> DesiredFleet:
        return self._read().desired

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        content = self._read()
        saved = pool.model_copy(update={"revision": pool.revision + 1})
        pools = {known.name: known for known in content.desired.pools} | {pool.name: saved}
        self._change(content, pools=tuple(pools.values()))
        return saved

    async def save_agent(self, agent: DesiredAgent) -> None:
        content = self._read()
        agents = {known.agent_id: known for known in content.desired.agents} | {agent.agent_id: agent}
        self._change(content, agents=tuple(agents.values()))

    async def remove_agent(self, agent_id: str) -> None:
        content = self._read()
        self._change(content, agents=tuple(a for a in content.desired.agents if a.agent_id != agent_id))

    async def save_standby(self, count: int) -> None:
        self._change(self._read(), standby=count)

    async def save_phase(self, phase: str) -> None:
        self._change(self._read(), phase=phase)

    async def secret(self, name: str, fresh: str) -> str:
        content = self._read()
        if name not in content.secrets:
            self._write(content.model_copy(update={"secrets": {**content.secrets, name: fresh}}))
            return fresh
        return content.secrets[name]

    async def save_operation(self, operation: Operation) -> None:
        content = self._read()
        self._write(content.model_copy(update={"operations": {**content.operations, operation.id: operation}}))

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        found = self._read().operations.get(operation_id)
        if found is None or (tenant is not None and found.tenant != tenant):
            raise NotFound(f"there is no operation {operation_id}")
        return found

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]:
        found = [
            operation
            for operation in self._read().operations.values()
            if tenant in (None, operation.tenant) and not (open_only and operation.status not in ("pending", "running"))
        ]
        return sorted(found, key=lambda operation: operation.id, reverse=True)[:limit]

    def _change(self, content: _Content, **fields: object) -> None:
        self._write(content.model_copy(update={"desired": content.desired.model_copy(update=fields)}))

    def _read(self) -> _Content:
        if self._down.exists():
            raise StoreUnavailable("the store is down")
        return _Content.model_validate_json(self._path.read_bytes()) if self._path.exists() else _Content()

    def _write(self, content: _Content) -> None:
        if self._down.exists():
            raise StoreUnavailable("the store is down")
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(content.model_dump_json())
        fresh.replace(self._path)
