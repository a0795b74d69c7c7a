"""The desired fleet, its samples and decisions, and API keys in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ossa.contracts.access import ApiKey
from ossa.contracts.errors import Conflict, NotFound
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.contracts.scaling import PoolSample, ScaleDecision, peaks_of
from ossa.stores import store_facts
from ossa.stores.checks import as_json
from ossa.testing.stores.facts import MemoryFacts
from ossa.testing.stores.gate import Gate, Gated


class MemoryFleet(Gated):
    """`ossa.contracts.stores.FleetStore`. Pools and agents come sorted by name, operations newest first."""

    def __init__(self, gate: Gate, facts: MemoryFacts) -> None:
        self._gate = gate
        self._facts = facts
        self._configurations: dict[str, dict[str, str]] = {}
        self._pools: dict[str, DesiredPool] = {}
        self._agents: dict[str, DesiredAgent] = {}
        self._standby = 0
        self._phase: str | None = None
        self._secrets: dict[str, str] = {}
        self.saved_operations: dict[str, Operation] = {}
        """For tests: readable without waiting, and while the store is down."""

    async def load(self) -> DesiredFleet:
        return DesiredFleet(
            pools=tuple(self._pools[name] for name in sorted(self._pools)),
            agents=tuple(self._agents[agent_id] for agent_id in sorted(self._agents)),
            standby=self._standby,
            phase=self._phase,
        )

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        known = self._pools.get(pool.name)
        revision = max(pool.revision, known.revision if known else 0) + 1
        self._pools[pool.name] = pool.model_copy(update={"revision": revision}, deep=True)
        if known is None or (known.size, known.manifests) != (pool.size, pool.manifests):
            self._facts.add_facts([store_facts.of_pool(pool)])
        return self._pools[pool.name]

    async def save_agent(self, agent: DesiredAgent) -> None:
        if self._agents.get(agent.agent_id) != agent:
            self._agents[agent.agent_id] = agent.model_copy(deep=True)
            self._facts.add_facts([store_facts.of_declared(agent)])

    async def remove_agent(self, agent_id: str) -> None:
        gone = self._agents.pop(agent_id, None)
        if gone is not None:
            self._facts.add_facts([store_facts.of_withdrawn(agent_id, gone.tenant)])

    async def save_standby(self, count: int) -> None:
        if count != self._standby:
            self._standby = count
            self._facts.add_facts([store_facts.of_standby(count)])

    async def save_phase(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            self._facts.add_facts([store_facts.of_phase(phase)])

    async def secret(self, name: str, fresh: str) -> str:
        return self._secrets.setdefault(name, fresh)

    async def note_configuration(self, part: str, settings: Mapping[str, str], *, version: str) -> list[str]:
        changed = store_facts.changed_settings(self._configurations.get(part), settings)
        self._configurations[part] = dict(settings)
        if changed:
            self._facts.add_facts([store_facts.of_configuration(part, changed, version)])
        return changed

    async def save_operation(self, operation: Operation) -> None:
        known = self.saved_operations.get(operation.id)
        if known is None or known.status != operation.status:
            self._facts.add_facts([store_facts.of_operation(operation)])
        self.saved_operations[operation.id] = operation.model_copy(deep=True)

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        found = self.saved_operations.get(operation_id)
        if found is None or (tenant is not None and found.tenant != tenant):
            raise NotFound(f"There is no operation {operation_id}.")
        return found

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]:
        found = [
            operation
            for operation in self.saved_operations.values()
            if (tenant is None or operation.tenant == tenant)
            and (not open_only or operation.status in ("pending", "running"))
        ]
        return sorted(found, key=lambda operation: operation.id, reverse=True)[:limit]


class MemoryKeys(Gated):
    """`ossa.contracts.stores.KeyStore`. A key's id and its secret are both unique."""

    def __init__(self, gate: Gate, facts: MemoryFacts) -> None:
        self._gate = gate
        self._facts = facts
        self._keys: dict[str, ApiKey] = {}
        self._ids: dict[bytes, str] = {}

    async def add(self, key: ApiKey, *, secret_sha256: bytes) -> None:
        """Adding the same key again is a no-op. Raises `Conflict` when the id or the secret is another's."""
        known = self._ids.get(secret_sha256)
        if known is None and key.id not in self._keys:
            self._keys[key.id] = key
            self._ids[secret_sha256] = key.id
            self._facts.add_facts([store_facts.of_key(key)])
        elif known != key.id or self._keys[key.id].tenant != key.tenant:
            raise Conflict(f"A key {key.id} exists already.")

    async def find(self, secret_sha256: bytes) -> ApiKey | None:
        known = self._ids.get(secret_sha256)
        return self._keys[known] if known else None

    async def keys(self, *, tenant: str | None = None) -> list[ApiKey]:
        found = [key for key in self._keys.values() if tenant is None or key.tenant == tenant]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str, *, at: datetime, tenant: str | None = None) -> ApiKey:
        key = self._keys.get(key_id)
        if key is None or (tenant is not None and key.tenant != tenant):
            raise NotFound(f"There is no key {key_id}.")
        if key.revoked_at is None:
            self._keys[key_id] = key.model_copy(update={"revoked_at": at})
            self._facts.add_facts([store_facts.of_revoked_key(key_id, key.tenant)])
        return self._keys[key_id]


class MemoryScaling(Gated):
    """`ossa.contracts.scaling.ScalingStore`. No call changes anything across an await, so each is atomic."""

    def __init__(self, gate: Gate, facts: MemoryFacts) -> None:
        self._gate = gate
        self._facts = facts
        self._samples: dict[tuple[datetime, str], PoolSample] = {}
        self._decisions: dict[datetime, bytes] = {}
        self._state: str | None = None

    async def add_samples(self, samples: Sequence[PoolSample]) -> None:
        self._samples.update({(sample.at, sample.pool): sample for sample in samples})

    async def samples(
        self, *, since: datetime, until: datetime | None = None, pools: Sequence[str] | None = None
    ) -> list[PoolSample]:
        return [
            self._samples[at, pool]
            for at, pool in sorted(self._samples)
            if since <= at and (until is None or at < until) and (pools is None or pool in pools)
        ]

    async def peaks(self, *, since: datetime) -> dict[str, float]:
        return peaks_of([sample for (at, _), sample in self._samples.items() if at >= since])

    async def prune(self, *, before: datetime) -> int:
        kept = {key: sample for key, sample in self._samples.items() if key[0] >= before}
        decisions = {at: body for at, body in self._decisions.items() if at >= before}
        removed = len(self._samples) - len(kept) + len(self._decisions) - len(decisions)
        self._samples, self._decisions = kept, decisions
        return removed

    async def add_decision(self, decision: ScaleDecision) -> None:
        self._decisions[decision.at] = as_json(decision)
        fact = store_facts.of_decision(decision)
        if fact is not None:
            self._facts.add_facts([fact])

    async def decisions(self, *, limit: int = 50, before: datetime | None = None) -> list[ScaleDecision]:
        newest = sorted((at for at in self._decisions if before is None or at < before), reverse=True)
        return [ScaleDecision.model_validate_json(self._decisions[at]) for at in newest[:limit]]

    async def save_state(self, state: str) -> None:
        self._state = state

    async def state(self) -> str | None:
        return self._state
