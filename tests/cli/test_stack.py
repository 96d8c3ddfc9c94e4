"""Each command against the real stack; ``explain`` agrees with the live owner of every symbol, after a kill, too."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import click
import pytest
import redis

from tests.cli.processes import celery, environment, found, typed
from tests.cli.terminal import Terminal, broken
from tests.processes import wait_until
from tickfence.cli import plugin
from tickfence.coordination.assignment_store import read_assignment
from tickfence.keys import Keys
from tickfence.timeline import events
from tickfence.timeline.text import to_json
from tools.local.roles import BEATS, INGESTS, NODES, ROOT, Ports
from tools.local.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Beats, nodes and what they need; a rebalance is soon done."""
    quick = {"NT_REBALANCE_INTERVAL_MS": "500", "NT_MIN_HOLD_MS": "500"}
    with Stack(tmp_path_factory.mktemp("stack"), environment("", **quick), Ports.choose(usual=False)) as stack:
        wanted = [role.name for role in stack.roles if not role.name.startswith(("flower", "web"))]
        stack.start(wanted)
        yield stack


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    return stack.environment["REDIS_URL"]


def settled(stack: Stack, url: str) -> list[dict[str, Any]]:
    """What ``explain`` says of every symbol, once some rebalances found nothing to do."""
    pause_ms = 4 * stack.settings.nt_rebalance_interval_ms
    with stack.redis_client() as client:

        def last_move_ms() -> int:
            return max(event.at_ms for event in events.read(client, Keys(), limit=1000) if event.kind == "moved")

        wait_until(lambda: time.time() * 1000 - last_move_ms() > pause_ms, "an assignment that stays", 60)
    said: list[dict[str, Any]] = found(url, "explain", *stack.settings.symbols)
    return said


def assigned(stack: Stack) -> dict[str, str]:
    with stack.redis_client() as client:
        return {symbol: owner.node for symbol, owner in read_assignment(client, Keys()).owners.items()}


def writers(stack: Stack) -> dict[str, str]:
    """Who really writes, by the reports themselves."""
    with stack.redis_client() as client:
        reports = {symbol: client.get(f"report:{symbol}") for symbol in stack.settings.symbols}
    return {symbol: json.loads(text)["writer"]["nodeId"] for symbol, text in reports.items() if text}


def test_explain_agrees_with_the_live_owner_of_every_symbol_before_and_after_a_kill(stack: Stack, url: str) -> None:
    wait_until(lambda: len(writers(stack)) == len(stack.settings.symbols), "all reports", 60)
    for live in (set(NODES), set(NODES) - {"node-002"}):
        if len(live) < len(NODES):
            stack.kill("node-002")
            wait_until(lambda: "node-002" not in assigned(stack).values(), "its symbols to move", 30)
        said = settled(stack, url)
        owners = {row["symbol"]: row["owner"] for row in found(url, "owners")["symbols"]}
        assert [one["symbol"] for one in said] == list(stack.settings.symbols)
        assert {one["symbol"]: one["computed"] for one in said} == owners == assigned(stack) == writers(stack)
        assert all(one["agrees"] for one in said)
        assert {node["node"] for one in said for node in one["nodes"]} == live
    died = [event for event in found(url, "timeline") if event["reason"] in ("died", "node died")]
    assert [(event["kind"], event.get("node")) for event in died] == [("node", "node-002"), ("moved", None)]
    assert {before for before, _ in died[1]["moves"].values()} == {"node-002"}
    shown = found(url, "nodes")
    states = {node["node"]: node["state"] for node in shown["nodes"]}
    assert states == {"node-001": "alive", "node-002": "gone", "node-003": "alive"}
    with stack.redis_client() as client:
        assert {one["name"] for one in client.client_list()} >= set(INGESTS)
    assert shown["leader"]["name"] == leading(stack), "it has the name that `make kill` takes"
    for name in (*BEATS, *INGESTS):
        line = json.loads(next(line for line in stack.log(name).splitlines() if line.startswith("{")))
        assert (line[line["role"]], name in line["logger"]) == (name, False)


