"""WAL that was archived: names of segments; which are wanted, missing or of no more use; whether they are whole."""

from __future__ import annotations

import gzip
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ossa.contracts.backups import BackupDamaged, Base, Blobs, Reach, sealed, unsealed
from ossa.contracts.errors import NotFound
from ossa.contracts.value import Progress

_DEFLATED = b"\x1f\x8b"
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")


@dataclass(frozen=True, slots=True)
class Course:
    """The timelines that lead to one, oldest first, each with the LSN at which the next begins (None: it goes on)."""

    steps: tuple[tuple[int, int | None], ...]

    def holds(self, base: Base) -> bool:
        """Whether what the base is can be carried on along it."""
        return any(
            timeline == base.timeline and (end is None or lsn(base.stop_lsn) <= end) for timeline, end in self.steps
        )


def lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def is_segment(name: str) -> bool:
    return _SEGMENT.fullmatch(name) is not None


def history_of(name: str) -> int | None:
    """The timeline whose history a file is."""
    match = _HISTORY.fullmatch(name)
    return int(match[1], 16) if match else None


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    per_log = 2**32 // segment_bytes
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def segment_number(name: str, segment_bytes: int) -> int:
    """Returns the position of a segment in the WAL, whatever its timeline."""
    return int(name[8:16], 16) * (2**32 // segment_bytes) + int(name[16:24], 16)


def course_to(timeline: int, history: str) -> Course:
    """From a history file's text: a line a timeline, with where it was left."""
    steps: list[tuple[int, int | None]] = []
    for line in history.splitlines():
        parts = line.split()
        if len(parts) >= 2 and parts[0].isdigit():
            steps.append((int(parts[0]), lsn(parts[1])))
    return Course((*steps, (timeline, None)))


def wanted(
    base: Base, course: Course, names: Iterable[str], *, least: str | None = None, carried: bool = True
) -> tuple[list[str], str | None]:
    """The segments that carry a base on along the course, as far as there are any, and the first that is missing.

    None is missing where there is no later one: that is the end. It does not come before `least`, the last one that is
    known to have been there. `carried`: the base brings those that it began and ended in.
    """
    size = base.segment_bytes
    there = {name for name in names if is_segment(name)}
    segments: list[str] = []
    number = last_of(base) + 1 if carried else lsn(base.start_lsn) // size
    lasts = [segment_number(name, size) for name in there if _on(name, course, size)]
    if least is not None and int(least[:8], 16) == course.steps[-1][0]:
        lasts.append(segment_number(least, size))
    left = [end // size for _, end in course.steps if end is not None]
    while number <= max(lasts + left, default=-1):
        name = _name(number, course, size)
        if name not in there:
            return segments, name
        segments.append(name)
        number += 1
    return segments, None


def number_on(base: Base, name: str) -> int:
    return segment_number(name, base.segment_bytes) if is_segment(name) else -1


def last_of(base: Base) -> int:
    """Returns the position in the WAL of the segment that a base ended in."""
    return (lsn(base.stop_lsn) - 1) // base.segment_bytes


def unneeded(names: Sequence[str], kept: Sequence[Base]) -> list[str]:
    """Segments before the oldest kept base. Histories stay, and so does everything where nothing is kept."""
    if not kept:
        return []
    size = kept[0].segment_bytes
    oldest = min(lsn(base.start_lsn) // base.segment_bytes for base in kept)
    return [name for name in names if is_segment(name) and segment_number(name, size) < oldest]


def _name(number: int, course: Course, size: int) -> str:
    """Names a segment. The one in which a timeline is left is the new one's: the old one has abandoned records."""
    timeline = next(timeline for timeline, end in course.steps if end is None or number < end // size)
    return segment_name(timeline, number, size)


def _on(name: str, course: Course, size: int) -> bool:
    """Whether a segment belongs to the course. Those that an old timeline wrote after it was left do not."""
    return name == _name(segment_number(name, size), course, size)


class WalArchive(ABC):
    """The WAL that an engine archived, whatever it is kept in.

    Args:
        notes: has the note up to which time everything committed is archived, under the name `reach_file`.
        carried: bases bring the WAL that makes them consistent.
    """

    def __init__(self, notes: Blobs, reach_file: str, *, carried: bool) -> None:
        self._notes = notes
        self._reach_file = reach_file
        self._carried = carried

    @abstractmethod
    def _archived(self) -> Sequence[str]:
        """Names of the segments and histories that are whole."""

    @abstractmethod
    def _read(self, name: str) -> tuple[bytes, bytes]:
        """Returns a file as it lies in the archive, and the sha256 that was noted of it. Raises `NotFound`."""

    def reach(self) -> Reach | None:
        try:
            return unsealed(Reach, self._notes.get(self._reach_file))
        except NotFound:
            return None
        except ValueError as error:
            raise BackupDamaged(
                f"{self._reach_file} is damaged: the next round of the archive makes it anew. Until then restore a "
                "backup by its id.",
                param=self._reach_file,
            ) from error

    def current(self, bases: Sequence[Base]) -> Sequence[Base]:
        course = self._newest(self._archived())
        return [base for base in bases if course is None or course.holds(base)]

    def missing(self, base: Base) -> str | None:
        names = self._archived()
        return self._wanted(base, self._course(base, names), names)[1]

    def check(self, base: Base, progress: Progress) -> int:
        segments = self._whole(base)
        for name in segments:
            self._segment(name, base.segment_bytes)
        return len(segments)

    def _note_reach(self, reach: Reach) -> Reach:
        self._notes.put(self._reach_file, sealed(reach))
        return reach

    def _whole(self, base: Base) -> list[str]:
        """The segments that carry a base on to the archive's end. Raises `BackupDamaged` for a gap."""
        names = self._archived()
        segments, missing = self._wanted(base, self._course(base, names), names)
        if missing is not None:
            raise BackupDamaged(f"WAL segment {missing} is missing, and the archive went on.", param=missing)
        return segments

    def _wanted(self, base: Base, course: Course, names: Sequence[str]) -> tuple[list[str], str | None]:
        reach = self.reach()
        return wanted(base, course, names, least=reach.segment if reach else None, carried=self._carried)

    def _newest(self, names: Sequence[str]) -> Course | None:
        """The course to the newest timeline; None where there is no archive."""
        timelines = [timeline for name in names if (timeline := history_of(name))]
        timelines += [int(name[:8], 16) for name in names if is_segment(name)]
        return self._course_to(max(timelines), names) if timelines else None

    def _course(self, base: Base, names: Sequence[str]) -> Course:
        """The course to the newest timeline; for a base that does not lead there, to its own."""
        newest = self._newest(names)
        return newest if newest is not None and newest.holds(base) else self._course_to(base.timeline, names)

    def _course_to(self, timeline: int, names: Sequence[str]) -> Course:
        history = f"{timeline:08X}.history"
        return course_to(timeline, inflated(self._whole_file(history)).decode() if history in names else "")

    def _segment(self, name: str, size: int) -> bytes:
        """Returns a segment as the archive has it, deflated or not. Raises `BackupDamaged` where it is not whole."""
        data = self._whole_file(name)
        # A gzip ends with the length of what is in it.
        length = int.from_bytes(data[-4:], "little") if data.startswith(_DEFLATED) else len(data)
        if length != size:
            raise BackupDamaged(f"WAL segment {name} has {length} bytes, not {size}.", param=name)
        return data

    def _whole_file(self, name: str) -> bytes:
        """Returns a segment or a history as it lies in the archive. Raises `BackupDamaged` for what was not written."""
        try:
            data, digest = self._read(name)
        except NotFound as error:
            raise BackupDamaged(f"WAL segment {name} is missing.", param=name) from error
        if hashlib.sha256(data).hexdigest().encode() != digest:
            raise BackupDamaged(f"WAL segment {name} is damaged: its sha256 is another one.", param=name)
        return data


def inflated(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(_DEFLATED) else data
