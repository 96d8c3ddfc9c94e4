"""A wrong book, from ingest over Redis to the node: the audit finds it, and the node's reports are right again."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import redis

from ingest.book_sync import BookSync
from ingest.events import Depth, SymbolRules
from ingest.intake import Intake
from ingest.rest import Priority
from ingest.venues.binance import Binance
from ingest.writer import Writer
from tests.ingest.writing import run, running, until
from tests.tasks.conftest import MakeNode
from tests.tasks.cycle_runs import KEYS, Counted, S, report
from tests.tasks.cycle_runs import run as run_cycle
from tickfence.coordination.clock import ServerClock
from tools.local.embedded_redis import EmbeddedRedis

BIDS = [(100.0 - place, 1.0) for place in range(100)]
ASKS = [(101.0 + place, 1.0) for place in range(30)]
Levels = list[tuple[float, float]]


class Ingest:
    """Intake and writer of one symbol; the test is its exchange.

    Attributes:
        wanted: the snapshots asked for.
    """

    def __init__(self, url: str) -> None:
        clock, self.books = ServerClock(), {S: BookSync(S)}
        self.wanted: list[Priority] = []
        self.writer = Writer(url, self.books, keys=KEYS, clock=clock, buffer_entries=1_000, snapshot_interval_ms=60_000)
        self.intake = Intake(
            Binance([S]),
            self.books,
            self.writer,
            now_ms=lambda: int(time.time() * 1000),
            want_depth=lambda _, priority: self.wanted.append(priority),
        )

    def diff(self, update_id: int, bids: Levels) -> None:
        """What the feed says."""
        levels = [[str(price), str(quantity)] for price, quantity in bids]
        now = int(time.time() * 1000)
        data = {"e": "depthUpdate", "E": now, "s": S, "U": update_id, "u": update_id, "b": levels, "a": []}
        message = json.dumps({"stream": f"{S.lower()}@depth@100ms", "data": data}).encode()
        self.intake.on_message(None, message)  # type: ignore[arg-type]  # a diff asks nothing of its feed

    def depth(self, update_id: int, bids: Levels) -> None:
        """What the exchange answers."""
        assert self.intake.on_depth(S, Depth(update_id, bids, ASKS, bids[-1][0]))


def test_an_audit_finds_a_wrong_book_and_the_node_loads_the_right_one(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, node: MakeNode
) -> None:
    gaps = Counted("nt_cold_starts_total", reason="gap")

    async def test() -> None:
        ingest, one = Ingest(redis_server.url()), node()

        def best() -> tuple[float, float] | None:
            run_cycle(one)
            found = report(redis_client)
            return found and (found["best_bid"]["price"], found["best_bid"]["qty"])

        async with running(ingest):
            ingest.depth(10, BIDS)
            ingest.diff(11, [(100.0, 7.0)])
            await until(lambda: best() == (100.0, 7.0), "a report of what the feed said, which is wrong")
            ingest.intake.audit(S)
            assert ingest.wanted == [Priority.AUDIT]
            ingest.diff(12, [(50.0, 2.0)])
            ingest.depth(11, BIDS)
            ingest.diff(13, [(49.0, 2.0)])
            ingest.writer.set_info(S, SymbolRules("0.01", "0.001", "trading"))
            await until(lambda: best() == (100.0, 1.0), "a report of the exchange's own book")
        ids = [int(entry_id.split(b"-")[1]) for entry_id, _ in redis_client.xrange(KEYS.book(S))]
        assert ids == [11, 12, 13]
        assert gaps() == 0

    run(test)


def test_a_fall_beyond_the_horizon_stops_the_reports_until_the_book_is_known_again(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, node: MakeNode
) -> None:
    withheld = Counted("nt_reports_withheld_total", reason="horizon")

    async def test() -> None:
        ingest, one = Ingest(redis_server.url()), node()

        def bids() -> list[float]:
            run_cycle(one)
            return [level["price"] for level in (report(redis_client) or {"depth": {"bids": []}})["depth"]["bids"]]

        async with running(ingest):
            ingest.depth(10, BIDS)
            await until(lambda: bids()[:1] == [100.0], "the first report")
            ingest.diff(11, [(price, 0.0) for price, _ in BIDS[:90]])
            assert ingest.wanted == [Priority.GAP]
            await until(lambda: bids()[:1] == [100.0] and withheld() > 0, "no report of the few known levels")
            deeper = [*BIDS[90:], *((price / 10, 3.0) for price in range(9, 0, -1)), (0.05, 3.0), (0.04, 3.0)]
            ingest.depth(11, deeper)
            await until(lambda: len(bids()) == 20 and bids()[0] == 10.0, "a report of the 20 best")
        assert bids() == [price for price, _ in deeper][:20]

    run(test)


def test_no_update_is_missing_from_the_stream_after_many_refreshes(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        ingest = Ingest(redis_server.url())
        async with running(ingest):
            ingest.depth(10, BIDS)
            for update_id in range(11, 60):
                if update_id % 3 == 0:
                    ingest.intake.audit(S)
                ingest.diff(update_id, [(100.0, float(update_id))])
                if update_id % 3 == 1:
                    ingest.depth(update_id, [(100.0, float(update_id)), *BIDS[1:]])
            await ingest.writer.drain(10)
        entries = redis_client.xrange(KEYS.book(S))
        ids = [(int(fields[b"U"]), int(entry_id.split(b"-")[1])) for entry_id, fields in entries]
        assert ids[-1][1] == 59
        assert all(first == before + 1 for (_, before), (first, _) in pairwise(ids))

    run(test)
