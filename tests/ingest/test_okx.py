"""OKX's protocol: what each message means, and that the books of a recording are right at every update."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.book_sync import BookSync
from ingest.events import (
    HALTED,
    TRADING,
    BookSnapshot,
    ControlReply,
    Diff,
    Event,
    Notice,
    Refused,
    Rejected,
    Shutdown,
    SymbolRules,
    Ticker,
    Trade,
    Unfollowed,
)
from ingest.venues.okx import Okx
from tests.oracles.okx_book import Json, TrueBook, recorded
from tests.tools.simulator.exchange_process import ROOT
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal
from tools.simulator import symbols
from tools.simulator.hub import Hub
from tools.simulator.market import Activity
from tools.simulator.okx.listed import Listed

CAPTURE = ROOT.parent / "shared" / "captures" / "okx"
BTC = Instrument("okx:BTC-USDT")
TIME = 1_597_026_383_085


def okx(*names: str) -> Okx:
    venue = Okx()
    venue.follow([Instrument(name) for name in names or (BTC,)])
    return venue


def text(message: Json) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def book(
    previous: int,
    seq_id: int,
    bids: Iterable[tuple[str, str]] = (),
    asks: Iterable[tuple[str, str]] = (),
    *,
    action: str = "update",
    time_ms: int = TIME,
    **other: object,
) -> bytes:
    levels = {
        name: [[price, size, "0", "1"] for price, size in side] for name, side in (("asks", asks), ("bids", bids))
    }
    data = {**levels, "ts": str(time_ms), "checksum": 0, "prevSeqId": previous, "seqId": seq_id} | other
    return text({"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [data]})


def pushed(channel: str, *data: Json, name: str = "BTC-USDT") -> bytes:
    return text({"arg": {"channel": channel, "instId": name}, "data": list(data)})


def trade(**other: object) -> Json:
    given = {"instId": "BTC-USDT", "tradeId": "123", "px": "42219.9", "sz": "0.12060306", "side": "buy"}
    return given | {"ts": str(TIME), "count": "3", "source": "0", "seqId": 1234} | other


def book_of(venue: Okx, symbol: Instrument) -> BookSync:
    sync = BookSync(symbol, venue.snapshots, venue.book_levels)
    sync.proof = venue.proof(symbol)
    return sync


class Reader:
    """Keeps books as ingest does, and compares each with the oracle's after each update that may be published."""

    def __init__(self, venue: Okx, names: Iterable[str]) -> None:
        self.books = {name: book_of(venue, name) for name in map(Instrument, names)}
        self.compared = 0

    def take(self, event: Event, truth: TrueBook) -> None:
        assert isinstance(event, Diff | BookSnapshot)
        sync = self.books[event.symbol]
        assert event.proof is not None
        assert sync.on_diff(event, 0) if isinstance(event, Diff) else sync.on_snapshot(event, 0)
        assert sync.in_sync
        assert tuple(map(dict, sync.book.levels())) == truth.as_floats()
        assert sync.book.last_update_id == truth.seq_id
        self.compared += 1


@pytest.mark.skipif(not Path(f"{CAPTURE}.ws").exists(), reason="no recorded capture here")
def test_the_books_of_the_recording_at_every_update_and_each_checksum() -> None:
    messages = [message for message in recorded(CAPTURE) if "data" in message]
    names = {message["arg"]["instId"] for message in messages}
    venue = okx(*(f"okx:{name}" for name in names))
    reader, truth = Reader(venue, (f"okx:{name}" for name in names)), {name: TrueBook() for name in names}
    for message in messages:
        events = venue.decode(text(message))
        assert len(events) == len(message["data"])
        if message["arg"]["channel"] != "books":
            continue
        [data], [event] = message["data"], events
        true_book = truth[message["arg"]["instId"]]
        true_book.take(message["action"], data)
        assert true_book.checksum == data["checksum"]
        reader.take(event, true_book)
    assert reader.compared >= 191


def test_the_books_of_a_random_market_at_every_update() -> None:
    listed = Listed(
        symbols.instrument(BTC), 7, Activity(orders_per_second=400, levels=450), 10**6, Hub(), checksums=True
    )
    venue, truth = okx(), TrueBook()
    reader = Reader(venue, [BTC])
    payloads = [listed.snapshot()]
    for number in range(60):
        for _ in range(4):
            listed.market.step()
        if (payload := listed.book_message(TIME + number)) is not None:
            payloads.append(payload)
    for payload in payloads:
        message = json.loads(payload)
        truth.take(message["action"], message["data"][0])
        assert truth.checksum == message["data"][0]["checksum"]
        [event] = venue.decode(payload)
        reader.take(event, truth)
    assert reader.compared > 50
    assert len(truth.bids) == len(truth.asks) == 400


