"""What nodes leave of a symbol's history in a real Redis."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tasks.cycles import FAST, SLOW
from tests.tasks.cycle_runs import KEYS, MakeNode, S, before_write, lease, report, run
from tests.tasks.market import Market
from tickfence.analytics import basis
from tickfence.analytics.history_row import HistoryRow, pack, unpack
from tickfence.coordination.lease import Entry, Lease, Written
from tickfence.coordination.owner import Owner
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings

QUICK = {"NT_HISTORY_INTERVAL_MS": "100"}
MODES = pytest.mark.parametrize("fenced", ["true", "false"])


def rows(client: redis.Redis) -> list[HistoryRow]:
    """The history, oldest first."""
    return [unpack(fields[b"r"]) for _, fields in client.xrange(KEYS.history(S))]


def bases(client: redis.Redis) -> list[basis.Basis]:
    """The bases, oldest first."""
    return [basis.decode(fields[b"b"]) for _, fields in client.xrange(KEYS.basis(S))]


@MODES
@pytest.mark.usefixtures("market")
def test_a_report_leaves_its_row_and_what_it_was_made_from(
    node: MakeNode, redis_client: redis.Redis, fenced: str
) -> None:
    one = node(NT_ENABLE_MULTI_INSTANCE=fenced)
    run(one)
    written, [row] = report(redis_client), rows(redis_client)
    assert (row.time_ms, row.mid_price) == (written["updatedAt"], written["mid_price"])
    assert row.token == written["writer"]["writerToken"]
    start, of_report = bases(redis_client)
    assert start.start is not None and start.start.fresh
    assert of_report.digest == basis.report_digest(redis_client.get(KEYS.report(S)) or b"")
    run(one)
    run(one, cycle=SLOW)
    assert len(rows(redis_client)) == 1
    slow = bases(redis_client)[-1]
    assert slow.digest == basis.digest(redis_client.get(KEYS.slow(S)) or b"")
    assert slow.carry == basis.digest(redis_client.get(KEYS.carry(S)) or b"")


@MODES
@pytest.mark.usefixtures("market")
def test_history_that_is_off_leaves_nothing(node: MakeNode, redis_client: redis.Redis, fenced: str) -> None:
    one = node(NT_HISTORY_MINUTES="0", NT_ENABLE_MULTI_INSTANCE=fenced)
    run(one)
    run(one, cycle=SLOW)
    assert redis_client.exists(KEYS.history(S), KEYS.basis(S)) == 0


@MODES
@pytest.mark.usefixtures("market")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda client, key: client.set(key, "no stream"),
        lambda client, key: client.xadd(key, {"a": "b"}, id=f"{2**64 - 1}-{2**64 - 1}"),
    ],
    ids=["another type", "no further id"],
)
def test_a_key_that_cannot_be_appended_to_is_made_anew(
    node: MakeNode, redis_client: redis.Redis, fenced: str, spoil: Callable[[redis.Redis, str], Any]
) -> None:
    spoil(redis_client, KEYS.history(S))
    spoil(redis_client, KEYS.basis(S))
    run(node(NT_ENABLE_MULTI_INSTANCE=fenced))
    assert [row.time_ms for row in rows(redis_client)] == [report(redis_client)["updatedAt"]]
    assert len(bases(redis_client)) == (2 if fenced == "true" else 1), (
        "what came before the failure is gone with the key"
    )


def test_history_has_no_row_of_a_refused_write(node: MakeNode, market: Market, redis_client: redis.Redis) -> None:
    """Owners take turns, each after the other has computed; what reaches Redis as a report is what history has."""
    nodes = [node(f"node-{number}", **QUICK) for number in range(3)]
    published, generation, chance = [], 1, random.Random(1)

    def take_over() -> None:
        nonlocal generation
        generation += 1
        thief = Lease(KEYS.lease(S), Owner("thief", str(generation)), 60_000)
        send(redis_client, [thief.acquire(generation)])

    stolen = before_write(FAST, take_over)
    for _ in range(60):
        market.diff()
        generation += 1
        one = chance.choice(nodes)
        moment = one.clock.now_ms() + 101
        for other in nodes:
            other.clock.observe(0.0, 0.0, moment)
        run(one, cycle=chance.choice([FAST, stolen]), generation=generation)
        now = report(redis_client)
        if now and (not published or published[-1] != now["updatedAt"]):
            published.append(now["updatedAt"])
    assert 10 < len(published) < 50
    assert [row.time_ms for row in rows(redis_client)] == published
    tokens = [row.token for row in rows(redis_client)]
    assert tokens == sorted(tokens)


@pytest.mark.usefixtures("market")
def test_after_redis_lost_all_and_its_clock_was_set_back_ids_and_tokens_go_on(
    node: MakeNode, redis_client: redis.Redis
) -> None:
    """Who reads on from an id finds what comes next, and does not wait until the clock has caught up."""
    one = node(**QUICK)
    real_ms = one.clock.now_ms()
    one.clock.observe(0.0, 0.0, real_ms - time.monotonic() * 1000 + 60_000)  # what the clock showed before
    run(one)
    [before] = rows(redis_client)
    known = {key: one.clock.now_ms() for key in (KEYS.history(S), KEYS.basis(S))}  # an id that a reader may know
    redis_client.delete(KEYS.history(S), KEYS.basis(S), KEYS.lease(S))
    one.clock.observe(0.0, 0.0, real_ms - time.monotonic() * 1000)
    run(one)
    run(one, cycle=SLOW)  # its basis comes in any case
    for key, id_ms in known.items():
        assert redis_client.xread({key: f"{id_ms}-0"})
    [after] = rows(redis_client)
    assert after.time_ms < before.time_ms and after.token > before.token


def test_without_leases_too_a_lost_stream_begins_again_behind_what_its_writer_has_seen(
    node: MakeNode, redis_client: redis.Redis
) -> None:
    one = node(NT_ENABLE_MULTI_INSTANCE="false")
    ahead = one.clock.now_ms() + 3_600_000
    row = Entry(KEYS.history(S), 3600, "r", b"row", ahead)
    for _ in range(2):
        one.writer.write(redis_client, [one.writer.lease(S).next_write({}, entries=[row])])  # type: ignore[arg-type]
    ids = [int(entry.split(b"-")[0]) for entry, _ in redis_client.xrange(KEYS.history(S))]
    assert ids[-2:] == [ahead, ahead]


@pytest.mark.usefixtures("market")
def test_a_write_that_is_repeated_appends_once(node: MakeNode, redis_client: redis.Redis) -> None:
    one = node()
    run(one)
    held = one.symbols[S].lease  # type: ignore[index]
    write = held.next_write({KEYS.report(S): b"{}"}, entries=[Entry(KEYS.history(S), 3600, "r", b"row")])
    for outcome in (Written.WRITTEN, Written.REPEATED):
        assert one.writer.write(redis_client, [write]) == [outcome]
    late = write._replace(seq=write.seq - 1)
    assert one.writer.write(redis_client, [late]) == [Written.OLD]
    assert redis_client.xlen(KEYS.history(S)) == 2
    assert int(lease(redis_client)["seq"]) == write.seq


def test_an_hour_of_rows_is_at_most_a_quarter_of_a_megabyte(redis_client: redis.Redis) -> None:
    chance = random.Random(1)
    pipe = redis_client.pipeline(transaction=False)
    limit = Settings.from_environment({})
    wanted = limit.nt_history_minutes * 60_000 // limit.nt_history_interval_ms
    for second in range(wanted + 500):
        price, size = chance.uniform(100, 1e5), chance.uniform(0.1, 1e6)
        row = HistoryRow(
            time_ms=1_700_000_000_000 + 1000 * second,
            token=1_700_000_000_000,
            mid_price=price,
            last_price=price,
            spread_bps=chance.random(),
            bid_qty=size,
            ask_qty=size,
            net_flow=-size,
            orders_per_sec=12.5,
            health=99.5,
            status="ok",
        )
        moment = 1_700_000_000_000 + 1000 * second + chance.randrange(250)
        pipe.xadd(KEYS.history(S), {"r": pack(row)}, id=f"{moment}-0", maxlen=wanted, approximate=True)
    pipe.execute()
    assert wanted == 3600
    assert wanted <= redis_client.xlen(KEYS.history(S)) < wanted + 100
    assert redis_client.memory_usage(KEYS.history(S), samples=0) <= 250_000
