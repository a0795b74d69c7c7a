"""Features of a request, and a snapshot of the fleet indexed once for many decisions."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ossa.contracts.fleet import POOL_ALIASES, AgentInfo, AgentState, FleetSnapshot
from ossa.contracts.task import NewTask, Target, Task, TaskRequest

READ_CHARACTERS = 4_000
"""Characters read of a message: routing has a time bound."""

CAPABILITIES_KEY = "ossa.capabilities"
"""Metadata key for the capabilities or tools that the agent must have, separated by commas."""

CHARACTERS_PER_TOKEN = 4
USUAL_ANSWER_TOKENS = 256
"""Estimate for requests that do not bound the answer."""

_WORD = re.compile(r"[^\W_]{2,32}")
_STOP_WORDS_TEXT = """
the and for with that this from are was what how can you your our its not but has have will would should
could an of to in on is it be as at by or if we me my do does did who when where why which all any please
about into agent agents use using used over more than then them they there their
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


@dataclass(frozen=True)
class RequestFeatures:
    """
    Attributes:
        words: the words of the last user message.
        text: that message, cut to `READ_CHARACTERS`.
        prompt_tokens, completion_tokens: estimates of one model call.
        needs: capabilities or tools that the request asks for.
        conversation: identifies the conversation that the request continues; empty if it begins one.
    """

    words: frozenset[str] = frozenset()
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = USUAL_ANSWER_TOKENS
    needs: frozenset[str] = frozenset()
    conversation: str = ""

    @classmethod
    def of(cls, messages: Iterable[Mapping[str, Any]]) -> RequestFeatures:
        text = last_user_text(messages)[:READ_CHARACTERS]
        return cls(words=words_of(text), text=text)

    @classmethod
    def of_request(cls, request: TaskRequest) -> RequestFeatures:
        text = last_user_text(request.messages)[:READ_CHARACTERS]
        characters = sum(len(_text(message.get("content"))) for message in request.messages)
        return cls(
            words=words_of(text),
            text=text,
            prompt_tokens=characters // CHARACTERS_PER_TOKEN,
            completion_tokens=_completion_tokens(request.parameters),
            needs=_needs(request.metadata),
            conversation=conversation_of(request.messages),
        )


def last_user_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """Returns the text of the last message with the role `user`, or its text parts."""
    text = ""
    for message in reversed(list(messages)):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return text


def words_of(text: str) -> frozenset[str]:
    """Returns lower-case words without the most frequent ones; a plural `s` is cut off."""
    words = _WORD.findall(text[:READ_CHARACTERS].lower())
    return frozenset(_stem(word) for word in words if word not in _STOP_WORDS)


def conversation_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Returns a digest of the first user message and the first answer, which stay while a conversation grows."""
    first = next((n for n, message in enumerate(messages) if message.get("role") == "user"), None)
    answer = next((message for message in messages[(first or 0) + 1 :] if message.get("role") == "assistant"), None)
    if first is None or answer is None:
        return ""
    beginning = [_text(message.get("content"))[:READ_CHARACTERS] for message in (messages[first], answer)]
    return hashlib.blake2b("\0".join(beginning).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _completion_tokens(parameters: Mapping[str, Any]) -> int:
    limit = parameters.get("max_completion_tokens") or parameters.get("max_tokens")
    return min(USUAL_ANSWER_TOKENS, limit) if isinstance(limit, int) and limit > 0 else USUAL_ANSWER_TOKENS


def _needs(metadata: Mapping[str, Any]) -> frozenset[str]:
    value = metadata.get(CAPABILITIES_KEY)
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
    return frozenset(name.strip() for name in names if isinstance(name, str) and name.strip())


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""


@dataclass(frozen=True)
class RoutingRequest:
    """The part of a task that decides which agent gets it."""

    target: Target
    features: RequestFeatures
    tenant: str

    @classmethod
    def of(cls, task: NewTask | Task) -> RoutingRequest:
        return cls.of_request(task.request, task.tenant)

    @classmethod
    def of_request(cls, request: TaskRequest, tenant: str) -> RoutingRequest:
        return cls(request.target, RequestFeatures.of_request(request), tenant)

    def fits(self, agent: AgentInfo) -> bool:
        """Whether a slot at this agent could serve the request."""
        if agent.tenant is not None and agent.tenant != self.tenant:
            return False
        name = self.target.name
        if self.target.kind == "pool":
            return POOL_ALIASES.get(name, name) == agent.pool
        return self.target.kind == "auto" or name in (agent.agent_id, agent.manifest)


HALF_FIT = 2.0
"""Sum of idf at which the fit by words is one half."""

SlotRow = tuple[AgentInfo, str, str, int]
"""(agent, agent_id, incarnation, slots). A plain tuple, because reading a model's fields dominates the hot loop."""


