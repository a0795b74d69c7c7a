"""Model endpoints: the client of any OpenAI-compatible API, the tiers, and the embedded model."""