sides = st.tuples(
    *[st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=5, unique_by=lambda x: x[0])] * 2
)
forms = st.sampled_from(["{:f}", "{:f}0", "{:E}"])


@given(st.integers(-6, 12), st.integers(0, 9), st.lists(sides, min_size=1, max_size=25), st.data())
def test_instruments_of_any_scale_and_thin_books_have_the_right_checksum(
    price_decimals: int, decimals: int, updates: list[tuple[list[tuple[int, int]], ...]], data: st.DataObject
) -> None:
    """Fewer than 25 levels a side, one of them may become empty; a level counts with the text that set it last."""
    venue, truth = okx(), TrueBook()
    reader = Reader(venue, [BTC])
    form = data.draw(forms)
    for step, update in enumerate(updates):
        levels = [
            [
                (form.format(Decimal(1000 + sign * away).scaleb(-price_decimals)), str(Decimal(lots).scaleb(-decimals)))
                for away, lots in changes
            ]
            for sign, changes in zip((-1, 1), update, strict=True)
        ]
        content = {"seqId": step + 10, "prevSeqId": step + 9 if step else -1, "bids": levels[0], "asks": levels[1]}
        action = "update" if step else "snapshot"
        truth.take(action, content)
        if not truth.checksum:
            return  # an empty book has none, and nothing is compared any more
        before = content["prevSeqId"]
        [event] = venue.decode(
            book(before, step + 10, *levels, action=action, checksum=truth.checksum, time_ms=TIME + step)
        )
        reader.take(event, truth)


def one(venue: Okx, message: bytes) -> Event:
    [event] = venue.decode(message)
    return event


def synced(venue: Okx, checksum: int = 0) -> BookSync:
    sync = book_of(venue, BTC)
    event = one(venue, book(-1, 10, [("99", "1")], [("101", "2")], action="snapshot", checksum=checksum))
    assert isinstance(event, BookSnapshot)
    assert sync.on_snapshot(event, 0)
    return sync


def feed(sync: BookSync, venue: Okx, message: bytes) -> bool:
    event = one(venue, message)
    assert isinstance(event, Diff)
    return sync.on_diff(event, 0)


def test_sequence_ids_as_documented() -> None:
    venue = okx()
    sync = synced(venue)
    assert feed(sync, venue, book(10, 15, [("100", "1")], time_ms=TIME + 1))
    assert not venue.decode(book(15, 15, time_ms=TIME + 2))
    with pytest.raises(Rejected) as reset:
        feed(sync, venue, book(15, 3, time_ms=TIME + 3))
    assert reset.value.reason is Refusal.UPDATE_ID_BACK
    assert not sync.in_sync
    again = one(venue, book(-1, 5, [("98", "1")], [("101", "2")], action="snapshot", time_ms=TIME + 4))
    assert isinstance(again, BookSnapshot)
    assert sync.on_snapshot(again, 0)
    assert feed(sync, venue, book(5, 8, [("99", "1")], time_ms=TIME + 5))


def test_a_skipped_sequence_id_loses_the_book() -> None:
    venue = okx()
    sync = synced(venue)
    assert not feed(sync, venue, book(11, 15, [("100", "1")], time_ms=TIME + 1))
    assert sync.why == "gap"


def test_a_wrong_checksum_loses_the_book_and_the_next_snapshot_mends_it() -> None:
    venue = okx()
    levels = [("99", "1")], [("101", "2")]
    truth = TrueBook()
    truth.take(
        "snapshot", {name: [list(level) for level in side] for name, side in zip(("bids", "asks"), levels, strict=True)}
    )
    sync = synced(venue, truth.checksum)
    with pytest.raises(Rejected) as wrong:
        feed(sync, venue, book(10, 15, [("100", "1")], time_ms=TIME + 1, checksum=truth.checksum))
    assert (wrong.value.reason, wrong.value.book_symbol) == (Refusal.CHECKSUM, BTC)
    assert not sync.in_sync
    again = one(venue, book(-1, 15, *levels, action="snapshot", time_ms=TIME + 2, checksum=truth.checksum))
    assert isinstance(again, BookSnapshot)
    assert sync.on_snapshot(again, 0)


