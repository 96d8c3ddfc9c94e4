"""What happened: one record for each fact, in the order in which the Redis server saw them.

A history is saved as JSON lines, so that anyone can check one again: ``python -m tools.chaos --check FILE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec


class Take(msgspec.Struct, frozen=True, tag="take"):
    """A lease changed hands: ``owner`` got ``symbol`` with a new fencing token. ``time`` is the server's, in s."""

    time: float
    symbol: str
    owner: str
    token: int


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Redis accepted a write: a report, or what else stands under the same fence.

    Attributes:
        time: of the Redis server, in seconds.
        owner: who sent it: ``node/incarnation``, or the node id in the report where nothing else tells.
        token: its fencing token; of a report, the one in it.
        seq: its number; None where the writer recorded none.
        update_id: last update id of the order book it was made from; None where the writer did not tell.
        depth: :func:`tools.chaos.truth.digest` of its twenty best levels a side.
        report: whether it is a report.
    """

    time: float
    symbol: str
    owner: str
    token: int
    seq: int | None = None
    update_id: int | None = None
    depth: str = ""
    report: bool = True


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """``owner`` asked Redis for a fenced write of ``symbol`` that changed nothing: it came too late, or twice."""

    time: float
    symbol: str
    owner: str


class Book(msgspec.Struct, frozen=True, tag="book"):
    """The exchange's true book at ``update_id``, told by the digest of its twenty best levels a side."""

    time: float
    symbol: str
    update_id: int
    depth: str


class Astray(msgspec.Struct, frozen=True, tag="astray"):
    """A server that is no longer the master accepted ``what``: it is lost when that server becomes a replica."""

    time: float
    server: str
    what: Take | Write


class Blind(msgspec.Struct, frozen=True, tag="blind"):
    """Nobody watched ``server`` from ``since`` to ``time``: writes of that interval, if it took any, are missing."""

    time: float
    since: float
    server: str = ""


class Began(msgspec.Struct, frozen=True, tag="began"):
    """A stack of its own began: what follows, to the next such record, is its history and no other's."""

    time: float
    topology: str


class Stall(msgspec.Struct, frozen=True, tag="stall"):
    """The machine was too busy to wake a thread in time: it came ``late_ms`` late, at ``time``."""

    time: float
    late_ms: float


class Memory(msgspec.Struct, frozen=True, tag="memory"):
    """A role's process had ``kb`` kB of resident memory."""

    time: float
    role: str
    pid: int
    kb: int


class Injected(msgspec.Struct, frozen=True, tag="fault"):
    """A fault, and what it concerned.

    Attributes:
        time: when it began.
        counts_from: when the gaps it makes begin to count: ``time``, or when Redis is back.
        until: when every symbol was seen to be well again, or the waiting for it was given up.
        symbols: those it may silence.
        victim: the role that was hit.
        owner_gone: an owner that cannot end a gap, because it was hit: ``node/incarnation``.
        fresh: a gap ends only with a report from a newer book than any before the fault.
    """

    time: float
    kind: str
    symbols: tuple[str, ...]
    counts_from: float
    until: float
    victim: str = ""
    owner_gone: str = ""
    fresh: bool = False
    note: str = ""


Record = Began | Take | Write | Refused | Astray | Book | Blind | Stall | Memory | Injected
_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


def stacks(records: Iterable[Record]) -> list[list[Record]]:
    """A campaign's history as that of each of its stacks."""
    found: list[list[Record]] = [[]]
    for record in records:
        if isinstance(record, Began) and found[-1]:
            found.append([])
        found[-1].append(record)
    return found


def save(records: Iterable[Record], path: Path) -> None:
    """Write a history, one JSON object a line."""
    with path.open("wb") as file:
        for record in records:
            file.write(_encode(record) + b"\n")


def load(path: Path) -> list[Record]:
    """Read a history. Raises :exc:`ValueError` naming the first line that is none."""
    records = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                records.append(_decode(line))
            except msgspec.MsgspecError as error:
                raise ValueError(f"{path}, line {number}: not a record of a history: {error}") from None
    return records
