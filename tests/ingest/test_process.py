"""Ingest as a process between a simulated exchange and a real Redis, with everything that goes wrong on both sides."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from ingest.market import AUDIT_EVERY_S
from tests.frozen_objects import frozen, telling
from tests.ingest.ingest_process import IngestProcess
from tests.processes import wait_until
from tests.tools.simulator.exchange_process import Exchange
from tickfence.coordination import desired as states
from tickfence.coordination.desired_store import read_desired, replace_desired, seed_desired
from tickfence.keys import Keys
from tickfence.streams.codec import TradesUpTo
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = ("BTCUSDT", "ETHUSDT")
FAST = {"NT_SNAPSHOT_INTERVAL_MS": 500}

StartExchange = Callable[..., Exchange]
StartIngest = Callable[..., IngestProcess]
Sides = tuple[dict[float, float], dict[float, float]]


def entries(client: redis.Redis, symbol: str, after: str = "-") -> list[tuple[int, int, Sides]]:
    """Diffs in the stream: first and last update id, and both sides."""
    found = []
    for entry_id, fields in client.xrange(f"md:{{{symbol}}}:book", min=after):
        sides = (dict(json.loads(fields[b"b"])), dict(json.loads(fields[b"a"])))
        found.append((int(fields[b"U"]), int(entry_id.split(b"-")[1]), sides))
    return found


def newest(client: redis.Redis, symbol: str) -> int:
    top = client.xrevrange(f"md:{{{symbol}}}:book", count=1)
    return int(top[0][0].split(b"-")[1]) if top else 0


def gaps(client: redis.Redis, symbol: str) -> int:
    """Places in the stream where update ids do not connect."""
    ids = [(first, last) for first, last, _ in entries(client, symbol)]
    return sum(first > before[1] + 1 for before, (first, _) in pairwise(ids))


def depth(exchange: Exchange, symbol: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{exchange.http}/api/v3/depth?symbol={symbol}&limit=5000", timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def grown(book: dict[str, Any], diffs: list[tuple[int, int, Sides]]) -> tuple[int, Sides]:
    """A book and the diffs that connect to it: the last update id, and both sides."""
    last = book["lastUpdateId"]
    sides: Sides = tuple({float(p): float(q) for p, q in book[side]} for side in ("bids", "asks"))  # type: ignore[assignment]
    for first, update_id, changes in diffs:
        if update_id <= last:
            continue
        assert first <= last + 1, f"gap before {first} after {last}"
        for side, changed in zip(sides, changes, strict=True):
            side.update(changed)
            for price in [price for price, quantity in changed.items() if not quantity]:
                side.pop(price)
        last = update_id
    return last, sides


def assert_books_are_true(client: redis.Redis, exchange: Exchange) -> None:
    """What a reader makes of snapshot and stream is what the exchange's own book, taken now, grows to."""
    for symbol in SYMBOLS:
        own = depth(exchange, symbol)
        wait_until(lambda: newest(client, symbol) > own["lastUpdateId"], f"{symbol} to go on")  # noqa: B023
        snapshot = json.loads(client.get(f"md:{{{symbol}}}:snapshot"))
        diffs = entries(client, symbol)
        assert grown(snapshot, diffs) == grown(own, diffs)


def running(client: redis.Redis, ingest: IngestProcess) -> None:
    """Wait until every book is in sync and written, and its stream moves."""
    wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == len(SYMBOLS), "books in sync", 15)
    for symbol in SYMBOLS:
        wait_until(lambda: client.exists(f"md:{{{symbol}}}:snapshot"), f"snapshot of {symbol}")  # noqa: B023
        wait_until(lambda: len(entries(client, symbol)) > 3, f"diffs of {symbol}")  # noqa: B023


@pytest.fixture
def stack(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, start_exchange: StartExchange, start_ingest: StartIngest
) -> tuple[redis.Redis, Exchange, IngestProcess]:
    exchange = start_exchange("--symbols", ",".join(SYMBOLS))
    ingest = start_ingest(exchange, redis_server, ",".join(SYMBOLS), **FAST)
    running(redis_client, ingest)
    return redis_client, exchange, ingest


Stack = tuple[redis.Redis, Exchange, IngestProcess]


