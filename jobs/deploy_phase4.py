"""Deploy the fleet on a cluster as a Ray job; the fleet outlives the job.

    ray job submit --working-dir . -- python jobs/deploy_phase4.py --agents 20

Exit code 0 when every pool has its agents and every example request was answered, else 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy phase4-enterprise-analytics on the cluster this job runs on.")
    parser.add_argument("--agents", type=_positive, default=None, help="agents in all; else what the cluster carries")
    parser.add_argument("--phase", default="phase4-enterprise-analytics")
    parser.add_argument("--no-examples", action="store_true", help="do not send the example requests")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    sys.path.insert(0, str(ROOT))  # with --working-dir the package is a folder beside this file, not installed
    from ossa.app.cluster_fleet import ClusterFleet
    from ossa.cli.terminal import Terminal
    from ossa.cli.up import bring_up, show
    from ossa.contracts.errors import OssaError
    from ossa.settings import Settings

    settings = Settings().model_copy(update={"phase": options.phase})
    terminal = Terminal(as_json=options.json)
    try:
        report = bring_up(ClusterFleet(settings, agents=options.agents), terminal, examples=not options.no_examples)
    except OssaError as error:
        terminal.error(error)
        return 1
    show(report, terminal)
    return 0 if report.ok else 1


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
