import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tests import appending
from tickfence.keys import Keys
from tickfence.redis_access.scripts import send
from tickfence.streams import append, codec

KEYS = Keys()
KEY = KEYS.trades("BTCUSDT")


def put_trade(
    client: redis.Redis,
    time_ms: int,
    trade_id: int,
    *,
    key: str = KEY,
    keep_from_ms: int | None = None,
    create: bool = True,
) -> object:
    packed = append.packed_trade(time_ms, trade_id, "100.5", "2", True, 7)
    return appending.add(client, key, packed, keep_from_ms=keep_from_ms, create=create)


def put(client: redis.Redis, update_id: int, time: int, *, protect_ms: int = 1_000) -> int:
    snapshot = codec.Snapshot(last_update_id=update_id, stream_id="1-1", bids=[(1.5, 2.0)], asks=[], time=time)
    [reply] = send(client, [append.put_snapshot(KEYS.snapshot("BTCUSDT"), snapshot, protect_ms=protect_ms)])
    return reply


def stored(client: redis.Redis) -> int:
    return codec.decode_snapshot(client.get(KEYS.snapshot("BTCUSDT"))).last_update_id


def test_a_second_copy_of_an_entry_is_refused_and_told_apart(redis_client: redis.Redis) -> None:
    put_trade(redis_client, 1_005, 5)
    for copy in (5, 4):
        with pytest.raises(redis.ResponseError) as caught:
            put_trade(redis_client, 1_005, copy)
        assert append.refused(caught.value)
    redis_client.set("string", "a string")
    with pytest.raises(redis.ResponseError) as wrong:
        put_trade(redis_client, 1, 1, key="string")
    assert not append.refused(wrong.value)


def test_an_entry_is_not_added_to_a_stream_that_was_lost(redis_client: redis.Redis) -> None:
    assert put_trade(redis_client, 1, 1, create=False) is None
    assert not redis_client.exists(KEY)
    assert put_trade(redis_client, 1, 1) == b"1-1"
    assert put_trade(redis_client, 1, 2, create=False, keep_from_ms=0) == b"1-2"


def test_old_entries_are_trimmed_by_their_own_time(redis_client: redis.Redis) -> None:
    before = redis_client.config_get("stream-node-max-entries")["stream-node-max-entries"]
    redis_client.config_set("stream-node-max-entries", 1)
    try:
        for trade_id in range(1, 6):
            put_trade(redis_client, 1_000 + trade_id, trade_id)
        put_trade(redis_client, 1_006, 6, keep_from_ms=1_004)
        assert [entry_id for entry_id, _ in redis_client.xrange(KEY)] == [b"1004-4", b"1005-5", b"1006-6"]
    finally:
        redis_client.config_set("stream-node-max-entries", before)


def test_packed_commands_are_what_redis_reads(redis_client: redis.Redis) -> None:
    commands: list[append.Command] = [("SET", "a", b"\x00\xff"), ("SET", "b", 12)]
    connection = redis_client.connection_pool.get_connection()
    try:
        connection.send_packed_command([append.pack(commands)])
        assert [connection.read_response() for _ in commands] == [b"OK", b"OK"]
    finally:
        redis_client.connection_pool.release(connection)
    assert redis_client.mget("a", "b") == [b"\x00\xff", b"12"]


