"""The roles of docker-compose.yml do all that they do under the access list, and Redis refuses them nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from redis.client import PubSub

from tests.deploy.acl_redis import AclRedis
from tests.deploy.compose_processes import ComposeProcesses
from tests.processes import wait_until
from tickfence.settings import Settings

SYMBOLS = Settings.from_environment({}).symbols
NODES = {"node-001", "node-002", "node-003", "node-4f6a09c1d2e3"}

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def admin(acl_redis: AclRedis) -> Iterator[redis.Redis]:
    with acl_redis.client("admin") as client:
        yield client


@pytest.fixture(scope="module")
def locks(admin: redis.Redis) -> Iterator[PubSub]:
    """Tells of every time when kombu's lock was taken."""
    admin.config_set("notify-keyspace-events", "K$")
    with admin.pubsub(ignore_subscribe_messages=True) as told:
        told.subscribe("__keyspace@1__:unacked_mutex")
        yield told


@pytest.fixture(scope="module")
def stack(acl_redis: AclRedis, locks: PubSub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProcesses]:
    """All our services, and one of those that `--scale` adds, at work."""
    assert locks.subscribed
    with ComposeProcesses(acl_redis, tmp_path_factory.mktemp("logs")) as processes:
        processes.start()
        yield processes


def writers(admin: redis.Redis) -> dict[str, str]:
    """Symbol -> node id, of the reports that are there."""
    texts = admin.mget([f"report:{symbol}" for symbol in SYMBOLS])
    return {s: json.loads(t)["writer"]["nodeId"] for s, t in zip(SYMBOLS, texts, strict=True) if t}


def test_reports_come_from_several_nodes_and_every_health_check_passes(
    stack: ComposeProcesses, admin: redis.Redis
) -> None:
    def shared() -> bool:
        found = writers(admin)
        return len(found) == len(SYMBOLS) and len(set(found.values())) >= 3

    wait_until(shared, lambda: f"six reports from three nodes: {writers(admin)}\n{stack.log('node-001')[-1000:]}", 30)
    assert set(writers(admin).values()) <= NODES
    for name in stack.processes:
        wait_until(lambda name=name: stack.healthy(name), f"{name} is healthy: {stack.log(name)[-1000:]}", 20, 0.2)


def test_a_node_is_stopped_and_another_killed_and_started_again(stack: ComposeProcesses, admin: redis.Redis) -> None:
    stack.processes["node-002"].send_signal(signal.SIGTERM)
    stack.processes["node-003"].kill()
    left = NODES - {"node-002", "node-003"}
    wait_until(lambda: set(writers(admin).values()) == left, lambda: f"{left} write: {writers(admin)}", 20)
    stack.processes["node-003"].wait()
    stack.start(["node-003"])
    wait_until(lambda: "node-003" in writers(admin).values(), lambda: stack.log("node-003")[-1000:], 30)
    assert stack.processes["node-002"].wait(10) == 0


def test_the_lead_is_handed_over(stack: ComposeProcesses, admin: redis.Redis) -> None:
    leader = admin.hget("nt:dispatcher", "leader")
    term = int(admin.hget("nt:dispatcher", "term"))
    for name in ("beat-1", "beat-2"):
        if '"leading"' in stack.log(name):
            stack.processes[name].send_signal(signal.SIGTERM)
            break
    wait_until(lambda: admin.hget("nt:dispatcher", "leader") not in (leader, b""), "another beat leads", 10)
    assert int(admin.hget("nt:dispatcher", "term")) > term


def test_web_and_the_command_line_read_everything(stack: ComposeProcesses) -> None:
    for path in ("/reports", "/reports/BTCUSDT", "/symbols", "/nodes", "/events", "/prices/BTCUSDT", "/readyz"):
        assert "BTCUSDT" in stack.page("web", 8000, path) or path in ("/nodes", "/events", "/readyz"), path
        assert stack.page("web", 8000, path), path
    for words in (("show", "BTCUSDT"), ("owners",), ("nodes",), ("explain", "BTCUSDT"), ("timeline",)):
        answer = stack.run("web", "celery", "-A", "tasks", *words)
        assert answer.returncode == 0, f"{words}: {answer.stderr}"


def test_the_operator_changes_symbols_and_web_does_not(stack: ComposeProcesses) -> None:
    for words in (("add", "XRPUSDT", "--wait", "20"), ("remove", "XRPUSDT", "--wait", "20")):
        answer = stack.run("operator", "celery", "-A", "tasks", "symbols", *words)
        assert answer.returncode == 0, f"{words}: {answer.stdout}{answer.stderr}"
        assert "it holds after " in answer.stdout


def test_remote_control_reaches_the_nodes(stack: ComposeProcesses) -> None:
    answer = stack.run("flower", "celery", "-A", "tasks", "inspect", "ping")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("pong") == 3
    wait_until(lambda: "node-001" in stack.page("flower", 5555, "/workers"), "Flower shows a node", 20, 0.2)


def test_nodes_look_for_messages_of_dead_ones(stack: ComposeProcesses, locks: PubSub) -> None:
    # Kombu does so ten seconds after its start, and then rarely, under a lock.
    assert stack.processes
    wait_until(lambda: locks.get_message(timeout=0.1), "kombu has taken its lock", 30)


def test_a_batch_worker_makes_reports_of_what_the_recorders_recorded(stack: ComposeProcesses) -> None:
    for name in ("recorder-1", "recorder-2"):
        stack.processes[name].send_signal(signal.SIGTERM)
    for name in ("recorder-1", "recorder-2"):
        assert stack.processes[name].wait(30) == 0, stack.log(name)[-1000:]
    stack.start(["batch"])
    wait_until(lambda: stack.healthy("batch"), lambda: stack.log("batch")[-1000:], 30, 0.2)
    since = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    words = ("celery", "-A", "tasks", "backfill", "--from", since, "--every", "1s", "--symbols", "BTCUSDT", "--json")
    answer = stack.run("batch", *words)
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}{stack.log('batch')[-2000:]}"


def test_nothing_was_refused_and_no_variable_was_unknown(stack: ComposeProcesses, acl_redis: AclRedis) -> None:
    for name in ("ingest-1", "ingest-2", "node", "flower", "web", "batch"):
        stack.processes[name].send_signal(signal.SIGTERM)
    for name in ("ingest-1", "ingest-2", "node", "flower", "web", "batch"):
        assert stack.processes[name].wait(15) == 0, stack.log(name)[-1000:]
    assert acl_redis.refusals() == []
    for name in stack.processes:
        lines = [line for line in stack.log(name).splitlines() if "is not a setting" in line or "NOPERM" in line]
        assert lines == [], name