@dataclass(frozen=True)
class AgentGroup:
    """Agents of the same pool, manifest and tenant: they differ only in their headroom."""

    pool: str
    manifest: str
    tenant: str | None
    ready: tuple[SlotRow, ...]
    members: int
    """Ready, starting and draining agents."""
    description: str = ""
    skills: frozenset[str] = frozenset()
    """Capabilities and tools."""
    trust: float = 1.0

    @property
    def description_text(self) -> str:
        """Pool, manifest, description and skills as plain words."""
        return plain_words(self.pool, self.manifest, self.description, *sorted(self.skills))

    def visible_to(self, tenant: str) -> bool:
        return self.tenant is None or self.tenant == tenant


@dataclass(frozen=True)
class FleetIndex:
    """Groups of equal agents, and the words that lead to them."""

    groups: tuple[AgentGroup, ...]
    by_pool: dict[str, tuple[int, ...]]
    by_name: dict[str, tuple[int, ...]]
    """Positions of groups by agent id and manifest name."""
    words: dict[str, tuple[float, tuple[int, ...]]]
    """Word -> weight (idf) and positions of the groups that have it."""
    pools: tuple[str, ...]
    owned: dict[str, frozenset[int]]
    """Tenant -> positions of its own groups."""

    @classmethod
    def of(cls, snapshot: FleetSnapshot) -> FleetIndex:
        groups = _grouped(snapshot.agents)
        by_pool: dict[str, list[int]] = {pool.name: [] for pool in snapshot.pools}
        by_name: dict[str, dict[int, None]] = defaultdict(dict)
        for position, group in enumerate(groups):
            by_pool.setdefault(group.pool, []).append(position)
            by_name[group.manifest][position] = None
        places = {(group.pool, group.manifest, group.tenant): i for i, group in enumerate(groups)}
        for agent in snapshot.agents:
            by_name[agent.agent_id][places[(agent.pool, agent.manifest, agent.tenant)]] = None
        return cls(
            groups=groups,
            by_pool={name: tuple(positions) for name, positions in by_pool.items()},
            by_name={name: tuple(positions) for name, positions in by_name.items()},
            words=_words(groups),
            pools=tuple(by_pool),
            owned=_owned(groups),
        )

    def hidden_from(self, tenant: str) -> frozenset[int]:
        """Returns the positions of other tenants' groups."""
        others = [positions for owner, positions in self.owned.items() if owner != tenant]
        return frozenset().union(*others)

    def fits_by_words(self, features: RequestFeatures) -> list[float]:
        """Returns a fit in [0, 1] for each group by the words it shares with the request; empty if none shares any."""
        sums: dict[int, float] = {}
        for word in features.words:
            weight, positions = self.words.get(word, (0.0, ()))
            for position in positions:
                sums[position] = sums.get(position, 0.0) + weight
        fits = [0.0] * len(self.groups) if sums else []
        for position, total in sums.items():
            fits[position] = total / (total + HALF_FIT)
        return fits

    def pool_named(self, name: str) -> str | None:
        """The pool of that name or alias."""
        real = POOL_ALIASES.get(name, name)
        return real if real in self.by_pool else None


def plain_words(*names: str) -> str:
    """Joins names, with their separators read as spaces."""
    return " ".join(names).replace("_", " ").replace("-", " ").replace(".", " ")


def _grouped(agents: Iterable[AgentInfo]) -> tuple[AgentGroup, ...]:
    # Two versions of one manifest share a group: during a rolling replacement either may answer.
    members: dict[tuple[str, str, str | None], list[AgentInfo]] = defaultdict(list)
    for agent in agents:
        members[(agent.pool, agent.manifest, agent.tenant)].append(agent)
    return tuple(_group(pool, manifest, tenant, found) for (pool, manifest, tenant), found in members.items())


def _group(pool: str, manifest: str, tenant: str | None, found: list[AgentInfo]) -> AgentGroup:
    last = found[-1]
    return AgentGroup(
        pool=pool,
        manifest=manifest,
        tenant=tenant,
        ready=tuple(
            (agent, agent.agent_id, agent.incarnation, agent.slots)
            for agent in found
            if agent.state is AgentState.READY
        ),
        members=len(found),
        description=last.description,
        skills=frozenset((*last.capabilities, *last.tools)),
        trust=min(agent.trust for agent in found),
    )


def _owned(groups: tuple[AgentGroup, ...]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for position, group in enumerate(groups):
        if group.tenant is not None:
            found[group.tenant].add(position)
    return {tenant: frozenset(positions) for tenant, positions in found.items()}


def _words(groups: tuple[AgentGroup, ...]) -> dict[str, tuple[float, tuple[int, ...]]]:
    found: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        for word in words_of(group.description_text):
            found[word].append(position)
    return {word: (math.log(1 + len(groups) / len(positions)), tuple(positions)) for word, positions in found.items()}
