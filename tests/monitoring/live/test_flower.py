"""`celery -A tasks flower` beside a real stack: what its API tells, and whom."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.monitoring.live.conftest import FLOWER_USER
from tests.processes import wait_until
from tools.local.ports import LOOPBACK
from tools.local.roles import NODES
from tools.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def get(stack: Stack, path: str, user: str = FLOWER_USER) -> str:
    request = urllib.request.Request(f"http://{LOOPBACK}:{stack.ports.flower}{path}")
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def workers(stack: Stack) -> dict[str, dict[str, Any]]:
    """What Flower knows of each node, by node id."""
    found: dict[str, dict[str, Any]] = json.loads(get(stack, "/api/workers"))
    return {name.partition("@")[0]: answers for name, answers in found.items()}


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"])
@pytest.mark.parametrize("user", ["", "operator:guessed"])
def test_nothing_is_shown_without_the_password(stack: Stack, path: str, user: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(stack, path, user)
    assert refused.value.code == 401


def test_every_node_shows_with_its_queue_though_flower_started_with_them(stack: Stack) -> None:
    def queues() -> dict[str, list[str]]:
        return {
            node: [queue["name"] for queue in found.get("active_queues", [])] for node, found in workers(stack).items()
        }

    wait_until(
        lambda: queues() == {node: [node] for node in NODES}, lambda: f"the queues, not {workers(stack)}", 20, 0.1
    )
    lengths = json.loads(get(stack, "/api/queues/length"))["active_queues"]
    assert {queue["name"] for queue in lengths} == set(NODES)
    broker = get(stack, "/broker")
    assert all(node in broker for node in NODES)


def test_slow_cycles_show_and_fast_ones_do_not(stack: Stack) -> None:
    def done() -> list[dict[str, Any]]:
        return list(json.loads(get(stack, "/api/tasks?state=SUCCESS")).values())

    def seen() -> tuple[set[str], set[str]]:
        tasks = done()
        nodes = {task["worker"].partition("@")[0] for task in tasks}
        return nodes, {symbol for symbol in stack.settings.symbols if any(symbol in task["args"] for task in tasks)}

    everything = (set(NODES), set(stack.settings.symbols))
    wait_until(lambda: seen() == everything, lambda: f"each node's slow cycles, not {seen()}", 20, 0.1)
    assert {task["name"] for task in done()} == {"tasks.slow_cycle"}
    assert json.loads(get(stack, "/api/task/types")) == {"task-types": ["tasks.slow_cycle"]}
    assert 'task="tasks.fast_cycle"' not in get(stack, "/metrics")


def test_a_node_that_was_restarted_shows_as_it_is_now(stack: Stack) -> None:
    stack.kill("node-003")
    stack.start_role("node-003")
    pid = stack.states()["node-003"].pid

    def shown() -> int | None:
        """The process that Flower has for the node, if it has its answers already."""
        known: int | None = workers(stack).get("node-003", {}).get("stats", {}).get("pid")
        return known

    wait_until(lambda: shown() == pid, lambda: f"process {pid}, not {shown()}", 20, 0.1)
