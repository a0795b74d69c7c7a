"""One client an endpoint in a process, so that turns share its connections."""

from __future__ import annotations

from ossa.contracts.configuration import Endpoint
from ossa.models.client import OpenAIClient


class ModelClients:
    """Callable: endpoint -> its client, made on first use. Used in one event loop."""

    def __init__(self) -> None:
        self._clients: dict[str, OpenAIClient] = {}

    def __call__(self, endpoint: Endpoint) -> OpenAIClient:
        # Secrets are masked in an endpoint's JSON, so the key is part of the name here; it never leaves this dict.
        name = f"{endpoint.model_dump_json()}|{endpoint.api_key.get_secret_value()}"
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = OpenAIClient(endpoint)
        return client

    async def close(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()
