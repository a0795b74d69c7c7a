"""Driver errors become ours, here alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from obstore.exceptions import BaseError

from ossa.contracts.errors import StoreUnavailable

RETRY_AFTER_S = 1.0


@asynccontextmanager
async def translated(answer_s: float) -> AsyncIterator[None]:
    """Raises `StoreUnavailable` for whatever the driver raises, and after `answer_s`. Its message holds no key."""
    try:
        async with asyncio.timeout(answer_s):
            yield
    except TimeoutError as error:
        raise StoreUnavailable("The object storage did not answer in time.", retry_after_s=RETRY_AFTER_S) from error
    except (BaseError, OSError, ValueError) as error:
        said = f"The object storage is unavailable ({type(error).__name__})."
        raise StoreUnavailable(said, retry_after_s=RETRY_AFTER_S) from error
