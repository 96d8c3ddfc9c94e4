"""Live equals batch: reports made again from recorded inputs are the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tasks import audit as audits
from tasks.rebuild import rebuild, replay
from tasks.rebuilt import Rebuilt
from tasks.recorded_market import RecordedMarket
from tests.analytics.random_market import START
from tests.tasks.recorded_world import S, Tables, World
from tickfence.analytics import basis
from tickfence.analytics.basis import Kind
from tickfence.coordination.lease import Written
from tickfence.recordings import kinds
from tickfence.streams.codec import TradesUpTo

ALWAYS = 2**50
MINUTE_MS = 60_000


def rebuilt(world: World, from_ms: int = 0, to_ms: int = ALWAYS) -> list[Rebuilt]:
    return list(replay(world.recording(), S, from_ms, to_ms))


def differences(world: World, *, lost: bool = False, from_ms: int = 0) -> list[Any]:
    """What was not made again, and what was made otherwise than live.

    Args:
        world: where it was made.
        lost: whether nodes may have missed what is recorded, or the other way round, so that not all can be made again.
        from_ms: the begin.
    """
    found: list[Any] = []
    for step in rebuilt(world, from_ms):
        assert step.basis is not None
        digest = basis.report_digest if step.basis.kind is Kind.REPORT else basis.digest
        same = bool(step.report) and digest(step.report) == step.basis.digest
        if not (same and step.warm) and not (lost and step.reason):
            found.append((step.at_ms, step.basis.kind, step.reason, step.basis.inputs.book_id, same))
    return found


def act(world: World, what: str, number: int) -> None:
    """Let something happen."""
    name = f"node-00{number % 2}"
    match what:
        case "fast":
            world.advance(1 + number % 4)
            world.cycle(name)
        case "slow":
            world.cycle(name, slow=True, outcome=Written.FENCED if number == 5 else Written.WRITTEN)
        case "pass":
            world.advance(number)
        case "kill":
            world.kill(name)
        case "gap":
            world.advance(lose=True)
            world.snapshot()
        case "skip":
            world.advance(skip_trades=number)
        case "held":
            world.advance(number, trades=TradesUpTo(number % 3))
        case "audit":
            world.distrust()
        case "reload":
            world.node(name).warm.invalidate("horizon")
        case "clock":
            world.now_ms += (number - 4) * 400
        case "rules":
            world.rules(b"0.01" if number % 2 else b"0.05")
        case "renumber":
            world.renumber()
        case "forget":
            world.forget()


USUAL = ["fast"] * 12 + ["slow"] * 4
RARE = ["pass", "kill", "gap", "skip", "held", "audit", "reload", "clock", "rules"]
LOSSES = ["renumber", "forget"]


def steps(*what: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(what), st.integers(0, 9)), max_size=60)


def lived(seed: int, known: int | None, steps: list[tuple[str, int]]) -> World:
    world = World(seed, known=known, row_every_ms=100)
    for what, number in steps:
        act(world, what, number)
    return world


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), known=st.sampled_from([None, None, 30]), steps=steps(*USUAL, *RARE))
def test_whatever_happens_to_nodes_each_report_is_made_again(
    seed: int, known: int | None, steps: list[tuple[str, int]]
) -> None:
    assert differences(lived(seed, known, steps)) == []


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), known=st.sampled_from([None, 30]), steps=steps(*USUAL, *RARE, *LOSSES * 2))
def test_where_redis_lost_data_a_report_is_the_same_or_said_to_lack_something(
    seed: int, known: int | None, steps: list[tuple[str, int]]
) -> None:
    assert differences(lived(seed, known, steps), lost=True) == []


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 99),
    steps=steps(*USUAL, *RARE),
    kind=st.sampled_from([each for each in kinds.Kind if each not in (kinds.Kind.HISTORY, kinds.Kind.EVENTS)]),
    first=st.integers(0, 300),
    count=st.integers(1, 50),
)
def test_where_the_recording_has_a_hole_a_report_is_the_same_or_said_to_lack_something(
    seed: int, steps: list[tuple[str, int]], kind: kinds.Kind, first: int, count: int
) -> None:
    world = lived(seed, None, steps)
    del world.rows[kind][first : first + count]
    assert differences(world, lost=True) == []


def busy(minutes: float, *, kill_after: float | None = None) -> World:
    """A world in which one node reports for some minutes, four times a second."""
    world = World(3)
    world.traded_before(40)
    world.advance(20)
    for cycle in range(round(minutes * 200)):
        world.advance(3)
        world.cycle()
        if cycle % 8 == 0:
            world.cycle(slow=True)
        if kill_after is not None and cycle == round(kill_after * 200):
            world.kill()
    return world


@pytest.fixture(scope="module")
def minutes() -> World:
    return busy(3)


def test_a_rebuild_may_begin_in_the_middle(minutes: World) -> None:
    """Nothing of the time before is used but what windows need; and then all is the same."""
    begin = START + 2 * MINUTE_MS
    found = [step for step in rebuilt(minutes, begin) if step.basis is not None and step.basis.kind is Kind.REPORT]
    assert {step.reason for step in found} == {""}
    assert len(found) >= 30
    assert differences(minutes, from_ms=begin) == []


def without_start(world: World) -> World:
    """As if the recording began when the node ran already."""
    world.rows[kinds.Kind.BASES] = [row for row in world.rows[kinds.Kind.BASES] if row["kind"] != Kind.START]
    return world


def test_an_owner_whose_start_is_not_recorded_is_followed_once_every_window_is_full() -> None:
    found = rebuilt(without_start(busy(1.5)))
    reasons = [step.reason for step in found if step.basis is not None and step.basis.kind is Kind.REPORT]
    assert len(reasons) > 40
    assert "" not in reasons, "31 minutes are not over"
    assert differences(without_start(busy(1.5)), lost=True) == []


def test_an_owner_that_started_long_ago_is_followed_from_the_last_carry_before() -> None:
    world = busy(2)
    for row in without_start(world).rows[kinds.Kind.BASES]:
        one = basis.decode(row["data"])
        long_ago = {
            "started_ms": one.inputs.started_ms - 40 * MINUTE_MS,
            "fresh_ms": one.inputs.fresh_ms - 40 * MINUTE_MS,
        }
        row["data"] = basis.encode(replace(one, inputs=replace(one.inputs, **long_ago)))
    found = rebuilt(world, START + 100_000)
    assert len(found) > 20
    assert {step.reason for step in found} == {""}
    assert differences(world, from_ms=START + 100_000) == []


def audited(world: World) -> audits.Audit:
    [found] = audits.audit(world.recording(), [S], 0, ALWAYS)
    return found


def test_an_audit_counts_what_is_equal(minutes: World) -> None:
    found = audited(minutes)
    assert (found.compared, found.equal, found.different, found.first) == (
        len(minutes.made),
        len(minutes.made),
        0,
        None,
    )
    assert found.sections > 50
    assert not found.not_warm


def test_an_audit_names_symbol_time_and_member_of_the_first_difference() -> None:
    world = busy(0.3)
    at_ms, row = world.newest(5, kinds.Kind.TRADES)
    row["price"] += 0.01
    found = audited(world)
    assert found.first is not None
    assert (found.symbol, found.first[:3]) == (S, (at_ms, Kind.REPORT, "last_price"))
    assert found.first.live != found.first.rebuilt
    assert found.compared > found.equal >= 5


def test_an_audit_sees_one_changed_quantity() -> None:
    world = busy(0.3)
    at_ms, row = world.newest(5, kinds.Kind.DIFFS)
    row["bid_prices"], row["bid_quantities"] = [*row["bid_prices"], 100.0], [*row["bid_quantities"], 1.25]
    found = audited(world)
    assert found.first is not None
    assert found.first[:2] == (at_ms, Kind.REPORT)
    assert found.first.member in ("spread_bps", "best_bid", "micro_price", "depth")


def test_on_a_grid_reports_come_at_its_times_and_agree_with_live_ones(minutes: World) -> None:
    begin, end = START + 2 * MINUTE_MS, START + 2 * MINUTE_MS + 10_000
    found = list(rebuild(minutes.recording(), S, begin, end, 250))
    assert [one.at_ms for one in found] == list(range(begin, end, 250))
    assert {one.reason for one in found} <= {"", "trades missing"}
    one = json.loads(found[10].report)
    assert (one["writer"], one["updatedAt"]) == ({"nodeId": "batch", "writerToken": 1}, begin + 2500)
    assert one["anomalies"] is not None


def test_a_book_that_was_wrong_takes_the_slow_sections_with_it() -> None:
    before, after = [("fast", 2)] * 6 + [("slow", 0), ("fast", 2)], [("pass", 9), ("pass", 9)] + [("fast", 2)] * 3
    world = lived(1, None, [*before, ("audit", 0), *after])
    [*_, last] = rebuilt(world)
    assert "liquidity" not in json.loads(last.report)
    assert differences(world) == []


def test_a_receive_time_that_a_report_without_basis_took_for_wrong_stays_forgotten() -> None:
    world = World(1, row_every_ms=100)
    world.advance(1)
    world.cycle()
    world.now_ms += 5_000  # Redis' clock is wrong for a moment
    world.advance(1)
    world.now_ms -= 5_000
    world.cycle()
    for _ in range(3):  # the last of them has a basis
        world.now_ms += 1_634
        world.cycle()
    [*_, last] = rebuilt(world)
    assert last.at_ms == world.now_ms
    assert "last_update" not in json.loads(last.report)["ingestion"]
    assert differences(world) == []


def test_what_an_owner_left_is_made_again_where_it_is_not_recorded() -> None:
    world = busy(0.5, kill_after=0.3)
    assert world.rows.pop(kinds.Kind.CARRIES)
    assert world.rows.pop(kinds.Kind.SECTIONS)
    assert differences(world) == []


class Hourly(Tables):
    """A recording whose bases were written at ``times``, and that tells how much time of them is read at once."""

    def __init__(self, rows: dict[kinds.Kind, list[dict[str, Any]]], times: list[int]) -> None:
        self.written = [row["data"] for row in rows[kinds.Kind.BASES]]
        spread = [row | {"time_ms": at} for row, at in zip(rows[kinds.Kind.BASES], times, strict=False)]
        super().__init__(rows | {kinds.Kind.BASES: spread})
        self.widest = 0

    def table(self, kind: kinds.Kind, symbols: Any = None, from_ms: Any = None, to_ms: Any = None) -> pa.Table:
        if kind is kinds.Kind.BASES and from_ms is not None:
            self.widest = max(self.widest, to_ms - from_ms)
        return super().table(kind, symbols, from_ms, to_ms)


@pytest.mark.parametrize("back_ms", [0, 5 * MINUTE_MS, 60 * MINUTE_MS])
def test_bases_are_read_by_the_hour_in_the_order_of_their_writing(back_ms: int) -> None:
    world = World(row_every_ms=100)
    for _ in range(40):
        act(world, "fast", 1)
    count = len(world.rows[kinds.Kind.BASES])
    times = [START + number * 11 * MINUTE_MS - (number > count // 2) * back_ms for number in range(count)]
    recording = Hourly(world.rows, times)
    read = list(RecordedMarket(recording, S, START, ALWAYS).bases())
    assert [each.at_ms for each in read] == [basis.decode(data).at_ms for data in recording.written]
    assert 0 < recording.widest <= 60 * MINUTE_MS
