"""One file a field of `AgentSpec`: from the places where dialects keep it to its value. Pure."""
