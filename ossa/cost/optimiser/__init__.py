"""Proposals that make the fleet cheaper, each with its saving and its evidence. Pure: aggregates in, proposals out."""

from ossa.cost.optimiser.measured import Measured, measure
from ossa.cost.optimiser.proposal import Proposal
from ossa.cost.optimiser.proposals import Seen, propose

__all__ = ["Measured", "Proposal", "Seen", "measure", "propose"]
