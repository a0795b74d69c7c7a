"""How the embedded server hands over WAL that is finished."""

from __future__ import annotations

import shlex
from pathlib import Path


def archive_command(folder: Path) -> str:
    """Copies a segment into the folder, whole or not at all and forced to the disk; nothing while there is no folder.

    So making and removing the folder is all it takes to begin and to end. A segment that is there already is not
    written again: it is the same, from before a crash.
    """
    there = shlex.quote(str(folder)).replace("%", "%%")
    return (
        f'if test -d {there}; then test -f {there}/"%f" || {{ cp "%p" {there}/"%f.part" && '
        f'sync {there}/"%f.part" && mv {there}/"%f.part" {there}/"%f" && sync {there}; }}; fi'
    )
