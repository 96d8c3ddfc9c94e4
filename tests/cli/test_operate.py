"""The commands that change the desired state, on a real Redis; no beat runs here."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
import redis
from click.testing import Result

from tests.cli.processes import typed
from tests.cli.terminal import Terminal, broken
from tests.cli.test_views import now_ms, report
from tickfence.cli.operate import TRIES, change
from tickfence.cli.request import Request, mode_request, symbols_request
from tickfence.cli.session import NothingThere
from tickfence.coordination.desired import REMEMBERED_MS, Desired, NodeMode, seed
from tickfence.coordination.desired_store import read_desired, seed_desired
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
BTC, ETH, SOL, XRP = map(Instrument, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"))

Run = Callable[..., Result]


@pytest.fixture
def run(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Run:
    """Runs ``celery LINE`` on a Redis with two symbols and a node."""
    seed_desired(redis_client, KEYS, seed([BTC, ETH]), "beat-1")
    redis_client.zadd(KEYS.nodes, {"node-001": now_ms(redis_client)})
    redis_client.hset(KEYS.node("node-001"), mapping={"incarnation": "a", "client_id": 0, "weight": 1})
    return lambda line, **options: typed(options.pop("url", redis_server.url()), line, **options)


def wanted(client: redis.Redis) -> Desired:
    found = read_desired(client, KEYS)
    assert found is not None
    return found


def states(client: redis.Redis) -> dict[str, str]:
    return {symbol: found.state for symbol, found in wanted(client).symbols.items()}


@pytest.mark.parametrize(
    ("line", "shown", "left"),
    [
        ("symbols add solusdt ETHUSDT SOLUSDT", "added SOLUSDT\nETHUSDT is active already\n", {BTC, ETH, SOL}),
        ("symbols remove ETHUSDT", "removed ETHUSDT\n", {BTC}),
        ("symbols pause BTCUSDT", "paused BTCUSDT\n", {ETH}),
        ("symbols add kraken:BTC/USD", "added kraken:BTC/USD\n", {BTC, ETH, Instrument("kraken:BTC/USD")}),
    ],
)
def test_each_change_is_told_in_a_line(
    run: Run, redis_client: redis.Redis, line: str, shown: str, left: set[str]
) -> None:
    done = run(line)
    assert (done.exit_code, done.stdout, done.stderr) == (0, shown, "")
    assert set(wanted(redis_client).active) == left


def test_the_same_again_changes_nothing(run: Run, redis_client: redis.Redis) -> None:
    for line, again in (
        ("symbols pause BTCUSDT", "BTCUSDT is paused already\n"),
        ("symbols remove ETHUSDT", "ETHUSDT is removed already\n"),
        ("nodes drain node-001", "node-001 is drained already\n"),
        ("nodes weight node-001 2", "node-001 has weight 2 already\n"),
    ):
        assert run(line).exit_code == 0
        before = wanted(redis_client)
        done = run(line)
        assert (done.exit_code, done.stdout) == (0, again)
        assert wanted(redis_client) == before


def test_a_paused_symbol_is_resumed_and_a_removed_one_added_again(run: Run, redis_client: redis.Redis) -> None:
    run("symbols pause BTCUSDT")
    run("symbols remove ETHUSDT")
    assert run("symbols resume BTCUSDT").stdout == "resumed BTCUSDT\n"
    assert run("symbols add ETHUSDT").stdout == "added ETHUSDT\n"
    assert set(wanted(redis_client).active) == {BTC, ETH}


def test_a_change_forgets_what_was_removed_long_ago(run: Run, redis_client: redis.Redis) -> None:
    run("symbols remove ETHUSDT")
    old = {"state": "removed", "since": now_ms(redis_client) - REMEMBERED_MS}
    redis_client.hset(KEYS.desired, "symbol:SOLUSDT", json.dumps(old))
    assert run("symbols remove SOLUSDT").stdout == "SOLUSDT is removed already\n"
    run("symbols pause BTCUSDT")
    assert states(redis_client) == {BTC: "paused", ETH: "removed"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "symbols pause BTCUSDT XRPUSDT",
            "there is no symbol 'XRPUSDT'; there are BTCUSDT, ETHUSDT. Nothing was changed",
        ),
        ("symbols resume XRPUSDT", "there is no symbol 'XRPUSDT'"),
        ("symbols remove BTCUSDT XRPUSDT", "there is no symbol 'XRPUSDT'"),
        ("symbols add SOLUSDT BTC/USDT", "symbol 'BTC/USDT' must be 2 to 20 capital letters or digits"),
        ("symbols add --json", "Missing argument 'SYMBOL...'"),
        ("symbols add", "Missing argument 'SYMBOL...'"),
        ("symbols apply", "Missing option '-f' / '--file'"),
        ("nodes drain", "Missing argument 'NODE...'"),
        ("symbols add SOLUSDT --by '\x1b[1m'", "must be 1 to 64 characters that can be printed"),
        ("symbols add SOLUSDT --by ' '", "must be 1 to 64 characters that can be printed"),
        ("nodes drain node-001 node-002", "there is no node 'node-002'; there are node-001. Nothing was changed"),
        ("nodes weight node-002 2", "there is no node 'node-002'"),
        ("nodes weight node-001 0", "weight '0' must be a number above 0, up to 1,000, or default"),
        ("nodes weight node-001 nan", "weight 'nan' must be"),
        ("nodes weight node-001 1001", "weight '1001' must be"),
        ("nodes --json drain node-001", "put options after the subcommand: nodes drain --json"),
    ],
)
def test_what_is_not_understood_changes_nothing(run: Run, redis_client: redis.Redis, line: str, why: str) -> None:
    before = wanted(redis_client)
    done = run(line)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("Error: ") == 1
    assert wanted(redis_client) == before


def test_nodes_get_a_mode_and_a_weight(run: Run, redis_client: redis.Redis) -> None:
    for line, mode, weight in (
        ("nodes cordon node-001", NodeMode.CORDONED, None),
        ("nodes weight node-001 2.5", NodeMode.CORDONED, 2.5),
        ("nodes drain node-001", NodeMode.DRAINED, 2.5),
        ("nodes uncordon node-001", NodeMode.OPEN, 2.5),
        ("nodes weight node-001 default", NodeMode.OPEN, None),
    ):
        assert run(line).exit_code == 0
        assert wanted(redis_client).node("node-001")[:2] == (mode, weight)
    assert [one.what for one in wanted(redis_client).changes][-2:] == [
        "nodes uncordon node-001",
        "nodes weight node-001 default",
    ]


def test_a_file_is_the_whole_set(run: Run, redis_client: redis.Redis, tmp_path: Path) -> None:
    run("symbols pause BTCUSDT")
    file = tmp_path / "symbols.txt"
    file.write_text("# majors\nBTCUSDT\nSOLUSDT paused\n")
    shown = "resumed BTCUSDT\nremoved ETHUSDT\nadded SOLUSDT, paused\n"
    before = wanted(redis_client)
    dry = run(f"symbols apply -f {file} --dry-run")
    assert (dry.exit_code, dry.stdout) == (0, shown.replace("\n", " (dry run)\n"))
    assert wanted(redis_client) == before
    done = run(f"symbols apply -f {file} --by ann")
    assert (done.exit_code, done.stdout) == (0, shown)
    assert states(redis_client) == {BTC: "active", ETH: "removed", SOL: "paused"}
    assert wanted(redis_client).changes[-1][2:] == ("ann", "symbols apply symbols.txt")
    after = wanted(redis_client)
    assert run("symbols apply -f -", input=file.read_text()).stdout == "nothing to change\n"
    assert wanted(redis_client) == after


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"BTCUSDT\nETH,USDT\n", "standard input, line 2: symbol 'ETH,USDT' must be"),
        (b"# nothing yet\n", "standard input has no symbol. Nothing was changed; --allow-empty removes all symbols"),
        (b"\xff\xfe", "standard input is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(run: Run, redis_client: redis.Redis, text: bytes, why: str) -> None:
    before = wanted(redis_client)
    done = run("symbols apply -f -", input=text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {why}")
    assert wanted(redis_client) == before


def test_an_empty_file_is_meant_where_that_is_said(run: Run, redis_client: redis.Redis) -> None:
    assert run("symbols apply -f - --allow-empty", input="").exit_code == 0
    assert wanted(redis_client).listed == ()


def test_programs_get_json(run: Run, redis_client: redis.Redis) -> None:
    done = run("symbols add ETHUSDT SOLUSDT --json")
    assert json.loads(done.stdout) == {
        "version": wanted(redis_client).version,
        "changed": [{"name": "SOLUSDT", "change": "added"}],
        "unchanged": ["ETHUSDT"],
        "meanwhile": [],
    }
    waited = run("symbols add ETHUSDT --json --wait 0")
    assert waited.exit_code == 1
    assert json.loads(waited.stdout)["missing"] == ["no beat leads"]


def test_who_changed_it_is_noted(run: Run, redis_client: redis.Redis) -> None:
    run("symbols add SOLUSDT", env={"LOGNAME": "ann"})
    [_, change] = wanted(redis_client).changes
    assert change.by.startswith("ann@")
    assert change.what == "symbols add SOLUSDT"


@pytest.mark.parametrize(
    "line", ["symbols add SOLUSDT --wait 0.3", "symbols add --wait=0.3 SOLUSDT", "symbols add --wait 0.3 SOLUSDT"]
)
def test_waiting_ends_with_what_is_missing(run: Run, line: str) -> None:
    done = run(line)
    assert done.exit_code == 1
    added, waiting = done.stdout.splitlines()
    assert added == "added SOLUSDT"
    assert waiting.startswith("waiting, 0.") and waiting.endswith(" s: no beat leads")
    assert done.stderr.startswith("Error: it does not hold after 0.") and done.stderr.endswith(" s: no beat leads\n")


def test_an_age_that_grows_while_it_waits_is_told_once(run: Run, redis_client: redis.Redis) -> None:
    now, old = now_ms(redis_client), {"status": "down", "fresh": False, "exchange_time": 1, "last_update": 1}
    redis_client.hset(KEYS.dispatcher, "desired", wanted(redis_client).version)
    redis_client.hset(KEYS.assignment, mapping={"term": 1, "generation": 1, "BTCUSDT": "node-001/a"})
    redis_client.zadd(KEYS.nodes, {"node-001": now + 60_000})
    redis_client.set(KEYS.report(BTC), json.dumps(report(now, ingestion=old)))
    done = run("symbols add BTCUSDT --wait 0.5")
    assert done.exit_code == 1
    [already, waiting] = done.stdout.splitlines()
    assert already == "BTCUSDT is active already"
    assert "BTCUSDT has no fresh report: no market data has come for " in waiting


def test_wait_needs_no_number_wherever_it_stands(run: Run, redis_client: redis.Redis) -> None:
    """It holds already: the beat has followed, and the symbol is in no assignment."""
    run("symbols pause BTCUSDT")
    redis_client.hset(KEYS.dispatcher, "desired", wanted(redis_client).version)
    for line in (
        "symbols pause --wait BTCUSDT",
        "symbols pause BTCUSDT --wait",
        "symbols pause --wait --by ann BTCUSDT",
    ):
        done = run(line)
        assert (done.exit_code, done.stderr) == (0, ""), line
        assert done.stdout.startswith("BTCUSDT is paused already\nit holds after 0.")


def test_where_nothing_is_stored_it_says_who_stores_it(run: Run, redis_client: redis.Redis) -> None:
    redis_client.delete(KEYS.desired)
    for line in ("symbols add SOLUSDT", "symbols list", "nodes drain node-001"):
        done = run(line)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            "Error: there is no nt:desired in this Redis yet. A beat stores SYMBOLS there when it leads; no beat leads now\n"
        )
    redis_client.hset(
        KEYS.dispatcher, mapping={"leader": "beat@old/1", "term": 1, "until": now_ms(redis_client) + 60_000}
    )
    assert run("symbols add SOLUSDT").stderr.endswith("beat@old/1 leads and stores none: it is of an older version\n")


def test_what_cannot_be_read_is_not_overwritten(run: Run, redis_client: redis.Redis) -> None:
    redis_client.hset(KEYS.desired, "version", "many")
    before = redis_client.hgetall(KEYS.desired)
    for line in ("symbols add SOLUSDT", "symbols list"):
        done = run(line)
        assert (done.exit_code, done.stdout) == (69, "")
        assert "nt:desired holds what tickfence did not write" in done.stderr
        assert "`redis-cli DEL nt:desired` lets the leading beat write it again" in done.stderr
    assert redis_client.hgetall(KEYS.desired) == before


def test_a_key_of_another_type_is_named(run: Run, redis_client: redis.Redis) -> None:
    redis_client.delete(KEYS.desired)
    redis_client.set(KEYS.desired, "x")
    for line in ("symbols add SOLUSDT", "symbols list"):
        done = run(line)
        assert (done.exit_code, done.stdout) == (69, "")
        assert "nt:desired holds what tickfence did not write: WRONGTYPE" in done.stderr
    assert redis_client.get(KEYS.desired) == b"x"


def test_where_all_symbols_are_removed_the_commands_say_so(run: Run) -> None:
    assert run("symbols remove BTCUSDT ETHUSDT").exit_code == 0
    for line, status, why in (
        ("symbols pause SOLUSDT", 2, "there is no symbol 'SOLUSDT'; there is none at all. Nothing was changed"),
        ("owners", 1, "there is no symbol: operators have removed all of them"),
    ):
        done = run(line)
        assert done.exit_code == status
        assert why in done.stderr


def test_a_user_who_may_only_read_is_told_who_may(
    run: Run, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    redis_client.execute_command(
        "ACL", "SETUSER", "looker", "on", "nopass", "~*", "&*", "+@all", "-@write", "-@scripting"
    )
    url = redis_server.url().replace("redis://", "redis://looker:secret@")
    try:
        done = run("symbols add SOLUSDT", url=url)
        assert (done.exit_code, done.stdout) == (77, "")
        assert "redis://looker:***@" in done.stderr and "the user looker may not change nt:desired" in done.stderr
        assert "operator in deploy/redis/users.acl" in done.stderr
        assert run("symbols list", url=url).exit_code == 0
    finally:
        redis_client.execute_command("ACL", "DELUSER", "looker")


def settings_of(server: EmbeddedRedis) -> Settings:
    return Settings.from_environment({"REDIS_URL": server.url()})


def interrupted(request: Request, meanwhile: Callable[[], Any], times: int) -> Request:
    """The same request; the first times that it is computed, something else happens before it is stored."""
    left = [None] * times

    def compute(desired: Desired, now: int) -> Desired:
        if left:
            left.pop()
            meanwhile()
        return request.compute(desired, now)

    return request._replace(compute=compute)


def test_who_was_quicker_is_not_overwritten_and_is_named(
    run: Run, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    settings = settings_of(redis_server)
    ours = interrupted(symbols_request("add", [SOL]), lambda: run("symbols pause BTCUSDT --by ann"), 1)
    done = change(redis_client, settings, ours, "bob")
    assert [one.text for one in done.outcomes] == ["added SOLUSDT"]
    assert [(one.by, one.what) for one in done.meanwhile] == [("ann", "symbols pause BTCUSDT")]
    assert states(redis_client) == {BTC: "paused", ETH: "active", SOL: "active"}


def test_what_somebody_else_did_a_moment_ago_is_taken_into_account(
    run: Run, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    settings = settings_of(redis_server)
    ours = interrupted(symbols_request("add", [SOL]), lambda: run("symbols add SOLUSDT --by ann"), 1)
    assert [one.text for one in change(redis_client, settings, ours, "bob").outcomes] == ["SOLUSDT is active already"]


def test_it_does_not_try_for_ever(run: Run, redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    flips = iter(["pause", "resume"] * TRIES)
    ours = interrupted(symbols_request("add", [SOL]), lambda: run(f"symbols {next(flips)} BTCUSDT"), 2 * TRIES)
    with pytest.raises(NothingThere, match="10 times somebody else changed"):
        change(redis_client, settings_of(redis_server), ours, "bob")
    assert SOL not in wanted(redis_client).symbols


def test_many_at_once_all_get_through(run: Run, redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    assert run("symbols list").exit_code == 0
    settings = settings_of(redis_server)
    names = [Instrument(f"S{number}USDT") for number in range(6)]

    def add(symbol: Instrument) -> None:
        with redis_server.client() as client:
            change(client, settings, symbols_request("add", [symbol]), f"by-{symbol}")

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(add, names))
    assert set(names) <= set(wanted(redis_client).active)
    versions = [one.version for one in wanted(redis_client).changes]
    assert versions == sorted(set(versions))
    assert {one.by for one in wanted(redis_client).changes} >= {f"by-{symbol}" for symbol in names}


def test_the_list_shows_states_nodes_and_the_last_change(run: Run, redis_client: redis.Redis) -> None:
    run("symbols pause BTCUSDT --by ann")
    redis_client.hset(KEYS.assignment, mapping={"term": 1, "generation": 1, "ETHUSDT": "node-001/a"})
    shown = run("symbols list").stdout
    assert "2 symbols, 1 paused" in shown and "symbols pause BTCUSDT" in shown
    assert "no beat follows this yet" in shown
    redis_client.hset(KEYS.dispatcher, "desired", wanted(redis_client).version)
    assert "no beat follows" not in run("symbols list").stdout
    run("symbols add ccxt:gemini:BTC/USD x:[b]")
    shown = run("symbols list").stdout
    assert "ccxt:gemini:BTC/USD" in shown and "x:[b]" in shown, "as they are, and not as emoji or bold"
    run("symbols remove ccxt:gemini:BTC/USD x:[b]")
    redis_client.hset(KEYS.dispatcher, "desired", wanted(redis_client).version)
    found = json.loads(run("symbols list --json").stdout)
    assert [(row["symbol"], row["state"], row["node"]) for row in found["symbols"]] == [
        ("BTCUSDT", "paused", None),
        ("ETHUSDT", "active", "node-001"),
    ]
    assert found["version"] == found["followed"] == wanted(redis_client).version
    assert found["changes"][-3]["by"] == "ann"


def test_without_coordination_there_are_no_nodes_to_change(run: Run) -> None:
    alone = {"NT_ENABLE_MULTI_INSTANCE": "false"}
    done = run("nodes drain node-001", env=alone)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: coordination is off")
    assert run("symbols add SOLUSDT", env=alone).exit_code == 0


def test_a_request_names_what_was_typed() -> None:
    many = [Instrument(f"S{number}USDT") for number in range(10)]
    assert symbols_request("remove", many).what.endswith(" S7USDT and 2 more")
    assert mode_request("drain", ["node-001"]).what == "nodes drain node-001"


def test_in_a_narrow_terminal_each_line_is_whole(run: Run, redis_server: EmbeddedRedis) -> None:
    assert run("symbols pause BTCUSDT").exit_code == 0
    with Terminal(redis_server.url(), "symbols", "resume", "BTCUSDT", "--wait", "0.3", columns=60) as terminal:
        shown = terminal.read().decode().splitlines()
        assert terminal.process.wait(20) == 1
    assert shown[0] == "resumed BTCUSDT"
    assert shown[1].endswith("s: no beat leads") and shown[-1].startswith("Error: it does not hold after ")
    with Terminal(redis_server.url(), "symbols", "list", columns=60) as terminal:
        assert broken(click.unstyle(terminal.read().decode()).splitlines(), 60) == []
        assert terminal.process.wait(20) == 0
