"""Cycles of real nodes against a real Redis: under which lease they write, and whose write counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from tasks.cycles import FAST, SLOW
from tasks.writers import Writer
from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, Counted, MakeNode, S, before_write, lease, observations, report, run
from tests.tasks.market import Market
from tickfence.coordination.lease import Write, Written
from tickfence.timeline import events


def test_a_newer_generation_takes_over_and_a_late_write_of_the_old_owner_is_refused(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    """The old owner is paused between computing a report and writing it."""
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    market.diff(bids=[(99.6, 1.0)])
    taken = {}

    def take_over() -> None:
        market.diff(bids=[(99.7, 1.0)])
        run(new, generation=2)
        taken.update(report(redis_client))

    run(old, generation=1, cycle=before_write(FAST, take_over))
    assert taken["writer"]["nodeId"] == "node-002"
    assert report(redis_client) == taken

    conflicts, refused = Counted("nt_lease_conflicts_total"), Counted("nt_lease_refused_total")
    run(old, generation=1)
    assert report(redis_client) == taken
    assert (conflicts(), refused()) == (0, 1)
    assert S not in old.symbols
    assert old.assigned() == 0

    run(old, generation=3)
    assert report(redis_client)["writer"]["nodeId"] == "node-001"
    assert report(redis_client)["best_bid"]["price"] == 99.7


@pytest.mark.usefixtures("market")
def test_two_owners_in_one_generation_are_a_conflict_and_the_holder_goes_on(
    node: MakeNode, redis_client: redis.Redis
) -> None:
    first, second = node("node-001"), node("node-001")
    run(first)
    conflicts = Counted("nt_lease_conflicts_total")
    before = report(redis_client)
    run(second)
    assert report(redis_client) == before
    assert conflicts() == 1
    [told] = wait_until(lambda: events.read(redis_client, KEYS), "its event")
    assert (told.kind, told.fields) == ("conflict", {"symbol": S, "node": "node-001", "holder": "node-001"})
    run(first)
    assert report(redis_client)["writer"] == before["writer"]


@pytest.mark.usefixtures("market")
def test_released_leases_are_free_at_once(node: MakeNode, redis_client: redis.Redis) -> None:
    first, second = node("node-001"), node("node-002")
    run(first)
    first.release()
    assert lease(redis_client)["owner"] == ""
    conflicts = Counted("nt_lease_conflicts_total")
    run(second)
    assert report(redis_client)["writer"]["nodeId"] == "node-002"
    assert conflicts() == 0
    first.release()
    assert lease(redis_client)["owner"] == str(second.owner)


@pytest.mark.usefixtures("market")
def test_a_lease_key_of_another_type_stops_no_other_symbol(node: MakeNode, redis_client: redis.Redis) -> None:
    Market(redis_client, "ETHUSDT").open()
    redis_client.sadd(KEYS.lease(S), "not a lease")
    one, withheld = node(), Counted("nt_reports_withheld_total", reason="bad lease")
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")
    assert withheld() == 1


def test_an_accepted_write_stands_for_the_next_acquire(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    first = lease(redis_client)
    redis_client.hset(KEYS.lease(S), "until", 1)
    redis_client.config_resetstat()
    market.diff(bids=[(99.6, 1.0)])
    run(one)
    run(one, cycle=SLOW)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2  # the writes
    renewed = lease(redis_client)
    assert (renewed["token"], int(renewed["seq"])) == (first["token"], int(first["seq"]) + 2)
    assert int(renewed["until"]) >= int(first["until"])
    assert one.assigned() == 1

    run(one, generation=2)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 4  # a newer assignment: it asks


def test_a_cycle_without_a_write_makes_the_next_one_ask(
    node: MakeNode, market: Market, redis_client: redis.Redis
) -> None:
    one = node()
    run(one)
    redis_client.delete(KEYS.snapshot(S))
    market.diff(bids=[(99.6, 1.0)], lost=1)
    redis_client.config_resetstat()
    run(one)  # a gap and no snapshot
    run(one)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2
    assert one.assigned() == 1


@pytest.mark.usefixtures("market")
def test_a_lease_that_redis_has_lost_costs_no_report(node: MakeNode, redis_client: redis.Redis) -> None:
    one = node()
    run(one)
    fenced, observed = Counted("nt_writes_fenced_total"), observations()
    redis_client.delete(KEYS.lease(S), KEYS.report(S))
    run(one)
    assert report(redis_client)["writer"]["writerToken"] == int(lease(redis_client)["token"])
    assert fenced() == 0
    assert [count() for count in observed] == [1, 1]


@pytest.mark.usefixtures("market")
def test_a_symbol_that_moved_on_is_no_news_and_a_report_refused_is_not_observed(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    run(new, generation=2)
    fenced, refused, observed = Counted("nt_writes_fenced_total"), Counted("nt_lease_refused_total"), observations()
    run(old, generation=1)
    assert (fenced(), refused()) == (0, 1)
    assert "write refused" not in caplog.text
    assert [count() for count in observed] == [0, 0]
    assert report(redis_client)["writer"]["nodeId"] == "node-002"


@pytest.mark.usefixtures("market")
def test_a_write_refused_though_its_lease_was_just_granted_is_counted_and_logged(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    old, new = node("node-001"), node("node-002")
    fenced = Counted("nt_writes_fenced_total")
    run(old, generation=1, cycle=before_write(FAST, lambda: run(new, generation=2)))
    assert fenced() == 1
    assert caplog.text.count("write refused") == 1
    assert report(redis_client)["writer"]["nodeId"] == "node-002"


def test_a_node_that_was_frozen_does_not_count_symbols_of_others(node: MakeNode, market: Market) -> None:
    old, new = node("node-001"), node("node-002")
    run(old, generation=1)
    assert old.assigned() == 1
    run(new, generation=2)
    old.symbols[S].lease.held_at -= 3600  # that long it was frozen
    market.diff(bids=[(101.5, 1.0)])
    run(old, generation=1)  # its lease is not asked for, and a crossed book is not written
    assert old.assigned() == 0


@pytest.mark.usefixtures("market")
def test_a_lease_key_of_another_type_under_a_warm_symbol_stops_that_symbol_only(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    Market(redis_client, "ETHUSDT").open()
    one = node()
    run(one, S, "ETHUSDT")
    redis_client.delete(KEYS.lease(S), KEYS.report(S), KEYS.report("ETHUSDT"))
    redis_client.set(KEYS.lease(S), "not a hash")
    run(one, S, "ETHUSDT")
    assert report(redis_client) is None
    assert report(redis_client, "ETHUSDT")
    assert "the lease cannot be acquired" in caplog.text


class LosesAReply(Writer):
    """Redis does what is written first, and its answer does not arrive."""

    lost = False

    def write(self, client: Any, writes: Sequence[Write]) -> list[Written]:
        outcomes = super().write(client, writes)
        if not self.lost:
            self.lost = True
            raise redis.ConnectionError("the reply is lost")
        return outcomes


@pytest.mark.usefixtures("market")
def test_a_write_whose_reply_was_lost_is_sent_again_and_counts_once(node: MakeNode, redis_client: redis.Redis) -> None:
    one, published = node(), Counted("nt_report_publish_total", cycle="fast")
    run(one)
    one.writer = LosesAReply(one.owner, one.settings)
    redis_client.config_resetstat()
    run(one)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 2
    run(one)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3, "it has renewed the lease"
    held = lease(redis_client)
    assert int(held["seq"]) == int(held["token"]) + 3
    assert published() == 3
