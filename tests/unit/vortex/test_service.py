"""The compression service: an answer once its original is stored, and the same order answered from memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

import ossa.vortex.service as service_module
from ossa.contracts.compression import Compressed, CompressionOrder
from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.testing.stores import MemoryStores
from ossa.vortex.service import ENTRY_BYTES, CompressionService, key_of, recent_answers
from tests.support.clock import ManualClock

LOG = "\n".join(
    [*(f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(200)), "ERROR certificate expired"]
)
ORDER = CompressionOrder(content=LOG, question="what failed?")
BEGAN = datetime(2025, 6, 12, tzinfo=UTC)


class Worked:
    """Counts what was really compressed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._compress = service_module.compress
        monkeypatch.setattr(service_module, "compress", self)

    def __call__(self, *args: Any, **options: Any) -> Compressed:
        self.count += 1
        return self._compress(*args, **options)


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> Worked:
    return Worked(monkeypatch)


async def test_the_same_order_is_compressed_once(worked: Worked) -> None:
    service = CompressionService(MemoryStores().originals)
    first = await service.compress(ORDER, tenant="acme")
    assert await service.compress(CompressionOrder(**ORDER.model_dump()), tenant="acme") == first
    assert worked.count == 1


@pytest.mark.parametrize(
    "other",
    [
        {"content": LOG + "\n"},
        {"question": "who?"},
        {"reduction": 0.5},
        {"budget_tokens": 300},
        {"kind": "log"},
        {"floor": False},
        {"model": "gpt-4"},
        {"seen": LOG[:200]},
    ],
)
async def test_an_order_that_differs_in_anything_is_compressed_for_itself(
    worked: Worked, other: dict[str, Any]
) -> None:
    service = CompressionService(MemoryStores().originals)
    await service.compress(ORDER, tenant="acme")
    await service.compress(ORDER.model_copy(update=other), tenant="acme")
    assert worked.count == 2


async def test_a_tenant_cannot_tell_by_the_time_what_another_one_sent(worked: Worked) -> None:
    service = CompressionService(MemoryStores().originals)
    await service.compress(ORDER, tenant="acme")
    await service.compress(ORDER, tenant="other")
    assert worked.count == 2


async def test_an_answer_from_memory_has_its_original_kept_for_a_whole_lifetime_again() -> None:
    clock = ManualClock()
    service = CompressionService(MemoryStores().originals, lifetime=timedelta(days=7), now=clock.now)
    await service.compress(ORDER, tenant="acme")
    clock.advance(6 * 86_400)
    text = (await service.compress(ORDER, tenant="acme")).text
    clock.advance(6 * 86_400)
    assert await service.decompress(text, tenant="acme") == LOG
    clock.advance(2 * 86_400)
    with pytest.raises(NotFound):
        await service.decompress(text, tenant="acme")


async def test_there_is_no_answer_without_a_stored_original_not_even_from_memory() -> None:
    stores = MemoryStores()
    service = CompressionService(stores.originals)
    stores.go_down()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await service.compress(ORDER, tenant="acme")
    stores.come_back()
    text = (await service.compress(ORDER, tenant="acme")).text
    assert await service.decompress(text, tenant="acme") == LOG


async def test_what_was_not_shortened_is_not_stored() -> None:
    stores = MemoryStores()
    service = CompressionService(stores.originals)
    stores.go_down()  # any call would raise
    for _ in range(2):
        assert (await service.compress(CompressionOrder(content="short"), tenant="acme")).text == "short"


async def test_text_that_is_no_valid_unicode_is_answered_too() -> None:
    service = CompressionService(MemoryStores().originals)
    torn = CompressionOrder(content=f"\ud800{LOG}")
    found = await service.compress(torn, tenant="acme")
    assert await service.decompress(found.handles[0], tenant="acme") == torn.content


def answer(text: str) -> Compressed:
    return Compressed(text=text, tokens_before=9, tokens_after=1, fidelity=1.0)


def test_answers_in_memory_are_bounded_in_bytes_and_one_that_was_used_stays() -> None:
    recent = recent_answers(max_bytes=3 * (ENTRY_BYTES + 1500))
    keys = [key_of(CompressionOrder(content=str(number)), tenant="acme") for number in range(4)]
    for key in keys[:3]:
        recent.put(key, answer("x" * 1000), inf)
    assert recent.get(keys[0], 0.0) is not None
    recent.put(keys[3], answer("x" * 1000), inf)
    assert [recent.get(key, 0.0) is not None for key in keys] == [True, False, True, True]


def test_an_answer_over_the_bound_by_itself_drives_nothing_out() -> None:
    recent = recent_answers(max_bytes=2 * ENTRY_BYTES)
    small, large = (key_of(CompressionOrder(content=text), tenant="acme") for text in ("small", "large"))
    recent.put(small, answer("x"), inf)
    recent.put(large, answer("x" * 2 * ENTRY_BYTES), inf)
    assert recent.get(small, 0.0) is not None
    assert recent.get(large, 0.0) is None
