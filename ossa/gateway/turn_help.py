"""What a turn may ask of its owner, and how it is answered."""

from __future__ import annotations

import asyncio

from ossa.contracts.compression import Compressor
from ossa.contracts.errors import NotReady
from ossa.contracts.turn import Answer, Ask


class TurnHelp:
    """One a replica. Raises what the service that was asked raises; `NotReady` where there is none."""

    def __init__(self, compressor: Compressor | None) -> None:
        self._compressor = compressor

    async def answer(self, ask: Ask, *, tenant: str) -> Answer:
        if self._compressor is None:
            raise NotReady("this gateway has no compression service")
        if ask.original:
            return Answer(original=await self._compressor.decompress(ask.original, tenant=tenant))
        found = await asyncio.gather(*(self._compressor.compress(order, tenant=tenant) for order in ask.compress))
        return Answer(compressed=tuple(found))
