"""Read, convert and write OSSA manifests, whatever dialect they are in.

`load`, `loads` and `scan` give a reading a document (`Loaded`, `Rejected` or
`OtherKind`) and never raise for what a manifest says. `read_agent` and
`from_mapping` give the one agent or raise `ManifestError`. `dump` writes an
agent back. `catalogue` is the set that comes with the package.
"""

from ossa.manifest.dump import compose, digest, dump
from ossa.manifest.load import (
    SUFFIXES,
    Loaded,
    OtherKind,
    Reading,
    Rejected,
    catalogue,
    from_mapping,
    load,
    loads,
    read_agent,
    scan,
)

__all__ = [
    "SUFFIXES",
    "Loaded",
    "OtherKind",
    "Reading",
    "Rejected",
    "catalogue",
    "compose",
    "digest",
    "dump",
    "from_mapping",
    "load",
    "loads",
    "read_agent",
    "scan",
]
