"""The history of a campaign: a list of records, in the order of the Redis server.

A history is saved as JSON lines, so that you can check it again: ``python -m tools.chaos --check FILE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec


class Acquisition(msgspec.Struct, frozen=True, tag="take"):
    """A lease got another owner.

    Attributes:
        time: Unix time of the Redis server, s.
        symbol: whose lease.
        owner: the new owner, ``node/incarnation``.
        token: its fencing token.
    """

    time: float
    symbol: str
    owner: str
    token: int


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Redis accepted a fenced write.

    Attributes:
        time: Unix time of the Redis server, s.
        symbol: whose report.
        owner: its writer, ``node/incarnation``; the node id in the report if nothing else names the writer.
        token: its fencing token; for a report the one in it.
        seq: its number; ``None`` if the writer recorded none.
        update_id: last update id of the order book it is made from; ``None`` if the writer recorded none.
        depth: :func:`tools.chaos.reference_books.digest` of its twenty best levels a side.
        report: True for a report, False for the slow sections alone.
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
    """Redis refused a fenced write: it came too late, or was a repetition.

    Attributes:
        time: Unix time of the Redis server, s.
        symbol: whose report.
        owner: who tried, ``node/incarnation``.
    """

    time: float
    symbol: str
    owner: str


class Appended(msgspec.Struct, frozen=True, tag="append"):
    """An ingest wrote market data of a symbol that only one ingest may write.

    Attributes:
        time: Unix time of the Redis server, s.
        symbol: whose data.
        owner: the writer, ``ingest/incarnation``; "" if it wrote without the lease.
        token: its fencing token.
        first: of an update of the book, the first number it holds; 0 of anything else.
        last: the last number.
        changes: whether the update changes any level.
    """

    time: float
    symbol: str
    owner: str
    token: int
    first: int = 0
    last: int = 0
    changes: bool = True


class Book(msgspec.Struct, frozen=True, tag="book"):
    """The order book of the exchange at one update id.

    Attributes:
        time: when it was received: Unix time, s.
        symbol: whose book.
        update_id: of the exchange; 0 where it has none.
        depth: :func:`tools.chaos.reference_books.digest` of its twenty best levels a side; "" if from now on books may pass
            unseen, until the next one.
    """

    time: float
    symbol: str
    update_id: int
    depth: str


class WrittenToOldMaster(msgspec.Struct, frozen=True, tag="astray"):
    """A server that is no longer the master accepted a write, which is lost when it becomes a replica.

    Attributes:
        time: Unix time of that server, s.
        server: its address, host:port.
        what: the write.
    """

    time: float
    server: str
    what: Acquisition | Write


class Unobserved(msgspec.Struct, frozen=True, tag="blind"):
    """The recorder had no connection to a server: writes of that time may be missing.

    Attributes:
        time: when the connection was back: Unix time, s.
        since: when it was lost.
        server: its address, host:port.
    """

    time: float
    since: float
    server: str = ""


class StackStarted(msgspec.Struct, frozen=True, tag="began"):
    """A new stack was started: the records that follow are its history.

    Attributes:
        time: Unix time, s.
        topology: name of a :class:`tools.chaos.deployment.Topology`.
    """

    time: float
    topology: str


class Stall(msgspec.Struct, frozen=True, tag="stall"):
    """The machine was too busy to wake a thread in time.

    Attributes:
        time: when it woke: Unix time, s.
        late_ms: how late that was.
    """

    time: float
    late_ms: float


class Memory(msgspec.Struct, frozen=True, tag="memory"):
    """Memory of a role.

    Attributes:
        time: Unix time, s.
        role: its name.
        pid: its process.
        kb: resident memory, kB.
    """

    time: float
    role: str
    pid: int
    kb: int


class Lived(msgspec.Struct, frozen=True, tag="lived"):
    """A process of a role ran without a break: it was neither dead nor stopped.

    Attributes:
        time: until when: Unix time, s.
        since: from when.
        role: its name.
        pid: its process.
    """

    time: float
    since: float
    role: str
    pid: int


class Injected(msgspec.Struct, frozen=True, tag="fault"):
    """An injected fault.

    Attributes:
        time: when it began: Unix time, s.
        kind: name of a :class:`tools.chaos.injector.FaultKind`.
        symbols: those that may lack reports because of it.
        counts_from: when gaps begin: ``time``, or when Redis was back.
        until: when it ended: every symbol had recovered, or a time-out had passed.
        victim: the role that was hit.
        owner_gone: an owner (``node/incarnation``) that was hit, so that its reports end no gap.
        fresh: whether a gap ends only with a report from a newer book than any before the fault.
        appends: whether its gaps are those between updates in the stream, and not those between reports.
        note: details, for people.
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
    appends: bool = False


Record = (
    StackStarted
    | Acquisition
    | Write
    | Refused
    | WrittenToOldMaster
    | Appended
    | Book
    | Unobserved
    | Stall
    | Memory
    | Lived
    | Injected
)
_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


def stacks(records: Iterable[Record]) -> list[list[Record]]:
    """Split the history of a campaign into one for each of its stacks."""
    found: list[list[Record]] = [[]]
    for record in records:
        if isinstance(record, StackStarted) and found[-1]:
            found.append([])
        found[-1].append(record)
    return found


def save(records: Iterable[Record], path: Path) -> None:
    """Write a history to a file, one JSON object a line."""
    with path.open("wb") as file:
        for record in records:
            file.write(_encode(record) + b"\n")


def load(path: Path) -> list[Record]:
    """Read a history from a file.

    Raises:
        ValueError: a line is not a record; the message names the first such line.
    """
    records = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                records.append(_decode(line))
            except msgspec.MsgspecError as error:
                raise ValueError(f"{path}, line {number}: not a record of a history: {error}") from None
    return records
