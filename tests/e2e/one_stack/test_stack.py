"""The whole path with real processes over real sockets, as a new user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.analytics.schema_check import errors
from tests.e2e.observer import Watch, over_nodes, picture, reports, tokens, writers
from tests.processes import wait_until
from tools.local.roles import BEATS, INGESTS, NODES, ROOT, celery
from tools.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def data(stack: Stack) -> Iterator[redis.Redis]:
    with stack.redis_client() as client:
        yield client


def all_live(stack: Stack, data: redis.Redis, since_ms: int = 0) -> bool:
    """All six reports are there, from three nodes, on fresh market data, written after ``since_ms``."""
    found = reports(data, stack.settings.symbols)
    return (
        len(found) == 6
        and set(writers(found).values()) == set(NODES)
        and all(report["updatedAt"] > since_ms and report["data_age_ms"] < 300 for report in found.values())
    )


def wait_until_all_live(stack: Stack, data: redis.Redis, since_ms: int = 0) -> None:
    wait_until(lambda: all_live(stack, data, since_ms), lambda: f"six fresh reports: {picture(stack)}", 40)


def each_node_writes_its_share(stack: Stack) -> None:
    wait_until(lambda: over_nodes(stack, "nt_symbols_assigned") == 6, "six symbols on three nodes")
    assert over_nodes(stack, "nt_lease_conflicts_total") == 0


def test_three_nodes_write_six_fresh_reports(stack: Stack, data: redis.Redis) -> None:
    wait_until_all_live(stack, data)
    each_node_writes_its_share(stack)
    contract = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    wait_until(
        lambda: all("liquidity" in report for report in reports(data, stack.settings.symbols).values()),
        "the slow sections",
        timeout_s=15,
    )
    for report in reports(data, stack.settings.symbols).values():
        assert errors(report, contract, contract) == []


def test_a_killed_node_is_replaced_within_2_seconds_and_gets_symbols_back(stack: Stack, data: redis.Redis) -> None:
    wait_until_all_live(stack, data)
    before = reports(data, stack.settings.symbols)
    victim = writers(before)["BTCUSDT"]
    orphans = [symbol for symbol, node in writers(before).items() if node == victim]
    survivors = [node for node in NODES if node != victim]

    def others_write() -> bool:
        now = reports(data, orphans)
        return all(writers(now)[s] != victim and tokens(now)[s] > tokens(before)[s] for s in orphans)

    stack.kill(victim)
    wait_until(others_write, lambda: f"others write {orphans} with higher tokens: {picture(stack)}", timeout_s=2)
    wait_until(lambda: over_nodes(stack, "nt_symbols_assigned", survivors) == 6, "six symbols on two nodes")
    assert over_nodes(stack, "nt_lease_conflicts_total", survivors) == 0

    with Watch(stack) as watch:
        stack.start_role(victim)
        wait_until_all_live(stack, data)
        returned = int(time.time() * 1000)
        wait_until(
            lambda: all(r["updatedAt"] > returned + 1000 for r in reports(data, stack.settings.symbols).values()),
            "another second of reports",
        )
    for symbol, seen in watch.sequences.items():
        assert len(seen.times_ms) > 4, f"{symbol}: {seen}"
        assert seen.tokens == sorted(seen.tokens), f"{symbol}: a token fell: {seen}"
        # The old owner hands over: nobody waits for its lease to run out. (How long it takes: `make chaos`.)
        assert seen.longest_gap_ms() < stack.settings.nt_lease_ttl_ms + watch.stall_ms, f"{symbol}: {seen}"
    each_node_writes_its_share(stack)


def test_the_commands_typed_by_hand_do_the_same(stack: Stack, data: redis.Redis) -> None:
    """The last test of this folder: it leaves the roles stopped."""
    supervised = [role.name for role in stack.roles if role.name not in ("redis", "simulator")]
    stack.stop_roles(*supervised)
    stopped = int(time.time() * 1000)
    commands = {
        **dict.fromkeys(INGESTS, ("python", "-m", "ingest")),
        BEATS[0]: ("celery", "-A", "tasks", "beat"),
        **{node: ("celery", "-A", "tasks", "worker", "-Q", node) for node in NODES},
    }
    shells = [
        by_hand(stack, " ".join(command), stack.ports.metrics[role], stack.state_dir / f"{role}.out")
        for role, command in commands.items()
    ]
    try:
        wait_until_all_live(stack, data, stopped)
        each_node_writes_its_share(stack)
    finally:
        for shell in shells:
            shell.terminate()
        for shell in shells:
            shell.wait(10)


def by_hand(stack: Stack, command: str, metrics_port: int, output: Path) -> subprocess.Popen[bytes]:
    """A terminal in which the addresses are sourced and the command is typed."""
    programs = Path(celery()[0]).parent
    with output.open("wb") as out:
        return subprocess.Popen(
            ["/bin/sh", "-c", f". {stack.state_dir}/env && exec {command}"],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "NT_METRICS_PORT": str(metrics_port)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
