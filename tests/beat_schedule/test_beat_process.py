"""``celery -A tasks beat`` as a user types it, a real broker, and nodes that really register."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.frozen_objects import frozen, telling
from tests.processes import await_threads, wait_until
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.leadership import HOLD_LEAD_S, SENDER_FOR_MS, parse_leader
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.coordination.shards import shard_of
from tickfence.keys import Keys
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import is_free, pick

KEYS = Keys()

ROOT = Path(__file__).parents[2]
SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]
QUEUES = ["node-001", "node-002", "node-003", "single"]
PERIOD_MS = 250
WINDOW_S = 6


class Beats:
    """Starts beats, registers nodes, and takes their messages."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis, folder: Path) -> None:
        self.server, self.client, self.folder = server, client, folder
        self.broker = server.client(db=1)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.nodes: list[Registration] = []
        self.taken: dict[str, list[bytes]] = {name: [] for name in QUEUES}
        self._ended = threading.Event()
        self._taker: threading.Thread | None = None

    def take(self) -> None:
        """From now on take every message as it comes, as nodes do."""
        self._taker = threading.Thread(target=self._take, daemon=True)
        self._taker.start()

    def _take(self) -> None:
        with self.server.client(db=1) as broker:
            while not self._ended.is_set():
                if found := broker.brpop(QUEUES, timeout=0.1):
                    self.taken[found[0].decode()].append(found[1])

    def forget(self) -> None:
        """Leave out what was taken so far."""
        for messages in self.taken.values():
            messages.clear()

    def start(self, **variables: str) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NT_")} | {
            "REDIS_URL": self.server.url(),
            "CELERY_BROKER_URL": self.server.url(1),
            "SYMBOLS": ",".join(SYMBOLS),
            "NT_METRICS_PORT": "0",
            "NT_HEARTBEAT_TTL_MS": "10000",
        }
        log = (self.folder / f"beat-{len(self.processes)}.log").open("wb")
        with log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "celery", "-A", "tasks", "beat"],
                    cwd=ROOT,
                    env=environment | variables,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        return self.processes[-1]

    def node(self, name: str) -> Registration:
        one = Registration(
            self.server.url(),
            KEYS.node_group,
            Owner.start(name),
            {"weight": 1},
            interval_ms=100,
            ttl_ms=10_000,
            clock=ServerClock(),
            on_replaced=lambda _: None,
            status=lambda: {"shards": "1"},
        )
        one.register()
        one.announce()
        self.nodes.append(one)
        return one

    def queued(self, node: str) -> list[tuple[str, list[str], Dispatch]]:
        """(task, symbols, dispatch) of each message that ``node`` took or that waits for it, oldest first."""
        found = []
        for text in [*self.taken[node], *reversed(self.broker.lrange(node, 0, -1))]:
            message: dict[str, Any] = json.loads(text)
            (symbols, dispatch), _, _ = json.loads(base64.b64decode(message["body"]))
            found.append((message["headers"]["task"], symbols, Dispatch(*dispatch)))
        return found

    def fast(self, node: str) -> list[tuple[list[str], Dispatch]]:
        return [(symbols, dispatch) for task, symbols, dispatch in self.queued(node) if task == "tasks.fast_cycle"]

    def leader(self) -> bytes:
        return self.client.hget(KEYS.dispatcher, "leader") or b""

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait for ``condition``; show the beats' logs if it does not come."""
        try:
            wait_until(condition, what, 30)
        except AssertionError as error:
            logs = [path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log"))]
            raise AssertionError("\n".join([str(error), *logs])) from None

    def close(self) -> None:
        self._ended.set()
        if self._taker is not None:
            self._taker.join(10)
        for process in self.processes:
            process.kill()
            process.wait()
        for one in self.nodes:
            one.leave()
        await_threads("registration")
        self.broker.close()


@pytest.fixture
def beats(own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path) -> Iterator[Beats]:
    server = own_redis_server()
    with server.client() as client:
        one = Beats(server, client, tmp_path)
        one.take()
        yield one
        one.close()


@pytest.fixture
def untaken(own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path) -> Iterator[Beats]:
    """Beats whose messages nobody takes."""
    server = own_redis_server()
    with server.client() as client:
        one = Beats(server, client, tmp_path)
        yield one
        one.close()


def test_every_cycle_is_sent_once_to_the_owners_at_a_fixed_rate(beats: Beats) -> None:
    for name in ("node-001", "node-002", "node-003"):
        beats.node(name)
    beats.start(NT_MIN_HOLD_MS="0")
    names = [one.owner.node for one in beats.nodes]
    beats.wait(lambda: all(len(beats.fast(name)) >= 8 for name in names), "the first cycles")
    began_ms = time.time() * 1000
    beats.wait(lambda: time.time() * 1000 - began_ms > WINDOW_S * 1000, "the window to pass")

    cycles: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
    for node in beats.nodes:
        messages = beats.fast(node.owner.node)
        assert {dispatch.owner for _, dispatch in messages} == {str(node.owner)}
        newest = messages[-1][1]
        for symbols, dispatch in messages:
            if (dispatch.generation, dispatch.term) == (newest.generation, newest.term):
                for symbol in symbols:
                    cycles[symbol].append(dispatch.sent_ms)
    for moments in cycles.values():
        # Symbols that move, as all did at first, are dispatched at once, so off the grid.
        sent_at = sorted(moment for moment in moments if moment >= began_ms)[1:]
        assert sent_at[-1] - sent_at[0] >= (WINDOW_S - 1) * 1000 - 2 * PERIOD_MS
        assert abs((sent_at[-1] - sent_at[0]) / PERIOD_MS + 1 - len(sent_at)) <= 1.5

    slow = [(symbols, dispatch) for name in names for task, symbols, dispatch in beats.queued(name) if "slow" in task]
    assert {s for symbols, _ in slow for s in symbols} == set(SYMBOLS)
    assert 2 <= len(slow) / len(SYMBOLS) <= WINDOW_S / 2 + 4


def test_symbols_of_a_node_that_leaves_are_sent_on_at_once_and_a_stand_by_follows_a_leader_that_stops(
    beats: Beats,
) -> None:
    first, _ = beats.node("node-001"), beats.node("node-002")
    leading = beats.start(NT_REPORT_PERIOD_MS="2000", NT_LEASE_TTL_MS="4000")
    beats.wait(lambda: beats.fast("node-001") and beats.fast("node-002"), "both to have work")
    leader = beats.leader()
    standing_by = beats.start(NT_REPORT_PERIOD_MS="2000", NT_LEASE_TTL_MS="4000")

    beats.forget()
    first.leave()
    beats.wait(lambda: {s for symbols, _ in beats.fast("node-002") for s in symbols} >= set(SYMBOLS[:1]), "the move")
    moved = {s for symbols, dispatch in beats.fast("node-002") for s in symbols if dispatch.sent_ms % 2000 > 100}
    beats.wait(lambda: {s for symbols, _ in beats.fast("node-002") for s in symbols} == set(SYMBOLS), "the next cycle")
    assert moved <= set(SYMBOLS)

    beats.wait(lambda: "node is alive" in (beats.folder / "beat-1.log").read_text(), "the stand-by to poll")
    term = int(beats.client.hget(KEYS.dispatcher, "term"))
    leading.send_signal(signal.SIGTERM)
    beats.wait(lambda: beats.leader() not in (leader, b""), "another leader")
    assert int(beats.client.hget(KEYS.dispatcher, "term")) > term
    assert leading.wait(10) == 0
    beats.forget()
    beats.wait(lambda: beats.fast("node-002"), "its cycles")
    assert {dispatch.term for _, dispatch in beats.fast("node-002")} == {
        int(beats.client.hget(KEYS.dispatcher, "term"))
    }

    successor = beats.leader()
    standing_by.kill()
    standing_by.wait()
    third = beats.start()
    beats.wait(lambda: beats.leader() not in (successor, b""), "a third to lead")
    third.send_signal(signal.SIGTERM)
    assert third.wait(10) == 0, (beats.folder / "beat-2.log").read_text()
    assert beats.leader() == b""  # it resigned


def test_a_beat_that_takes_the_lead_dispatches_every_symbol_at_once(beats: Beats) -> None:
    beats.node("node-001")
    a_minute = dict.fromkeys(("NT_REPORT_PERIOD_MS", "NT_SLOW_PERIOD_MS"), "60000") | {"NT_LEASE_TTL_MS": "120000"}
    leading = beats.start(**a_minute)
    beats.wait(lambda: beats.fast("node-001"), "a leader")
    leader = beats.leader()
    beats.start(**a_minute)
    beats.wait(lambda: sum(c["name"] == "nt:dispatcher" for c in beats.client.client_list()) == 2, "the stand-by")
    beats.forget()
    leading.kill()
    beats.wait(lambda: beats.leader() not in (leader, b""), "another leader")
    beats.wait(lambda: {s for symbols, _ in beats.fast("node-001") for s in symbols} == set(SYMBOLS), "its symbols")


def test_a_stand_by_has_its_connection_to_the_broker_before_it_leads(beats: Beats) -> None:
    beats.node("node-001")
    leading = beats.start()
    beats.wait(lambda: beats.fast("node-001"), "a leader")
    leader = beats.leader()

    def connections(last_command: str = "") -> set[int]:
        clients = beats.client.client_list()
        return {int(one["id"]) for one in clients if one["db"] == "1" and last_command in one["cmd"]}

    others = connections()
    beats.start()
    beats.wait(lambda: connections("llen") - others, "the stand-by to ask what waits")
    lost = connections() - others
    for connection in lost:
        beats.client.client_kill_filter(_id=str(connection))
    beats.wait(lambda: connections("llen") - others - lost, "it to ask again")
    made = connections()
    leading.kill()
    beats.wait(lambda: beats.leader() not in (leader, b""), "it to lead")
    beats.forget()
    beats.wait(lambda: len(beats.fast("node-001")) >= len(SYMBOLS), "one of its cycles")
    assert connections() <= made


def test_a_leader_that_cannot_send_hands_over_to_a_beat_that_can(beats: Beats) -> None:
    port = pick()
    control = pick(taken=[port])
    command = ("-m", "tools.chaos.proxy", "--to", beats.server.port, "--control", control, "--lane", f"broker={port}")
    proxy = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT)
    beats.processes.append(proxy)

    def order(what: str) -> None:
        with socket.create_connection(("127.0.0.1", control), timeout=5) as connection:
            connection.sendall(f"broker {what}\n".encode())
            assert connection.makefile().readline() == "ok\n"

    beats.node("node-001")
    wait_until(lambda: not is_free(control), "the proxy")
    beats.start(CELERY_BROKER_URL=f"redis://127.0.0.1:{port}/1")
    beats.wait(lambda: beats.fast("node-001"), "a leader")
    first, led_at = beats.leader(), time.monotonic()
    beats.start()

    def stand_bys_can_send() -> bool:
        """Whether each beat but the leader says that it reached the broker lately."""
        fields = beats.client.hgetall(KEYS.dispatcher)
        others = [value for name, value in fields.items() if name.startswith(b"beat:") and beats.leader() not in name]
        heard = [tuple(map(int, value.split()[1:])) for value in others]
        return bool(heard) and all(at - sent < SENDER_FOR_MS for at, sent in heard)

    beats.wait(stand_bys_can_send, "the stand-by to say that it can send")
    assert beats.leader() == first
    time.sleep(max(0.0, led_at + HOLD_LEAD_S - time.monotonic()))
    order("hold")
    failed_at = time.monotonic()
    beats.wait(lambda: beats.leader() not in (first, b""), "another leader")
    beats.forget()
    beats.wait(lambda: len(beats.fast("node-001")) >= len(SYMBOLS), "its messages")
    print(f"{time.monotonic() - failed_at:.2f} s from the hang to all messages of another beat")
    assert time.monotonic() - failed_at < 4
    second = beats.leader()
    order("pass")
    beats.wait(stand_bys_can_send, "the first to say that it can send again")
    assert beats.leader() == second
    told = [fields for _, fields in beats.client.xrange(KEYS.events) if fields[b"kind"] == b"leader"]
    assert [fields[b"reason"] for fields in told] == [b"first", b"cannot send"]