def test_everything_the_design_lists_is_written(stack: Stack) -> None:
    client, exchange, ingest = stack
    assert_books_are_true(client, exchange)
    for symbol in SYMBOLS:
        wait_until(lambda: client.exists(f"md:{{{symbol}}}:ticker"), "the ticker")  # noqa: B023
        wait_until(lambda: client.xlen(f"md:{{{symbol}}}:trades") > 3, "trades")  # noqa: B023
        assert set(client.hgetall(f"md:{{{symbol}}}:ticker")) == {
            b"last",
            b"change_pct",
            b"high",
            b"low",
            b"volume",
            b"r",
        }
        assert client.hget(f"md:{{{symbol}}}:info", "status") == b"trading"
        trades = [int(entry_id.split(b"-")[1]) for entry_id, _ in client.xrange(f"md:{{{symbol}}}:trades")]
        assert trades == list(range(trades[0], trades[-1] + 1))
    assert ingest.metric("nt_ws_connections") == 1
    assert ingest.stop() == 0
    assert ingest.log()[-1]["message"] == "ingest stopped"


def test_a_name_beyond_ascii(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, start_exchange: StartExchange, start_ingest: StartIngest
) -> None:
    symbol = "币安人生USDT"
    exchange = start_exchange("--symbols", symbol)
    ingest = start_ingest(exchange, redis_server, symbol, **FAST)
    wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == 1, "its book", 15)
    wait_until(lambda: len(entries(redis_client, symbol)) > 3, "its diffs")
    wait_until(lambda: redis_client.xlen(f"md:{{{symbol}}}:trades") > 3, "its trades")
    wait_until(lambda: redis_client.exists(*(f"md:{{{symbol}}}:{key}" for key in ("ticker", "info"))) == 2, "hashes")


@pytest.mark.parametrize(("share", "audits"), [("0.5", 3), ("0", 0)])
def test_books_are_audited_in_turn_unless_that_is_turned_off(
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    start_exchange: StartExchange,
    start_ingest: StartIngest,
    share: str,
    audits: int,
) -> None:
    exchange = start_exchange("--symbols", ",".join(SYMBOLS))
    ingest = start_ingest(exchange, redis_server, ",".join(SYMBOLS), NT_AUDIT_WEIGHT_SHARE=share, **FAST)
    running(redis_client, ingest)
    if audits:
        wait_until(lambda: ingest.metric("nt_book_audits_total") >= audits, "some audits", 20)
    else:
        time.sleep(3 * AUDIT_EVERY_S)
        assert ingest.metric("nt_book_audits_total") == 0
    assert ingest.metric("nt_book_audit_mismatch_total") == 0
    assert all(gaps(redis_client, symbol) == 0 for symbol in SYMBOLS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_even_with_redis_and_exchange_away(
    number: signal.Signals, start_exchange: StartExchange, start_ingest: StartIngest, tmp_path: Path
) -> None:
    exchange = start_exchange()
    exchange.stop()
    nowhere = EmbeddedRedis()
    ingest = start_ingest(exchange, nowhere, "BTCUSDT", **telling(tmp_path))
    wait_until(lambda: any("Redis is away" in line["message"] for line in ingest.log()), "the first attempts")
    assert ingest.stop(number) == 0
    assert frozen(tmp_path) > 10_000
    nowhere.close()


RUBBISH = {
    "not-json": "not_json",
    "not-utf8": "not_json",
    "nested": "not_json",
    "not-an-object": "wrong_type",
    "wrong-types": "wrong_type",
    "missing-fields": "wrong_type",
    "nan": "not_a_number",
    "infinity": "not_a_number",
    "not-a-number": "wrong_type",
    "negative-price": "bad_price",
    "negative-quantity": "bad_quantity",
    "crossed": "crossed_book",
    "huge": "oversized",
    "unknown-symbol": "unknown_symbol",
    "ids-back": "update_id_back",
    "ids-reversed": "bad_update_ids",
    "trade-nan": "not_a_number",
    "trade-negative": "bad_price",
    "trade-wrong-types": "wrong_type",
    "ticker-wrong-types": "wrong_type",
}


def test_rubbish_is_counted_logged_and_never_written(stack: Stack) -> None:
    client, exchange, ingest = stack
    for kind, reason in RUBBISH.items():
        name = f'nt_ingest_rejected_total{{reason="{reason}"}}'
        before = ingest.metric(name)
        assert exchange.fault("rubbish", kind=kind, symbol="BTCUSDT") == 1
        wait_until(lambda: ingest.metric(name) > before, f"{kind} to be refused as {reason}")  # noqa: B023
        # What a refused message held shows as a gap only when the next one comes.
        mark = depth(exchange, "BTCUSDT")["lastUpdateId"]
        wait_until(lambda: newest(client, "BTCUSDT") > mark, f"updates after {kind}")  # noqa: B023
        wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == len(SYMBOLS), f"resync after {kind}")
        assert_books_are_true(client, exchange)
    for _, fields in client.xrange("md:{BTCUSDT}:trades"):
        assert float(fields[b"p"]) > 0
    for _, _, sides in entries(client, "BTCUSDT"):
        for side in sides:
            assert all(price > 0 and quantity >= 0 for price, quantity in side.items())
    assert ingest.metric("nt_ws_connections") == 1, "not one of them costs the connection"
    assert ingest.metric('nt_ws_resubscribe_total{reason="ended"}') == 0
    assert gaps(client, "ETHUSDT") == 0, "the other symbol has no part in it"
    assert {line["reason"] for line in ingest.log() if line["message"] == "message refused"} >= {
        "not_json",
        "oversized",
    }
    assert ingest.stop() == 0


