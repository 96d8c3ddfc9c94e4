import annotated_types
import pytest
import redis

from ingest.packing import KEEP_BOOK_INTERVALS
from tests import appending
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Request
from tickfence.settings import Settings
from tickfence.streams import append, codec, read
from tickfence.streams.read import StreamReader
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
SYMBOL = Instrument("BTCUSDT")
DIFF_EVERY_MS = 100


def put_diff(client: redis.Redis, u: int, *, first: int | None = None, price: float = 100.0) -> None:
    packed = append.packed_diff(1_000 + u, u if first is None else first, u, [(price, 1.0)], [], 2_000 + u)
    appending.add(client, KEYS.book(SYMBOL), packed)


def put_trade(client: redis.Redis, trade_id: int) -> None:
    packed = append.packed_trade(1_000 + trade_id, trade_id, "100.5", "2", trade_id % 2 == 0, 2_000 + trade_id)
    appending.add(client, KEYS.trades(SYMBOL), packed)


def put_snapshot(client: redis.Redis, u: int, stream_id: str = "0-0") -> None:
    client.set(
        KEYS.snapshot(SYMBOL),
        codec.encode_snapshot(
            codec.Snapshot(last_update_id=u, stream_id=stream_id, bids=[(99.0, 1.0)], asks=[(101.0, 1.0)], time=5)
        ),
    )


def replies(client: redis.Redis, *requests: Request) -> None:
    """Send requests in one pipeline, and let them take their replies."""
    pipe = client.pipeline(transaction=False)
    for command, _ in requests:
        pipe.execute_command(*command)
    for (_, take), reply in zip(requests, pipe.execute(raise_on_error=False), strict=True):
        take(reply)


def warm(client: redis.Redis, reader: StreamReader, limit: int = read.READ_LIMIT) -> read.Entries:
    found: list[read.Entries] = []
    replies(client, reader.entries(found.append, limit=limit))
    [entries] = found
    return entries


def cold(client: redis.Redis, reader: StreamReader | None = None, since: int = 0, **limits: int) -> read.ColdStart:
    reader, found = reader or StreamReader(KEYS, SYMBOL), []
    replies(client, *reader.cold(since, found.append, **limits))
    [start] = found
    reader.start_from(start)
    return start


def older(client: redis.Redis, before: str, since: int, limit: int) -> tuple[list[int], str | None]:
    found: list[tuple[list[int], str | None]] = []

    def take(trades: list[codec.TradeEntry], before_those: str | None) -> None:
        found.append(([trade.trade_id for trade in trades], before_those))

    replies(client, StreamReader(KEYS, SYMBOL).older_trades(before, since, take, limit=limit))
    return found[0]


@pytest.fixture
def reader() -> StreamReader:
    return StreamReader(KEYS, SYMBOL)


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(request: pytest.FixtureRequest, redis_client: redis.Redis, redis_server: EmbeddedRedis) -> redis.Redis:
    address = redis_client.connection_pool.connection_kwargs
    return redis.Redis(
        host=address.get("host", "127.0.0.1"), port=redis_server.port, protocol=request.param, legacy_responses=False
    )


def test_nothing_is_read_from_keys_that_are_not_there(client: redis.Redis, reader: StreamReader) -> None:
    assert warm(client, reader) == read.Entries()
    assert (reader.trades_id, reader.book_id) == ("0-0", "0-0")


def test_only_what_is_new_is_read(client: redis.Redis, reader: StreamReader) -> None:
    put_diff(client, 1)
    put_trade(client, 1)
    first = warm(client, reader)
    assert [d.last_update_id for d in first.diffs] == [1]
    assert [t.trade_id for t in first.trades] == [1]
    put_diff(client, 2)
    second = warm(client, reader)
    assert second.diffs == [codec.DiffEntry(1_002, 2, 2, [(100.0, 1.0)], [], 2_002)]
    assert second.trades == []
    assert warm(client, reader).diffs == []
    assert (reader.trades_id, reader.book_id) == ("1001-1", "1002-2")