@pytest.mark.parametrize(("usual", "written"), [(b"],[", b"], ["), (b",", b", "), (b"[", b"[\n")])
def test_the_checksum_of_a_message_in_another_shape(usual: bytes, written: bytes) -> None:
    venue = okx()
    bids, asks = [("99", "1.0"), ("98.5", "2")], [("101", "2"), ("102", "3.10")]
    truth = TrueBook()
    truth.take("snapshot", {"bids": [list(level) for level in bids], "asks": [list(level) for level in asks]})
    message = book(-1, 10, bids, asks, action="snapshot", checksum=truth.checksum)
    event = one(venue, message.replace(usual, written))
    assert isinstance(event, BookSnapshot)
    sync = BookSync(BTC, venue.snapshots, venue.book_levels)
    sync.proof = venue.proof(BTC)
    assert sync.on_snapshot(event, 0)


def test_without_checksums_ids_alone_count() -> None:
    """As since June 2026; and after one update without one nothing is compared until the next snapshot."""
    venue, first = okx(), TrueBook()
    first.take("snapshot", {"bids": [["99", "1"]], "asks": [["101", "2"]]})
    for checksum in (0, first.checksum):
        sync = synced(venue, checksum)
        assert feed(sync, venue, book(10, 15, [("100", "1")], time_ms=TIME + 1))
        assert feed(sync, venue, book(15, 16, [("100", "2")], time_ms=TIME + 2, checksum=77))


def test_a_snapshot_of_400_levels_is_known_to_the_deepest() -> None:
    bids = [(str(1000 - number), "1") for number in range(400)]
    event = one(okx(), book(-1, 10, bids, [("1001", "1")], action="snapshot"))
    assert isinstance(event, BookSnapshot)
    assert (event.depth.lowest_bid, event.depth.highest_ask) == (601.0, None)


def test_trades_have_the_ids_that_they_stand_for() -> None:
    expected = Trade(BTC, TIME, 123, "42219.9", "0.12060306", True, 3)
    assert okx().decode(pushed("trades", trade())) == [expected]
    del (old := trade(side="sell"))["count"]
    assert okx().decode(pushed("trades", old)) == [Trade(BTC, TIME, 123, "42219.9", "0.12060306", False, 1)]


def test_a_part_that_must_not_be_used_costs_no_other() -> None:
    first, second = okx().decode(pushed("trades", trade(px="NaN"), trade()))
    assert isinstance(first, Refused)
    assert first.error.reason is Refusal.NOT_A_NUMBER
    assert isinstance(second, Trade)


def test_messages_may_have_their_keys_in_another_order() -> None:
    for message in (book(10, 15, [("99.5", "1")], checksum=5), pushed("trades", trade())):
        content = json.loads(message)
        turned = text(dict(reversed(content.items())))
        assert turned != message
        assert okx().decode(turned) == okx().decode(message)


TICKER = {"last": "30236", "open24h": "29700.4", "high24h": "31073", "low24h": "28020.3", "vol24h": "17602.13"}


def test_statistics_of_24_hours() -> None:
    assert okx().decode(pushed("tickers", TICKER)) == [Ticker(BTC, "30236", "1.803", "31073", "28020.3", "17602.13")]
    unmoved = okx().decode(pushed("tickers", TICKER | {"last": "29700.3999"}))
    assert isinstance(unmoved[0], Ticker)
    assert unmoved[0].change_pct == "0.000"
    assert okx().decode(pushed("tickers", TICKER | {"open24h": ""})) == []


