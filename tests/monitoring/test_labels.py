"""The labels that alerts and dashboards ask for are there: a value that no series has selects nothing, for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.monitoring.dashboards import PAGES, expressions, load
from tests.monitoring.promql import grouped, labels, matchers, names
from tests.monitoring.test_alerts import RULES

OPEN = {"node", "instance", "outcome"}  # labels whose values are not known before
OF_PROMETHEUS = {"ALERTS": {"alertstate": {"firing", "pending"}}}


def asked() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every alert and every panel."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for page in PAGES:
        for title, expression in expressions(load(page), "20s"):
            yield f"{page.stem}, {title}", expression


EXPRESSIONS = list(asked())


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_each_label_and_its_value_is_there(where: str, expression: str) -> None:
    for metric, label, operator, value in matchers(expression):
        there = OF_PROMETHEUS.get(metric) or labels(metric)
        assert label in there or label in OPEN, f"{where}: {metric} has no {label}"
        if label in OPEN:
            continue
        found = re.compile(value).fullmatch if "~" in operator else value.__eq__
        assert any(found(one) for one in there[label]), f"{where}: no {metric} has {label} {operator} {value}"
    known = OPEN.union(*(labels(metric) for metric in names(expression)))
    assert grouped(expression) <= known, where


def test_they_are_found_in_an_expression() -> None:
    found = 'sum by (le, a) (rate(b{c="d", e!~"f|g"}[1m])) > on (h) i'
    assert list(matchers(found)) == [("b", "c", "=", "d"), ("b", "e", "!~", "f|g")]
    assert grouped(found) == {"le", "a", "h"}
    assert "2000.0" in labels("nt_data_age_ms_bucket")["le"]
