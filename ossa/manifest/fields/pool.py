"""The pool a manifest asks for, or the one its domain belongs in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ossa.contracts.fleet import POOL_ALIASES, POOLS
from ossa.manifest.layout import Keys
from ossa.manifest.place import Place

_DOMAINS: dict[str, str] = {
    **dict.fromkeys(
        ("infrastructure", "devops", "development", "integration", "optimization", "performance", "api"), "foundation"
    ),
    **dict.fromkeys(("cicd", "platform", "testing", "frontend", "backend", "engineering", "worker"), "foundation"),
    **dict.fromkeys(("security", "compliance", "audit", "trust", "incident", "validation", "risk"), "security"),
    **dict.fromkeys(("vulnerability", "moderation", "healer", "monitor", "auditor"), "security"),
    **dict.fromkeys(("data", "analytics", "analysis", "research", "ml", "ai", "intelligence"), "intelligence"),
    **dict.fromkeys(("cost", "finops", "knowledge", "cognitive", "trainer", "reasoning", "analyst"), "intelligence"),
    **dict.fromkeys(("governance", "policy", "coordination", "orchestration", "federation"), "federation"),
    **dict.fromkeys(("orchestrator", "communication", "governor", "workflow", "collaboration"), "federation"),
    **dict.fromkeys(("documentation", "marketplace", "community", "education", "onboarding", "support"), "community"),
    **dict.fromkeys(("certification", "customer", "content", "sales", "marketing"), "community"),
}
_WORD = re.compile(r"[a-z]+")


def read_pool(root: Place, pools: Sequence[Keys], domains: Sequence[Keys]) -> str | None:
    """The pool that is named, else the first domain word that is known, else None (any pool)."""
    for path in pools:
        name = root.at(*path).text_or("").lower()
        name = POOL_ALIASES.get(name, name)
        if name in POOLS:
            return name
    for path in domains:
        for text in _texts(root.at(*path)):
            for word in _WORD.findall(text.lower().replace("ci-cd", "cicd")):
                if word in _DOMAINS:
                    return _DOMAINS[word]
    return None


def _texts(place: Place) -> list[str]:
    return [item.text_or("") for item in place.items() or [place]]
