"""Which metrics a PromQL expression names, and which there are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tickfence.monitoring import (
    alerts_metrics,
    batch_metrics,
    dispatcher_metrics,
    ingest_metrics,
    node_metrics,
    recorder_metrics,
    web_metrics,
)
from tools.reference import metrics

_ROLES = (
    node_metrics,
    dispatcher_metrics,
    ingest_metrics,
    recorder_metrics,
    batch_metrics,
    alerts_metrics,
    web_metrics,
)


for _operation in ("getReport", "getReadiness"):
    web_metrics.registry.begin(operation=_operation)

_KEYWORDS = {"and", "bool", "by", "group_left", "group_right", "ignoring", "offset", "on", "or", "unless", "without"}

# Strings, label matchers, ranges, and the lists of labels after by, on and the like.
_NOT_METRICS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)'
)


def names(expression: str) -> set[str]:
    """The metrics named in an expression, as far as this system's expressions go."""
    bare = _NOT_METRICS.sub(" ", _NOT_METRICS.sub(" ", expression))
    return {word for word in re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare) if word not in _KEYWORDS}


def matchers(expression: str) -> Iterator[tuple[str, str, str, str]]:
    """(metric, label, operator, value) of each label matcher in an expression."""
    for metric, listed in re.findall(r"\b([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', listed):
            yield metric, label, operator, value


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups or joins by."""
    lists = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression)
    return {label.strip() for listed in lists for label in listed.split(",") if label.strip()}


def labels(metric: str) -> dict[str, set[str]]:
    """Label -> its values there are from the start, of the series of this name; with those that Prometheus adds."""
    found: dict[str, set[str]] = {"instance": set(), "job": {"node", "beat", "ingest", "recorder", "batch", "web"}}
    for module in _ROLES:
        for family in module.registry.collect():
            for sample in family.samples:
                if sample.name == metric:
                    for label, value in sample.labels.items():
                        found.setdefault(label, set()).add(value)
    return found


def exposed() -> set[str]:
    """The names of all series that the roles serve, and of those that Prometheus adds."""
    found = {"up"}
    for module in _ROLES:
        for family in module.registry.collect():
            found |= {sample.name for sample in family.samples} or {metrics.exposed(family)}
    return found
