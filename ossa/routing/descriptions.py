"""What the agents of a fleet say of themselves, arranged for scoring."""

from __future__ import annotations

from ossa.routing.index import AgentGroup, FleetIndex
from ossa.routing.learned.agents import AgentMatcher, AgentTable


class Descriptions:
    """The last fleet's, arranged once for as long as they stay the same.

    To arrange them takes tens of milliseconds for hundreds of manifests, and an index is made anew whenever an agent
    comes or goes.
    """

    def __init__(self) -> None:
        self._of_group: dict[tuple[str, str, str | None], str] = {}
        self._latest: tuple[FleetIndex, list[str], AgentMatcher, AgentTable] | None = None

    def of(self, index: FleetIndex, matcher: AgentMatcher) -> AgentTable:
        """A row for each group of the index."""
        latest = self._latest
        if latest is not None and latest[0] is index and latest[2] is matcher:
            return latest[3]
        self._of_group = {_key(group): self._text(group) for group in index.groups}
        texts = [self._of_group[_key(group)] for group in index.groups]
        if latest is not None and latest[1] == texts and latest[2] is matcher:
            table = latest[3]
        else:
            table = AgentTable.of(texts, matcher)
        self._latest = index, texts, matcher, table
        return table

    def _text(self, group: AgentGroup) -> str:
        """While none of the group is ready, what was known of it: none is then asked."""
        if not group.seats:
            return self._of_group.get(_key(group), "")
        agent = group.seats[0][0]
        words = (group.pool, group.manifest, agent.description, *agent.capabilities, *agent.tools)
        return " ".join(words).replace("_", " ").replace("-", " ").replace(".", " ")


def _key(group: AgentGroup) -> tuple[str, str, str | None]:
    return group.pool, group.manifest, group.tenant
