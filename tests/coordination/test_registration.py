"""A node's registration, on a real Redis and with real processes where it takes one that dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import redis

from tests.processes import await_threads, wait_until
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.membership import parse_node
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import NodeIdInUse, Registration
from tickfence.keys import Keys
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("keep_registered.py")
LONG_MS = 60_000


class Registered:
    """A registration in this process, and what it reported."""

    def __init__(self, url: str, node: str = "node-001", *, interval_ms: int = 50, ttl_ms: int = LONG_MS) -> None:
        self.replaced: list[NodeIdInUse] = []
        self.heartbeats = 0
        self.status: dict[str, str | int] = {}
        self.clock = ServerClock()
        self.registration = Registration(
            url,
            KEYS.node_group,
            Owner.start(node),
            {"host": socket.gethostname(), "pid": os.getpid(), "weight": 2.5, "metrics_url": "http://x"},
            interval_ms=interval_ms,
            ttl_ms=ttl_ms,
            clock=self.clock,
            on_replaced=self.replaced.append,
            on_heartbeat=self.count,
            status=lambda: self.status,
        )

    def count(self) -> None:
        self.heartbeats += 1

    @property
    def incarnation(self) -> str:
        return self.registration.owner.incarnation


Registering = Callable[..., Registered]


@pytest.fixture
def registering(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[Registering]:
    """Makes registrations, not yet registered, on the shared server or on ``url``."""
    assert redis_client.dbsize() == 0
    made: list[Registered] = []

    def make(**options: object) -> Registered:
        made.append(Registered(**{"url": redis_server.url()} | options))
        return made[-1]

    yield make
    for one in made:
        one.registration.leave()
    await_threads("registration")


@pytest.fixture
def process(redis_server: EmbeddedRedis) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes that register ``node-001``."""
    started: list[subprocess.Popen[str]] = []

    def start(ttl_ms: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), redis_server.url(), "node-001", str(ttl_ms)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


def record(client: redis.Redis, node: str = "node-001") -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in client.hgetall(KEYS.node(node)).items()}


def connected(client: redis.Redis, client_id: str) -> bool:
    return bool(client.client_list(client_id=[int(client_id)]))


def test_a_node_is_recorded_whole_and_joins_only_when_it_says_so(
    registering: Registering, redis_client: redis.Redis
) -> None:
    one = registering()
    one.registration.register()
    wait_until(lambda: one.heartbeats >= 2, "two heartbeats")
    fields = record(redis_client)
    assert (fields["incarnation"], fields["pid"], fields["host"]) == (
        one.incarnation,
        str(os.getpid()),
        socket.gethostname(),
    )
    assert (fields["weight"], fields["metrics_url"]) == ("2.5", "http://x")
    assert "left" not in fields
    [client] = redis_client.client_list(client_id=[int(fields["client_id"])])
    assert client["name"] == "node:node-001"
    assert redis_client.zscore(KEYS.nodes, "node-001") is None

    one.registration.announce()
    assert redis_client.zscore(KEYS.nodes, "node-001") is not None


def test_heartbeats_go_on_by_the_servers_time(registering: Registering, redis_client: redis.Redis) -> None:
    one = registering()
    one.registration.register()
    one.registration.announce()
    heartbeats = one.heartbeats
    first = redis_client.zscore(KEYS.nodes, "node-001")
    wait_until(lambda: one.heartbeats >= heartbeats + 3, "three heartbeats")
    last = redis_client.zscore(KEYS.nodes, "node-001")
    assert last > first
    seconds, _ = redis_client.time()
    assert abs(last / 1000 - seconds) < 30
    assert abs(one.clock.now_ms() / 1000 - seconds) < 30
    assert abs(int(record(redis_client)["heartbeat"]) - last) < 30_000


def test_each_heartbeat_carries_the_status_of_its_moment(registering: Registering, redis_client: redis.Redis) -> None:
    one = registering()
    one.status = {"progress": 1, "working": "BTCUSDT", "probe": "", "drained": ""}
    one.registration.register()
    found = parse_node("node-001", redis_client.hgetall(KEYS.node("node-001")))
    assert found and (found.progress, found.working) == (1, "BTCUSDT")
    one.status = {"progress": 2, "working": "", "probe": "p1", "drained": "1"}
    wait_until(lambda: record(redis_client)["progress"] == "2", "another heartbeat")
    found = parse_node("node-001", redis_client.hgetall(KEYS.node("node-001")))
    assert found and (found.working, found.probe, found.drained) == ("", "p1", True)


