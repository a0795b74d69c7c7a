"""What agents and programs remember: three tiers of copies behind one catalogue (docs/decisions/0018-memory.md)."""
