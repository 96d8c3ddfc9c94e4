"""The alert rules: checked and tried by promtool, told apart in the runbook, made of metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.promql import exposed, names
from tests.monitoring.promtool import promtool
from tools.local.prometheus import config
from tools.local.roles import BEATS, INGESTS, NODES, RECORDERS, ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
TESTS = sorted((Path(__file__).parent / "alerts").glob("*.yml"))
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES]


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))


@pytest.mark.parametrize("page", TESTS, ids=lambda page: page.stem)
def test_promtool_sees_each_alert_fire_and_stay_silent_as_described(page: Path) -> None:
    promtool("test", "rules", str(page))


def test_each_alert_is_described_firing_and_silent() -> None:
    fires, silent = set(), set()
    for page in TESTS:
        for group in yaml.safe_load(page.read_text())["tests"]:
            for case in group["alert_rule_test"]:
                (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    assert fires == silent == set(ALERTS)


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_each_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text()
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == ALERTS


def test_names_are_found_in_an_expression() -> None:
    assert names('sum by (le) (rate(a_bucket{b="c"}[1m])) > on (d) 2 * e unless (f or vector(0))') == {
        "a_bucket",
        "e",
        "f",
    }


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_each_alert_is_made_of_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert set() < names(rule["expr"]) <= exposed()


def test_every_role_is_scraped_at_its_usual_port() -> None:
    page = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    found = {
        target["labels"]["instance"]: (job["job_name"], address)
        for job in page["scrape_configs"]
        for target in job.get("static_configs", [])
        for address in target["targets"]
    }
    assert found == {
        **{name: ("node", f"{name}:9101") for name in NODES},
        **{name: ("beat", f"{name}:9111") for name in BEATS},
        **{name: ("ingest", f"{name}:9121") for name in INGESTS},
        **{name: ("recorder", f"{name}:9131") for name in RECORDERS},
        "web": ("web", "web:9161"),
    }


def test_the_configuration_for_this_machine_names_the_roles_that_run(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(config({"node-001": 20_001, "ingest-1": 20_002}))
    jobs = yaml.safe_load(path.read_text())["scrape_configs"]
    assert {job["job_name"]: job.get("static_configs") for job in jobs} == {
        "node": [{"targets": ["127.0.0.1:20001"], "labels": {"instance": "node-001"}}],
        "beat": None,
        "recorder": None,
        "web": None,
        "batch": None,
        "alerts": None,
        "ingest": [{"targets": ["127.0.0.1:20002"], "labels": {"instance": "ingest-1"}}],
    }
    assert all(job.keys() <= {"job_name", "static_configs"} for job in jobs)
    promtool("check", "config", str(path))


def test_alertmanager_sends_every_alert_to_a_receiver_that_there_is() -> None:
    page = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    told = {matcher for route in page["route"]["routes"] for matcher in route["matchers"]}
    assert told == {'severity="critical"'}, "the others are warnings"
    assert {page["route"]["receiver"], *(route["receiver"] for route in page["route"]["routes"])} == {
        receiver["name"] for receiver in page["receivers"]
    }
    for rule in page["inhibit_rules"]:
        for [matcher] in (rule["source_matchers"], rule["target_matchers"]):
            [(label, listed)] = re.findall(r'^(\w+)=~"([\w|]+)"$', matcher)
            assert label == "alertname"
            assert set(listed.split("|")) <= set(ALERTS)
