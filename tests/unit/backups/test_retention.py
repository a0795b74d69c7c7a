"""What may go, and what never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ossa.backups.schedule import base_for, expired, is_due, unneeded_objects
from ossa.contracts.backups import BackupSet, Base, Blob

NOW = datetime(2026, 11, 28, tzinfo=UTC)
KEEP = 30.0


def made(age_h: float, number: int = 0) -> BackupSet:
    ended = NOW - timedelta(hours=age_h)
    base = Base(
        engine="embedded",
        reference=f"{number}",
        server_version=180004,
        schema_version=8,
        system_id="1",
        timeline=1,
        start_lsn="0/1000000",
        stop_lsn="0/1000100",
        started_at=ended - timedelta(minutes=1),
        ended_at=ended,
        size=1,
    )
    return BackupSet(
        id=f"{number}",
        started_at=ended - timedelta(minutes=2),
        ended_at=ended,
        ossa_version="0",
        base=base,
        objects=0,
        objects_bytes=0,
        files=(),
    )


ages = st.lists(st.floats(0, 2000), max_size=30, unique=True)


@given(ages, st.floats(0, KEEP * 24))
def test_every_time_of_the_window_that_could_be_restored_still_can_be(ages_h: list[float], back_h: float) -> None:
    sets = [made(age, number) for number, age in enumerate(ages_h)]
    gone = expired(sets, now=NOW, keep_days=KEEP)
    kept = [one for one in sets if one not in gone]
    at = NOW - timedelta(hours=back_h)
    assert base_for(kept, at) == base_for(sets, at)


@given(ages)
def test_the_last_one_stays_however_old_and_of_those_before_the_window_one_at_most(ages_h: list[float]) -> None:
    sets = [made(age, number) for number, age in enumerate(ages_h)]
    gone = expired(sets, now=NOW, keep_days=KEEP)
    kept = [one for one in sets if one not in gone]
    if sets:
        assert max(sets, key=lambda one: one.ended_at) in kept
    assert sum(one.ended_at < NOW - timedelta(days=KEEP) for one in kept) <= 1


@given(ages, st.lists(st.tuples(st.floats(0, 2000), st.booleans()), max_size=20))
def test_an_object_goes_only_when_no_kept_set_lists_it_and_it_is_older_than_all(
    ages_h: list[float], objects: list[tuple[float, bool]]
) -> None:
    kept = [made(age, number) for number, age in enumerate(ages_h)]
    there = [
        Blob(path=f"objects/{number}", size=1, modified=NOW - timedelta(hours=age))
        for number, (age, _) in enumerate(objects)
    ]
    listed = {blob.path for blob, (_, of_a_set) in zip(there, objects, strict=True) if of_a_set}
    gone = set(unneeded_objects(there, listed, kept))
    assert not gone & listed
    for blob in there:
        before_all = bool(kept) and all(blob.modified < one.started_at for one in kept)
        assert (blob.path in gone) == (before_all and blob.path not in listed)


def test_a_backup_is_due_when_there_is_none_or_the_last_one_is_old() -> None:
    assert is_due(None, now=NOW, every_hours=24)
    assert is_due(NOW - timedelta(hours=24), now=NOW, every_hours=24)
    assert not is_due(NOW - timedelta(hours=23.9), now=NOW, every_hours=24)
