"""The keys of a deployment."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from tickfence.instrument import Instrument
from tickfence.keys import Keys

S = Instrument("BTCUSDT")


@pytest.mark.parametrize("keys", [Keys(), Keys("staging")])
@pytest.mark.parametrize("symbol", [S, Instrument("okx:BTC-USDT"), Instrument("ccxt:bitstamp:BTC/USD")])
def test_what_one_command_touches_lies_in_one_slot(keys: Keys, symbol: Instrument) -> None:
    market = [make(symbol) for make in (keys.trades, keys.book, keys.snapshot, keys.ticker, keys.info)]
    written = [keys.lease(symbol), *keys.of_node(symbol)]
    for together in (market, written):
        assert len({key_slot(key.encode()) for key in together}) == 1


def test_every_key_begins_with_the_namespace() -> None:
    keys = Keys("staging")
    of_symbol = (keys.trades, keys.book, keys.snapshot, keys.ticker, keys.info)
    made = [make(S) for make in (*of_symbol, keys.lease, keys.node)]
    made += keys.of_node(S)
    made += [keys.nodes, keys.dispatcher, keys.assignment, keys.events]
    assert all(key.startswith("staging:") for key in made)
