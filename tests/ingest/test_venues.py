"""Exchanges beside Binance: one file adds one, and the trouble of each is its own."""

from __future__ import annotations

import ast
import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
import redis

from ingest import venues
from ingest.__main__ import main
from ingest.service import Ingest
from ingest.venue import KeepAlive, LibraryVenue, Venue
from tests.ingest.toy_exchange import ToyExchange, toy_exchange
from tests.ingest.writing import counted, reader_book, until
from tickfence.analytics.book import BookGap, OrderBook
from tickfence.keys import Keys
from tickfence.settings import BadSetting, Settings
from tickfence.streams.codec import decode_diff
from tools.local.embedded_redis import EmbeddedRedis

A, B = "toy:AAA-EUR", "toy:BBB-EUR"
NAMES = ("AAA-EUR", "BBB-EUR")

Test = Callable[[ToyExchange], Coroutine[None, None, None]]


@pytest.fixture(autouse=True)
def more_venues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venues, "__path__", [*venues.__path__, str(Path(__file__).with_name("more_venues"))])


def change_venue(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> None:
    """Let the next venue that is loaded have other attributes."""
    real = venues.load

    def changed(name: str) -> Venue:
        venue = real(name)
        for attribute, value in attributes.items():
            setattr(venue, attribute, value)
        return venue

    monkeypatch.setattr(venues, "load", changed)


class Following:
    """An ingest of the toy exchange, and a reader's view of what it writes."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis) -> None:
        self.server, self.client = server, client

    def run(self, test: Test, symbols: str = f"{A},{B}", numbered: bool = True, **variables: str) -> None:
        async def within() -> None:
            async with (
                toy_exchange(*NAMES, numbered=numbered) as exchange,
                self.ingesting(exchange, symbols, **variables),
            ):
                await test(exchange)

        asyncio.run(within())

    @asynccontextmanager
    async def ingesting(self, exchange: ToyExchange, symbols: str, **variables: str) -> AsyncIterator[None]:
        given = {"REDIS_URL": self.server.url(), "SYMBOLS": symbols, "NT_VENUE_URLS": f"toy.ws={exchange.ws}"}
        ingest = Ingest(Settings.from_environment(given | variables))
        task = asyncio.create_task(ingest.run())
        try:
            yield
        finally:
            ingest.stop()
            await task

    def shows(self, exchange: ToyExchange, symbol: str) -> bool:
        """Whether a reader's book is the exchange's."""
        if not self.client.exists(Keys().snapshot(symbol)):
            return False
        try:
            return reader_book(self.client, symbol).levels() == exchange.best(symbol.partition(":")[2])
        except BookGap:
            return False


@pytest.fixture
def following(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> Following:
    return Following(redis_server, redis_client)


def test_a_venue_is_one_file(following: Following) -> None:
    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A) and following.shows(exchange, B), "both books")
        await exchange.update("AAA-EUR", {98.5: 2.0}, {101.0: 0.0})
        await until(lambda: following.shows(exchange, A), "a level that pushes one out, and one that comes in")
        await exchange.update("AAA-EUR", {98.5: 0.0, 99.0: 0.0}, {})
        await until(lambda: following.shows(exchange, A), "two that come in")
        assert exchange.subscribed.count("book AAA-EUR") == 1, "a book that is told needs no other"
        await exchange.trade("AAA-EUR", 7, 3)
        keys = Keys()
        await until(lambda: following.client.xlen(keys.trades(A)) == 1, "the trade")
        info = following.client.hgetall(keys.info(A))
        assert (info[b"tick_size"], info[b"base"], info[b"quote"]) == (b"0.01", b"BTC", b"EUR")
        assert exchange.subscribed.count("rules") == 1

    following.run(test)


def test_a_book_that_is_not_what_the_exchange_says_is_sent_again_alone(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("nt_ingest_resyncs_total", venue="toy", reason="checksum")

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A) and following.shows(exchange, B), "both books")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {}, wrong=True)
        await until(lambda: exchange.subscribed.count("book AAA-EUR") == 2, "another subscription")
        await until(lambda: following.shows(exchange, A), "the right book")
        [(disproved, fields)] = following.client.xrange(Keys().book(A))
        reader = OrderBook()
        reader.load(100, [(99.0, 1.0)], [(101.0, 1.0)])
        with pytest.raises(BookGap):  # a reader of the book before it stops there
            diff = decode_diff(disproved, fields)
            reader.apply(diff.first_update_id, diff.last_update_id, diff.bids, diff.asks)
        await exchange.update("AAA-EUR", {99.0: 6.0}, {}, skip=True)
        await exchange.update("AAA-EUR", {99.0: 7.0}, {})
        await until(lambda: exchange.subscribed.count("book AAA-EUR") == 3, "one after a gap")
        await until(lambda: following.shows(exchange, A), "the right book again")
        assert exchange.subscribed.count("book BBB-EUR") == 1
        assert len(exchange.sockets) == 1
        published = [fields[b"b"] for _, fields in following.client.xrange(Keys().book(A))]
        assert b"[[99.0,5.0]]" not in published

    following.run(test)
    assert counted("nt_ingest_resyncs_total", venue="toy", reason="checksum") - before == 1
    assert {"checksum", "gap"} == {vars(record)["reason"] for record in caplog.records}


def test_silence_is_answered_by_a_ping_and_then_by_another_connection(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_venue(monkeypatch, keep_alive=KeepAlive("ping", 0.1, 1.5))

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: exchange.pings >= 4, "pings")
        assert exchange.subscribed.count("book AAA-EUR") == 1
        exchange.answers = False
        await until(lambda: exchange.subscribed.count("book AAA-EUR") == 2, "another connection")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {})
        await until(lambda: following.shows(exchange, A), "its book")

    following.run(test)


def test_a_refused_subscription_costs_that_symbol_alone(following: Following, caplog: pytest.LogCaptureFixture) -> None:
    async def test(exchange: ToyExchange) -> None:
        exchange.refused = {"trades BBB-EUR", "book BBB-EUR"}
        await until(lambda: following.shows(exchange, A), "the other book")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {})
        await until(lambda: following.shows(exchange, A), "its update")
        assert exchange.subscribed.count("book BBB-EUR") == 1

    following.run(test)
    refusals = [record for record in caplog.records if "refused a subscription" in record.message]
    assert len(refusals) == 1, "one line for a symbol"


def test_what_the_exchange_refuses_for_now_is_sent_again_as_it_was(
    following: Following, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingest.connection.LATER_S", 0.1)

    async def test(exchange: ToyExchange) -> None:
        exchange.busy = 3  # the messages for rules, trades and books
        await until(lambda: following.shows(exchange, A) and following.shows(exchange, B), "both books")
        kinds = ("trades", "book")
        assert sorted(exchange.subscribed) == sorted(["rules", *(f"{kind} {name}" for kind in kinds for name in NAMES)])

    following.run(test)
    refusals = [vars(record) for record in caplog.records if "refused a subscription" in record.message]
    assert {line["error"] for line in refusals} == {"too many"}
    assert max(line["retry_s"] for line in refusals) <= 0.1


def test_a_stream_that_the_exchange_ends_leaves_nothing_in_sync(
    following: Following, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingest.connection.LATER_S", 0.1)

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A), "the book")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {})
        await until(lambda: following.shows(exchange, A), "an update")
        ended = ["trades AAA-EUR"]
        await exchange.tell("book AAA-EUR", kind="refused", why="too many connections", streams=ended, later=True)
        await until(lambda: exchange.subscribed.count("trades AAA-EUR") == 2, "its trades again")
        await until(lambda: exchange.subscribed.count("book AAA-EUR") == 2, "its book again")
        await exchange.update("AAA-EUR", {99.0: 6.0}, {})
        await until(lambda: following.shows(exchange, A), "the next update")
        [*_, (_, last)] = following.client.xrange(Keys().book(A))
        assert last[b"t"] == b"2", "readers know that trades may be missing"

    following.run(test)
    assert [vars(record)["reason"] for record in caplog.records if "out of sync" in record.message] == ["refused"]


def test_a_part_that_must_not_be_used_costs_the_others_nothing(following: Following) -> None:
    before = counted("nt_ingest_rejected_total", venue="toy", reason="unknown_event")

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A), "the book")
        await exchange.tell("book AAA-EUR", kind="rubbish")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {})
        await until(lambda: following.shows(exchange, A), "the update after it")

    following.run(test)
    assert counted("nt_ingest_rejected_total", venue="toy", reason="unknown_event") - before == 1


def test_the_trouble_of_a_venue_is_its_own(
    following: Following, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A), "the book of the venue that works")
        assert counted("nt_ingest_symbols_without_venue") == 2
        assert counted("nt_ingest_books", venue="binance") == 1
        assert counted("nt_ws_connections", venue="binance") == 0

    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.setattr(venues, "__path__", [*venues.__path__, str(tmp_path)])
    unreachable = {"NT_EXCHANGE_WS_URL": "ws://127.0.0.1:1", "NT_EXCHANGE_REST_URL": "http://127.0.0.1:1"}
    following.run(test, f"{A},BTCUSDT,nosuch:BTC-EUR,broken:BTC-EUR", **unreachable)
    errors = {vars(record)["error"] for record in caplog.records if record.levelno == logging.ERROR}
    there_are = ", ".join(venues.names())
    assert errors == {f"there is no venue nosuch; there are {there_are}", "ZeroDivisionError division by zero"}


def test_a_defect_of_a_venue_starts_that_venue_again(
    following: Following, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.service.FIRST_RESTART_S", 0.01)
    load, loaded = venues.load, count(1)

    def load_not_at_second(name: str) -> Venue | LibraryVenue:
        if next(loaded) == 2:
            raise ZeroDivisionError
        return load(name)

    monkeypatch.setattr(venues, "load", load_not_at_second)

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A), "the book")
        await exchange.tell("book AAA-EUR", kind="trade")  # it lacks a price
        await until(lambda: exchange.subscribed.count("book AAA-EUR") == 2, "another start")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {})
        await until(lambda: following.shows(exchange, A), "the book again")

    following.run(test)
    assert counted("nt_ingest_venue_failures_total", venue="toy") == 2, "also at its first new start"
    assert "a venue has failed" in caplog.text


def test_only_the_chosen_venues_are_followed(following: Following, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ingest.service")

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A), "the book")
        assert counted("nt_ingest_symbols_without_venue") == 0

    following.run(test, f"{A},BTCUSDT", NT_INGEST_VENUES="toy")
    assert {vars(record).get("venue", "toy") for record in caplog.records} == {"toy"}


def test_updates_without_numbers_get_rising_ones(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    change_venue(monkeypatch, numbered=False)
    monkeypatch.setattr("ingest.feed.OVERLAP_S", 0.1)

    async def test(exchange: ToyExchange) -> None:
        await until(lambda: following.shows(exchange, A), "the book")
        await exchange.update("AAA-EUR", {99.0: 5.0}, {})
        await until(lambda: following.shows(exchange, A), "the update")
        [socket] = exchange.sockets
        await socket.close()
        await exchange.update("AAA-EUR", {99.0: 6.0}, {})
        await until(lambda: following.shows(exchange, A), "the book of the next connection")
        await exchange.update("AAA-EUR", {99.0: 7.0}, {})
        await until(lambda: following.shows(exchange, A), "its update")
        await exchange.tell("rules", kind="bye")
        await until(lambda: len(exchange.sockets) == 2, "the next connection before the old one ends")
        for quantity in range(1, 400):
            await exchange.update("AAA-EUR", {99.0: float(quantity)}, {}, unproved=True)
            if len(exchange.sockets) == 1:
                break
        await until(lambda: following.shows(exchange, A), "what the next connection has told")

    following.run(test, numbered=False)


def test_what_a_venue_needs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("import a_library_that_nobody_has")
    monkeypatch.setattr(venues, "__path__", [str(tmp_path)])
    with pytest.raises(
        venues.NoVenue, match=r"venue needy needs a_library_that_nobody_has, .* pip install '.\[needy\]'"
    ):
        venues.load("needy")
    with pytest.raises(venues.NoVenue, match="there is no venue other; there are needy"):
        venues.load("other")


@pytest.mark.parametrize(
    ("variable", "value"), [("NT_INGEST_VENUES", "okx,krakken"), ("NT_VENUE_URLS", "okx.ws=ws://x,krakken.b.ws=ws://x")]
)
def test_a_setting_that_names_no_venue_ends_ingest(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^{variable}: there is no venue krakken; there are binance, .*toy$"):
        asyncio.run(main(Settings.from_environment({variable: value})))


def test_nothing_else_names_a_venue() -> None:
    """No other module of ingest imports one, or has its name in its code."""
    ingest = Path(venues.__file__).parent.parent
    for path in ingest.glob("*.py"):
        tree = ast.parse(path.read_text())
        texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            named = getattr(node, "module", None) or getattr(node, "value", None)
            if isinstance(node, ast.ImportFrom | ast.Constant) and isinstance(named, str) and id(node) not in texts:
                assert not any(venue in named.lower() for venue in venues.names()), (path.name, named)