def test_a_skipped_update_is_a_gap_and_the_book_is_loaded_again(stack: Stack) -> None:
    client, exchange, ingest = stack
    assert exchange.fault("skip", symbol="BTCUSDT", count=2) == 1
    wait_until(lambda: ingest.metric('nt_ingest_resyncs_total{reason="gap"}') == 1, "the gap")
    wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == len(SYMBOLS), "the resync")
    assert_books_are_true(client, exchange)
    assert gaps(client, "BTCUSDT") == 1, "readers can see that something is missing"
    assert gaps(client, "ETHUSDT") == 0


def test_while_a_book_has_a_gap_nothing_of_it_is_written(stack: Stack) -> None:
    client, exchange, ingest = stack
    exchange.fault("rest_delay", seconds=1.5, count=1)
    exchange.fault("skip", symbol="BTCUSDT")
    wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == 1, "the gap")
    stopped = newest(client, "BTCUSDT")
    others = newest(client, "ETHUSDT")
    wait_until(lambda: newest(client, "ETHUSDT") > others, "the other symbol to go on")
    assert newest(client, "BTCUSDT") == stopped
    assert json.loads(client.get("md:{BTCUSDT}:snapshot"))["lastUpdateId"] <= stopped
    wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == 2, "the resync")
    assert_books_are_true(client, exchange)


def test_a_dropped_connection_is_made_again(stack: Stack) -> None:
    client, exchange, ingest = stack
    for code in (None, 1001):
        before = {symbol: newest(client, symbol) for symbol in SYMBOLS}
        again = ingest.metric('nt_ws_resubscribe_total{reason="ended"}')
        exchange.fault("drop", **({} if code is None else {"code": code}))
        wait_until(lambda: ingest.metric('nt_ws_resubscribe_total{reason="ended"}') > again, "the end")  # noqa: B023
        for symbol in SYMBOLS:
            wait_until(lambda: newest(client, symbol) > before[symbol], f"{symbol} to go on")  # noqa: B023
        wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == len(SYMBOLS), "the resync")
        assert_books_are_true(client, exchange)


def test_an_announced_shutdown_costs_not_one_update(stack: Stack) -> None:
    client, exchange, ingest = stack
    exchange.fault("shutdown", seconds=4)
    wait_until(lambda: ingest.metric('nt_ws_resubscribe_total{reason="shutdown"}') == 1, "the announcement")
    wait_until(lambda: ingest.metric("nt_ws_connections") == 2, "both connections")
    wait_until(lambda: ingest.metric("nt_ws_connections") == 1, "the old one closed")
    for symbol in SYMBOLS:
        before = newest(client, symbol)
        wait_until(lambda: newest(client, symbol) > before, f"{symbol} to go on")  # noqa: B023
        assert gaps(client, symbol) == 0
        trades = [int(entry_id.split(b"-")[1]) for entry_id, _ in client.xrange(f"md:{{{symbol}}}:trades")]
        assert trades == list(range(trades[0], trades[-1] + 1))
    assert ingest.metric('nt_ws_resubscribe_total{reason="ended"}') == 0
    assert ingest.metric('nt_ingest_resyncs_total{reason="gap"}') == 0
    assert (
        ingest.metric('nt_ingest_duplicates_total{where="ingest"}')
        + ingest.metric('nt_ingest_duplicates_total{where="feed"}')
        > 0
    ), "both connections delivered"
    assert_books_are_true(client, exchange)


