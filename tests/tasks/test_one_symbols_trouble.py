"""Whatever goes wrong with one symbol of a message, the others are published. Real nodes, a real Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import redis

from tasks.cycles import FAST, SLOW, Cycle
from tasks.reporter import Reporter, Values
from tasks.writers import Writer
from tests.tasks.cycle_runs import KEYS, Counted, MakeNode, S, report, run
from tests.tasks.market import Market
from tickfence.coordination.lease import Write, Written

OTHERS = ("ADAUSDT", "ETHUSDT")
FAR_FUTURE = 2**64 - 100
"""A time that Redis accepts as a stream id, and that fits in no signed number of 64 bits."""


@pytest.fixture
def others(redis_client: redis.Redis) -> list[Market]:
    markets = [Market(redis_client, symbol) for symbol in OTHERS]
    for market in markets:
        market.open()
    return markets


def bids(client: redis.Redis) -> list[float]:
    """The best bids' quantities of the others' reports."""
    return [report(client, symbol)["best_bid"]["qty"] for symbol in OTHERS]


def withheld() -> Counted:
    return Counted("nt_reports_withheld_total", reason="error")


def poisoned(cycle: Cycle) -> Cycle:
    """The cycle, but one symbol cannot be computed."""

    def compute(reporter: Reporter, now_ms: int, now_s: float) -> Values:
        if reporter.symbol == S:
            raise ZeroDivisionError("a number nobody expected")
        return cycle.compute(reporter, now_ms, now_s)

    return cycle._replace(compute=compute)


@pytest.mark.usefixtures("market", "others")
@pytest.mark.parametrize("cycle", [FAST, SLOW], ids=["fast", "slow"])
def test_a_symbol_that_cannot_be_computed_is_withheld_alone_counted_and_logged_once(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, cycle: Cycle
) -> None:
    one, errors = node(), withheld()
    published = Counted("nt_report_publish_total", cycle=cycle.name)
    bad = poisoned(cycle)
    for _ in range(3):
        run(one, OTHERS[0], S, OTHERS[1], cycle=bad)
    assert published() == 6
    assert 1 <= errors() <= 3
    [line] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.message == "no report, because of an error: ZeroDivisionError: a number nobody expected"
    assert (line.symbol, line.node, line.exc_info[0]) == (S, "node-001", ZeroDivisionError)  # type: ignore[attr-defined,index]
    run(one, S)
    assert report(redis_client)["symbol"] == S, "what else is computed goes on"


@pytest.mark.usefixtures("market", "others")
def test_history_that_cannot_be_made_withholds_nothing_and_is_counted_and_logged_once(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    one, errors = node(NT_HISTORY_INTERVAL_MS="100"), withheld()
    published, missing = (
        Counted("nt_report_publish_total", cycle="fast"),
        Counted("nt_history_missing_total", entry="basis"),
    )
    redis_client.hset(KEYS.ticker(S), mapping={"last": "1", "r": "1e30"})  # a time that no basis can hold
    for _ in range(5):
        moment = one.clock.now_ms() + 101
        one.clock.observe(0.0, 0.0, moment)
        run(one, S, *OTHERS)
    assert (published(), errors()) == (15, 0)
    assert missing() >= 2
    [line] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.message.startswith("it is not kept what a report was made from, because of an error: OverflowError: ")
    assert (line.symbol, line.node, line.exc_info[0]) == (S, "node-001", OverflowError)  # type: ignore[attr-defined,index]
    assert redis_client.xlen(KEYS.history(S)) == 5


@pytest.mark.usefixtures("others")
def test_an_error_that_passes_costs_one_report(node: MakeNode, market: Market, redis_client: redis.Redis) -> None:
    one = node()
    run(one)
    token = report(redis_client)["writer"]["writerToken"]
    run(one, cycle=poisoned(FAST))
    market.diff(bids=[(99.9, 7.0)])
    run(one)
    assert report(redis_client)["best_bid"] == {"price": 99.9, "qty": 7.0}
    assert report(redis_client)["writer"]["writerToken"] == token


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_symbol_that_cannot_be_read_is_withheld_alone(
    node: MakeNode, market: Market, others: list[Market], redis_client: redis.Redis, warm: bool
) -> None:
    one, errors = node(), withheld()
    if warm:
        run(one, S, *OTHERS)
    fields = {"p": "100", "q": "1", "s": "b", "r": "1"}
    redis_client.xadd(KEYS.trades(S), fields, id=f"{FAR_FUTURE}-1")
    redis_client.delete(KEYS.report(S))
    for other in others:
        other.diff()
    run(one, S, *OTHERS)
    assert bids(redis_client) == [float(other.update_id) for other in others]
    assert report(redis_client) is None
    assert errors() == 1
    redis_client.delete(KEYS.trades(S))
    run(one, S, *OTHERS)
    assert report(redis_client)["best_bid"]["qty"] == float(market.update_id)


@pytest.mark.usefixtures("market")
def test_a_symbol_whose_commands_cannot_be_made_or_whose_outcome_cannot_be_taken_is_withheld_alone(
    node: MakeNode, others: list[Market], redis_client: redis.Redis
) -> None:
    class Odd:
        """Warm state that cannot say what it needs."""

        cold = True

        def read(self, *_: Any, **__: Any) -> Any:
            raise LookupError("what was I going to ask?")

    one, errors = node(), withheld()
    run(one, S, *OTHERS)
    for other in others:
        other.diff()
    one.symbols[S].warm = Odd()  # type: ignore[assignment]
    run(one, S, *OTHERS)
    assert bids(redis_client) == [float(other.update_id) for other in others]
    assert errors() == 1

    class OddWriter(Writer):
        """Writes, and says nothing of the first write."""

        def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
            return [None, *super().write(client, writes)[1:]]  # type: ignore[list-item]

    one.writer = OddWriter(one.owner, one.settings)
    published = Counted("nt_report_publish_total", cycle="fast")
    run(one, S, *OTHERS)
    assert (errors(), published()) == (2, 2)


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("damage", [("HDEL", "seq"), ("HSET", "seq", "x"), ("HSET", "token", "x")], ids=str)
def test_a_damaged_lease_costs_its_own_symbol_one_report(
    node: MakeNode, others: list[Market], redis_client: redis.Redis, damage: tuple[str, ...]
) -> None:
    one = node()
    run(one, S, *OTHERS)
    token = report(redis_client)["writer"]["writerToken"]
    name, *fields = damage
    redis_client.execute_command(name, KEYS.lease(S), *fields)
    for _ in range(2):
        for other in others:
            other.diff()
        run(one, S, *OTHERS)
        assert bids(redis_client) == [float(other.update_id) for other in others]
    assert report(redis_client)["writer"]["writerToken"] >= token


@pytest.mark.usefixtures("market", "others")
def test_what_is_no_symbol_is_left_out(node: MakeNode, redis_client: redis.Redis) -> None:
    one, told = node(), Counted("nt_reports_withheld_total", reason="no symbol")
    odd: list[Any] = [None, 7, ["x"], {"a": 1}, "", "no symbol", "a{b", "A\ud800B"]
    run(one, OTHERS[0], *odd, OTHERS[1])
    assert all(report(redis_client, symbol) for symbol in OTHERS)
    assert told() == len(odd)
    assert set(one.symbols) == set(OTHERS)


def test_a_symbol_that_a_message_names_twice_is_counted_once(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one, S, S)
    for _ in range(3):
        market.trade()
    run(one, S, S)
    assert report(redis_client)["flow"]["net_flow"] == 2.0
