"""A document of a backup is what was written, or it is refused."""

from __future__ import annotations

import pytest

from ossa.contracts.backups import Reach, sealed, unsealed
from tests.unit.backups.test_retention import NOW

REACH = Reach(until=NOW, timeline=1, segment="0" * 24)


def test_what_was_written_is_read() -> None:
    assert unsealed(Reach, sealed(REACH)) == REACH


@pytest.mark.parametrize("bit", range(8))
def test_one_bit_that_changed_is_refused_or_changes_nothing(bit: int) -> None:
    data = sealed(REACH)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
        try:
            found = unsealed(Reach, changed)
        except ValueError:
            continue
        assert found == REACH  # blank space


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", REACH.model_dump_json().encode()])
def test_what_is_no_such_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        unsealed(Reach, data)
