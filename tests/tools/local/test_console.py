"""What the foreground shows of a stack."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.local.foreground import environment
from tools.local.console import Console, changes, show_first_reports, welcome
from tools.local.roles import ROOT, Ports
from tools.local.stack import Stack
from tools.local.supervision import RoleState


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole stack of which only Redis runs."""
    with Stack(
        tmp_path_factory.mktemp("stack"),
        environment(SYMBOLS="AAUSDT,BBUSDT", NT_HRW_STICKY_PCT="0.03", NT_WEB_TOKEN="not-to-be-told-0123456789"),
        Ports.choose(usual=False),
        record=True,
    ) as stack:
        stack.start(["redis"])
        yield stack


def test_each_line_to_try_works_as_it_stands(stack: Stack) -> None:
    report = {"writer": {"nodeId": "node-007"}}
    with stack.redis_client() as client:
        client.set("report:AAUSDT", json.dumps(report, separators=(",", ":")))
        client.zadd("nt:nodes", {"node-007": 1})
    lines = [line.split("  ")[-1].strip() for line in welcome(stack).splitlines() if "redis-cli" in line]
    shown = [subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=True) for line in lines]
    assert json.loads(shown[0].stdout) == report
    assert "node-007" in shown[1].stdout
    assert shown[2].stdout == "node-007\n"


def test_without_redis_cli_and_jq_the_lines_use_what_is_there(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = welcome(stack)
    assert f'redis-cli -p {stack.ports.redis} GET report:AAUSDT | grep -o \'"nodeId":"[^"]*"\'' in shown
    assert "jq" not in shown


def test_a_second_terminal_gets_the_addresses_and_all_settings_but_secrets(stack: Stack) -> None:
    found = subprocess.run(
        ["sh", "-c", '. "$0" && env', str(stack.state_dir / "env")], env={}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"REDIS_URL={stack.environment['REDIS_URL']}" in found
    assert f"CELERY_BROKER_URL={stack.environment['CELERY_BROKER_URL']}" in found
    assert "SYMBOLS=AAUSDT,BBUSDT" in found
    assert "NT_HRW_STICKY_PCT=0.03" in found
    assert "not-to-be-told" not in "\n".join(found)


def test_every_address_is_shown(stack: Stack) -> None:
    shown = welcome(stack)
    for port in (stack.ports.flower, stack.ports.web, *stack.ports.metrics.values()):
        assert f"http://127.0.0.1:{port}" in shown
    assert re.search(rf"^  Recorded data +{stack.state_dir}/recordings$", shown, re.M)


def test_reports_that_are_live_are_announced_with_their_writers(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    with stack.redis_client() as client:
        client.delete("report:AAUSDT", "report:BBUSDT")
        client.set("report:AAUSDT", '{"writer": {"nodeId": "node-001"}}')
        assert not show_first_reports(stack, client, Console(), 1.0)
        assert capsys.readouterr().out == ""
        client.set("report:BBUSDT", '{"writer": {"nodeId": "node-001"}}')
        assert show_first_reports(stack, client, Console(), 2.5)
    assert "two reports are live, 2.5 s after the start:\n  node-001 writes AAUSDT BBUSDT" in capsys.readouterr().out


def test_reports_that_do_not_come_are_named_after_a_while(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    with stack.redis_client() as client:
        client.delete("report:AAUSDT", "report:BBUSDT")
        assert show_first_reports(stack, client, Console(), 61.0)
    assert capsys.readouterr().out.startswith("After 61 s: no report of AAUSDT BBUSDT. See: make status")


def state(pid: int, name: str = "RUNNING", status: int = 0) -> dict[str, RoleState]:
    return {"redis": RoleState("redis", name, pid, status)}


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (state(7), state(7), []),
        (state(0, "STOPPED"), state(7), ["redis started (process 7)"]),
        (state(7), state(0, "EXITED", -1), ["redis (process 7) was killed; start it again: make start ROLE=redis"]),
        (state(7), state(0, "STOPPED"), ["redis (process 7) was stopped; start it again: make start ROLE=redis"]),
        (
            state(7),
            state(0, "EXITED"),
            ["redis (process 7) ended with status 0; start it again: make start ROLE=redis"],
        ),
        (state(7), state(8), ["redis (process 7) was replaced", "redis started (process 8)"]),
    ],
)
def test_roles_that_start_and_end_are_shown(
    stack: Stack, before: dict[str, RoleState], after: dict[str, RoleState], lines: list[str]
) -> None:
    assert changes(before, after, stack) == lines


def test_a_role_that_failed_is_shown_with_the_end_of_its_log(stack: Stack) -> None:
    log = Path(stack.state_dir, "logs", "ingest-1.log")
    log.write_text("first\nerror: no such exchange\n")
    before = {"ingest-1": RoleState("ingest-1", "RUNNING", 7, 0)}
    after = {"ingest-1": RoleState("ingest-1", "EXITED", 0, 2)}
    assert changes(before, after, stack)[1] == "  its log ends: error: no such exchange"