def leading(stack: Stack) -> str:
    """The beat that says it leads."""

    def says_so(beat: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports.metrics[beat]}/metrics", timeout=2) as page:
                return b"\nnt_dispatcher_leading 1.0\n" in page.read()
        except OSError:
            return False

    return wait_until(lambda: next((beat for beat in BEATS if says_so(beat)), None), "a beat that leads")


def test_a_leader_that_freezes_and_the_node_that_died_with_it_are_each_told_of_once(stack: Stack) -> None:
    if not stack.states()["node-002"].running:
        stack.start_role("node-002")
    wait_until(lambda: set(assigned(stack).values()) == set(NODES), "three owners", 30)
    leader = leading(stack)
    with stack.redis_client() as client:
        before = events.read(client, Keys())[-1].id

    def told() -> list[dict[str, Any]]:
        with stack.redis_client() as client:
            return [to_json(event) for event in events.read(client, Keys(), before)]

    stack.kill(leader, signal.SIGSTOP)
    stack.kill("node-003")
    wait_until(lambda: [event for event in told() if event["reason"] == "node died"], "its symbols to move", 30)
    stack.kill(leader, signal.SIGCONT)  # it wakes with a lead that is not its own any more, and is to say nothing
    wait_until(lambda: leading(stack) != leader, "it to know")
    assert [(event["kind"], event["reason"]) for event in told() if event["reason"] != "rebalance"] == [
        ("leader", "took over"),
        ("node", "died"),
        ("moved", "node died"),
    ]
    assert len({event["term"] for event in told()}) == 1


def test_a_node_that_is_stopped_and_one_that_freezes_are_each_told_of_once_by_their_reason(
    stack: Stack, url: str
) -> None:
    for node in NODES:
        if not stack.states()[node].running:
            stack.start_role(node)
    wait_until(lambda: set(assigned(stack).values()) == set(NODES), "three owners", 30)
    before = found(url, "timeline", "--limit", "1")[0]["id"]

    def told() -> list[tuple[str, str, str | None]]:
        with stack.redis_client() as client:
            news = [to_json(event) for event in events.read(client, Keys(), before)]
        return [(one["kind"], one["reason"], one.get("node")) for one in news if one["reason"] != "rebalance"]

    stack.kill("node-001", signal.SIGTERM)
    wait_until(lambda: ("moved", "node left", None) in told(), lambda: f"the first, not {told()}", 30)
    stack.kill("node-002", signal.SIGSTOP)
    wait_until(lambda: ("moved", "node silent", None) in told(), lambda: f"the second, not {told()}", 30)
    stack.kill("node-002", signal.SIGCONT)
    wait_until(lambda: "node-002" in assigned(stack).values(), "it to be back", 30)
    wanted = [
        ("node", "left", "node-001"),
        ("moved", "node left", None),
        ("node", "silent", "node-002"),
        ("moved", "node silent", None),
        ("node", "joined", "node-002"),
        ("moved", "node joined", None),
    ]
    wait_until(lambda: len(told()) >= len(wanted), lambda: f"all of it, not {told()}", 10)
    assert told() == wanted
    stack.start_role("node-001")
    wait_until(lambda: "node-001" in assigned(stack).values(), "the other one, too", 30)


@contextmanager
def reports_written(client: redis.Redis, symbols: Sequence[str]) -> Iterator[dict[str, list[int]]]:
    """When each report was written, server ms, while the block runs."""
    written: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for symbol, text in zip(symbols, client.mget([Keys().report(symbol) for symbol in symbols]), strict=True):
                at = json.loads(text)["updatedAt"] if text else 0
                if not written[symbol] or written[symbol][-1] != at:
                    written[symbol].append(at)
            over.wait(0.02)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield written
        finally:
            over.set()
            watching.result()


