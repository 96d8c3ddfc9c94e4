"""The assignment over time, while nodes come, go and restart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tickfence.coordination.assignment import capacities
from tickfence.coordination.controller import AssignmentController, Move, MovePolicy
from tickfence.coordination.owner import Owner

POLICY = MovePolicy(min_hold_ms=2000, rebalance_interval_ms=2500)
SIX = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]
NODES = [f"node-{i:03d}" for i in range(1, 6)]
LONG_MS = POLICY.min_hold_ms + POLICY.rebalance_interval_ms


def owner(node: int, incarnation: str = "a") -> Owner:
    return Owner(NODES[node - 1], incarnation)


def live(*owners: Owner) -> dict[Owner, float]:
    return dict.fromkeys(owners, 1.0)


def settled(*owners: Owner, symbols: list[str] = SIX, policy: MovePolicy = POLICY) -> tuple[AssignmentController, int]:
    """A controller whose symbols have been where they belong for a long time, and the time."""
    controller, now = AssignmentController(symbols, policy), 0
    for _ in range(3):
        controller.step(now, live(*owners))
        now += LONG_MS
    controller.step(now, live(*owners))
    return controller, now


class ControllerMachine(RuleBasedStateMachine):
    """Nodes change, time goes by, and now and then the controller steps."""

    @initialize(count=st.integers(1, 30), start_ms=st.integers(0, 10**13), hold_ms=st.sampled_from([0, 2000, 7000]))
    def start(self, count: int, start_ms: int, hold_ms: int) -> None:
        self.policy = MovePolicy(min_hold_ms=hold_ms)
        self.symbols = [f"S{i}USDT" for i in range(count)]
        self.controller = AssignmentController(self.symbols, self.policy)
        self.now = start_ms
        self.live: dict[Owner, float] = {}
        self.seen: set[Owner] = set()
        self.moved_at: dict[str, int] = {}
        self.rebalanced = 0
        self.starts = 0

    @rule(node=st.sampled_from(NODES), weight=st.sampled_from([1.0, 1.0, 1.0, 2.0]))
    def node_starts(self, node: str, weight: float) -> None:
        """Also over a live one: a restart that was not observed."""
        self.node_ends(node)
        self.starts += 1
        self.live[Owner(node, f"start{self.starts}")] = weight

    @rule(node=st.sampled_from(NODES))
    def node_ends(self, node: str) -> None:
        self.live = {o: w for o, w in self.live.items() if o.node != node}

    @rule(ms=st.sampled_from([0, 25, 25, 500, 1999, 2000, 2500, 9000]))
    def time_goes_by(self, ms: int) -> None:
        self.step(ms)

    def step(self, ms: int) -> list[Move]:
        self.now += ms
        before = dict(self.controller.owners)
        planned = self.controller.plan(self.now, dict(self.live))
        assert self.controller.owners == before
        moves = self.controller.step(self.now, dict(self.live))
        assert planned.moves == moves
        joined = bool(self.live.keys() - self.seen)
        may_rebalance = joined or self.now - self.rebalanced >= self.policy.rebalance_interval_ms
        self.seen = set(self.live)
        if not self.live:
            assert moves == []
            assert self.controller.owners == before
            return moves

        after = before | {move.symbol: move.target for move in moves}
        assert self.controller.owners == after
        assert after.keys() == set(self.symbols)
        assert set(after.values()) <= self.live.keys()
        for move in moves:
            assert move.source == before.get(move.symbol) != move.target
            if move.source not in self.live:
                assert move.reason == "orphan"
            else:
                assert may_rebalance
                assert self.now - self.moved_at[move.symbol] >= self.policy.min_hold_ms
                assert move.reason == ("join" if joined else "rebalance")
            # A first owner is held to nothing.
            self.moved_at[move.symbol] = self.now if move.source else self.now - self.policy.min_hold_ms

        weights = {o.node: w for o, w in self.live.items()}
        room, held = capacities(len(self.symbols), weights, self.policy.load_factor), Counter(after.values())
        assert all(held[o] <= room[o.node] for o in {move.target for move in moves})
        if may_rebalance:
            self.rebalanced = self.now
        return moves

    @rule()
    def nothing_moves_once_settled(self) -> None:
        for _ in range(2):
            self.step(self.policy.min_hold_ms + self.policy.rebalance_interval_ms)
        for _ in range(3):
            assert self.step(self.policy.min_hold_ms + self.policy.rebalance_interval_ms) == []
            assert self.step(25) == []

    @rule()
    def a_new_leader_takes_over(self) -> None:
        heir = AssignmentController(self.symbols, self.policy)
        heir.adopt(self.controller.owners, self.now)
        self.controller = heir
        self.moved_at = dict.fromkeys(heir.owners, self.now)
        self.seen, self.rebalanced = set(heir.owners.values()), self.now

    @invariant()
    def owners_are_never_invented(self) -> None:
        if hasattr(self, "controller"):
            assert self.controller.owners.keys() <= set(self.symbols)


ControllerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestControllerMachine = ControllerMachine.TestCase


def test_a_leave_moves_only_orphans_and_at_once() -> None:
    controller, now = settled(owner(1), owner(2), owner(3))
    before = dict(controller.owners)
    lost = {s for s, o in before.items() if o == owner(2)}
    moves = controller.step(now + 1, live(owner(1), owner(3)))
    assert {move.symbol for move in moves} == lost
    assert {move.reason for move in moves} == {"orphan"}


def test_symbols_that_a_leave_makes_room_for_wait_for_the_next_rebalance() -> None:
    symbols = [f"S{i}USDT" for i in range(60)]
    tight = MovePolicy(load_factor=1.0)
    controller, now = settled(owner(1), owner(2), owner(3), owner(4), symbols=symbols, policy=tight)
    lost = {s for s, o in controller.owners.items() if o == owner(4)}
    rest = live(owner(1), owner(2), owner(3))
    assert {move.symbol for move in controller.step(now + 1, rest)} == lost
    assert controller.step(now + 2, rest) == []
    later = controller.step(now + LONG_MS, rest)
    assert later
    assert {move.reason for move in later} == {"rebalance"}


def test_a_new_leader_does_not_take_nodes_it_finds_for_nodes_that_joined() -> None:
    heir = AssignmentController(SIX, MovePolicy(min_hold_ms=0))
    heir.adopt(dict.fromkeys(SIX, owner(1)) | {SIX[0]: owner(2)}, 1_000_000)
    both = live(owner(1), owner(2))
    assert heir.step(1_000_025, both) == []
    assert {move.reason for move in heir.step(1_000_000 + POLICY.rebalance_interval_ms, both)} == {"rebalance"}


def test_a_node_that_is_known_though_it_owns_nothing_has_not_joined() -> None:
    symbols = [f"S{i}USDT" for i in range(60)]
    heir = AssignmentController(symbols, MovePolicy(min_hold_ms=0))
    heir.adopt(dict.fromkeys(symbols[1:], owner(1)), 0, known=[owner(1), owner(2)])
    both = live(owner(1), owner(2))
    plan = heir.plan(0, both)
    assert ([move.symbol for move in plan.moves], plan.rebalances) == ([symbols[0]], False)
    later = heir.plan(POLICY.rebalance_interval_ms, both)
    assert later.rebalances
    assert len(later.moves) > 1


def test_an_orphan_moves_though_it_moved_a_moment_ago() -> None:
    controller = AssignmentController(["BTCUSDT"], POLICY)
    controller.step(0, live(owner(1)))
    [move] = controller.step(1, live(owner(2)))
    assert move == Move("BTCUSDT", owner(1), owner(2), "orphan")


def test_a_node_that_joins_gets_symbols_at_once_but_none_that_just_moved() -> None:
    controller, now = settled(owner(1), owner(2))
    moves = controller.step(now + 1, live(owner(1), owner(2), owner(3)))
    assert len(moves) == 2
    assert {(move.target, move.reason) for move in moves} == {(owner(3), "join")}

    controller, now = settled(owner(1))
    assert len(controller.step(now, live(owner(2)))) == len(SIX)
    both = live(owner(1), owner(2))
    assert controller.step(now + 1999, both) == []
    assert controller.step(now + 1999 + 2499, both) == []
    moves = controller.step(now + 1999 + 2500, both)
    assert len(moves) == 3
    assert {move.reason for move in moves} == {"rebalance"}


def test_a_new_owner_is_missed_when_it_dies_at_once() -> None:
    controller, now = settled(owner(1))
    assert controller.step(now + 1, live(owner(1), owner(2)))
    taken = {symbol for symbol, one in controller.owners.items() if one == owner(2)}
    assert {move.symbol for move in controller.step(now + 2, live(owner(1)))} == taken

    controller.step(now + 3, live(owner(1)))
    controller.adopt(dict.fromkeys(SIX, owner(2)), now + 4, known=[owner(1)])
    assert {move.symbol for move in controller.step(now + 5, live(owner(1)))} == set(SIX)


def test_a_first_owner_need_not_be_held() -> None:
    controller = AssignmentController(SIX, POLICY)
    controller.step(0, live(owner(1)))
    moves = controller.step(1, live(owner(1), owner(2)))
    assert len(moves) == 3
    assert {move.reason for move in moves} == {"join"}


def test_a_restarted_node_gets_its_symbols_back_as_another_owner() -> None:
    controller, now = settled(owner(1), owner(2), owner(3))
    before = dict(controller.owners)
    moves = controller.step(now + 1, live(owner(1), owner(2, "b"), owner(3)))
    assert {move.symbol for move in moves} == {s for s, o in before.items() if o == owner(2)}
    assert {(move.source, move.target, move.reason) for move in moves} == {(owner(2), owner(2, "b"), "orphan")}


def test_symbols_stay_put_while_nobody_is_live_and_move_when_somebody_is() -> None:
    controller, now = settled(owner(1))
    before = dict(controller.owners)
    assert controller.step(now + 1, {}) == []
    assert controller.owners == before
    assert len(controller.step(now + 2, live(owner(2)))) == len(SIX)


def test_a_new_leader_moves_nothing_that_is_well_placed_and_knows_who_left_meanwhile() -> None:
    old, now = settled(owner(1), owner(2), owner(3))
    heir = AssignmentController(SIX, POLICY)
    heir.adopt(old.owners | {"DELISTED": owner(1)}, now)
    assert heir.owners == old.owners
    assert heir.step(now, live(owner(1), owner(2), owner(3))) == []
    assert heir.step(now + LONG_MS, live(owner(1), owner(2), owner(3))) == []

    heir.adopt(old.owners, now)
    moves = heir.step(now, live(owner(1), owner(3)))
    assert {move.symbol for move in moves} == {s for s, o in old.owners.items() if o == owner(2)}


def test_a_new_leader_places_symbols_that_the_stored_assignment_does_not_have() -> None:
    old, now = settled(owner(1), owner(2), symbols=SIX[:4])
    heir = AssignmentController(SIX, POLICY)
    heir.adopt(old.owners, now)
    moves = heir.step(now, live(owner(1), owner(2)))
    assert {(move.symbol, move.source, move.reason) for move in moves} == {(s, None, "orphan") for s in SIX[4:]}


def test_a_clock_that_was_ahead_for_a_while_delays_no_rebalance_and_pins_no_symbol() -> None:
    hour = 3_600_000
    old, now = settled(owner(1), owner(2))
    controller = AssignmentController(SIX, POLICY)
    controller.adopt(old.owners, now + hour)  # as a leader whose lead ended when the clock was set
    assert controller.step(now + hour + LONG_MS, live(owner(1), owner(2))) == []
    moves = controller.step(now, live(owner(1), owner(2), owner(3)))
    assert {move.target for move in moves} == {owner(3)}
    assert len(moves) == 2
    again = AssignmentController(SIX, POLICY)
    again.adopt(dict.fromkeys(SIX, owner(1)), now + hour, known=live(owner(2)))
    assert {move.target for move in again.step(now, live(owner(1), owner(2)))} == {owner(2)}


def test_a_clock_that_was_set_back_delays_no_orphan() -> None:
    controller, now = settled(owner(1), owner(2))
    moves = controller.step(now - 3_600_000, live(owner(1)))
    assert {move.source for move in moves} == {owner(2)}


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 25, 2500]), st.sets(st.integers(1, 12)), st.sets(st.integers(1, 4))),
        min_size=1,
        max_size=12,
    )
)
def test_symbols_come_and_go_and_a_cordoned_node_gets_none(steps: list[tuple[int, set[int], set[int]]]) -> None:
    controller, now = settled(owner(1), owner(2), owner(3), owner(4), symbols=["S1USDT", "S2USDT", "S3USDT"])
    for ms, numbers, closed in steps:
        now += ms
        wanted = [f"S{number}USDT" for number in sorted(numbers)]
        cordoned = {owner(number) for number in closed}
        dropped = controller.replace_symbols(wanted)
        before = dict(controller.owners)
        assert not dropped.keys() & set(wanted)
        moves = controller.step(now, live(owner(1), owner(2), owner(3), owner(4)), cordoned)
        assert all(move.target not in cordoned for move in moves)
        assert all(move.source not in cordoned for move in moves)
        expected = set(before) if len(cordoned) == 4 else set(wanted)  # without an open node there is nowhere to go
        assert set(controller.owners) == expected
        if ms == 0 and not any(move.reason == "rebalance" for move in moves):
            assert {symbol: controller.owners[symbol] for symbol in before} == before


def test_a_cordoned_node_that_starts_again_has_its_symbols_again_where_no_other_may() -> None:
    controller, now = settled(owner(1), owner(2))
    its = {symbol for symbol, one in controller.owners.items() if one == owner(2)}
    assert controller.step(now, live(owner(1)), {owner(1)}) == []  # it is dead; the other gets no more
    again = owner(2, "b")
    moves = controller.step(now + 25, live(owner(1), again), {owner(1), again})
    assert {(move.symbol, move.source, move.target, move.reason) for move in moves} == {
        (symbol, owner(2), again, "orphan") for symbol in its
    }
    assert controller.step(now + LONG_MS, live(owner(1), again), {owner(1), again}) == []


def test_another_weight_takes_effect_at_once() -> None:
    controller, now = settled(owner(1), owner(2), symbols=[f"S{i}USDT" for i in range(40)])
    assert controller.step(now + 25, {owner(1): 1.0, owner(2): 1.0}) == []
    moves = controller.step(now + 50, {owner(1): 1.0, owner(2): 3.0})
    assert {(move.source, move.target) for move in moves} == {(owner(1), owner(2))}
    assert controller.step(now + 75, {owner(1): 1.0, owner(2): 3.0}) == []


def test_ten_thousand_symbols_are_replaced_within_a_poll() -> None:
    symbols = [f"S{number}USDT" for number in range(10_000)]
    controller = AssignmentController(symbols, MovePolicy())
    controller.step(0, {Owner("node-001", "a"): 1.0})
    started = time.process_time()
    assert controller.replace_symbols(symbols[1:]).keys() == {symbols[0]}
    assert time.process_time() - started < 0.5  # some milliseconds; seconds if it grew with the square


def test_what_is_balanced_stays_so_only_until_something_changes() -> None:
    """Each change is made when a rebalance is overdue."""
    symbols = [f"S{i}USDT" for i in range(60)]
    controller, now = settled(owner(1), owner(2), symbols=symbols)
    alike, heavy = live(owner(1), owner(2)), {owner(1): 9.0, owner(2): 1.0}

    def moved(weights: Mapping[Owner, float]) -> int:
        nonlocal now
        now += 10 * LONG_MS
        return len(controller.step(now, weights))

    assert moved(alike) == 0
    assert moved(heavy) > 0
    assert moved(alike) > 0, "the weights are as they were when all was balanced, and the symbols are not"
    assert moved(alike) == 0
    controller.replace_symbols([*symbols, "NEWUSDT"])
    assert moved(alike) >= 1
    moved(alike)
    controller.adopt(dict.fromkeys(symbols, owner(1)), now)
    assert moved(alike) > 10