def test_rest_errors_are_waited_out(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, start_exchange: StartExchange, start_ingest: StartIngest
) -> None:
    exchange = start_exchange("--symbols", ",".join(SYMBOLS))
    exchange.fault("rest", status=503, count=3)
    ingest = start_ingest(exchange, redis_server, ",".join(SYMBOLS), **FAST)
    running(redis_client, ingest)
    assert ingest.metric('nt_ingest_rest_requests_total{outcome="503"}') == 3
    wait_until(lambda: redis_client.exists("md:{BTCUSDT}:info"), "the symbol's info")
    exchange.fault("rest", status=429, count=1, retry_after=2)
    exchange.fault("skip", symbol="BTCUSDT")
    wait_until(lambda: ingest.metric('nt_ingest_rest_requests_total{outcome="429"}') == 1, "the refusal")
    answered = ingest.metric('nt_ingest_rest_requests_total{outcome="200"}')
    assert ingest.metric("nt_ingest_books_in_sync") == 1
    wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == 2, "the resync after Retry-After")
    assert ingest.metric('nt_ingest_rest_requests_total{outcome="200"}') == answered + 1, "silence was kept"
    [line] = [
        line for line in ingest.log() if line["message"] == "the exchange wants silence: no request, no new connection"
    ]
    assert (line["status"], line["pause_s"]) == (429, 2)
    assert_books_are_true(redis_client, exchange)


def test_a_symbol_the_exchange_does_not_list_is_told_and_the_others_run(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, start_exchange: StartExchange, start_ingest: StartIngest
) -> None:
    exchange = start_exchange("--symbols", ",".join(SYMBOLS))
    ingest = start_ingest(exchange, redis_server, "NOSUCHUSDT," + ",".join(SYMBOLS), **FAST)
    running(redis_client, ingest)
    wait_until(lambda: any(line.get("symbols") == ["NOSUCHUSDT"] for line in ingest.log()), "the log line")
    assert_books_are_true(redis_client, exchange)


@pytest.mark.parametrize("loses_data", [True, False], ids=["empty", "kept"])
def test_redis_restarts(
    loses_data: bool,
    own_redis_server: Callable[..., EmbeddedRedis],
    start_exchange: StartExchange,
    start_ingest: StartIngest,
) -> None:
    server = own_redis_server(append_only=not loses_data)
    exchange = start_exchange("--symbols", ",".join(SYMBOLS))
    with server.client() as client:
        ingest = start_ingest(exchange, server, ",".join(SYMBOLS), NT_SNAPSHOT_INTERVAL_MS=60_000)
        running(client, ingest)
        server.kill()
        wait_until(lambda: ingest.metric("nt_ingest_buffer_entries") >= 0 and ingest.process.poll() is None, "life")
        server.start()
        for symbol in SYMBOLS:
            wait_until(lambda: client.exists(f"md:{{{symbol}}}:snapshot"), "the book written again")  # noqa: B023
            before = newest(client, symbol)
            wait_until(lambda: newest(client, symbol) > before, f"{symbol} to go on")  # noqa: B023
            assert gaps(client, symbol) == 0, "what came meanwhile was kept"
        assert_books_are_true(client, exchange)
        assert ingest.metric('nt_ingest_dropped_total{reason="buffer_full"}') == 0


def test_of_two_processes_one_is_killed_and_nothing_is_missing(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, start_exchange: StartExchange, start_ingest: StartIngest
) -> None:
    exchange = start_exchange("--symbols", ",".join(SYMBOLS))
    first = start_ingest(exchange, redis_server, ",".join(SYMBOLS), **FAST)
    running(redis_client, first)
    second = start_ingest(exchange, redis_server, ",".join(SYMBOLS), **FAST)
    running(redis_client, second)
    wait_until(
        lambda: (
            sum(
                one.metric(f'nt_ingest_duplicates_total{{where="{where}"}}')
                for one in (first, second)
                for where in ("redis", "ingest")
            )
            > 20
        ),
        "copies to be refused",
    )
    first.stop(signal.SIGKILL)
    for symbol in SYMBOLS:
        before = newest(redis_client, symbol)
        wait_until(lambda: newest(redis_client, symbol) > before, f"{symbol} to go on")  # noqa: B023
        assert gaps(redis_client, symbol) == 0
        trades = [int(entry_id.split(b"-")[1]) for entry_id, _ in redis_client.xrange(f"md:{{{symbol}}}:trades")]
        assert trades == list(range(trades[0], trades[-1] + 1))
    assert_books_are_true(redis_client, exchange)


