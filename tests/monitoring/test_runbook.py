"""The settings that the runbook names exist. ``tests/docs`` tries its commands and expressions."""

from __future__ import annotations

import re

from tickfence.settings import Settings
from tools.local.roles import ROOT

PAGE = (ROOT / "docs" / "runbook.md").read_text()
SETTINGS = set(re.findall(r"`(NT_\w+|REDIS_URL|CELERY_BROKER_URL|SYMBOLS)`", PAGE))


def test_each_setting_is_one() -> None:
    assert SETTINGS
    assert {name.lower() for name in SETTINGS} <= Settings.model_fields.keys()
