"""OKX's recording ingested: every book, after every update, is the one of an independent oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.ingest.ingest_process import IngestProcess
from tests.oracles.okx_book import Json, TrueBook, recorded
from tests.processes import wait_until
from tests.tools.simulator.exchange_process import ROOT, Exchange
from tickfence.streams.codec import decode_diff, decode_snapshot, decode_trade
from tools.local.embedded_redis import EmbeddedRedis

CAPTURE = ROOT.parent / "shared" / "captures" / "okx"


@pytest.mark.skipif(not Path(f"{CAPTURE}.ws").exists(), reason="no recorded capture here")
def test_a_recording_gives_the_oracle_s_book_at_every_update(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    told: dict[tuple[str, str], list[tuple[str, Json]]] = {}
    for one in recorded(CAPTURE):
        for data in one.get("data", ()):
            told.setdefault((one["arg"]["channel"], f"okx:{one['arg']['instId']}"), []).append(
                (one.get("action", ""), data)
            )
    symbols = sorted({symbol for _, symbol in told})
    redis_client.flushall()
    with (
        Exchange("--replay", str(CAPTURE), "--speed", "max") as exchange,
        IngestProcess(
            symbols=",".join(symbols),
            redis_url=redis_server.url(),
            ws=exchange.ws,
            rest=exchange.http,
            NT_VENUE_URLS=f"okx.ws={exchange.ws},okx.rest={exchange.http}",
            NT_SNAPSHOT_INTERVAL_MS=150_000,
        ),
    ):

        def written() -> bool:
            counts = [redis_client.xlen(f"md:{{{symbol}}}:{name}") for symbol in symbols for name in ("book", "trades")]
            return counts == [
                len(told[channel, symbol]) - skipped
                for symbol in symbols
                for channel, skipped in (("books", 1), ("trades", 0))
            ]

        wait_until(written, "every update and trade", 30)
    compared = 0
    for symbol in symbols:
        (action, first), *updates = told["books", symbol]
        truth, stored = TrueBook(), decode_snapshot(redis_client.get(f"md:{{{symbol}}}:snapshot"))
        truth.take(action, first)
        diffs = [decode_diff(*entry) for entry in redis_client.xrange(f"md:{{{symbol}}}:book")]
        sides = truth.as_floats()
        for (action, data), diff in zip(updates, diffs, strict=True):
            truth.take(action, data)
            for side, changes in zip(sides, (diff.bids, diff.asks), strict=True):
                side.update(changes)
                for price in [price for price, quantity in changes if not quantity]:
                    del side[price]
            assert (diff.last_update_id, sides) == (truth.seq_id, truth.as_floats())
            if diff.last_update_id == stored.last_update_id:
                assert (dict(stored.bids), dict(stored.asks)) == sides
            compared += 1
        trades = [decode_trade(*entry) for entry in redis_client.xrange(f"md:{{{symbol}}}:trades")]
        assert [(one.time_ms, one.trade_id, one.price, one.quantity, one.is_buy) for one in trades] == [
            (int(one["ts"]), int(one["tradeId"]), float(one["px"]), float(one["sz"]), one["side"] == "buy")
            for _, one in told["trades", symbol]
        ]
    assert compared >= 189
