"""``celery -A tasks worker`` as one types it, with a real broker and real messages."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from tests.frozen_objects import frozen, telling
from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, S
from tests.tasks.market import Market
from tests.tasks.workers import Workers
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import pick


@pytest.fixture
def market(workers: Workers) -> Market:
    one = Market(workers.client, S)
    one.open()
    return one


@pytest.mark.usefixtures("market")
def test_a_worker_writes_reports_and_hands_over_when_it_is_told_to_stop(workers: Workers, tmp_path: Path) -> None:
    process = workers.start("-Q", "node-x", **telling(tmp_path))
    workers.joined("node-x")
    owner = workers.owner("node-x")
    workers.dispatch("node-x")
    workers.wait(workers.report, "a report")
    assert workers.report()["writer"]["nodeId"] == "node-x"
    assert workers.client.hget(KEYS.lease(S), "owner") == owner.encode()

    process.send_signal(signal.SIGTERM)
    workers.wait(lambda: workers.client.zscore(KEYS.nodes, "node-x") is None, "it to leave")
    assert workers.ended(process) == 0
    assert frozen(tmp_path) > 10_000
    assert workers.client.hget(KEYS.node("node-x"), "left")
    assert workers.client.hget(KEYS.lease(S), "owner") == b""
    assert not [client for client in workers.client.client_list() if "node-x" in client["name"]]

    lines = [json.loads(line) for line in workers.said().splitlines() if line.startswith("{")]
    assert {line["node"] for line in lines if line["logger"].startswith("tasks")} == {"node-x"}
    [taken] = [line for line in lines if line["message"] == "lease taken"]
    assert (taken["symbol"], taken["role"]) == (S, "node")
    assert taken["token"] >= 1


def test_what_names_no_node_ends_the_worker_with_one_clear_line(workers: Workers) -> None:
    cases = [
        ([], {}, "or set NT_NODE_ID"),
        (["-Q", "a,b"], {}, "-Q 'a,b' must name one queue"),
        (["-Q", "node-002"], {"NT_NODE_ID": "node-001"}, "NT_NODE_ID=node-001: -Q node-002 must name that queue"),
        (["-Q", "bad/name"], {}, "-Q bad/name"),
        (["-Q", "node-x", "--pool", "processes"], {}, "worker_pool=prefork"),
    ]
    for arguments, variables, _ in cases:
        workers.start(*arguments, **variables)
    for number, (_, _, said) in enumerate(cases):
        assert workers.ended(workers.processes[number]) == 2
        [line] = [line for line in workers.said(number).splitlines() if line.startswith("error: ")]
        assert said in line
        assert "Traceback" not in workers.said(number)


@pytest.mark.usefixtures("market")
def test_a_second_worker_of_the_same_queue_is_refused_and_the_first_goes_on(workers: Workers) -> None:
    first = workers.start("-Q", "node-x")
    workers.joined("node-x")
    owner = workers.owner("node-x")
    file = workers.folder / "other.log"
    second = workers.start("-Q", "node-x", "-n", "other@%h", "-f", f"{workers.folder}/%n.log")
    assert workers.ended(second) == 2
    [line] = [line for line in workers.said(1).splitlines() if line.startswith("error: ")]
    assert re.match(rf"error: node id 'node-x' is in use by a live worker \(pid {first.pid} on .+\)", line)
    *_, last = map(json.loads, file.read_text().splitlines())
    assert (last["level"], f"error: {last['message']}", last["role"]) == ("CRITICAL", line, "node")
    assert workers.owner("node-x") == owner
    workers.dispatch("node-x")
    workers.wait(workers.report, "the first to write a report")


@pytest.mark.usefixtures("market")
def test_a_worker_whose_output_nobody_reads_starts_works_and_stops(workers: Workers) -> None:
    read, write = os.pipe()
    try:
        os.set_blocking(write, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(write, bytes(4096))
        os.set_blocking(write, True)
        process = workers.start("-Q", "node-x", output=write)
        workers.joined("node-x")
        workers.dispatch("node-x")
        workers.wait(workers.report, "a report")
        process.terminate()
        assert workers.ended(process) == 0
        assert workers.client.zscore(KEYS.nodes, "node-x") is None, "it has left in order"
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.usefixtures("market")
def test_what_is_not_json_is_refused_and_what_is_late_or_for_others_is_dropped(workers: Workers) -> None:
    workers.start("-Q", "node-x")
    workers.joined("node-x")
    evil = Celery(broker=workers.server.url(1))
    evil.conf.update(task_serializer="pickle", accept_content=["pickle", "json"])
    evil.send_task("tasks.fast_cycle", ([S], list(Dispatch("x", 1, 1, 1))), queue="node-x", serializer="pickle")
    evil.close()
    assert pickle.HIGHEST_PROTOCOL  # the content type that must not be taken
    workers.wait(lambda: "pickle" in workers.said(), "the refusal")

    workers.producer.send_task("tasks.fast_cycle", ([S],), queue="node-x")
    workers.producer.send_task("tasks.no_such_task", (), queue="node-x")
    workers.dispatch("node-x", late_ms=11_000)
    workers.dispatch("node-x", owner="node-x/another")
    workers.wait(lambda: "no_such_task" in workers.said(), "the unknown task")
    with workers.server.client(db=1) as broker:
        workers.wait(lambda: broker.llen("node-x") == 0, "all to be consumed")
    assert workers.report() is None
    workers.dispatch("node-x")
    workers.wait(workers.report, "a report")


@pytest.mark.usefixtures("market")
def test_a_metrics_port_that_is_taken_costs_the_metrics_alone(workers: Workers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        workers.start("-Q", "node-x", NT_METRICS_PORT=str(port))
        workers.joined("node-x")
        assert f"NT_METRICS_PORT={port}" in workers.said()
        workers.dispatch("node-x")
        workers.wait(workers.report, "a report")


@pytest.mark.usefixtures("market")
def test_metrics_are_on_their_port_and_alone_a_worker_needs_no_lease(workers: Workers) -> None:
    port = pick(19_101)
    workers.start("-Q", "node-x", NT_METRICS_PORT=str(port), NT_ENABLE_MULTI_INSTANCE="false")
    workers.wait(lambda: " ready." in workers.said(), "the worker to be ready")
    workers.dispatch("node-x", owner=str(Owner(ALONE, ALONE)), queue=ALONE)
    workers.wait(workers.report, "a report")
    assert workers.report()["writer"] == {"nodeId": "node-x", "writerToken": 1}
    assert workers.client.exists(KEYS.lease(S), KEYS.nodes, KEYS.node("node-x")) == 0

    def metrics() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            return str(page.read().decode())

    workers.wait(lambda: 'nt_report_publish_total{cycle="fast"} 1.0' in metrics(), "the report to be counted")
    text = metrics()
    assert 'nt_symbols_assigned{node="node-x"} 1.0' in text
    assert "nt_lease_conflicts_total 0.0" in text
    for name in ("nt_node_heartbeat", "nt_data_age_ms", "nt_calc_latency_ms"):
        assert f"# TYPE {name} " in text


@pytest.mark.usefixtures("market")
def test_a_frozen_worker_that_was_replaced_ends_when_it_wakes_and_writes_nothing(workers: Workers) -> None:
    quick = {"NT_HEARTBEAT_TTL_MS": "500", "NT_HEARTBEAT_INTERVAL_MS": "100"}
    first = workers.start("-Q", "node-x", **quick)
    workers.joined("node-x")
    stale = workers.owner("node-x")
    workers.dispatch("node-x")
    workers.wait(workers.report, "a report")
    first.send_signal(signal.SIGSTOP)
    workers.dispatch("node-x", stale)  # the broker hands it to the frozen one, which finds it when it wakes
    workers.start("-Q", "node-x", **quick)
    workers.wait(lambda: workers.owner("node-x") != stale and workers.client.zscore(KEYS.nodes, "node-x"), "the second")
    workers.generation = 2

    def taken_over() -> bool:
        workers.dispatch("node-x")
        return workers.client.hget(KEYS.lease(S), "owner") == workers.owner("node-x").encode()

    workers.wait(taken_over, "its lease")
    token = int(workers.client.hget(KEYS.lease(S), "token"))
    workers.wait(lambda: workers.report()["writer"]["writerToken"] == token, "its report")

    first.send_signal(signal.SIGCONT)
    assert workers.ended(first) != 0
    assert "is in use by a live worker" in workers.said(0)
    assert workers.client.hget(KEYS.lease(S), "owner") == workers.owner("node-x").encode()
    assert int(workers.client.hget(KEYS.lease(S), "token")) == workers.report()["writer"]["writerToken"] == token
    assert workers.client.zscore(KEYS.nodes, "node-x")


@pytest.mark.usefixtures("market")
def test_after_the_server_was_restarted_messages_are_consumed_again(workers: Workers) -> None:
    workers.start("-Q", "node-x")
    workers.joined("node-x")
    workers.dispatch("node-x")
    workers.wait(workers.report, "a report")
    token = workers.report()["writer"]["writerToken"]
    workers.server.kill()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1, "a second without Redis")
    workers.server.start()
    workers.joined("node-x")
    Market(workers.client, S).open()
    # What comes before the worker consumes again is late, and dropped.
    workers.wait(lambda: workers.dispatch("node-x") or workers.report(), "a report")
    assert workers.report()["writer"]["writerToken"] > token


@pytest.mark.usefixtures("market")
def test_a_node_that_lost_its_broker_gives_its_symbols_up_and_drops_what_waited(
    workers: Workers, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    workers.producer = Celery(broker=broker.url(1))
    workers.start("-Q", "node-x", CELERY_BROKER_URL=broker.url(1), NT_HEARTBEAT_INTERVAL_MS="100")
    workers.joined("node-x")
    broker.kill()

    def moved(key: str) -> bool:
        """Whether the node's heartbeat at ``key`` goes on."""
        read = {
            "listed": lambda: workers.client.zscore(KEYS.nodes, "node-x"),
            "recorded": lambda: workers.client.hget(KEYS.node("node-x"), "heartbeat"),
        }[key]
        before = read()
        workers.wait(lambda: workers.client.hget(KEYS.node("node-x"), "heartbeat") != recorded[-1], "a heartbeat")
        recorded.append(workers.client.hget(KEYS.node("node-x"), "heartbeat"))
        return read() != before

    recorded = [workers.client.hget(KEYS.node("node-x"), "heartbeat")]
    workers.wait(lambda: not moved("listed") and not moved("listed"), "it to be listed no more")
    assert moved("recorded"), "it lives and keeps its id"

    broker.start()
    workers.wait(lambda: moved("listed"), "it to be listed again")
    workers.wait(lambda: workers.dispatch("node-x") or workers.report(), "a report")


