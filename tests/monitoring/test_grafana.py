"""The Grafana dashboards: whole, provisioned, and made of metrics that exist."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.dashboards import GRAFANA, PAGES, expressions, load
from tests.monitoring.promql import exposed, names
from tests.monitoring.promtool import promtool

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_there_is_an_overview_and_one_of_each_role_that_works_on_data() -> None:
    assert [page.stem for page in PAGES] == ["ingest", "node", "overview", "recorder", "web"]
    assert len({load(page)["uid"] for page in PAGES}) == len(PAGES)


def test_they_and_their_data_source_are_provisioned() -> None:
    folder = GRAFANA / "provisioning"
    [provider] = yaml.safe_load((folder / "dashboards" / "tickfence.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["uid"], source["url"]) == ("prometheus", "prometheus", "http://prometheus:9090")


@each_page
def test_every_query_asks_the_provisioned_data_source(page: Path) -> None:
    board = load(page)
    asked = [query["datasource"] for panel in board["panels"] for query in [*panel.get("targets", [])]]
    asked += [one["datasource"] for one in [*board["templating"]["list"], *board["annotations"]["list"]]]
    assert asked
    assert all(one == {"type": "prometheus", "uid": "prometheus"} for one in asked)


@each_page
def test_panels_have_a_title_say_what_they_show_and_do_not_overlap(page: Path) -> None:
    panels = load(page)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel.get("description") or panel["type"] == "row", panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@each_page
def test_every_expression_is_promql(page: Path, tmp_path: Path) -> None:
    found = [expression for _, expression in expressions(load(page), "20s")]
    records = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(found)]
    rules = tmp_path / "expressions.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": page.stem, "rules": records}]}))
    promtool("check", "rules", str(rules))


@each_page
def test_every_expression_is_made_of_metrics_that_exist(page: Path) -> None:
    there = exposed() | {"ALERTS"}
    for title, expression in expressions(load(page), "20s"):
        assert set() < names(expression) <= there, title


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    shown = {name for page in PAGES for _, expression in expressions(load(page), "20s") for name in names(expression)}
    rules = yaml.safe_load((GRAFANA.parent / "prometheus" / "alerts.yml").read_text())
    shown |= {name for group in rules["groups"] for rule in group["rules"] for name in names(rule["expr"])}
    bases = {name.removesuffix("_bucket").removesuffix("_count") for name in shown}
    wanted = {name for name in exposed() if name.startswith("nt_") and not name.endswith(("_bucket", "_count", "_sum"))}
    assert sorted(wanted - bases) == []