def test_a_heartbeat_that_is_hurried_does_not_wait_for_its_time(
    registering: Registering, redis_client: redis.Redis
) -> None:
    one = registering(interval_ms=60_000, ttl_ms=600_000)
    one.registration.register()
    for progress in range(1, 4):
        one.status = {"progress": progress}
        one.registration.hurry()
        wait_until(lambda: record(redis_client).get("progress") == str(progress), "a heartbeat")  # noqa: B023
    one.registration.leave()
    redis_client.client_kill_filter(_id=record(redis_client)["client_id"])  # or its thread would wait for the minute


def test_an_orderly_leave_is_recorded_and_ends_the_heartbeats(
    registering: Registering, redis_client: redis.Redis
) -> None:
    one = registering()
    one.registration.register()
    one.registration.announce()
    client_id = record(redis_client)["client_id"]
    one.registration.leave()
    assert redis_client.zscore(KEYS.nodes, "node-001") is None
    assert int(record(redis_client)["left"]) >= int(record(redis_client)["heartbeat"])
    assert 0 < redis_client.pttl(KEYS.node("node-001")) <= LONG_MS
    wait_until(lambda: not connected(redis_client, client_id), "its connection to be closed")
    heartbeats = one.heartbeats
    one.registration.leave()
    assert one.heartbeats == heartbeats
    assert redis_client.zscore(KEYS.nodes, "node-001") is None


def test_after_an_orderly_leave_the_id_is_free_at_once(registering: Registering, redis_client: redis.Redis) -> None:
    first, second = registering(), registering()
    first.registration.register()
    first.registration.leave()
    second.registration.register()
    fields = record(redis_client)
    assert fields["incarnation"] == second.incarnation
    assert "left" not in fields
    assert redis_client.pttl(KEYS.node("node-001")) > LONG_MS  # not the minute that a record outlasts its node
    first.registration.leave()
    assert "left" not in record(redis_client)


def test_a_second_live_process_is_refused_with_a_line_that_tells_who_has_the_id(
    registering: Registering, redis_client: redis.Redis
) -> None:
    first, second = registering(), registering()
    first.registration.register()
    first.registration.announce()
    with pytest.raises(NodeIdInUse) as refusal:
        second.registration.register()
    assert str(refusal.value) == (
        f"node id 'node-001' is in use by a live worker (pid {os.getpid()} on {socket.gethostname()}); "
        "give this one another queue (-Q) or NT_NODE_ID, or stop that one"
    )
    assert record(redis_client)["incarnation"] == first.incarnation
    heartbeats = first.heartbeats
    wait_until(lambda: first.heartbeats > heartbeats, "the first to send another heartbeat")
    assert not first.replaced
    second.registration.leave()
    assert "left" not in record(redis_client)
    assert redis_client.zscore(KEYS.nodes, "node-001") is not None


def test_other_ids_do_not_meet(registering: Registering, redis_client: redis.Redis) -> None:
    for node in ("node-001", "node-002"):
        one = registering(node=node)
        one.registration.register()
        one.registration.announce()
    assert redis_client.zcard(KEYS.nodes) == 2


def test_a_killed_process_is_replaced_long_before_its_time_to_live_is_over(
    process: Callable[..., subprocess.Popen[str]], registering: Registering, redis_client: redis.Redis
) -> None:
    first = process(LONG_MS)
    assert first.stdout.readline().startswith("registered")
    before = record(redis_client)
    first.kill()
    second = registering(ttl_ms=LONG_MS)
    second.registration.register()
    after = record(redis_client)
    assert after["incarnation"] == second.incarnation != before["incarnation"]
    assert int(after["heartbeat"]) - int(before["heartbeat"]) < LONG_MS / 2
    assert redis_client.zscore(KEYS.nodes, "node-001") is None  # the dead one's entry; the new one has not joined yet


def test_a_frozen_process_is_replaced_and_stops_when_it_wakes(
    process: Callable[..., subprocess.Popen[str]], registering: Registering, redis_client: redis.Redis
) -> None:
    first = process(300)
    assert first.stdout.readline().startswith("registered")
    first.send_signal(signal.SIGSTOP)
    second = registering(ttl_ms=300)
    second.registration.register()
    assert record(redis_client)["incarnation"] == second.incarnation
    second.registration.announce()
    first.send_signal(signal.SIGCONT)
    said = first.stdout.readline()
    assert said.startswith("replaced node id 'node-001' is in use by a live worker")
    assert f"pid {os.getpid()} " in said
    assert first.wait(10) == 0
    assert first.stdout.read() == ""
    assert record(redis_client)["incarnation"] == second.incarnation
    assert not second.replaced


def test_of_two_that_start_together_one_gets_the_id(process: Callable[..., subprocess.Popen[str]]) -> None:
    said = sorted(one.stdout.readline().split()[0] for one in [process(2000), process(2000)])
    assert said == ["refused", "registered"]


