"""The HTTP API, one file a resource. `/v1` speaks OpenAI's dialect, `/api/v1` our own with RFC 9457 problems."""
