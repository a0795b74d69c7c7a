"""One client an endpoint in a process, so that turns share its connections."""

from __future__ import annotations

from ossa.contracts.configuration import Endpoint
from ossa.contracts.model import ModelClient
from ossa.models.client import OpenAIClient
from ossa.models.forced_tools import ForcedTools


class ModelClients:
    """Callable: endpoint -> its client, made on first use. Used in one event loop."""

    def __init__(self) -> None:
        self._clients: dict[str, ModelClient] = {}

    def __call__(self, endpoint: Endpoint) -> ModelClient:
        # Secrets are masked in an endpoint's JSON, so the key is part of the name here; it never leaves this dict.
        name = f"{endpoint.model_dump_json()}|{endpoint.api_key.get_secret_value()}"
        client: ModelClient | None = self._clients.get(name)
        if client is None:
            client = OpenAIClient(endpoint)
            if endpoint.forced_tools == "schema":
                client = ForcedTools(client)
            self._clients[name] = client
        return client

    async def close(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()