def test_a_lost_connection_is_made_again_at_once(registering: Registering, redis_client: redis.Redis) -> None:
    """The heartbeat is a minute away, so it is not what notices."""
    one = registering(interval_ms=60_000, ttl_ms=600_000)
    one.registration.register()
    one.registration.announce()
    wait_until(lambda: one.heartbeats >= 1, "the thread to run")
    before = record(redis_client)
    redis_client.client_kill_filter(_id=before["client_id"])
    wait_until(lambda: record(redis_client)["client_id"] != before["client_id"], "another connection")
    after = record(redis_client)
    assert after["incarnation"] == before["incarnation"]
    assert connected(redis_client, after["client_id"])
    assert not connected(redis_client, before["client_id"])
    wait_until(lambda: redis_client.zscore(KEYS.nodes, "node-001") >= int(after["heartbeat"]), "its entry renewed")
    assert not one.replaced
    one.registration.leave()
    redis_client.client_kill_filter(_id=after["client_id"])  # or its thread would wait for the minute to pass


def test_a_server_that_comes_back_empty_is_registered_with_again(
    own_redis_server: Callable[..., EmbeddedRedis], registering: Registering
) -> None:
    server = own_redis_server()
    one = registering(url=server.url())
    one.registration.register()
    one.registration.announce()
    server.kill()
    server.start()
    with server.client() as client:
        wait_until(lambda: client.zscore(KEYS.nodes, "node-001"), "the node to join again")
        assert record(client)["incarnation"] == one.incarnation
        assert connected(client, record(client)["client_id"])
    assert not one.replaced
    one.registration.leave()


def test_leaving_while_the_server_is_away_is_no_error(
    own_redis_server: Callable[..., EmbeddedRedis], registering: Registering
) -> None:
    server = own_redis_server()
    one = registering(url=server.url())
    one.registration.register()
    server.kill()
    one.registration.leave()


def test_registering_while_the_server_is_away_says_so(
    own_redis_server: Callable[..., EmbeddedRedis], registering: Registering
) -> None:
    server = own_redis_server()
    server.kill()
    with pytest.raises(redis.RedisError):
        registering(url=server.url()).registration.register()


def test_lost_data_is_made_good_by_the_next_heartbeat(registering: Registering, redis_client: redis.Redis) -> None:
    one = registering()
    one.registration.register()
    one.registration.announce()
    redis_client.flushall()
    redis_client.script_flush()
    wait_until(lambda: redis_client.zscore(KEYS.nodes, "node-001"), "the node to join again")
    # A heartbeat that the flush fell into joined the node, but its record went with the rest.
    wait_until(lambda: record(redis_client).get("incarnation") == one.incarnation, "its record")


def test_a_heartbeat_from_a_clock_that_was_ahead_holds_no_id(
    registering: Registering, redis_client: redis.Redis
) -> None:
    dead = {"incarnation": "dead", "heartbeat": redis_client.time()[0] * 1000 + 3_600_000, "client_id": 0}
    redis_client.hset(KEYS.node("node-001"), mapping=dead)
    one = registering()
    one.registration.register()
    assert record(redis_client)["incarnation"] == one.incarnation


def test_where_client_list_is_not_allowed_the_time_to_live_decides(
    own_redis_server: Callable[..., EmbeddedRedis], registering: Registering
) -> None:
    server = own_redis_server()
    with server.client() as admin:
        rules = "ACL SETUSER plain on nopass ~* &* +@all -client +client|id +client|setname"
        admin.execute_command(*rules.split())
        url = server.url().replace("redis://", "redis://plain:any@")
        seconds, microseconds = admin.time()
        dead = {"incarnation": "dead", "heartbeat": seconds * 1000 + microseconds // 1000, "client_id": 0}
        admin.hset(KEYS.node("node-001"), mapping=dead)  # it is dead, and its last heartbeat was a moment ago
        one = registering(url=url, ttl_ms=400)
        one.registration.register()
        assert record(admin)["incarnation"] == one.incarnation
        assert int(record(admin)["heartbeat"]) >= dead["heartbeat"] + 400


def test_a_signal_at_any_line_of_leaving_leaves_as_well(registering: Registering) -> None:
    files = {code.co_filename for code in (Registration.leave.__code__, threading.Event.set.__code__)}
    for number in range(12):
        one, lines = registering(node=f"node-{number}").registration, iter(range(number, -1, -1))
        one.register()
        thread = threading.Thread(target=_leave, args=(one, files, lines), daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive(), f"it waits for ever, interrupted at line {number} of leave"


def _leave(registration: Registration, files: set[str], lines: Iterator[int]) -> None:
    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line" and next(lines, 1) == 0:
            registration.leave()  # what the handler of a signal does
        return trace

    sys.settrace(trace)
    registration.leave()