@pytest.mark.usefixtures("market")
def test_what_waited_while_the_broker_was_away_is_not_run(
    workers: Workers, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    workers.producer = Celery(broker=broker.url(1))
    process = workers.start("-Q", "node-x", CELERY_BROKER_URL=broker.url(1))
    workers.joined("node-x")
    process.send_signal(signal.SIGSTOP)
    workers.dispatch("node-x", owner="somebody/else")  # the answer to the BRPOP that it had sent
    workers.dispatch("node-x")  # for this owner, and not late: only that it waited speaks against it
    broker.stop(save=True)
    process.send_signal(signal.SIGCONT)
    workers.wait(lambda: "cannot reach the broker" in workers.said(), "it to notice")
    broker.start()
    workers.wait(lambda: "reached the broker" in workers.said(), "it to come back")
    workers.dispatch("node-x", owner="somebody/else")
    with broker.client(db=1) as client:
        workers.wait(lambda: not client.llen("node-x"), "what is in the queue to be taken")
    assert workers.report() is None
    workers.wait(lambda: workers.dispatch("node-x") or workers.report(), "a report")


def test_a_worker_whose_task_hangs_ends_with_its_stack_in_the_log_and_one_without_work_does_not(
    workers: Workers, tmp_path: Path
) -> None:
    log = tmp_path / "hanging.log"
    hanging = workers.start("-Q", "node-h", "-f", str(log), "--include", "tests.tasks.hanging", NT_HANG_EXIT_S="5")
    resting = workers.start("-Q", "node-r", NT_HANG_EXIT_S="5")
    workers.joined("node-h")
    workers.joined("node-r")
    workers.producer.send_task("tests.hang", queue="node-h", serializer="json")
    assert workers.ended(hanging) == 1
    assert "in hang" in log.read_text()
    assert resting.poll() is None