def longest_gap_ms(times: Sequence[int]) -> int:
    return max(later - earlier for earlier, later in pairwise(times))


def documented() -> list[tuple[str, ...]]:
    """The commands of ours that README and docs show, each with the arguments it first has there, that take --watch."""
    reference = ROOT / "docs" / "cli.md"  # names arguments and gives none
    pages = [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - {reference})]
    shown = [line for page in pages for line in re.findall(r"celery -A tasks ([a-z][^`|#\n]*)", page.read_text())]
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for words in (tuple(line.split()) for line in shown):
        command, depth = getattr(plugin, words[0], None), 1
        while isinstance(command, click.Group) and words[depth : depth + 1] and words[depth] in command.commands:
            command, depth = command.commands[words[depth]], depth + 1
        if "JOB" in words:
            continue  # there is none in this stack
        if isinstance(command, click.Command) and any(option.name == "watch" for option in command.params):
            found.setdefault(words[:depth], tuple(word for word in words if word != "--watch"))
    return list(found.values())


def test_every_documented_command_refreshes_in_a_terminal_that_is_wide_or_narrow(url: str) -> None:
    commands = documented()
    assert {words[0] for words in commands} >= {"show", "owners", "nodes", "explain", "timeline"}
    wait_until(lambda: celery(url, "show", "BTCUSDT").returncode == 0, "a report")

    def watch(words: tuple[str, ...]) -> None:
        with Terminal(url, *words, "--watch", columns=160, lines=50) as terminal:
            for columns in (160, 60):
                terminal.resize(columns, 50)
                terminal.refreshes(1)  # it may have begun before
                for lines in terminal.refreshes(2):
                    assert lines and broken(lines, columns) == [], words
            assert terminal.end(signal.SIGINT) == 0, words

    with ThreadPoolExecutor() as at_once:
        list(at_once.map(watch, commands))


def test_an_operators_changes_hold_soon_and_no_other_symbol_waits(stack: Stack, url: str) -> None:
    for node in NODES:
        if not stack.states()[node].running:
            stack.start_role(node)
    wait_until(lambda: set(assigned(stack).values()) == set(NODES), "three owners", 30)
    others = [symbol for symbol in stack.settings.symbols if symbol != "DOTUSDT"]
    node = assigned(stack)["BTCUSDT"]
    with stack.redis_client() as client, reports_written(client, others) as written:
        for line in (
            "symbols add XRPUSDT",
            f"nodes drain {node}",
            "symbols pause DOTUSDT",
            "symbols resume DOTUSDT",
            f"nodes uncordon {node}",
            "symbols remove XRPUSDT",
        ):
            done = typed(url, f"{line} --wait --by ann")
            assert done.exit_code == 0, f"{line}: {done.output}"
            assert ("drain" in line) <= (node not in assigned(stack).values())
        # An ingest that learns of it half a second after the other may write the symbol again before it deletes it.
        left = [Keys().lease("XRPUSDT").encode()]  # it keeps late writers out
        wait_until(
            lambda: client.keys("*XRPUSDT*") == left, "nothing of the removed symbol to be left but its lease", 10
        )
        told = [event.fields["what"] for event in events.read(client, Keys(), limit=100) if event.kind == "desired"]
    assert [what.split()[1] for what in told[-6:]] == ["add", "drain", "pause", "resume", "uncordon", "remove"]
    gap_ms = max(map(longest_gap_ms, written.values()))
    assert gap_ms < stack.settings.nt_lease_ttl_ms, "a symbol waited for a lease to end"


def test_what_is_not_there_has_its_status(url: str) -> None:
    unknown = celery(url, "show", "BTCUSD")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there is no symbol 'BTCUSD'; there are BTCUSDT, " in unknown.stderr
    no_node = celery(url, "owners", "--node", "node-009")
    assert (no_node.returncode, no_node.stdout) == (1, "")
    assert no_node.stderr.startswith("Error: there is no node 'node-009'; there are node-001, ")