def test_symbols_that_operators_add_and_remove_are_followed_while_the_others_go_on(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, start_exchange: StartExchange, start_ingest: StartIngest
) -> None:
    kept, gone, new, bad = "BTCUSDT", "ETHUSDT", "BNBUSDT", "NONEUSDT"
    keys = Keys()
    exchange = start_exchange("--symbols", f"{kept},{gone},{new}")
    ingests = [start_ingest(exchange, redis_server, ",".join(SYMBOLS), **FAST) for _ in range(2)]
    for ingest in ingests:
        running(redis_client, ingest)
    seed_desired(redis_client, keys, states.seed(SYMBOLS), "test")

    def change(make: Callable[[states.Desired], states.Desired]) -> None:
        before = read_desired(redis_client, keys)
        assert before is not None
        assert replace_desired(redis_client, keys, before.version, make(before), "test", "a change") is not None

    def last_id() -> bytes:
        [(id_, _)] = redis_client.xrevrange(keys.book(kept), count=1)
        return bytes(id_)

    def broken(since: bytes) -> int:
        found = redis_client.xrange(keys.book(kept), min=b"(" + since)
        return sum(fields[b"t"] == b"%d" % TradesUpTo.BROKEN for _, fields in found)

    began = last_id()
    now_ms = int(time.time() * 1000)
    change(lambda old: states.add(states.pause(old, [kept], now_ms), [new, bad], now_ms))
    wait_until(lambda: redis_client.exists(*keys.market_data(new)) == 5, "all data of the new symbol", 3)
    wait_until(lambda: len(entries(redis_client, new)) > 3, "its diffs")
    change(lambda old: states.remove(old, [gone], now_ms))
    wait_until(lambda: not redis_client.exists(*keys.market_data(gone)), "nothing of the removed symbol", 2)
    wait_until(lambda: all(one.metric("nt_ingest_books") == 3 for one in ingests), "both to follow")
    assert broken(began) == 0, "the coverage of its trades goes on"
    before, after = newest(redis_client, kept), last_id()
    until_s = time.monotonic() + 3.5
    wait_until(lambda: time.monotonic() > until_s, "the second deletion")
    assert not redis_client.exists(*keys.market_data(gone))
    assert newest(redis_client, kept) > before, "paused is not removed"
    for symbol in (kept, new):
        assert gaps(redis_client, symbol) == 0
        found = [int(entry_id.split(b"-")[1]) for entry_id, _ in redis_client.xrange(keys.trades(symbol))]
        assert found == list(range(found[0], found[-1] + 1))
    assert broken(after) == 0, "the coverage of its trades goes on"
    for ingest in ingests:
        assert ingest.metric("nt_ws_connections") == 1
        assert ingest.metric('nt_ws_resubscribe_total{reason="ended"}') == 0
        assert ingest.metric("nt_ingest_symbols_unlisted") == 1, "the bad name"
        assert ingest.metric('nt_ingest_rejected_total{reason="unknown_symbol"}') == 0
        assert ingest.metric('nt_ingest_dropped_total{reason="redis_error"}') == 0
    change(lambda old: states.add(old, [gone], now_ms))
    wait_until(lambda: redis_client.exists(*keys.market_data(gone)) == 5, "the removed symbol again", 3)


def test_an_exchange_that_was_restarted_is_found_again(stack: Stack) -> None:
    client, exchange, ingest = stack
    host, port = exchange.address.split(":")
    exchange.stop(signal.SIGKILL)
    wait_until(lambda: ingest.metric("nt_ws_connections") == 0, "the end of the connection")
    with Exchange("--host", host, "--port", port, "--symbols", ",".join(SYMBOLS)) as again:
        for symbol in SYMBOLS:
            before = newest(client, symbol)
            wait_until(lambda: newest(client, symbol) != before, f"{symbol} to go on", 20)  # noqa: B023
        wait_until(lambda: ingest.metric("nt_ingest_books_in_sync") == len(SYMBOLS), "the resync")
        assert_books_are_true(client, again)


def test_a_bad_setting_is_one_clear_line(redis_server: EmbeddedRedis, start_exchange: StartExchange) -> None:
    exchange = start_exchange()
    with IngestProcess(
        symbols="BTCUSDT", redis_url=redis_server.url(), ws="http://wrong", rest=exchange.http
    ) as process:
        assert process.process.wait(timeout=10) == 2
        assert process.log_text().startswith("error: NT_EXCHANGE_WS_URL=http://wrong: must be a URL")