@given(
    *(st.integers(0, 2**63 - 1) for _ in range(4)),
    st.lists(st.tuples(st.floats(0.0, 1e12), st.floats(0.0, 1e12)), max_size=3),
    st.lists(st.tuples(st.floats(0.0, 1e12), st.floats(0.0, 1e12)), max_size=3),
    st.booleans(),
    st.none() | st.integers(-5, 2**45),
)
def test_a_packed_entry_after_its_head_is_the_whole_command(
    time_ms: int,
    first: int,
    last: int,
    received_ms: int,
    bids: list[tuple[float, float]],
    asks: list[tuple[float, float]],
    flag: bool,
    keep_from_ms: int | None,
) -> None:
    options: append.Command = () if flag else ("NOMKSTREAM",)
    if keep_from_ms is not None:
        options += ("MINID", "~", max(keep_from_ms, 0))
    diff: append.Command = ("U", first, "b", codec.encode_levels(bids), "a", codec.encode_levels(asks))
    trade: append.Command = ("p", "0.10", "q", "12", "s", "b" if flag else "s")
    several: append.Command = ("p", "0.10", "q", "12", "s", "b12")
    known: append.Command = ("t", 0)
    for count, packed, fields, end in (
        (append.DIFF_FIELDS, append.packed_diff(time_ms, first, last, bids, asks, received_ms), diff, known),
        (append.TRADE_FIELDS, append.packed_trade(time_ms, last, "0.10", "12", flag, received_ms), trade, ()),
        (append.TRADE_FIELDS, append.packed_trade(time_ms, last, "0.10", "12", True, received_ms, 12), several, ()),
    ):
        head = append.xadd_head(KEY, count, keep_from_ms=keep_from_ms, create=flag)
        command: append.Command = ("XADD", KEY, *options, f"{time_ms}-{last}", *fields, "r", received_ms, *end)
        assert head + packed == append.pack([command])


def test_a_snapshot_never_replaces_one_with_a_higher_update_id(redis_client: redis.Redis) -> None:
    assert put(redis_client, 100, 5_000) == 1
    assert put(redis_client, 99, 5_000) == 0
    assert stored(redis_client) == 100
    assert put(redis_client, 101, 5_000) == 1
    assert stored(redis_client) == 101


@pytest.mark.parametrize(("low", "high"), [(99, 100), (2**53, 2**53 + 1), (10**18 - 1, 10**18)])
def test_update_ids_compare_as_numbers(redis_client: redis.Redis, low: int, high: int) -> None:
    assert put(redis_client, high, 5_000) == 1
    assert put(redis_client, low, 5_000) == 0
    redis_client.delete(KEYS.snapshot("BTCUSDT"))
    assert put(redis_client, low, 5_000) == 1
    assert put(redis_client, high, 5_000) == 1


def test_a_snapshot_nobody_writes_any_more_gives_way(redis_client: redis.Redis) -> None:
    assert put(redis_client, 100, 5_000) == 1
    assert put(redis_client, 7, 5_999) == 0
    assert put(redis_client, 7, 6_000) == 1
    assert stored(redis_client) == 7


def test_a_snapshot_is_put_over_what_is_no_snapshot(redis_client: redis.Redis) -> None:
    redis_client.set(KEYS.snapshot("BTCUSDT"), "")
    assert put(redis_client, 1, 1) == 1


def test_the_script_is_sent_again_after_the_server_forgot_it(redis_client: redis.Redis) -> None:
    assert put(redis_client, 1, 1) == 1
    redis_client.script_flush()
    assert put(redis_client, 2, 2) == 1
    assert stored(redis_client) == 2


def test_hashes_are_written_as_they_are_read(redis_client: redis.Redis) -> None:
    values = ("last", "1.5", "change_pct", "-2", "high", "2", "low", "1", "volume", "10", "r", 5)
    redis_client.execute_command(*append.set_hash(KEYS.ticker("BTCUSDT"), values))
    redis_client.execute_command(
        *append.set_hash(KEYS.info("BTCUSDT"), ("tick_size", "0.01", "step_size", "1", "status", "halted"))
    )
    ticker = codec.decode_ticker(redis_client.hmget(KEYS.ticker("BTCUSDT"), codec.TICKER_FIELDS))
    info = codec.decode_info(redis_client.hmget(KEYS.info("BTCUSDT"), codec.INFO_FIELDS))
    assert (ticker, info) == (codec.Ticker(1.5, -2.0, 2.0, 1.0, 10.0, 5), codec.SymbolInfo(0.01, 1.0, "halted"))
