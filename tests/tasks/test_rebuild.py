"""Live equals batch: reports made again from recorded inputs are the same bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.rebuild import replay
from tasks.rebuilt import Rebuilt
from tests.tasks.recorded_world import S, World
from tickfence.analytics import basis
from tickfence.analytics.basis import Kind
from tickfence.coordination.lease import Written
from tickfence.streams.codec import TradesUpTo

ALWAYS = 2**50


def rebuilt(world: World, from_ms: int = 0, to_ms: int = ALWAYS) -> list[Rebuilt]:
    return list(replay(world.recording(), S, from_ms, to_ms))


def differences(world: World, *, lost: bool = False) -> list[Any]:
    """What was not made again, and what was made otherwise than live.

    Args:
        world: where it was made.
        lost: whether nodes may have missed what is recorded, so that not all can be made again.
    """
    live = iter(world.made)
    found: list[Any] = []
    for step in rebuilt(world):
        assert step.basis is not None
        if step.basis.kind is Kind.REPORT:
            same = step.report == next(live)
        else:
            same = basis.digest(step.report) == step.basis.digest
        if not (same and step.warm) and not (lost and step.reason):
            found.append((step.at_ms, step.basis.kind, step.reason, step.basis.inputs.book_id, same))
    assert next(live, None) is None
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


RARE = ["pass", "kill", "gap", "skip", "held", "audit", "reload", "clock", "rules", "renumber", "forget"]
STEPS = st.lists(st.tuples(st.sampled_from(["fast"] * 12 + ["slow"] * 4 + RARE), st.integers(0, 9)), max_size=60)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9), known=st.sampled_from([None, None, 30]), steps=STEPS)
def test_whatever_happens_to_nodes_each_report_is_made_again(
    seed: int, known: int | None, steps: list[tuple[str, int]]
) -> None:
    world = World(seed, known=known, row_every_ms=300)
    for what, number in steps:
        act(world, what, number)
    assert differences(world) == []