@pytest.mark.parametrize(
    ("message", "reason", "of_book"),
    [
        (b"{", Refusal.NOT_JSON, False),
        (b"\xff\xfe", Refusal.NOT_JSON, False),
        (b'{"z":' + b"[" * 20_000 + b"]" * 20_000 + b"}", Refusal.NOT_JSON, False),
        (b"[1,2,3]", Refusal.WRONG_TYPE, False),
        (b"{}", Refusal.UNKNOWN_EVENT, False),
        (b'{"event":"surprise"}', Refusal.UNKNOWN_EVENT, False),
        (pushed("candle1m", {}), Refusal.UNKNOWN_EVENT, False),
        (pushed("trades", trade(), name="NOSUCH-USDT"), Refusal.UNKNOWN_SYMBOL, False),
        (book(10, 15, [("-1", "1")]), Refusal.BAD_PRICE, True),
        (book(10, 15, [("0", "1")]), Refusal.BAD_PRICE, True),
        (book(10, 15, [("1", "-1")]), Refusal.BAD_QUANTITY, True),
        (book(10, 15, [("Infinity", "1")]), Refusal.NOT_A_NUMBER, True),
        (book(10, 15, [("1", "1e999")]), Refusal.NOT_A_NUMBER, True),
        (book(10, 15, [("12,5", "1")]), Refusal.NOT_A_NUMBER, True),
        (book(10, 15).replace(b"[]", b"7"), Refusal.WRONG_TYPE, True),
        (book(10, 15, seqId=None), Refusal.WRONG_TYPE, True),
        (book(10, 15, ts="0"), Refusal.BAD_TIME, True),
        (book(10, 15, ts=str(10**17)), Refusal.BAD_TIME, True),
        (book(-5, -4), Refusal.BAD_UPDATE_IDS, True),
        (book(10, 10, [("1", "1")]), Refusal.BAD_UPDATE_IDS, True),
        (book(10, 15, action="replace"), Refusal.UNKNOWN_EVENT, True),
        (book(-1, 10, [("101", "1")], [("100", "1")], action="snapshot"), Refusal.CROSSED_BOOK, True),
    ],
)
def test_a_message_that_must_not_be_used_says_why_and_which_book_misses_it(
    message: bytes, reason: Refusal, of_book: bool
) -> None:
    with pytest.raises(Rejected) as refused:
        okx().decode(message)
    assert refused.value.reason is reason, refused.value
    assert refused.value.book_symbol == (BTC if of_book else None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"px": "-1"}, Refusal.BAD_PRICE),
        ({"sz": "0"}, Refusal.BAD_QUANTITY),
        ({"sz": "1e3"}, Refusal.NOT_A_NUMBER),
        ({"ts": "0"}, Refusal.BAD_TIME),
        ({"count": "0"}, Refusal.BAD_UPDATE_IDS),
        ({"count": "125"}, Refusal.BAD_UPDATE_IDS),
        ({"tradeId": "-1"}, Refusal.BAD_UPDATE_IDS),
        ({"tradeId": []}, Refusal.WRONG_TYPE),
        ({"side": "both"}, Refusal.WRONG_TYPE),
    ],
)
def test_a_trade_that_cannot_be_true_is_refused(changed: Json, reason: Refusal) -> None:
    refused = one(okx(), pushed("trades", trade(**changed)))
    assert isinstance(refused, Refused)
    assert refused.error.reason is reason
    assert refused.error.book_symbol is None


def test_what_comes_of_a_symbol_that_was_left_is_no_fault() -> None:
    venue = okx(BTC, "okx:ETH-USDT")
    venue.follow([Instrument("okx:ETH-USDT")])
    for message in (pushed("trades", trade()), book(10, 15)):
        with pytest.raises(Unfollowed):
            venue.decode(message)


def test_subscriptions() -> None:
    venue = okx()
    streams = venue.streams(BTC)
    assert venue.book_stream(BTC) in streams
    [(message, about)] = venue.requests(True, streams, 7)
    args = [{"channel": channel, "instId": "BTC-USDT"} for channel in ("trades", "books", "tickers")]
    assert (json.loads(message), about) == ({"id": "7", "op": "subscribe", "args": args}, streams)
    [(message, _)] = venue.requests(False, streams[1:2], 8)
    assert json.loads(message) == {"id": "u8", "op": "unsubscribe", "args": args[1:2]}
    many = [f"books:{number}-USDT" for number in range(1_000)]
    parts = venue.requests(True, many, 1)
    assert [stream for _, part in parts for stream in part] == many
    assert [json.loads(message)["id"] for message, _ in parts] == [str(number + 1) for number in range(len(parts))]
    assert max(len(message) for message, _ in parts) < 64 * 1024


@pytest.mark.parametrize(
    "base", ["wss://ws.okx.com:8443", "wss://wseea.okx.com:8443/", "ws://127.0.0.1:1/ws/v5/public"]
)
def test_an_address_may_have_its_path_or_not(base: str) -> None:
    assert Okx().url(base, []).partition("//")[2].count("/ws/v5/public") == 1
    assert not Okx().url(base, []).partition("//")[2].count("//")


GONE = "Wrong URL or channel:books,instId:BTC-USDT doesn't exist. Please use the correct URL."


