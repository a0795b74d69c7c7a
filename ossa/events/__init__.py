"""Events on their way: from the outbox to the bus, from the bus to who handles them, and what becomes of the rest."""
