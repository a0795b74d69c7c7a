"""`DesiredStores` in JSON files: a fake for tests and benchmarks that outlives a killed controller."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.contracts.value import Value
from ossa.fleet.file_scaling import FileScaling
from ossa.fleet.json_file import JsonFile


class FileStores:
    """The fleet is in `path`, the scaling beside it: it is written each few seconds.

    One writer at a time; readers see whole files. While `<path>.down` exists every call raises `StoreUnavailable`.
    """

    def __init__(self, path: Path) -> None:
        down = path.with_name(path.name + ".down")
        self.fleet = FileFleetStore(path, down)
        self.scaling = FileScaling(path.with_name(path.name + ".scaling"), down)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class _Content(Value):
    desired: DesiredFleet = DesiredFleet()
    operations: Mapping[str, Operation] = Field(default_factory=dict)
    secrets: Mapping[str, str] = Field(default_factory=dict)


class FileFleetStore:
    """`FleetStore`."""

    def __init__(self, path: Path, down: Path) -> None:
        self._file = JsonFile(path, _Content(), down)

    async def load(self) -> DesiredFleet:
        return self._file.read().desired

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        content = self._file.read()
        saved = pool.model_copy(update={"revision": pool.revision + 1})
        pools = {known.name: known for known in content.desired.pools} | {pool.name: saved}
        self._change(content, pools=tuple(pools.values()))
        return saved

    async def save_agent(self, agent: DesiredAgent) -> None:
        content = self._file.read()
        agents = {known.agent_id: known for known in content.desired.agents} | {agent.agent_id: agent}
        self._change(content, agents=tuple(agents.values()))

    async def remove_agent(self, agent_id: str) -> None:
        content = self._file.read()
        self._change(content, agents=tuple(a for a in content.desired.agents if a.agent_id != agent_id))

    async def save_standby(self, count: int) -> None:
        self._change(self._file.read(), standby=count)

    async def save_phase(self, phase: str) -> None:
        self._change(self._file.read(), phase=phase)

    async def secret(self, name: str, fresh: str) -> str:
        content = self._file.read()
        if name not in content.secrets:
            self._file.write(content.model_copy(update={"secrets": {**content.secrets, name: fresh}}))
            return fresh
        return content.secrets[name]

    async def save_operation(self, operation: Operation) -> None:
        content = self._file.read()
        self._file.write(content.model_copy(update={"operations": {**content.operations, operation.id: operation}}))

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        found = self._file.read().operations.get(operation_id)
        if found is None or (tenant is not None and found.tenant != tenant):
            raise NotFound(f"there is no operation {operation_id}")
        return found

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]:
        found = [
            operation
            for operation in self._file.read().operations.values()
            if tenant in (None, operation.tenant) and not (open_only and operation.status not in ("pending", "running"))
        ]
        return sorted(found, key=lambda operation: operation.id, reverse=True)[:limit]

    def _change(self, content: _Content, **fields: object) -> None:
        self._file.write(content.model_copy(update={"desired": content.desired.model_copy(update=fields)}))