@pytest.mark.parametrize(
    ("answer", "events"),
    [
        ({"id": "7", "event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}, "connId": "a"}, []),
        ({"event": "unsubscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}}, []),
        ({"event": "channel-conn-count", "channel": "books", "connCount": "2"}, []),
        (
            {"id": "7", "event": "error", "code": "60018", "msg": GONE},
            [ControlReply(f"60018 {GONE}", 7, ("books:BTC-USDT",))],
        ),
        (
            {"id": "7", "event": "error", "code": "60014", "msg": "Requests too frequent"},
            [ControlReply("60014 Requests too frequent", 7, later=True)],
        ),
        (
            {"event": "error", "code": "60012", "msg": "Invalid request: {}"},
            [ControlReply("60012 Invalid request: {}")],
        ),
        ({"id": "u7", "event": "error", "code": "60014", "msg": "Slow."}, [Notice("60014 Slow.")]),
        (
            {"event": "channel-conn-count-error", "channel": "books", "connCount": "30"},
            [ControlReply("too many connections for this channel: 30", None, ("books:BTC-USDT",), later=True)],
        ),
        ({"event": "notice", "code": "64008", "msg": "Soon."}, [Notice("64008 Soon."), Shutdown()]),
        ({"event": "notice", "code": "1", "msg": "Hello."}, [Notice("1 Hello.")]),
    ],
)
def test_answers_to_control_messages_and_notices(answer: Json, events: list[Event]) -> None:
    assert list(okx().decode(text(answer))) == events


def test_the_answer_to_a_ping_tells_nothing() -> None:
    assert Okx.keep_alive.ping == "ping"
    assert okx().decode(b"pong") == ()


def rest(*data: Json, code: str = "0", msg: str = "") -> bytes:
    return text({"code": code, "data": list(data), "msg": msg})


SPOT = {
    "instId": "BTC-USDT",
    "state": "live",
    "tickSz": "0.1",
    "lotSz": "0.00000001",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
}


def test_rules_of_an_instrument() -> None:
    venue = okx(BTC, "okx:UNI-USD-SWAP")
    assert venue.decode_info(rest(SPOT)).symbols == {BTC: SymbolRules("0.1", "0.00000001", TRADING, "BTC", "USDT")}
    swap = {"instId": "UNI-USD-SWAP", "state": "suspend", "tickSz": "0.001", "lotSz": "1"}
    assert venue.decode_info(rest(swap)).symbols == {"okx:UNI-USD-SWAP": SymbolRules("0.001", "1", HALTED)}
    for code, gone in (("51001", True), ("50011", False)):  # no such instrument, too many requests
        with pytest.raises(Rejected):
            venue.decode_info(rest(code=code))
        assert venue.refuses_symbol(200, rest(code=code)) is gone


@pytest.mark.parametrize(
    ("symbol", "query"),
    [
        ("okx:BTC-USDT", {"instType": "SPOT", "instId": "BTC-USDT"}),
        ("okx:BTC-USD-SWAP", {"instType": "SWAP", "instId": "BTC-USD-SWAP"}),
        ("okx:BTC-USD-260327", {"instType": "FUTURES", "instId": "BTC-USD-260327"}),
        (
            "okx:BTC-USD-260327-90000-C",
            {"instType": "OPTION", "instId": "BTC-USD-260327-90000-C", "instFamily": "BTC-USD"},
        ),
    ],
)
def test_the_request_for_rules(symbol: str, query: dict[str, str]) -> None:
    request = Okx().info_request([Instrument(symbol)])
    assert request is not None
    assert (request.path, request.query) == ("/api/v5/public/instruments", query)


def test_trades_of_the_past_by_id() -> None:
    request = Okx().trades_request(BTC, 121, 3)
    assert request is not None
    assert request.query == {"instId": "BTC-USDT", "type": "1", "after": "124", "limit": "3"}
    found = [trade(tradeId=str(number)) for number in (123, 122, 121)]
    for each in found:
        del each["count"]
    got = okx().decode_trades(BTC, rest(*found))
    assert [(one.trade_id, one.count) for one in got] == [(121, 1), (122, 1), (123, 1)]


def test_only_the_exchange_refuses_an_instrument() -> None:
    body: Any = rest(code="51000", msg="Parameter instId error")
    assert Okx().refuses_symbol(400, body)
    assert not Okx().refuses_symbol(502, body)
    assert not Okx().refuses_symbol(400, b"<html>")
    assert not Okx().refuses_symbol(400, rest(code="50011"))
