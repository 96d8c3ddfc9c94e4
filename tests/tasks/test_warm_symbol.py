"""One symbol's way from the streams to its state."""

from __future__ import annotations

import pytest
import redis

from tasks.warm_symbol import WarmSymbol
from tests.tasks.market import Market
from tickfence.streams.keys import ticker_key

S = "BTCUSDT"


def read(warm: WarmSymbol, client: redis.Redis, now_ms: int) -> None:
    pipe = client.pipeline(transaction=False)
    count = warm.queue_read(pipe, now_ms)
    replies = pipe.execute(raise_on_error=False)
    assert len(replies) == count
    warm.take(replies)


@pytest.mark.parametrize(("trade_ms", "diff_ms"), [(1_500, 3_000), (10_000, 10_000)])
def test_updates_counted_anew_are_noticed_though_trades_went_on(
    redis_client: redis.Redis, trade_ms: int, diff_ms: int
) -> None:
    market, warm = Market(redis_client, S), WarmSymbol(S)
    market.open()
    read(warm, redis_client, market.now_ms())
    assert warm.state.publishable
    market.trade(ahead_ms=trade_ms)
    read(warm, redis_client, market.now_ms())
    assert not warm.cold
    market.update_id = 1  # the exchange started over
    market.diff(ahead_ms=diff_ms)
    read(warm, redis_client, market.now_ms())
    assert (warm.cold, warm.cold_reason) == (True, "renumbered")


def test_trades_do_not_make_a_book_younger(redis_client: redis.Redis) -> None:
    market, warm = Market(redis_client, S), WarmSymbol(S)
    market.open()
    read(warm, redis_client, market.now_ms())
    book_ms = warm.state.book_update_ms
    market.trade(ahead_ms=10_000)
    read(warm, redis_client, market.now_ms())
    assert warm.state.book_stopped
    assert warm.state.last_update_ms == warm.state.book_update_ms == book_ms
    market.diff(ahead_ms=10_000)
    read(warm, redis_client, market.now_ms())
    assert not warm.state.book_stopped


def test_the_statistics_of_24_hours_are_asked_for_once_a_second(redis_client: redis.Redis) -> None:
    market, warm = Market(redis_client, S), WarmSymbol(S)
    market.open()
    now = market.now_ms()
    read(warm, redis_client, now)
    read(warm, redis_client, now)
    redis_client.hset(ticker_key(S), "high", "123")
    warm._ticker_at += 3600
    read(warm, redis_client, now + 10_000)
    assert warm.state.ticker is not None and warm.state.ticker.high == 101.0
    warm._ticker_at -= 3601
    read(warm, redis_client, now - 60_000)  # the server's clock may go back
    assert warm.state.ticker.high == 123.0


def test_statistics_that_were_not_received_are_asked_for_again(redis_client: redis.Redis) -> None:
    market, warm = Market(redis_client, S), WarmSymbol(S)
    market.open()
    read(warm, redis_client, market.now_ms())
    redis_client.hset(ticker_key(S), "high", "123")
    warm.queue_read(redis_client.pipeline(transaction=False), market.now_ms())  # and the connection broke
    read(warm, redis_client, market.now_ms())
    assert warm.state.ticker is not None and warm.state.ticker.high == 123.0
