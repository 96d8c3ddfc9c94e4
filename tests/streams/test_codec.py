import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.streams import codec

finite = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
above_zero = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
levels = st.lists(st.tuples(above_zero, finite), max_size=30)


@given(levels, levels, st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 2**53))
def test_a_diff_keeps_every_float(bids: list[codec.Level], asks: list[codec.Level], u: int, t: int, r: int) -> None:
    fields = {
        b"U": str(u).encode(),
        b"b": codec.encode_levels(bids),
        b"a": codec.encode_levels(asks),
        b"r": str(r).encode(),
    }
    assert codec.decode_diff(f"{t}-{u + 3}".encode(), fields) == codec.DiffEntry(t, u, u + 3, bids, asks, r)


@given(
    *(levels, levels),
    *(st.none() | st.floats(0.1, 9), st.none() | st.floats(0.1, 9)),
    st.none() | st.integers(1, 1_000),
)
def test_a_snapshot_survives_the_round_trip(
    bids: list[codec.Level],
    asks: list[codec.Level],
    lowest_bid: float | None,
    highest_ask: float | None,
    told: int | None,
) -> None:
    snapshot = codec.Snapshot(
        last_update_id=7,
        stream_id="5-7",
        bids=bids,
        asks=asks,
        lowest_bid=lowest_bid,
        highest_ask=highest_ask,
        told=told,
        time=1_700_000_000_000,
    )
    assert codec.decode_snapshot(codec.encode_snapshot(snapshot)) == snapshot


def test_a_snapshot_is_written_with_the_agreed_names() -> None:
    snapshot = codec.Snapshot(
        last_update_id=7, stream_id="5-7", bids=[(1.5, 2.0)], asks=[(1.6, 0.25)], lowest_bid=1.5, time=9
    )
    text = codec.encode_snapshot(snapshot)
    assert text == (
        b'{"lastUpdateId":7,"streamId":"5-7","bids":[[1.5,2.0]],"asks":[[1.6,0.25]],'
        b'"lowestBid":1.5,"highestAsk":null,"told":null,"time":9}'
    )


def test_equal_decimals_become_equal_floats() -> None:
    as_text = float("0.35130000")
    [(price, _)] = codec.decode_diff(
        b"1-2", {b"U": b"1", b"b": codec.encode_levels([(as_text, 1.0)]), b"a": b"[]", b"r": b"1"}
    ).bids
    assert price == as_text == 0.3513


def test_a_trade_is_read_with_its_aggressor() -> None:
    fields = {b"p": b"0.35280000", b"q": b"58.00000000", b"s": b"s", b"r": b"12"}
    assert codec.decode_trade(b"10-3", fields) == codec.TradeEntry(10, 3, 0.3528, 58.0, False, 12)
    assert codec.decode_trade(b"10-3", {**fields, b"s": b"b"}).is_buy
    several = [codec.decode_trade(b"10-3", {**fields, b"s": side}) for side in (b"b3", b"s12")]
    assert [(one.is_buy, one.id_count) for one in several] == [(True, 3), (False, 12)]


@pytest.mark.parametrize(
    ("decode", "argument"),
    [
        (lambda fields: codec.decode_trade(b"1-1", fields), {b"p": b"1", b"q": b"1", b"s": b"b"}),
        (lambda fields: codec.decode_trade(b"1-1", fields), {b"p": b"x", b"q": b"1", b"s": b"b", b"r": b"1"}),
        (lambda fields: codec.decode_diff(b"1-1", fields), {b"U": b"1", b"b": b"[", b"a": b"[]", b"r": b"1"}),
        (lambda fields: codec.decode_diff(b"1-1", fields), {b"U": b"1", b"b": b'[["1","2"]]', b"a": b"[]", b"r": b"1"}),
        *(
            (
                lambda fields: codec.decode_trade(b"1-1", fields),
                {b"p": b"1", b"q": b"1", b"s": b"b", b"r": b"1"} | {field: bad},
            )
            for field in (b"p", b"q")
            for bad in (b"0", b"-1", b"nan", b"inf")
        ),
        *(
            (lambda fields: codec.decode_diff(b"1-1", fields), {b"U": b"1", b"b": bad, b"a": b"[]", b"r": b"1"})
            for bad in (b"[[0,1]]", b"[[-1,2]]", b"[[1,-2]]", b"[[1e999,1]]")
        ),
        (
            codec.decode_snapshot,
            b'{"lastUpdateId":7,"streamId":"5-7","bids":[[0,2.0]],"asks":[[1.6,0.25]],"time":9}',
        ),
        (codec.decode_snapshot, b"{}"),
    ],
)
def test_what_this_package_did_not_write_is_a_clear_error(decode, argument) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(codec.BadEntry):
        decode(argument)


def test_a_hash_that_is_not_there_yet_is_none() -> None:
    assert codec.decode_ticker([None] * 6) is None
    assert codec.decode_info([None] * 4) is None


_TEXTS = st.one_of(st.none(), st.binary(max_size=4), st.sampled_from([b"0.01", b"0.00000000", b"nan", b"-1", b"1e999"]))


@given(st.lists(_TEXTS, min_size=6, max_size=6))
def test_each_number_of_a_ticker_counts_by_itself(values: list[bytes | None]) -> None:
    ticker = codec.decode_ticker(values)
    if ticker is not None:
        for text, number in zip(values[:5], ticker[:5], strict=True):
            assert number == 0.01 if text == b"0.01" else number is None or math.isfinite(number)


@given(st.lists(_TEXTS, min_size=6, max_size=6))
def test_rules_that_cannot_be_read_are_unknown(values: list[bytes | None]) -> None:
    info = codec.decode_info(values)
    if info is not None:
        for text, size in zip(values, info[:2], strict=False):
            assert size is None or size > 0
            assert size == 0.01 or text != b"0.01"
        assert info.status is None
        assert info.base.isprintable() and len(info.quote) <= 40


def test_rules_are_read_with_what_the_exchange_switched_off() -> None:
    read = codec.decode_info
    assert read([b"0.01", b"", b"halted", b"812", b"", None]) == codec.SymbolInfo(0.01, None, "halted", 812)
    assert read([b"0.00000000", b"0.001", b"TRADING", *[None] * 3]) == codec.SymbolInfo(None, 0.001, None, 0)
    assert read([*[None] * 4, b"BTC", "币安人生".encode()])[4:] == ("BTC", "币安人生")


@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**63)), min_size=2, max_size=2))
def test_split_ids_compare_as_redis_compares(pair: list[tuple[int, int]]) -> None:
    low, high = sorted(pair)
    assert codec.split_id(f"{low[0]}-{low[1]}") <= codec.split_id(f"{high[0]}-{high[1]}".encode())
    assert codec.split_id(codec.NO_ENTRY) == (0, 0)
