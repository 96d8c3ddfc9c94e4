"""Nodes that report on a random market without Redis, and a recording of all that they read and wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tasks.reporter import Progress, Reporter
from tasks.symbol_history import SymbolHistory
from tests.analytics.random_market import START, RandomMarket
from tickfence.analytics import basis
from tickfence.coordination.lease import Lease, Write, Written
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.recordings.kinds import Kind
from tickfence.recordings.schemas import SCHEMAS, in_order
from tickfence.redis_access.command import Command
from tickfence.streams import codec
from tickfence.streams.codec import TradesUpTo

S = Instrument("BTCUSDT")
KEYS = Keys()

DELAY_MS = 40
SNAPSHOT_STEPS = 50
KEEP_DIFFS_MS, KEEP_TRADES_MS = 15_000, 31 * 60_000

Entry = tuple[bytes, dict[bytes, bytes]]


class World:
    """An exchange, an ingest, Redis and nodes, a step of 100 ms at a time.

    Attributes:
        now_ms: the server's time.
        rows: what is recorded, by kind.
        reports, sections: what nodes wrote with its basis, by number of the basis' row.
    """

    def __init__(self, seed: int = 1, *, levels: int = 40, known: int | None = None, row_every_ms: int = 500) -> None:
        self.market = RandomMarket(seed, levels)
        self.random = self.market.random
        self.now_ms = START
        self.steps = 0
        self.known = known
        self.streams: dict[str, list[Entry]] = {KEYS.trades(S): [], KEYS.book(S): []}
        self.values: dict[str, bytes] = {}
        self.hashes: dict[str, dict[str, bytes]] = {}
        self.rows: dict[Kind, list[dict[str, Any]]] = defaultdict(list)
        self.made: list[bytes] = []
        self.sides = {"b": dict(self.market.bids), "a": dict(self.market.asks)}
        self.trade_id = 0
        self.book_id = "0-0"
        self.token = 0
        self.holder = ""
        self.row_every_ms = row_every_ms
        self.nodes: dict[str, Reporter] = {}
        self.outcomes: list[Written] = []
        self.lost: list[Any] = []
        self.rules()
        self.snapshot()

    # The exchange and its ingest.

    def advance(
        self, steps: int = 1, *, lose: bool = False, skip_trades: int = 0, trades: TradesUpTo | None = None
    ) -> None:
        """Let ``steps`` of 100 ms pass.

        Args:
            steps: how many.
            lose: whether the diffs never arrive.
            skip_trades: trades that never arrive before the first one.
            trades: what ingest knows of the trades before the diffs.
        """
        self.trade_id += skip_trades
        for _ in range(steps):
            self.steps += 1
            diff, dealt = self.market.step()
            self.now_ms += 100
            for name, levels in (("b", diff.bids), ("a", diff.asks)):
                self.sides[name] |= levels
            received = self.now_ms + DELAY_MS
            for trade in dealt:
                self.trade_id += 1
                fields = [b"%f" % trade.price, b"%f" % trade.quantity, b"b" if self.random.random() < 0.5 else b"s"]
                self._append(KEYS.trades(S), f"{trade.time}-{self.trade_id}", b"pqsr", [*fields, b"%d" % received])
            if not lose:
                levels = [codec.encode_levels(levels) for levels in (diff.bids, diff.asks)]
                values = [b"%d" % diff.first_id, *levels, b"%d" % received, b"%d" % (trades or 0)]
                self.book_id = f"{diff.time}-{diff.last_id}"
                self._append(KEYS.book(S), self.book_id, b"Ubart", values)
            if self.steps % SNAPSHOT_STEPS == 0 and not lose:
                self.snapshot()
            if self.steps % 10 == 0:
                self.ticker()

    def traded_before(self, minutes: int) -> None:
        """Trades of the time before, one in ten seconds."""
        for before_ms in range(minutes * 60_000, 0, -10_000):
            self.trade_id += 1
            values = [b"100", b"0.5", b"b", b"%d" % (START - before_ms)]
            self._append(KEYS.trades(S), f"{START - before_ms}-{self.trade_id}", b"pqsr", values)

    def snapshot(self) -> None:
        """The book as it is, or as many levels of it as are known."""
        bids, asks = (
            sorted(((p, q) for p, q in side.items() if q), key=lambda level: level[0], reverse=name == "b")
            for name, side in self.sides.items()
        )
        cut = self.known if self.known is not None and self.known < min(len(bids), len(asks)) else None
        snapshot = codec.Snapshot(
            last_update_id=self.market.last_id,
            stream_id=self.book_id,
            bids=bids[:cut],
            asks=asks[:cut],
            lowest_bid=bids[cut - 1][0] if cut else None,
            highest_ask=asks[cut - 1][0] if cut else None,
            time=self.now_ms,
        )
        self.values[KEYS.snapshot(S)] = codec.encode_snapshot(snapshot)
        sides = {
            f"{side}_{name}": [level[number] for level in getattr(snapshot, f"{side}s")]
            for side in ("bid", "ask")
            for number, name in enumerate(("prices", "quantities"))
        }
        names = ("last_update_id", "stream_id", "lowest_bid", "highest_ask")
        self.record(Kind.SNAPSHOTS, time_ms=self.now_ms, **sides, **{name: getattr(snapshot, name) for name in names})

    def ticker(self) -> None:
        """Other statistics of 24 hours."""
        texts = [b"100.5", b"%d" % self.steps, b"101", b"99", b"1000", b"%d" % self.now_ms]
        self.hashes[KEYS.ticker(S)] = dict(zip(codec.TICKER_FIELDS, texts, strict=True))
        ticker = codec.decode_ticker(texts)
        assert ticker is not None
        self.record(
            Kind.TICKERS, time_ms=ticker.received_ms, **dict(zip(ticker._fields[:-1], ticker[:-1], strict=True))
        )

    def rules(self, tick_size: bytes = b"0.01", book_from: int = 0) -> None:
        """What the exchange's rules are from now on."""
        texts = [tick_size, b"0.001", b"trading", b"%d" % book_from, b"BTC", b"USDT"]
        self.hashes[KEYS.info(S)] = dict(zip(codec.INFO_FIELDS, texts, strict=True))
        info = codec.decode_info(texts)
        assert info is not None
        self.record(Kind.INFOS, time_ms=self.now_ms, **info._asdict())

    def distrust(self) -> None:
        """Ingest finds out that the book was wrong, and corrects it."""
        self.snapshot()
        self.rules(book_from=self.market.last_id)

    def renumber(self) -> None:
        """The exchange starts its update ids again, some time later."""
        self.market.last_id = 5
        self.market.time += 5_000
        self.now_ms += 5_000
        self.snapshot()

    def forget(self) -> None:
        """Redis loses all."""
        for stream in self.streams.values():
            stream.clear()
        self.values.clear()
        self.hashes.clear()
        self.snapshot()
        self.rules()

    def _append(self, key: str, entry_id: str, names: bytes, values: Sequence[bytes]) -> None:
        fields = {bytes([name]): value for name, value in zip(names, values, strict=True)}
        stream = self.streams[key]
        stream.append((entry_id.encode(), fields))
        if key == KEYS.trades(S):
            trade = codec.decode_trade(*stream[-1])
            self.record(Kind.TRADES, **trade._asdict())
        else:
            diff = codec.decode_diff(*stream[-1])._asdict()
            for side in ("bid", "ask"):
                levels = diff.pop(f"{side}s")
                diff |= {f"{side}_prices": [p for p, _ in levels], f"{side}_quantities": [q for _, q in levels]}
            self.record(Kind.DIFFS, **diff)
        keep_ms = KEEP_TRADES_MS if key == KEYS.trades(S) else KEEP_DIFFS_MS
        while codec.split_id(stream[0][0])[0] < codec.split_id(entry_id)[0] - keep_ms:
            del stream[0]

    # The recorder.

    def record(self, what: Kind, /, **values: Any) -> None:
        self.rows[what].append({"symbol": S, **values})

    # The nodes.

    def node(self, name: str = "node-001") -> Reporter:
        """The reporter of a node, a new one where there is none."""
        if name not in self.nodes:
            owner = Owner.start(name)
            history = SymbolHistory(S, KEYS, str(owner), interval_ms=self.row_every_ms, rows=3600, note=[].append)
            lease = Lease(KEYS.lease(S), owner, 1500)
            self.nodes[name] = Reporter(S, KEYS, lease, history, carry_every_s=5, note=[].append)
        return self.nodes[name]

    def kill(self, name: str = "node-001") -> None:
        """End a node; the next of its name starts with nothing."""
        self.nodes.pop(name, None)

    def cycle(self, name: str = "node-001", *, slow: bool = False, outcome: Written = Written.WRITTEN) -> bool:
        """One cycle of a node; whether something was written."""
        node, now_s = self.node(name), self.now_ms / 1000
        self.holder, self.token = name, self.token + (self.holder != name)
        for _ in range(2):
            requests = node.read(1, self.now_ms, now_s, rules=slow)
            progress = node.take(requests, [self._answer(command) for command, _ in requests], now_s)
            if progress is not Progress.AGAIN:
                break
        if progress is not Progress.READY:
            return False
        values = node.compute(Reporter.sections if slow else Reporter.report, self.now_ms, now_s)
        if values is None:
            return False
        write = node.write(values)
        if outcome is Written.WRITTEN:
            self._take(write)
        node.written(write, outcome, now_s)
        return outcome is Written.WRITTEN

    def _take(self, write: Write) -> None:
        self.values |= write.values
        for key, kind in ((KEYS.slow(S), Kind.SECTIONS), (KEYS.carry(S), Kind.CARRIES)):
            if key in write.values:
                self.record(kind, time_ms=self.now_ms, data=write.values[key])
        for entry in write.entries:
            if entry.key == KEYS.basis(S):
                number = len(self.rows[Kind.BASES])
                one = basis.decode(entry.value)
                self.record(
                    Kind.BASES, time_ms=one.at_ms, stream_id=f"{START}-{number}", kind=one.kind, data=entry.value
                )
                if one.kind is basis.Kind.REPORT:
                    self.made.append(write.values[KEYS.report(S)])

    def _answer(self, command: Command) -> Any:
        name, key, *rest = command
        match name:
            case "EVALSHA":
                return [b"taken", 100 + self.token, 100 + self.token]
            case "GET":
                return self.values.get(str(key))
            case "HMGET":
                return [self.hashes.get(str(key), {}).get(str(field)) for field in rest]
            case "XREAD":
                count, keys, ids = int(rest[0] if key == "COUNT" else 0), rest[2:4], rest[4:6]
                found = [
                    [str(stream).encode(), after[:count]]
                    for stream, last in zip(keys, ids, strict=True)
                    if (
                        after := [
                            e for e in self.streams[str(stream)] if codec.split_id(e[0]) > codec.split_id(str(last))
                        ]
                    )
                ]
                return found or None
            case "XREVRANGE":
                upto, since, count = str(rest[0]), str(rest[1]), int(rest[3])
                first = (0, 0) if since == "-" else codec.split_id(since if "-" in since else f"{since}-0")
                entries = [e for e in self.streams[str(key)] if codec.split_id(e[0]) >= first]
                if upto.startswith("("):
                    entries = [e for e in entries if codec.split_id(e[0]) < codec.split_id(upto[1:])]
                return list(reversed(entries[-count:]))
        raise AssertionError(command)

    # The recording.

    def recording(self) -> Tables:
        return Tables(self.rows)

    def newest(self, report: int, kind: Kind) -> tuple[int, dict[str, Any]]:
        """Time of the report with this number, and the row of the newest trade or diff in it."""
        made = [basis.decode(row["data"]) for row in self.rows[Kind.BASES]]
        one = [each for each in made if each.kind is basis.Kind.REPORT][report]
        last, number = one.inputs.book_id, "last_update_id"
        if kind is Kind.TRADES:
            last, number = one.inputs.trades_id, "trade_id"
        return one.at_ms, next(row for row in self.rows[kind] if f"{row['time_ms']}-{row[number]}" == last)


class Tables:
    """A recording in memory."""

    def __init__(self, rows: dict[Kind, list[dict[str, Any]]]) -> None:
        self._tables = {
            kind: in_order(kind, pa.Table.from_pylist(rows.get(kind, []), schema)) for kind, schema in SCHEMAS.items()
        }

    def table(
        self,
        kind: Kind,
        symbols: Sequence[str] | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> pa.Table:
        table = self._tables[kind]
        wanted = [
            (symbols is None or symbol in symbols)
            and (from_ms is None or time_ms >= from_ms)
            and (to_ms is None or time_ms < to_ms)
            for symbol, time_ms in zip(table["symbol"].to_pylist(), table["time_ms"].to_pylist(), strict=True)
        ]
        return table.filter(pa.array(wanted, pa.bool_()))

    def span(self, kind: Kind, symbol: str) -> tuple[int, int] | None:
        times = self.table(kind, [symbol])["time_ms"].to_pylist()
        return (min(times), max(times)) if times else None
