"""The Grafana dashboards as their files describe them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.local.roles import ROOT

GRAFANA = ROOT / "deploy" / "grafana"
PAGES = sorted((GRAFANA / "dashboards").glob("*.json"))

Dashboard = dict[str, Any]


def load(page: Path) -> Dashboard:
    board: Dashboard = json.loads(page.read_text())
    return board


def expressions(board: Dashboard, rate_interval: str) -> Iterator[tuple[str, str]]:
    """(panel, PromQL) of each query, with Grafana's variables replaced: all of what a dashboard's own can choose.

    Parameters:
        rate_interval: for `$__rate_interval`, like ``20s``.
    """
    own = {variable["name"]: variable["allValue"] for variable in board["templating"]["list"]}
    queries = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    queries += [(note["name"], note["target"]["expr"]) for note in board["annotations"]["list"]]
    for title, expression in queries:
        text = expression.replace("$__rate_interval", rate_interval)
        for name, value in own.items():
            text = text.replace(f"${name}", value)
        assert "$" not in text, f"{title}: {text}"
        yield title, text
