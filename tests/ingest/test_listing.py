"""What the exchange lists, asked of a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ingest.events import SymbolRules
from ingest.listing import Listing
from ingest.rest import RestClient, RestError
from ingest.silence import Silence
from ingest.venues.binance import Binance
from tests.ingest.scripted_exchange import ScriptedExchange, scripted_exchange

INVALID = {"code": -1121, "msg": "Invalid symbol."}


class Listed:
    """An exchange that lists ``rules``, and what a `Listing` writes of them."""

    def __init__(self, exchange: ScriptedExchange, session: aiohttp.ClientSession, symbols: list[str]) -> None:
        self.rules: dict[str, tuple[str, str]] = dict.fromkeys(symbols, ("0.01", "TRADING"))
        self.only_alone: set[str] = set()
        self.asked: list[list[str]] = []
        self.written: dict[str, SymbolRules] = {}
        exchange.answer = self.answer
        binance = Binance(symbols)
        rest = RestClient(session, exchange.http, binance, Silence())
        self.clock = 0.0
        self.listing = Listing(rest, binance, symbols, self.written.__setitem__, clock=lambda: self.clock)

    def answer(self, request: web.Request) -> web.Response:
        alone = "symbol" in request.query
        names = [request.query["symbol"]] if alone else json.loads(request.query["symbols"])
        self.asked.append(names)
        if not self.rules.keys() >= set(names):
            return web.json_response(INVALID, status=400)
        shown = [name for name in names if alone or name not in self.only_alone]
        return web.json_response({"symbols": [self.entry(name) for name in shown]})

    def entry(self, name: str) -> dict[str, Any]:
        tick, status = self.rules[name]
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": "0.1"},
        ]
        return {"symbol": name, "status": status, "filters": filters}

    async def update(self) -> dict[str, SymbolRules]:
        """Ask once; return what was written."""
        self.asked.clear()
        self.written.clear()
        await self.listing.update()
        return dict(self.written)


@asynccontextmanager
async def listed(symbols: list[str]) -> AsyncIterator[Listed]:
    async with scripted_exchange() as exchange, aiohttp.ClientSession() as session:
        yield Listed(exchange, session, symbols)


def run(symbols: list[str], test: Callable[[Listed], Any]) -> None:
    async def within() -> None:
        async with listed(symbols) as one:
            await test(one)

    asyncio.run(within())


TRADING = SymbolRules("0.01", "0.1", "trading")


def test_only_what_changed_is_written() -> None:
    async def test(one: Listed) -> None:
        assert await one.update() == {"AAUSDT": TRADING, "BBUSDT": TRADING}
        assert one.asked == [["AAUSDT", "BBUSDT"]]
        assert await one.update() == {}
        one.rules["AAUSDT"] = ("0.001", "TRADING")
        assert await one.update() == {"AAUSDT": SymbolRules("0.001", "0.1", "trading")}
        one.rules["BBUSDT"] = ("0.01", "BREAK")
        assert await one.update() == {"BBUSDT": SymbolRules("0.01", "0.1", "halted")}

    run(["AAUSDT", "BBUSDT"], test)


def test_many_symbols_are_asked_for_in_batches() -> None:
    async def test(one: Listed) -> None:
        assert len(await one.update()) == 250
        assert [len(names) for names in one.asked] == [100, 100, 50]

    run([f"A{number}USDT" for number in range(250)], test)


def test_long_names_are_asked_for_in_smaller_batches() -> None:
    async def test(one: Listed) -> None:
        assert len(await one.update()) == 100
        assert len(one.asked) > 1

    run([f"币安人生币安人生币安人{number:03d}USDT" for number in range(100)], test)


def test_a_symbol_that_is_shown_only_when_asked_for_by_name() -> None:
    async def test(one: Listed) -> None:
        one.only_alone.add("BBUSDT")
        assert await one.update() == {"AAUSDT": TRADING, "BBUSDT": TRADING}
        assert one.asked == [["AAUSDT", "BBUSDT"], ["BBUSDT"]]

    run(["AAUSDT", "BBUSDT"], test)


def test_a_name_that_is_not_listed_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test(one: Listed) -> None:
        del one.rules["NOUSDT"]
        delisted = SymbolRules("", "", "delisted")
        assert await one.update() == {"AAUSDT": TRADING, "BBUSDT": TRADING, "NOUSDT": delisted}
        assert await one.update() == {}
        assert one.asked == [["AAUSDT", "BBUSDT"]], "it is asked for once an hour"
        one.clock += 3600
        assert await one.update() == {}
        assert one.asked == [["AAUSDT", "BBUSDT"], ["NOUSDT"]], "alone, so that no answer to many is refused"
        one.rules["NOUSDT"] = ("0.01", "PRE_TRADING")
        one.clock += 3600
        assert await one.update() == {"NOUSDT": TRADING._replace(status="halted")}

    with caplog.at_level(logging.ERROR):
        run(["AAUSDT", "NOUSDT", "BBUSDT"], test)
    [record] = caplog.records
    assert record.symbols == ["NOUSDT"]  # type: ignore[attr-defined]


def test_a_symbol_that_is_delisted_keeps_its_sizes() -> None:
    async def test(one: Listed) -> None:
        await one.update()
        del one.rules["BBUSDT"]
        assert await one.update() == {"BBUSDT": TRADING._replace(status="delisted")}
        assert await one.update() == {}

    run(["AAUSDT", "BBUSDT"], test)


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_no_other_refusal_means_that_a_symbol_is_not_listed(status: int) -> None:
    async def within() -> None:
        async with scripted_exchange() as exchange, aiohttp.ClientSession() as session:
            one = Listed(exchange, session, ["AAUSDT"])
            await one.update()
            exchange.answer = lambda _: web.Response(status=status)
            with pytest.raises(RestError):
                await one.update()
            assert not one.written

    asyncio.run(within())


@pytest.mark.parametrize("body", ["rubbish", '{"symbols":[]}', '{"symbols":[{"symbol":"AAUSDT"}]}'])
def test_an_answer_that_says_nothing_changes_nothing(body: str) -> None:
    async def within() -> None:
        async with scripted_exchange() as exchange, aiohttp.ClientSession() as session:
            one = Listed(exchange, session, ["AAUSDT", "BBUSDT"])
            await one.update()
            exchange.answer = lambda _: web.Response(text=body)
            assert await one.update() == {}

    asyncio.run(within())
