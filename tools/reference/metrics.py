"""docs/metrics.md: every metric, from its definition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric

from tickfence.instrument import DEFAULT_VENUE
from tickfence.monitoring import (
    alerts_metrics,
    batch_metrics,
    dispatcher_metrics,
    ingest_metrics,
    node_metrics,
    recorder_metrics,
    web_metrics,
)
from tickfence.monitoring.registry import RoleRegistry

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

_HEAD = """\
# Metrics

Each process serves its own metrics at `/metrics` on `NT_METRICS_PORT`, in Prometheus' text format. [Monitoring](monitoring.md) says how to use them and what they cost. `make reference` writes this page from `tickfence/monitoring/`.

*Series* is the number of series that Prometheus stores for one process. It does not depend on the number of symbols. Every series exists from the start, with the value 0, except those of a label marked with `…`, whose values are not known in advance. Each process also has `process_*` (CPU, memory, files) and `python_*`.
"""

_ROLES = (
    ("node", "`celery -A tasks worker -Q node-001`, port 9101", node_metrics.registry),
    ("beat", "`celery -A tasks beat`, port 9111", dispatcher_metrics.registry),
    ("ingest", "`python -m ingest`, port 9121", ingest_metrics.registry),
    ("recorder", "`python -m tickfence.recorder`, port 9131", recorder_metrics.registry),
    ("alerts", "`python -m tickfence.alerts`, port 9151", alerts_metrics.registry),
    ("batch worker", "`celery -A tasks worker -Q node-001.batch`, port 9141", batch_metrics.registry),
    ("web server", "`tickfence web`, port 9161", web_metrics.registry),
)

# Metrics with labels whose values are not known in advance: each label and an example.
_OPEN = {
    "nt_node_heartbeat": {"node": "node-001"},
    "nt_symbols_assigned": {"node": "node-001"},
    "nt_section_failures": {"section": "pressure", "reason": "error"},
    "nt_section_off": {"section": "pressure"},
    "nt_ingest_rest_requests": {"venue": "binance", "outcome": "200"},
    "nt_web_requests": {"operation": "getReport", "status": "2xx"},
    "nt_web_latency_ms": {"operation": "getReport"},
    "nt_web_refused": {"reason": "token_needed"},
}


def page() -> str:
    """The page's text."""
    return _HEAD + "".join(_section(*role) for role in _ROLES)


def _section(role: str, command: str, registry: RoleRegistry) -> str:
    registry.begin(venue=DEFAULT_VENUE)
    families = list(own(registry))
    total = sum(_series(family) for family in families)
    rows = "".join(_row(family) for family in families)
    head = "| metric | type | labels | series | what it is |\n| --- | --- | --- | --: | --- |\n"
    return f"\n## {role.capitalize()}\n\n{command}; {total} series.\n\n{head}{rows}"


def own(registry: CollectorRegistry) -> Iterator[Metric]:
    """The metrics that tickfence defines, without those that every Python process has."""
    return (family for family in registry.collect() if family.name.startswith("nt_"))


def exposed(family: Metric) -> str:
    """The name of a metric in Prometheus."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def _row(family: Metric) -> str:
    return f"| `{exposed(family)}` | {family.type} | {_labels(family)} | {_series(family)} | {family.documentation} |\n"


def _labels(family: Metric) -> str:
    if family.name in _OPEN:
        return "; ".join(f"`{label}`: `{example}` …" for label, example in _OPEN[family.name].items())
    found: dict[str, set[str]] = defaultdict(set)
    for sample in family.samples:
        for label, value in sample.labels.items():
            found[label].add(value)
    found.pop("le", None)
    return "; ".join(
        f"`{label}`: {', '.join(f'`{value}`' for value in sorted(found[label]))}" + " …" * (label == "venue")
        for label in sorted(found)
    )


def _series(family: Metric) -> int:
    return 1 if family.name in _OPEN else len(family.samples)
