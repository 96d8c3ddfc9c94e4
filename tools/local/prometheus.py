"""Prometheus' configuration for a stack on this machine: the production one, with the ports that are in use here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from tools.local import ports
from tools.local.roles import ROOT

_FOLDER = ROOT / "deploy" / "prometheus"
_BY_NAME = re.compile(r"^( *)dns_sd_configs:.*\n(?:\1 .*\n)+", re.MULTILINE)
_TARGET = re.compile(r'^( *- targets: \[")([\w-]+):\d+("\]\n.*\n)', re.MULTILINE)


def config(metrics: Mapping[str, int]) -> str:
    """deploy/prometheus/prometheus.yml for roles that run here.

    Parameters:
        metrics: role -> loopback port of its metrics; a role that is not among them is left out.
    """

    def here(target: re.Match[str]) -> str:
        begin, role, end = target.groups()
        return f"{begin}{ports.LOOPBACK}:{metrics[role]}{end}" if role in metrics else ""

    text = (_FOLDER / "prometheus.yml").read_text()
    rules = json.dumps(str(_FOLDER / "alerts.yml"))  # as JSON writes it, YAML reads it
    text = _BY_NAME.sub("", text)
    return _TARGET.sub(here, text).replace("- alerts.yml", f"- {rules}")
