"""Deploy the fleet on a cluster as a Ray job; the fleet outlives the job.

    ray job submit --working-dir . -- python jobs/deploy_phase4.py --agents 20

Exit code 0 when every pool has its agents and every example request was answered; 2 when a setting is wrong; else 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST, MOST = 5, 10_000


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy phase4-enterprise-analytics on the cluster this job runs on.")
    parser.add_argument(
        "--agents", type=_size, default=None, help="agents in all, 5 to 10000; else what the cluster carries"
    )
    parser.add_argument("--phase", default="phase4-enterprise-analytics")
    parser.add_argument("--no-examples", action="store_true", help="do not send the example requests")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    sys.path.insert(0, str(ROOT))  # with --working-dir the package is a folder beside this file, not installed
    from ossa.cli.terminal import Terminal, exit_code_of
    from ossa.cli.up import bring_up, show
    from ossa.contracts.errors import OssaError
    from ossa.settings import Settings

    terminal = Terminal(as_json=options.json)
    try:
        settings = Settings().model_copy(update={"phase": options.phase})
        from ossa.app.cluster_fleet import ClusterFleet  # brings Ray: not for settings that cannot be used

        fleet = ClusterFleet(settings, agents=options.agents, progress=terminal.note)
        report = bring_up(fleet, terminal, examples=not options.no_examples)
    except OssaError as error:
        terminal.error(error)
        return exit_code_of(error)
    show(report, terminal)
    return 0 if report.ok else 1


def _size(text: str) -> int:
    """One agent a pool is the least. The package cannot be imported yet: its numbers are repeated here."""
    if not (text.isdecimal() and LEAST <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {LEAST} to {MOST}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
