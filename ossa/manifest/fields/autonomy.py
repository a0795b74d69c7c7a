"""How far an agent may act without a person."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.contracts.agent_spec import Autonomy
from ossa.manifest.layout import Keys
from ossa.manifest.place import Place

_LEVELS: dict[str, Autonomy] = {
    **dict.fromkeys(("autonomous", "full", "fully_autonomous", "high", "unsupervised"), "autonomous"),
    **dict.fromkeys(("semi_autonomous", "semi", "medium", "collaborative", "partial"), "semi_autonomous"),
    **dict.fromkeys(
        ("supervised", "assisted", "manual", "low", "none", "human_in_the_loop", "hitl", "advisory"), "supervised"
    ),
}
_APPROVALS = ("approval_required", "approvalRequired", "humanApproval", "human_approval")


def read_autonomy(root: Place, paths: Sequence[Keys]) -> Autonomy:
    """The first level that is known; without one, `supervised` where all actions want approval.

    Unknown levels are kept in the document and read as unspecified.
    """
    for path in paths:
        place = root.at(*path)
        for spot in (place.at("level"), place.at("mode"), place):
            word = spot.text_or("").lower().replace("-", "_").replace(" ", "_")
            if word in _LEVELS:
                return _LEVELS[word]
        if any(place.at(key).value is True for key in _APPROVALS):
            return "supervised"
    return "unspecified"