def test_legacy_reply_shape_reads_the_same(redis_client: redis.Redis) -> None:
    put_diff(redis_client, 1)
    put_trade(redis_client, 1)
    entries = warm(redis_client, StreamReader(KEYS, SYMBOL))
    assert ([d.last_update_id for d in entries.diffs], [t.trade_id for t in entries.trades]) == ([1], [1])


def test_a_limit_says_that_there_is_more(client: redis.Redis, reader: StreamReader) -> None:
    for u in range(1, 6):
        put_diff(client, u)
    entries = warm(client, reader, limit=3)
    assert ([d.last_update_id for d in entries.diffs], entries.more) == ([1, 2, 3], True)
    entries = warm(client, reader, limit=3)
    assert ([d.last_update_id for d in entries.diffs], entries.more) == ([4, 5], False)


def test_the_ticker_comes_along(client: redis.Redis, reader: StreamReader) -> None:
    values = {"last": "100.5", "change_pct": "-1.25", "high": "110", "low": "90", "volume": "12345.6", "r": 77}
    client.hset(KEYS.ticker(SYMBOL), mapping=values)
    found: list[codec.Ticker | None] = []
    replies(client, reader.ticker(found.append))
    assert found == [codec.Ticker(100.5, -1.25, 110.0, 90.0, 12345.6, 77)]


def test_a_lost_stream_shows_as_a_gap(client: redis.Redis, reader: StreamReader) -> None:
    for u in range(1, 4):
        put_diff(client, u)
    assert warm(client, reader).diffs[-1].last_update_id == 3
    client.flushall()
    assert warm(client, reader).diffs == []
    put_diff(client, 6)
    [diff] = warm(client, reader).diffs
    assert diff.first_update_id > 3 + 1


