"""Writes docs/metrics.md from the declared metrics: `python -m scripts.metrics`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import ossa
from ossa.observability import MetricSpec, all_metrics

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
HEAD = """\
# Metrics

Made by `python -m scripts.metrics` from the declarations in the code; do not edit it by hand.
`gateway` is `GET /metrics` of the gateway, whose series all carry the label `replica`; `ray` is Ray's own endpoint.

| Metric | Kind | Unit | Labels and their bounds | Says | Endpoint | Declared in |
|---|---|---|---|---|---|---|
"""


def import_groups() -> None:
    """Imports every module that declares metrics."""
    for module in walk_packages(ossa.__path__, "ossa."):
        path = Path(ossa.__path__[0], *module.name.split(".")[1:])
        source = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if "(MetricGroup" in source.read_text():
            import_module(module.name)


def page() -> str:
    import_groups()
    rows = [
        f"| `{spec.name}` | {spec.kind} | {spec.unit} | {_labels(spec)} | {spec.help} | {group.endpoint} "
        f"| `{group.__module__}` |"
        for group, spec in all_metrics()
        if group.__module__.startswith("ossa.")
    ]
    return HEAD + "\n".join(rows) + "\n"


def _labels(spec: MetricSpec) -> str:
    return "<br>".join(
        f"`{label}`: {', '.join(bound) if isinstance(bound, tuple) else bound}" for label, bound in spec.labels.items()
    )


if __name__ == "__main__":
    PAGE.write_text(page())