def test_shards_are_sent_by_all_beats_and_those_of_one_that_is_killed_by_the_others(beats: Beats) -> None:
    symbols = [f"S{number}USDT" for number in range(30)]
    variables = {"NT_DISPATCH_SHARDS": "3", "SYMBOLS": ",".join(symbols), "NT_MIN_HOLD_MS": "0"}
    names = ["node-001", "node-002"]
    for name in names:
        beats.node(name)
    processes = {name: beats.start(**variables, NT_NAME=name) for name in ("beat-1", "beat-2", "beat-3")}

    def leads() -> list[str]:
        found = parse_leader(beats.client.hgetall(KEYS.dispatcher))
        return [lead.beat.split("/")[0] for lead in found.shards.leads]

    def sent() -> dict[str, list[Dispatch]]:
        """Symbol -> its dispatches of the fast cycle."""
        found: dict[str, list[Dispatch]] = {}
        for name in names:
            for taken, dispatch in beats.fast(name):
                for symbol in taken:
                    found.setdefault(symbol, []).append(dispatch)
        return found

    beats.wait(lambda: len(set(leads())) == 3, "each beat to send for a shard")
    beats.forget()
    beats.wait(lambda: sent().keys() == set(symbols) and min(map(len, sent().values())) >= 8, "two seconds of cycles")
    for symbol, dispatches in sent().items():
        assert {dispatch.shard for dispatch in dispatches} == {shard_of(symbol, 3)}
        assert len({dispatch.sent_ms // 250 for dispatch in dispatches}) >= len(dispatches) - 1, "once a cycle"
    leader = beats.leader().decode().split("/")[0]
    victim = next(name for name in leads() if name != leader)
    lost = {symbol for symbol in symbols if leads()[shard_of(symbol, 3)] == victim}
    terms = {dispatch.shard: dispatch.term for dispatches in sent().values() for dispatch in dispatches}
    processes[victim].kill()
    killed_ms = time.time() * 1000

    def newest() -> dict[str, Dispatch]:
        found = sent()
        return {symbol: found[symbol][-1] for symbol in lost if symbol in found}

    beats.wait(
        lambda: newest().keys() == lost and all(d.term > terms[d.shard] for d in newest().values()),
        "the others to send its symbols",
    )
    waited = max(min(d.sent_ms for d in sent()[s] if d.term > terms[d.shard]) for s in lost) - killed_ms
    print(f"{waited:.0f} ms from the kill of a beat to the next dispatch of all its symbols")
    assert waited < 2000


def test_alone_it_sends_without_nodes_or_lead_to_the_one_queue(beats: Beats) -> None:
    beats.start(NT_ENABLE_MULTI_INSTANCE="false")
    beats.wait(lambda: len(beats.fast("single")) >= 12, "two cycles")
    assert {dispatch.owner for _, dispatch in beats.fast("single")} == {"single/single"}
    assert {s for symbols, _ in beats.fast("single") for s in symbols} == set(SYMBOLS)
    assert beats.leader() == b""
    assert "multi_instance" in (beats.folder / "beat-0.log").read_text()


def test_without_reports_it_sends_nothing(beats: Beats, tmp_path: Path) -> None:
    beats.node("node-001")
    process = beats.start(NT_ENABLE_KV_REPORTS="false", **telling(tmp_path))
    beats.wait(beats.leader, "it to lead")
    beats.wait(lambda: beats.client.hlen("nt:assignment") > 2, "an assignment")
    assert beats.queued("node-001") == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert frozen(tmp_path) > 10_000


def test_a_queue_that_nobody_empties_does_not_grow(untaken: Beats) -> None:
    untaken.node("node-001")
    port = pick(None)
    untaken.start(NT_MAX_TASKS_PER_CYCLE="3", NT_METRICS_PORT=str(port))

    def left_out() -> float:
        return counted(port, 'nt_cycles_skipped_total{entry="fast-cycle",reason="backlog"}')

    untaken.wait(lambda: untaken.queued("node-001"), "a first cycle")
    untaken.wait(lambda: left_out() >= 5, "cycles to be left out")
    waiting = [symbols for task, symbols, _ in untaken.queued("node-001") if task == "tasks.fast_cycle"]
    assert len(waiting) <= 3 + 1, "a full cycle of messages waits at most, and one of the slow cycle"


def test_what_waits_is_sent_as_soon_as_there_is_room(untaken: Beats) -> None:
    untaken.node("node-001")
    untaken.broker.lpush("node-001", *["rubbish"] * 100)
    port = pick(None)
    untaken.start(
        NT_METRICS_PORT=str(port), NT_REPORT_PERIOD_MS="10000", NT_SLOW_PERIOD_MS="20000", NT_LEASE_TTL_MS="20000"
    )

    def cycles() -> float:
        return counted(port, 'nt_cycles_total{entry="fast-cycle"}')

    untaken.wait(cycles, "a cycle")
    assert untaken.broker.llen("node-001") == 100
    before = cycles()
    untaken.broker.delete("node-001")
    untaken.wait(lambda: untaken.fast("node-001"), "its messages")
    assert cycles() == before


def counted(port: int, metric: str) -> float:
    """A beat's metric; 0 where it does not answer yet."""
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    except OSError:
        return 0
    found = re.findall(rf"^{re.escape(metric)} (\S+)", page, re.MULTILINE)
    return float(found[0]) if found else 0
