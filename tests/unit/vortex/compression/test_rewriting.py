"""`reduction=0`: nothing is left out; JSON is written with less around it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ossa.vortex import MemoryOriginals, compress, decompress

RESERVATION = {
    "reservation_id": "SI5UKW",
    "origin": "SFO",
    "passengers": [{"first_name": "Mia", "last_name": "Li"}, {"first_name": "Raj", "last_name": "Rossi"}],
    "payment_history": [{"payment_id": "certificate_7504069", "amount": 250}],
    "flights": [{"flight_number": "HAT136", "date": "2024-05-20", "price": 152}] * 3,
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def test_every_value_is_still_there() -> None:
    content = json.dumps(RESERVATION)
    found = compress(content, reduction=0)
    assert found.tokens_after < 0.9 * found.tokens_before
    assert not found.dropped
    for value in ("SI5UKW", "SFO", "Mia", "Rossi", "certificate_7504069", "250", "HAT136", "2024-05-20", "152"):
        assert value in found.text


def test_prose_and_logs_stay_as_they_are() -> None:
    for content in ("One thing. Another thing. " * 30, "INFO a\nINFO b\nERROR c\n" * 30):
        assert compress(content, reduction=0).text == content


@given(values)
def test_it_is_never_longer_and_comes_back(value: object) -> None:
    content = json.dumps(value)
    originals = MemoryOriginals()
    found = compress(content, reduction=0, originals=originals)
    assert found.tokens_after <= found.tokens_before
    assert not found.dropped
    assert decompress(found.text, originals) == content