def test_an_error_of_one_symbol_is_raised(client: redis.Redis, reader: StreamReader) -> None:
    client.set(KEYS.book(SYMBOL), "not a stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        warm(client, reader)


def test_cold_read_takes_the_snapshot_and_all_diffs(client: redis.Redis, reader: StreamReader) -> None:
    for u in range(1, 8):
        put_diff(client, u)
    put_snapshot(client, 4, "1004-4")
    start = cold(client, reader)
    assert start.snapshot is not None
    assert start.snapshot.last_update_id == 4
    assert [d.last_update_id for d in start.diffs] == [1, 2, 3, 4, 5, 6, 7]
    assert start.book_id == "1007-7"


def test_cold_read_of_more_diffs_than_it_takes_reaches_the_present(client: redis.Redis, reader: StreamReader) -> None:
    for u in range(1, 8):
        put_diff(client, u)
    put_snapshot(client, 5, "1005-5")
    start = cold(client, reader, diffs_limit=3)
    assert [d.last_update_id for d in start.diffs] == [5, 6, 7]
    assert start.book_id == "1007-7"
    put_diff(client, 8)
    assert [d.last_update_id for d in warm(client, reader).diffs] == [8]


def test_a_snapshot_further_back_than_a_cold_read_takes_shows_as_a_gap(
    client: redis.Redis, reader: StreamReader
) -> None:
    for u in range(1, 8):
        put_diff(client, u)
    put_snapshot(client, 2, "1002-2")
    start = cold(client, reader, diffs_limit=3)
    assert start.snapshot is not None
    assert start.diffs[0].first_update_id > start.snapshot.last_update_id + 1


def test_all_diffs_that_ingest_keeps_fit_into_a_cold_read() -> None:
    field = Settings.model_fields["nt_snapshot_interval_ms"]
    longest_ms = next(bound.le for bound in field.metadata if isinstance(bound, annotated_types.Le))
    assert KEEP_BOOK_INTERVALS * longest_ms // DIFF_EVERY_MS < read.COLD_DIFFS_LIMIT


def test_a_diff_that_spans_the_snapshot_is_kept(client: redis.Redis) -> None:
    put_diff(client, 6, first=3)
    put_snapshot(client, 4)
    assert [(d.first_update_id, d.last_update_id) for d in cold(client).diffs] == [(3, 6)]


def test_cold_read_with_a_snapshot_newer_than_the_stream(client: redis.Redis, reader: StreamReader) -> None:
    put_diff(client, 3)
    put_snapshot(client, 9, "1009-9")
    start = cold(client, reader)
    assert [d.last_update_id for d in start.diffs] == [3]
    put_diff(client, 10)
    assert [d.last_update_id for d in warm(client, reader).diffs] == [10]


def test_cold_read_after_the_stream_was_lost(client: redis.Redis, reader: StreamReader) -> None:
    put_snapshot(client, 9, "1009-9")
    start = cold(client, reader)
    assert (start.diffs, start.book_id) == ([], "0-0")
    put_diff(client, 10)
    assert [d.last_update_id for d in warm(client, reader).diffs] == [10]


def test_a_stream_trimmed_past_the_snapshot_shows_as_a_gap(client: redis.Redis, reader: StreamReader) -> None:
    for u in range(1, 10):
        put_diff(client, u)
    put_snapshot(client, 2, "1002-2")
    client.xtrim(KEYS.book(SYMBOL), minid=f"{1_006}-0", approximate=False)
    start = cold(client, reader)
    assert start.snapshot is not None
    assert start.diffs[0].first_update_id > start.snapshot.last_update_id + 1


def test_without_a_snapshot_there_is_no_book(client: redis.Redis, reader: StreamReader) -> None:
    put_diff(client, 1)
    put_trade(client, 1)
    start = cold(client, reader)
    assert (start.snapshot, start.diffs) == (None, [])
    assert [t.trade_id for t in start.trades] == [1]


def test_cold_read_takes_the_newest_trades_oldest_first(client: redis.Redis, reader: StreamReader) -> None:
    for trade_id in range(1, 10):
        put_trade(client, trade_id)
    start = cold(client, reader, since=1_004)
    assert [t.trade_id for t in start.trades] == [4, 5, 6, 7, 8, 9]
    start = cold(client, reader, since=1_004, trades_limit=2)
    assert [t.trade_id for t in start.trades] == [8, 9]
    put_trade(client, 10)
    assert [t.trade_id for t in warm(client, reader).trades] == [10]


def test_trades_that_a_cold_read_left_out_are_had_piece_by_piece(client: redis.Redis, reader: StreamReader) -> None:
    for trade_id in range(1, 12):
        put_trade(client, trade_id)
    start = cold(client, reader, since=1_003, trades_limit=4)
    assert [t.trade_id for t in start.trades] == [8, 9, 10, 11]
    assert start.older_trades_before == "1008-8"
    assert older(client, "1008-8", since=1_003, limit=3) == ([5, 6, 7], "1005-5")
    assert older(client, "1005-5", since=1_003, limit=3) == ([3, 4], None)
    assert older(client, "1003-3", since=1_003, limit=3) == ([], None)


def test_a_cold_read_that_took_all_trades_says_so(client: redis.Redis) -> None:
    for trade_id in range(1, 4):
        put_trade(client, trade_id)
    assert cold(client, None, trades_limit=4).older_trades_before is None
    assert cold(client, None, trades_limit=3).older_trades_before == "1001-1"
    assert cold(client, since=2_000, trades_limit=3).older_trades_before is None


def test_cold_read_without_trades_goes_on_from_the_time_asked_for(client: redis.Redis, reader: StreamReader) -> None:
    put_trade(client, 1)
    start = cold(client, reader, since=5_000)
    assert start.trades == []
    assert warm(client, reader).trades == []


def test_cold_read_takes_symbol_info(client: redis.Redis) -> None:
    assert cold(client).info is None
    client.hset(KEYS.info(SYMBOL), mapping={"tick_size": "0.01", "step_size": "0.00001", "status": "trading"})
    assert cold(client).info == codec.SymbolInfo(0.01, 0.00001, "trading")
