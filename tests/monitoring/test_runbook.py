"""What the runbook tells to look at is there: settings, and the words of logs and labels.

Its commands and expressions are tried by ``tests/docs``.
"""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import in_text, promql
from tickfence.settings import Settings
from tools.local.roles import ROOT

PAGE = (ROOT / "docs" / "runbook.md").read_text()
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))

COMMANDS = [command.text for command in in_text(PAGE)]
SETTINGS = [text for text in QUOTED if re.fullmatch(r"NT_\w+|REDIS_URL|CELERY_BROKER_URL|SYMBOLS", text)]

# Of other programs: Redis' errors and settings, HTTP, the system's own commands.
FOREIGN = {
    *("NOAUTH", "NOPERM", "OOM", "OOM command not allowed", "READONLY", "WRONGTYPE"),
    *("maxmemory-policy", "noeviction", "200", "418", "429", '"418"'),
    *("dmesg", "lease:{report:…}"),
}
WORDS = sorted({*QUOTED} - {*COMMANDS, *promql(PAGE), *SETTINGS} - FOREIGN)


def test_each_setting_is_one() -> None:
    assert {name.lower() for name in SETTINGS} <= Settings.model_fields.keys()


@pytest.mark.parametrize("word", WORDS)
def test_each_word_of_a_log_a_label_or_a_field_stands_in_the_code(word: str) -> None:
    if (ROOT / word).exists() or word == ".local/logs/":
        return
    folders = ("analytics", "beat_schedule", "coordination", "ingest", "monitoring", "tasks", "web")
    code = "".join(path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    assert all(part in code for part in word.split(".")), word
