"""Where memories of a kind lie, and how long they are kept, as data. Imported by the settings: it has to stay light."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ossa.contracts.value import Value

EVERY_KIND = "*"


class KindRules(Value):
    """Placement and retention of a kind, as data.

    Attributes:
        first: where a new item begins.
        within_s: recalls further apart than this do not add up.
        hot_uses: so many make an item hot.
        warm_uses: so many make a cold item warm again.
        hot_idle_s: a hot item that was not recalled for so long is warm again.
        warm_idle_s: a warm one is cold.
        keep_s: seconds after its last change that an item is forgotten; None: never.
    """

    first: Literal["hot", "warm"] = "warm"
    within_s: float = Field(3600, gt=0)
    hot_uses: int = Field(3, ge=1)
    warm_uses: int = Field(2, ge=1)
    hot_idle_s: float = Field(1800, gt=0)
    warm_idle_s: float = Field(30 * 86_400, gt=0)
    keep_s: float | None = Field(None, gt=0)


class KindSet(Value):
    """Some kinds, or all others."""

    names: tuple[str, ...]
    others: bool = False


class PlacementPolicy(Value):
    """Rules by kind; `*` for those without their own."""

    kinds: dict[str, KindRules] = Field(default_factory=lambda: {EVERY_KIND: KindRules()})

    def rules(self, kind: str) -> KindRules:
        return self.kinds.get(kind) or self.kinds.get(EVERY_KIND) or KindRules()

    def groups(self) -> list[tuple[KindSet, KindRules]]:
        """Every kind is in exactly one."""
        named = tuple(sorted(set(self.kinds) - {EVERY_KIND}))
        groups = [(KindSet(names=(kind,)), self.kinds[kind]) for kind in named]
        return [*groups, (KindSet(names=named, others=True), self.rules(EVERY_KIND))]
