"""Lines of Python and SQL by folder at a base commit and in the work tree, with deleted and moved lines told apart.

How a line of the base that is no longer where it was is classified:

1. Renames. `git diff -M` pairs a file that is gone with a new one of which at least half is equal. Lines that a renamed
   file keeps are *moved*.
2. Content. Every other removed line is looked up among the added lines of the whole repository (all `.py` and `.sql`
   files, so that a line that goes from `ossa` to `tests` is found). An equal one makes it *moved*; each added line is
   used once, one in the same folder first. Indentation does not count.
3. Short lines (under `SHORT` characters), blank lines and imports are equal by accident, so they share the fate of the
   line above them in their hunk. At the start of a hunk they are gone.
4. What is left is *gone*. Added lines that no removed line was matched with are *written*.

A changed line is one gone and one written, so lines *deleted* are `gone - written`: the lines that the code is shorter
by, without those that left it for other folders.
"""

from __future__ import annotations

import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SHORT = 12
SUFFIXES = (".py", ".sql")


@dataclass
class FolderLines:
    """Lines of one folder; `moved_out` and `moved_in` cross its border, `moved` stay within it."""

    before: int = 0
    now: int = 0
    moved: int = 0
    moved_out: int = 0
    moved_in: int = 0
    gone: int = 0
    written: int = 0

    @property
    def deleted(self) -> int:
        return self.gone - self.written

    def add(self, other: FolderLines) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class _Change:
    """One file of the diff. A renamed file has two names; `hunks` holds the removed and added lines of each hunk."""

    old: str = ""
    new: str = ""
    hunks: list[tuple[list[str], list[str]]] = field(default_factory=list)


def count_lines(
    base: str, folders: Iterable[str], *, suffix: str = ".py", root: Path = Path()
) -> dict[str, FolderLines]:
    """Lines by folder (`ossa` by its subfolders). Files that git does not track are not counted."""
    roots = tuple(folders)
    found: dict[str, FolderLines] = defaultdict(FolderLines)
    before, now = _sizes(base, suffix, root), _sizes(None, suffix, root)
    for path, size in before.items():
        if (folder := folder_of(path, roots)) is not None:
            found[folder].before += size
    for path, size in now.items():
        if (folder := folder_of(path, roots)) is not None:
            found[folder].now += size
    changes = _changes(base, root)
    for change in changes:
        source, target = folder_of(change.old, roots), folder_of(change.new, roots)
        if change.old != change.new and change.old.endswith(suffix) and change.new.endswith(suffix):
            kept = before.get(change.old, 0) - sum(len(removed) for removed, _ in change.hunks)
            _move(found, source, target, kept)
    changes = [change for change in changes if (change.new or change.old).endswith(suffix)]
    matching = _Matching(found, changes, roots)
    for change in changes:
        matching.remove(change)
    for change in changes:
        matching.add(change)
    return dict(sorted(found.items()))


def folder_of(path: str, roots: tuple[str, ...]) -> str | None:
    """`ossa/routing` for a file below `ossa/routing`, `lab` for one below `lab`; None outside `roots`."""
    parts = path.split("/")
    if not path or parts[0] not in roots:
        return None
    return "/".join(parts[:2]) if parts[0] == "ossa" and len(parts) > 2 else parts[0]


class _Matching:
    """Matches removed lines with added ones. Call `remove` for every change, then `add` for every change."""

    def __init__(self, found: dict[str, FolderLines], changes: list[_Change], roots: tuple[str, ...]) -> None:
        self._found = found
        self._roots = roots
        self._added: dict[str, Counter[str | None]] = defaultdict(Counter)
        self._sources: dict[tuple[str, str | None], list[str | None]] = defaultdict(list)
        for change in changes:
            target = folder_of(change.new, roots)
            for _, lines in change.hunks:
                for line in filter(_is_telling, lines):
                    self._added[line.strip()][target] += 1

    def remove(self, change: _Change) -> None:
        source = folder_of(change.old, self._roots)
        for lines, _ in change.hunks:
            moved, target = False, source
            for line in lines:
                if _is_telling(line):
                    moved, target = self._claim(line.strip(), source)
                if moved:
                    _move(self._found, source, target, 1, arrive=False)
                elif source is not None:
                    self._found[source].gone += 1

    def add(self, change: _Change) -> None:
        target = folder_of(change.new, self._roots)
        for _, lines in change.hunks:
            moved, source = False, target
            for line in lines:
                if _is_telling(line):
                    sources = self._sources[line.strip(), target]
                    moved = bool(sources)
                    source = sources.pop() if sources else target
                if target is None:
                    continue
                if not moved:
                    self._found[target].written += 1
                elif source != target:
                    self._found[target].moved_in += 1

    def _claim(self, line: str, source: str | None) -> tuple[bool, str | None]:
        """Takes one added line, of the same folder first. Returns whether there was one, and its folder."""
        targets = self._added[line]
        for target in (source, *targets):
            if targets.get(target, 0):
                targets[target] -= 1
                self._sources[line, target].append(source)
                return True, target
        return False, None


def _is_telling(line: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= SHORT and not stripped.startswith(("import ", "from "))


def _move(
    found: dict[str, FolderLines], source: str | None, target: str | None, lines: int, *, arrive: bool = True
) -> None:
    if source is not None and source == target:
        found[source].moved += lines
        return
    if source is not None:
        found[source].moved_out += lines
    if target is not None and arrive:
        found[target].moved_in += lines


def _changes(base: str, root: Path) -> list[_Change]:
    patterns = [f"*{suffix}" for suffix in SUFFIXES]
    text = _git(root, "diff", "-M", "-l0", "--unified=0", "--no-color", "--no-ext-diff", base, "--", *patterns)
    changes: list[_Change] = []
    in_hunk = False
    for line in text.split("\n"):
        if line.startswith("diff --git "):
            changes.append(_Change())
            in_hunk = False
        elif line.startswith("@@"):
            changes[-1].hunks.append(([], []))
            in_hunk = True
        elif in_hunk and line.startswith("-"):
            changes[-1].hunks[-1][0].append(line[1:])
        elif in_hunk and line.startswith("+"):
            changes[-1].hunks[-1][1].append(line[1:])
        elif line.startswith(("rename from ", "--- a/")):
            changes[-1].old = line.removeprefix("rename from ").removeprefix("--- a/")
        elif line.startswith(("rename to ", "+++ b/")):
            changes[-1].new = line.removeprefix("rename to ").removeprefix("+++ b/")
    return changes


def _sizes(commit: str | None, suffix: str, root: Path) -> dict[str, int]:
    """Lines of each tracked file: of a commit, or of the work tree."""
    if commit is None:
        paths = [path for path in _git(root, "ls-files").splitlines() if path.endswith(suffix)]
        return {path: (root / path).read_bytes().count(b"\n") for path in paths if (root / path).exists()}
    empty = _git(root, "hash-object", "-t", "tree", "/dev/null").strip()
    rows = _git(root, "diff", "--numstat", "--no-renames", empty, commit, "--", f"*{suffix}").splitlines()
    return {path: int(lines) for lines, _, path in (row.split("\t") for row in rows) if lines != "-"}


def _git(root: Path, *arguments: str) -> str:
    command = ("git", "-c", "core.quotepath=off", *arguments)
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, errors="replace").stdout
