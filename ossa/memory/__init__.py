"""The memory of agents and programs: three tiers of copies behind one catalogue (docs/decisions/0018-memory.md)."""
