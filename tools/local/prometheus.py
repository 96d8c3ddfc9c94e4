"""Prometheus' configuration for a stack on this machine: the one of production, with the ports of this stack."""

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

    Args:
        metrics: role -> loopback port of its metrics; other roles are left out.
    """

    def here(target: re.Match[str]) -> str:
        begin, role, end = target.groups()
        return f"{begin}{ports.LOOPBACK}:{metrics[role]}{end}" if role in metrics else ""

    text = (_FOLDER / "prometheus.yml").read_text()
    rules = json.dumps(str(_FOLDER / "alerts.yml"))  # JSON is valid YAML
    text = _BY_NAME.sub("", text)
    return _TARGET.sub(here, text).replace("- alerts.yml", f"- {rules}")
